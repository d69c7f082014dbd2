"""What the store keeps: files, jobs, events, models, batches and people, as a row is read."""

import json
import random
import sqlite3
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cookbook.i18n import LANGUAGES, Text
from cookbook.paths import is_folder_name
from cookbook.service.store.part import LOCAL

ID_LETTERS = 20  # as in SiliconCloud's identifiers

LAST = 1 << 62  # beyond every number of a row


@dataclass(frozen=True)
class File:
    """An upload; its content is read by `Store.file_content`."""

    number: int
    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    owner: str
    digest: str | None


@dataclass(frozen=True)
class Job:
    """A fine-tuning job.

    `hyperparameters` are the seven of the guide; `model` is the name that the finished model gets;
    `requested_state` is "run" or "pause". Times are in seconds since 1970. `memory_plan` is the
    `MemoryPlan` of its newest process as a dict, made smaller `memory_level` times. `place` names
    the nodes of a cluster that train it; None before it has got them, and on this machine. `error`
    is kept in both languages: `shown` gives the reader's. `language` is that of whoever created
    the job; None where it is not known.
    """

    number: int
    id: str
    status: str
    requested_state: str
    created_at: int
    finished_at: int | None
    base: str
    training_file: str
    validation_file: str | None
    validation_split: float
    suffix: str | None
    seed: int
    hyperparameters: dict[str, Any]
    metadata: dict[str, str] | None
    model: str
    trained_tokens: int | None
    error: dict[str, Any] | None
    crashes: int
    memory_level: int
    memory_plan: dict[str, Any] | None
    owner: str
    fingerprint: str | None
    place: list[str] | None
    language: str | None = None


@dataclass(frozen=True)
class Event:
    """A line of a job's log. `type` is "message", or "metrics" for a training step."""

    number: int
    job: str
    created_at: int
    level: str
    type: str
    text: Text
    data: dict[str, Any] | None
    step: int | None

    @property
    def message(self) -> str:
        """What it says, in the reader's language."""
        return str(self.text)

    @property
    def first_line(self) -> str:
        """The line of the message that says most: a report on a training file has many."""
        return self.message.split("\n")[0]


@dataclass(frozen=True)
class TunedModel:
    """A finished model or a checkpoint: an adapter in `folder`, a name in the models folder."""

    number: int
    id: str
    job: str
    base: str
    created_at: int
    step: int
    folder: str
    metrics: dict[str, Any]
    owner: str = LOCAL
    shared: bool = False


@dataclass(frozen=True)
class Batch:
    """Requests of one file that are answered in the background.

    `status` is OpenAI's word. Of `total` lines `answered` and `failed` are done. `fault` is why the
    batch failed, or what it waits for at present, in both languages: `shown` gives the reader's.
    `language` is that of its result files; None for the service's own. Times are in seconds since
    1970.
    """

    number: int
    id: str
    owner: str
    status: str
    input_file: str
    model: str
    completion_window: str
    metadata: dict[str, str] | None
    created_at: int
    expires_at: int
    finalizing_at: int | None
    cancelling_at: int | None
    ended_at: int | None
    total: int
    answered: int
    failed: int
    input_tokens: int
    output_tokens: int
    result_bytes: int
    output_file: str | None
    error_file: str | None
    fault: dict[str, str] | None
    language: str | None


@dataclass(frozen=True)
class BatchAnswer:
    """A line of a batch that is done: its number, the HTTP status, and what is said of it."""

    line: int
    status: int
    content: bytes
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class Queued:
    """What the order of the queue follows from, of a job: everybody's are read for each place."""

    number: int
    id: str
    owner: str
    status: str
    requested_state: str
    fingerprint: str | None


@dataclass(frozen=True)
class Turn:
    """A training of the last hour: whose job it was, and how many seconds its workers trained."""

    job: str
    owner: str
    seconds: float
    has_ended: bool


@dataclass(frozen=True)
class Person:
    """Somebody in a room; `seen_at`, `notebook` and `act` are None before their first request.

    Times are in seconds since 1970. `act` is what they did last, as `presence.py` names it.
    """

    name: str
    created_at: int
    seen_at: int | None
    notebook: str | None
    act: str | None


def new_id(prefix: str, length: int = ID_LETTERS) -> str:
    """Return `prefix` followed by random lowercase letters."""
    letters = random.SystemRandom().choices(string.ascii_lowercase, k=length)
    return prefix + "".join(letters)


# Texts in both languages


def texts(message: Text | str) -> dict[str, str | None]:
    """Return a message as it is stored; a string is the same in both languages."""
    text = message if isinstance(message, Text) else Text(message, message)
    return {"message": text.zh, "message_en": None if text.en == text.zh else text.en}


def text_of(stored: Mapping[str, Any]) -> Text:
    """Return a stored message; one without English is that of an older release, or has no words."""
    message = stored.get("message") or ""
    return Text(message, stored.get("message_en") or message)


def fault(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error or fault as it is stored; its `message` is a `Text` or a string."""
    both = texts(content["message"])
    return {**content, **{name: text for name, text in both.items() if text is not None}}


def shown(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an error or fault as the reader sees it."""
    if stored is None:
        return None
    seen = {**stored, "message": str(text_of(stored))}
    seen.pop("message_en", None)
    return seen


# Rows


def insert(
    db: sqlite3.Connection, table: str, columns: Mapping[str, Any], *, or_ignore: bool = False
) -> bool:
    """Add a row with these values, by the names of their columns; return whether it is new.

    Where there is such a row already, it is an error, or with `or_ignore` left as it is.
    """
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    how = "INSERT OR IGNORE" if or_ignore else "INSERT"
    sql = f"{how} INTO {table} ({names}) VALUES ({marks})"
    return db.execute(sql, tuple(columns.values())).rowcount == 1


def parsed(row: sqlite3.Row, *json_columns: str) -> dict[str, Any]:
    columns = dict(row)
    for name in json_columns:
        text = columns[name]
        columns[name] = _JSON.decode(text) if text else None
    return columns


def _no_number(name: str) -> None:
    """Read NaN and Infinity, which older releases wrote, as null: HTTP has no such numbers."""


# Made once: `json.loads` would make one for each text.
_JSON = json.JSONDecoder(parse_constant=_no_number)


def event_of(row: sqlite3.Row) -> Event:
    columns = parsed(row, "data")
    text = text_of(columns)
    del columns["message"], columns["message_en"]
    return Event(**columns, text=text)


def job_of(row: sqlite3.Row) -> Job:
    columns = parsed(row, "hyperparameters", "metadata", "error", "memory_plan", "place")
    return Job(**columns | _language(columns))


def batch_of(row: sqlite3.Row) -> Batch:
    columns = parsed(row, "metadata", "fault")
    return Batch(**columns | _language(columns))


def _language(columns: Mapping[str, Any]) -> dict[str, str | None]:
    # A database may come from elsewhere.
    chosen = columns["language"]
    return {"language": chosen if chosen in LANGUAGES else None}


def jobs_of(rows: list[sqlite3.Row]) -> list[Job]:
    """Return the jobs of these rows; an id is the name of a folder, too."""
    return [job_of(row) for row in rows if is_folder_name(row["id"])]


def models_of(rows: list[sqlite3.Row]) -> list[TunedModel]:
    models = []
    for row in rows:
        columns = parsed(row, "metrics")
        models.append(TunedModel(**columns | {"shared": bool(columns["shared"])}))
    return [model for model in models if is_folder_name(model.folder)]

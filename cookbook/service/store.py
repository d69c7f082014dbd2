"""Remember files, jobs, events and models of one data folder in an SQLite database.

The only channel between the service and its training processes. Promises: each change is one short
transaction, so a killed process leaves nothing half-written; events are only added; a job's status
only moves forward. A paused job keeps the status it had, with `requested_state = 'pause'`.

A database may come from elsewhere: rows whose names would lead out of the data folder are left
where they are and never returned.

The tables are in schema.sql, transactions in database.py. Nothing here knows HTTP or torch.
"""

import json
import random
import sqlite3
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cookbook.errors import QueueFull
from cookbook.job_states import RANK, TERMINAL, UNFINISHED
from cookbook.paths import is_folder_name
from cookbook.service import events
from cookbook.service.database import Database
from cookbook.service.events import (
    Checkpoint,
    Finished,
    Planned,
    Started,
    StateUnreadable,
    Step,
    TrainingEvent,
)

LAST = 1 << 62  # beyond every number of a row
ID_LETTERS = 20  # as in SiliconCloud's identifiers

ANY_METADATA: Mapping[str, str] = {}

# Text that is no JSON, in a database that was damaged, has no entries.
_ENTRIES = "json_each(CASE WHEN json_valid(metadata) THEN metadata END)"
_HAS_METADATA = f"EXISTS (SELECT 1 FROM {_ENTRIES} WHERE key = ? AND value = ?)"
_IS_UNFINISHED = f"status IN {UNFINISHED}"  # as SQL
_NEW_JOB = {"status": "validating_files", "requested_state": "run"}
_INSERT_MODEL = (
    "INSERT OR IGNORE INTO models (id, job, base, created_at, step, folder, metrics) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# Without the content, which may have 10 MB.
_FILES = "SELECT rowid, id, filename, purpose, bytes, created_at FROM files"


@dataclass(frozen=True)
class File:
    """An upload; its content is read by `Store.file_content`."""

    number: int
    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int


@dataclass(frozen=True)
class Job:
    """A fine-tuning job.

    `hyperparameters` are the seven of the guide; `model` is the name that the finished model gets;
    `requested_state` is "run" or "pause". Times are in seconds since 1970. `memory_plan` is the
    `MemoryPlan` of its newest process as a dict, made smaller `memory_level` times.
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


@dataclass(frozen=True)
class Event:
    """A line of a job's log. `type` is "message", or "metrics" for a training step."""

    number: int
    job: str
    created_at: int
    level: str
    type: str
    message: str
    data: dict[str, Any] | None
    step: int | None


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


def new_id(prefix: str, length: int = ID_LETTERS) -> str:
    """Return `prefix` followed by random lowercase letters."""
    letters = random.SystemRandom().choices(string.ascii_lowercase, k=length)
    return prefix + "".join(letters)


class Store:
    """The database of one data folder; safe to use from many threads and processes.

    Raises:
        ServiceError: a newer release wrote the database.
        DiskFull: from every method that writes, with nothing changed.
    """

    def __init__(self, path: Path):
        self._database = Database(path)

    # Files

    def add_file(self, filename: str, purpose: str, content: bytes) -> File:
        file_id = new_id("file-")
        values = (file_id, filename, purpose, len(content), int(time.time()), content)
        with self._database.write() as db:
            db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", values)
        return File(*self._database.rows(f"{_FILES} WHERE id = ?", file_id)[0])

    def files_page(self, after: int | None, limit: int, *, newest_first: bool = True) -> list[File]:
        """Return the files that follow the file number `after`, at most `limit`."""
        if newest_first:
            condition, order, start = "rowid < ?", "DESC", LAST
        else:
            condition, order, start = "rowid > ?", "ASC", 0
        sql = f"{_FILES} WHERE {condition} ORDER BY rowid {order} LIMIT ?"
        rows = self._database.rows(sql, after or start, limit)
        return [File(*row) for row in rows]

    def file(self, file_id: str) -> File | None:
        rows = self._database.rows(f"{_FILES} WHERE id = ?", file_id)
        return File(*rows[0]) if rows else None

    def file_content(self, file_id: str) -> bytes:
        """Return the bytes of an upload.

        Raises:
            LookupError: the file was deleted.
        """
        rows = self._database.rows("SELECT content FROM files WHERE id = ?", file_id)
        content: bytes = rows[0][0]
        return content

    def delete_file(self, file_id: str) -> str | None:
        """Delete a file, or leave it and return the id of an unfinished job that needs it."""
        sql = (
            "SELECT id FROM jobs WHERE (training_file = ?1 OR validation_file = ?1) "
            f"AND {_IS_UNFINISHED}"
        )
        with self._database.write() as db:
            job = db.execute(sql, (file_id,)).fetchone()
            if job:
                job_id: str = job["id"]
                return job_id
            db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        return None

    # Jobs

    def add_job(
        self,
        *,
        base: str,
        model: str,
        training_file: str,
        validation_file: str | None = None,
        validation_split: float,
        suffix: str | None,
        seed: int,
        hyperparameters: dict[str, Any],
        metadata: dict[str, str] | None = None,
        limit: int | None = None,
    ) -> Job:
        """Add a job in the state `validating_files`; `Job` explains the values.

        Raises:
            QueueFull: `limit` jobs have not ended.
        """
        job_id = new_id("ftjob-")
        columns = _NEW_JOB | {
            "id": job_id,
            "created_at": int(time.time()),
            "base": base,
            "model": model,
            "training_file": training_file,
            "validation_file": validation_file,
            "validation_split": validation_split,
            "suffix": suffix,
            "seed": seed,
            "hyperparameters": json.dumps(hyperparameters),
            "metadata": json.dumps(metadata),
        }
        with self._database.write() as db:
            # Counted where it is added: requests that come together cannot all be the last.
            if limit is not None:
                _check_limit(db, limit)
            _insert_job(db, columns)
            _log(db, job_id, "Created fine-tuning job")
        return self._existing_job(job_id)

    def jobs(self, statuses: tuple[str, ...]) -> list[Job]:
        """Return the jobs in any of these states, oldest first: the order of the queue."""
        marks = ", ".join("?" * len(statuses))
        sql = f"SELECT * FROM jobs WHERE status IN ({marks}) ORDER BY number"
        rows = self._database.rows(sql, *statuses)
        return _jobs_of(rows)

    def jobs_page(
        self, after: int | None, limit: int, metadata: Mapping[str, str] | None = ANY_METADATA
    ) -> list[Job]:
        """Return the jobs older than the job number `after`, newest first, at most `limit`.

        `metadata` chooses the jobs that have all of its entries; None those without metadata.
        """
        conditions = ["number < ?"]
        values: list[int | str] = [after or LAST]
        if metadata is None:
            conditions.append("coalesce(metadata, 'null') = 'null'")
        for entry in (metadata or {}).items():
            conditions.append(_HAS_METADATA)
            values += entry
        condition = " AND ".join(conditions)
        sql = f"SELECT * FROM jobs WHERE {condition} ORDER BY number DESC LIMIT ?"
        return _jobs_of(self._database.rows(sql, *values, limit))

    def unfinished(self) -> list[Job]:
        """Return the jobs that have not ended, oldest first."""
        return self.jobs(UNFINISHED)

    def job(self, job_id: str) -> Job | None:
        rows = self._database.rows("SELECT * FROM jobs WHERE id = ?", job_id)
        return next(iter(_jobs_of(rows)), None)

    def _existing_job(self, job_id: str) -> Job:
        return _job_of(self._database.rows("SELECT * FROM jobs WHERE id = ?", job_id)[0])

    def advance(
        self, job_id: str, status: str, message: str, *, error: dict[str, Any] | None = None
    ) -> bool:
        """Move a job forward and log it.

        Returns:
            False, with nothing done, if the job is already there or beyond.
        """
        with self._database.write() as db:
            return _advance(db, job_id, status, message, error=error)

    def request_state(self, job_id: str, state: str, message: str) -> None:
        """Ask for "pause" or "run", and log it once however often it is asked for.

        The job's training process, if there is one, reads it at its next step.
        """
        sql = (
            "UPDATE jobs SET requested_state = ?1 "
            "WHERE id = ?2 AND requested_state != ?1 AND finished_at IS NULL"
        )
        with self._database.write() as db:
            changed = db.execute(sql, (state, job_id)).rowcount
            if changed:
                _log(db, job_id, message)

    def count_crash(self, job_id: str, message: str) -> int:
        """Note that a job's process died; return how often it did since its last progress."""
        with self._database.write() as db:
            db.execute("UPDATE jobs SET crashes = crashes + 1 WHERE id = ?", (job_id,))
            _log(db, job_id, message, level="warn")
            row = db.execute("SELECT crashes FROM jobs WHERE id = ?", (job_id,)).fetchone()
            crashes: int = row["crashes"]
        return crashes

    def plan_smaller(self, job_id: str, message: str, data: dict[str, Any]) -> None:
        """Note that a job ran out of memory: its next process makes a smaller plan."""
        sql = "UPDATE jobs SET memory_level = memory_level + 1 WHERE id = ?"
        with self._database.write() as db:
            db.execute(sql, (job_id,))
            _log(db, job_id, message, level="warn", data=data)

    def record(self, job: Job, event: TrainingEvent) -> bool:
        """Write down what happened in the training of a running job; return whether it goes on.

        One transaction. Nothing is written to a job that has ended. An event that comes again,
        since a killed job went back to its last saved state, is there once. The folder of a
        `Checkpoint` or `Finished` must be in its place in the models folder already.
        """
        message, data = events.message(event, job.model), events.data(event)
        sql = "SELECT status, requested_state FROM jobs WHERE id = ?"
        with self._database.write() as db:
            status, requested_state = db.execute(sql, (job.id,)).fetchone()
            if status != "running":
                return False
            match event:
                case Planned():
                    _keep_plan(db, job.id, data["memory"] | {"longest": event.longest})
                    # The first plan is a part of the event with which the training begins.
                    if event.memory.level:
                        _log(db, job.id, message, data=data)
                case Started():
                    _log(db, job.id, message, data=data, step=0)
                case StateUnreadable():
                    _log(db, job.id, message, level="warn", data=data)
                case Step():
                    new = _log(db, job.id, message, type="metrics", data=data, step=event.step)
                    if new:
                        _forgive_crashes(db, job.id)
                    if event.step == event.total_steps:
                        # A pause that comes after the last step comes too late.
                        return True
                case Checkpoint():
                    _add_model(db, job, event)
                    if _log(db, job.id, message, data=data, step=event.step):
                        _forgive_crashes(db, job.id)
                case Finished():
                    _add_model(db, job, event)
                    tokens = event.trained_tokens
                    _advance(db, job.id, "succeeded", message, data=data, trained_tokens=tokens)
                    return False
        going_on: bool = requested_state == "run"
        return going_on

    # Events

    def add_event(self, job_id: str, message: str) -> None:
        """Add a message to a job's log, unless it is there already."""
        with self._database.write() as db:
            # Such as a note that each start of the job comes to again.
            same = "SELECT 1 FROM events WHERE job = ? AND message = ?"
            if not db.execute(same, (job_id, message)).fetchone():
                _log(db, job_id, message)

    def add_note(self, job_id: str, message: str, data: dict[str, Any] | None = None) -> None:
        """Add a message to a job's log, each time that it is true."""
        with self._database.write() as db:
            _log(db, job_id, message, data=data)

    def note_waiting(self, job_id: str, cause: str, message: str) -> bool:
        """Note in a job's log what it waits for, once for each wait; return whether it is new."""
        last = "SELECT data FROM events WHERE job = ? ORDER BY number DESC LIMIT 1"
        waiting = {"waiting_for": cause}
        with self._database.write() as db:
            row = db.execute(last, (job_id,)).fetchone()
            if row and row["data"] == json.dumps(waiting):
                return False
            return _log(db, job_id, message, level="warn", data=waiting)

    def events(self, job_id: str, *, before: int | None = None, limit: int = 20) -> list[Event]:
        """Return the events older than the event number `before`, newest first."""
        sql = "SELECT * FROM events WHERE job = ? AND number < ? ORDER BY number DESC LIMIT ?"
        rows = self._database.rows(sql, job_id, before or LAST, limit)
        return [Event(**_parsed(row, "data")) for row in rows]

    def started_event(self, job_id: str) -> Event | None:
        """Return the event with which the training began; None before."""
        return self._event("job = ? AND type = 'message' AND step = 0", job_id)

    def last_metrics(self, job_id: str) -> Event | None:
        """Return the event of the job's newest step; None before the first."""
        return self._event("job = ? AND type = 'metrics'", job_id)

    def _event(self, condition: str, job_id: str) -> Event | None:
        sql = f"SELECT * FROM events WHERE {condition} ORDER BY number DESC LIMIT 1"
        rows = self._database.rows(sql, job_id)
        return Event(**_parsed(rows[0], "data")) if rows else None

    # Models

    def models(self, job_id: str | None = None) -> list[TunedModel]:
        """Return the models of one job, or of all, newest first."""
        if job_id is None:
            rows = self._database.rows("SELECT * FROM models ORDER BY number DESC")
        else:
            rows = self._database.rows(
                "SELECT * FROM models WHERE job = ? ORDER BY number DESC", job_id
            )
        return _models_of(rows)

    def model(self, model_id: str) -> TunedModel | None:
        rows = self._database.rows("SELECT * FROM models WHERE id = ?", model_id)
        return next(iter(_models_of(rows)), None)

    def add_found_model(self, model: TunedModel) -> bool:
        """Add a model that was found in its folder; return False if its id or folder is taken.

        Its number is not used: it gets the next one. A row of its id that leads nowhere, as one
        with a folder of another machine, is replaced.
        """
        values = (
            model.id,
            model.job,
            model.base,
            model.created_at,
            model.step,
            model.folder,
            json.dumps(model.metrics),
        )
        with self._database.write() as db:
            same = "SELECT folder FROM models WHERE id = ? OR folder = ?"
            for row in db.execute(same, (model.id, model.folder)).fetchall():
                if is_folder_name(row["folder"]):
                    return False
            db.execute("DELETE FROM models WHERE id = ?", (model.id,))
            db.execute(_INSERT_MODEL, values)
        return True

    def delete_model(self, model_id: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM models WHERE id = ?", (model_id,))


# Parts of a transaction: each takes the connection that `Store._write` gave.


def _advance(
    db: sqlite3.Connection,
    job_id: str,
    status: str,
    message: str,
    *,
    error: dict[str, Any] | None = None,
    trained_tokens: int | None = None,
    data: dict[str, Any] | None = None,
) -> bool:
    row = db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if RANK[status] <= RANK[row["status"]]:
        return False
    finished_at = int(time.time()) if status in TERMINAL else None
    error_json = json.dumps(error) if error else None
    db.execute(
        "UPDATE jobs SET status = ?, finished_at = ?, error = ?, trained_tokens = ? WHERE id = ?",
        (status, finished_at, error_json, trained_tokens, job_id),
    )
    level = "error" if status == "failed" else "info"
    _log(db, job_id, message, level=level, data=data)
    return True


def _log(
    db: sqlite3.Connection,
    job_id: str,
    message: str,
    *,
    level: str = "info",
    type: str = "message",
    data: dict[str, Any] | None = None,
    step: int | None = None,
) -> bool:
    """Add an event; one with a `step` is there once, whatever comes later.

    Returns:
        Whether it is new.
    """
    data_json = json.dumps(data) if data else None
    cursor = db.execute(
        "INSERT OR IGNORE INTO events (job, created_at, level, type, message, data, step) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job_id, int(time.time()), level, type, message, data_json, step),
    )
    return cursor.rowcount == 1


def _insert_job(db: sqlite3.Connection, columns: dict[str, Any]) -> None:
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(columns.values()))


def _check_limit(db: sqlite3.Connection, limit: int) -> None:
    waiting = db.execute(f"SELECT count(*) FROM jobs WHERE {_IS_UNFINISHED}").fetchone()[0]
    if waiting >= limit:
        raise QueueFull(
            zh=f"已经有 {waiting} 个任务没有结束，达到上限：等一些结束，或取消一些",
            en=f"{waiting} jobs have not ended, which is the limit: "
            "wait for some to end, or cancel some",
        )


def _forgive_crashes(db: sqlite3.Connection, job_id: str) -> None:
    """Let a job that makes progress crash again."""
    db.execute("UPDATE jobs SET crashes = 0 WHERE id = ? AND crashes > 0", (job_id,))


def _keep_plan(db: sqlite3.Connection, job_id: str, plan: dict[str, Any]) -> None:
    db.execute("UPDATE jobs SET memory_plan = ? WHERE id = ?", (json.dumps(plan), job_id))


def _add_model(db: sqlite3.Connection, job: Job, event: Checkpoint | Finished) -> None:
    """Add a model, unless it is there already."""
    metrics = json.dumps(events.losses(event))
    model_id, created_at = events.model_id(event, job.model), int(time.time())
    values = (model_id, job.id, job.base, created_at, event.step, event.folder.name, metrics)
    db.execute(_INSERT_MODEL, values)


def _parsed(row: sqlite3.Row, *json_columns: str) -> dict[str, Any]:
    columns = dict(row)
    for name in json_columns:
        text = columns[name]
        columns[name] = json.loads(text, parse_constant=_no_number) if text else None
    return columns


def _no_number(name: str) -> None:
    """Read NaN and Infinity, which older releases wrote, as null: HTTP has no such numbers."""


def _job_of(row: sqlite3.Row) -> Job:
    return Job(**_parsed(row, "hyperparameters", "metadata", "error", "memory_plan"))


def _jobs_of(rows: list[sqlite3.Row]) -> list[Job]:
    """Return the jobs of these rows; an id is the name of a folder, too."""
    return [_job_of(row) for row in rows if is_folder_name(row["id"])]


def _models_of(rows: list[sqlite3.Row]) -> list[TunedModel]:
    models = [TunedModel(**_parsed(row, "metrics")) for row in rows]
    return [model for model in models if is_folder_name(model.folder)]

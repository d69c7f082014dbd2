"""What is asked for: one draft, its request and its row of the table."""

from dataclasses import dataclass
from typing import Any

from cookbook.compare.send import Row
from cookbook.synthesize.record import Record

COLUMNS = [
    "input",
    "attempt",
    "draft",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "error",
    "model",
]
_OF_ANSWER = ("finish_reason", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Wanted:
    """One draft: the body of its request, its key in the file of answers, and its row."""

    key: str
    body: dict[str, Any]
    row: Row


def row_of(model: str, text: str, attempt: int) -> Row:
    """Return the row of a draft that is not there yet."""
    return {
        "input": text,
        "attempt": attempt,
        "draft": "",
        "finish_reason": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "error": None,
        "model": model,
        "attempts": 0,  # of sending; not in the table
    }


def fill_from(record: Record, wanted: Wanted) -> bool:
    """Fill the row from the file; return whether its answer was there."""
    answer = record.answer(wanted.key)
    if answer is None:
        return False
    wanted.row["draft"] = answer["draft"]
    for name in _OF_ANSWER:
        wanted.row[name] = answer.get(name)
    return True


def keep_answer(record: Record, wanted: Wanted, answer: Row) -> None:
    """Write an answer down, then fill the row from it, so that both are the same."""
    row = wanted.row
    kept = {name: row[name] for name in ("input", "attempt", "model")}
    kept["draft"] = answer["answer"]
    for name in _OF_ANSWER:
        kept[name] = answer.get(name)
    record.add(wanted.key, kept)
    fill_from(record, wanted)

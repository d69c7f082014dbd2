"""Keep the log of each job: messages, and the figures of each step; rows are only added."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from cookbook.i18n import Text
from cookbook.service.store.part import Part
from cookbook.service.store.records import LAST, Event, event_of, insert, texts


class Log(Part):
    """The store's events."""

    def add_event(self, job_id: str, message: Text | str) -> None:
        """Add a message to a job's log, unless it is there already."""
        with self._database.write() as db:
            # Such as a note that each start of the job comes to again.
            same = "SELECT 1 FROM events WHERE job = ? AND message = ?"
            if not db.execute(same, (job_id, texts(message)["message"])).fetchone():
                log_event(db, job_id, message)

    def add_note(
        self, job_id: str, message: Text | str, data: dict[str, Any] | None = None
    ) -> None:
        """Add a message to a job's log, each time that it is true."""
        with self._database.write() as db:
            log_event(db, job_id, message, data=data)

    def note_waiting(
        self, job_id: str, cause: str, message: Text | str, *, level: str = "warn"
    ) -> bool:
        """Note in a job's log what it waits for, once for each wait; return whether it is new."""
        with self._database.write() as db:
            return log_waiting(db, job_id, cause, message, level=level)

    def events(self, job_id: str, *, before: int | None = None, limit: int = 20) -> list[Event]:
        """Return the events older than the event number `before`, newest first."""
        sql = (
            f"SELECT * FROM events WHERE job = {self._own_job} AND number < ? "
            "ORDER BY number DESC LIMIT ?"
        )
        rows = self._database.rows(sql, job_id, *self._own_values, before or LAST, limit)
        return [event_of(row) for row in rows]

    def started_event(self, job_id: str) -> Event | None:
        """Return the event with which the training began; None before."""
        return self._event("type = 'message' AND step = 0", job_id)

    def last_metrics(self, job_id: str) -> Event | None:
        """Return the event of the job's newest step; None before the first."""
        return self._event("type = 'metrics'", job_id)

    def metrics_at(self, job_id: str, step: int) -> Event | None:
        """Return the event of one training step; None if there is none."""
        return self._event("type = 'metrics' AND step = ?", job_id, step)

    def is_taken_over(self, job_id: str) -> bool:
        """Return whether a job's result is that of an equal one, as its log says."""
        condition = "type = 'message' AND json_valid(data) AND json_extract(data, '$.taken_over')"
        return self._event(condition, job_id) is not None

    def losses(self, job_id: str, steps: Sequence[int]) -> list[float]:
        """Return the train_loss of these steps of a job, in their order, where they are known."""
        marks = ", ".join("?" * len(steps))
        sql = (
            "SELECT json_extract(data, '$.train_loss') AS loss FROM events "
            f"WHERE job = {self._own_job} AND type = 'metrics' AND step IN ({marks}) ORDER BY step"
        )
        rows = self._database.rows(sql, job_id, *self._own_values, *steps)
        return [row["loss"] for row in rows if isinstance(row["loss"], float)]

    def _event(self, condition: str, job_id: str, *values: int) -> Event | None:
        sql = (
            f"SELECT * FROM events WHERE job = {self._own_job} AND {condition} "
            "ORDER BY number DESC LIMIT 1"
        )
        rows = self._database.rows(sql, job_id, *self._own_values, *values)
        return event_of(rows[0]) if rows else None


def log_event(
    db: sqlite3.Connection,
    job_id: str,
    message: Text | str,
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
    columns = {
        "job": job_id,
        "created_at": int(time.time()),
        "level": level,
        "type": type,
        "data": json.dumps(data) if data else None,
        "step": step,
    }
    return insert(db, "events", columns | texts(message), or_ignore=True)


def log_waiting(
    db: sqlite3.Connection, job_id: str, cause: str, message: Text | str, *, level: str = "warn"
) -> bool:
    """Add what a job waits for, once for each wait; return whether it is new."""
    last = "SELECT data FROM events WHERE job = ? ORDER BY number DESC LIMIT 1"
    waiting = {"waiting_for": cause}
    row = db.execute(last, (job_id,)).fetchone()
    if row and row["data"] == json.dumps(waiting):
        return False
    return log_event(db, job_id, message, level=level, data=waiting)

"""Keep fine-tuning jobs: what was asked for, their states, and what happens to them."""

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from cookbook.errors import QueueFull
from cookbook.i18n import Text, language
from cookbook.job_states import RANK, TERMINAL, UNFINISHED
from cookbook.service.store.log import log_event
from cookbook.service.store.part import Part
from cookbook.service.store.records import LAST, Job, fault, insert, job_of, jobs_of, new_id

ANY_METADATA: Mapping[str, str] = {}

# Text that is no JSON, in a database that was damaged, has no entries.
_ENTRIES = "json_each(CASE WHEN json_valid(metadata) THEN metadata END)"
_HAS_METADATA = f"EXISTS (SELECT 1 FROM {_ENTRIES} WHERE key = ? AND value = ?)"
IS_UNFINISHED = f"status IN {UNFINISHED}"  # as SQL
_NEW_JOB = {"status": "validating_files", "requested_state": "run"}


class Jobs(Part):
    """The store's jobs."""

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
        fingerprint: str | None = None,
    ) -> Job:
        """Add a job in the state `validating_files`; `Job` explains the values.

        Raises:
            QueueFull: `limit` jobs of the same owner have not ended.
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
            "owner": self.owner,
            "fingerprint": fingerprint,
            "language": language(),
        }
        with self._database.write() as db:
            # Counted where it is added: requests that come together cannot all be the last.
            if limit is not None:
                _check_limit(db, self.owner, limit)
            insert(db, "jobs", columns)
            log_event(db, job_id, Text("任务已创建", "Created fine-tuning job"))
        return self._existing_job(job_id)

    def jobs(self, statuses: tuple[str, ...]) -> list[Job]:
        """Return the jobs in any of these states, oldest first: the order of the queue."""
        marks = ", ".join("?" * len(statuses))
        sql = f"SELECT * FROM jobs WHERE status IN ({marks}) AND {self._own} ORDER BY number"
        rows = self._database.rows(sql, *statuses, *self._own_values)
        return jobs_of(rows)

    def jobs_page(
        self, after: int | None, limit: int, metadata: Mapping[str, str] | None = ANY_METADATA
    ) -> list[Job]:
        """Return the jobs older than the job number `after`, newest first, at most `limit`.

        `metadata` chooses the jobs that have all of its entries; None those without metadata.
        """
        conditions = ["number < ?", self._own]
        values: list[int | str] = [after or LAST, *self._own_values]
        if metadata is None:
            conditions.append("coalesce(metadata, 'null') = 'null'")
        for entry in (metadata or {}).items():
            conditions.append(_HAS_METADATA)
            values += entry
        condition = " AND ".join(conditions)
        sql = f"SELECT * FROM jobs WHERE {condition} ORDER BY number DESC LIMIT ?"
        return jobs_of(self._database.rows(sql, *values, limit))

    def unfinished(self) -> list[Job]:
        """Return the jobs that have not ended, oldest first."""
        return self.jobs(UNFINISHED)

    def ended(self, limit: int) -> list[Job]:
        """Return the newest jobs that have ended, at most `limit`."""
        sql = (
            f"SELECT * FROM jobs WHERE status IN {TERMINAL} AND {self._own} "
            "ORDER BY number DESC LIMIT ?"
        )
        return jobs_of(self._database.rows(sql, *self._own_values, limit))

    def job(self, job_id: str) -> Job | None:
        sql = f"SELECT * FROM jobs WHERE id = ? AND {self._own}"
        rows = self._database.rows(sql, job_id, *self._own_values)
        return next(iter(jobs_of(rows)), None)

    def _existing_job(self, job_id: str) -> Job:
        return job_of(self._database.rows("SELECT * FROM jobs WHERE id = ?", job_id)[0])

    def advance(
        self,
        job_id: str,
        status: str,
        message: Text | str,
        *,
        error: dict[str, Any] | None = None,
    ) -> bool:
        """Move a job forward and log it.

        Args:
            error: why it failed: `code`, `param`, and `message`, which is a `Text` or a string.

        Returns:
            False, with nothing done, if the job is already there or beyond, or somebody else's.
        """
        with self._database.write() as db:
            if not db.execute(f"SELECT {self._own_job}", (job_id, *self._own_values)).fetchone()[0]:
                return False
            return advance_job(db, job_id, status, message, error=error)

    def request_state(self, job_id: str, state: str, message: Text | str) -> None:
        """Ask for "pause" or "run", and log it once however often it is asked for.

        The job's training process, if there is one, reads it at its next step.
        """
        sql = (
            "UPDATE jobs SET requested_state = ? WHERE id = ? AND requested_state != ? "
            f"AND finished_at IS NULL AND {self._own}"
        )
        with self._database.write() as db:
            changed = db.execute(sql, (state, job_id, state, *self._own_values)).rowcount
            if changed:
                log_event(db, job_id, message)

    def count_crash(self, job_id: str, message: Text | str) -> int:
        """Note that a job's process died; return how often it did since its last progress."""
        with self._database.write() as db:
            db.execute("UPDATE jobs SET crashes = crashes + 1 WHERE id = ?", (job_id,))
            log_event(db, job_id, message, level="warn")
            row = db.execute("SELECT crashes FROM jobs WHERE id = ?", (job_id,)).fetchone()
            crashes: int = row["crashes"]
        return crashes

    def plan_smaller(self, job_id: str, message: Text | str, data: dict[str, Any]) -> None:
        """Note that a job ran out of memory: its next process makes a smaller plan."""
        sql = "UPDATE jobs SET memory_level = memory_level + 1 WHERE id = ?"
        with self._database.write() as db:
            db.execute(sql, (job_id,))
            log_event(db, job_id, message, level="warn", data=data)


# Parts of a transaction: each takes the connection that `Database.write` gave.


def advance_job(
    db: sqlite3.Connection,
    job_id: str,
    status: str,
    message: Text | str,
    *,
    error: dict[str, Any] | None = None,
    trained_tokens: int | None = None,
    data: dict[str, Any] | None = None,
) -> bool:
    row = db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if RANK[status] <= RANK[row["status"]]:
        return False
    finished_at = int(time.time()) if status in TERMINAL else None
    error_json = json.dumps(fault(error)) if error else None
    db.execute(
        "UPDATE jobs SET status = ?, finished_at = ?, error = ?, trained_tokens = ? WHERE id = ?",
        (status, finished_at, error_json, trained_tokens, job_id),
    )
    level = "error" if status == "failed" else "info"
    log_event(db, job_id, message, level=level, data=data)
    return True


def _check_limit(db: sqlite3.Connection, owner: str, limit: int) -> None:
    sql = f"SELECT count(*) FROM jobs WHERE {IS_UNFINISHED} AND owner = ?"
    waiting = db.execute(sql, (owner,)).fetchone()[0]
    if waiting >= limit:
        raise QueueFull(
            zh=f"你已经有 {waiting} 个任务没有结束，达到上限：等一些结束，或取消一些",
            en=f"{waiting} jobs of yours have not ended, which is the limit: "
            "wait for some to end, or cancel some",
        )

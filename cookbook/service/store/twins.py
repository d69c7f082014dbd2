"""Find jobs that are equal, and write down what one takes over from another."""

import hashlib
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from cookbook import data
from cookbook.i18n import Text, both
from cookbook.job_states import TERMINAL
from cookbook.service.store.jobs import advance_job
from cookbook.service.store.log import log_event
from cookbook.service.store.models import insert_model
from cookbook.service.store.part import Part
from cookbook.service.store.records import (
    Event,
    Job,
    TunedModel,
    event_of,
    jobs_of,
    text_of,
)

TWIN = "twin"  # what a job waits for that is taken over from an equal one, in its log
DIVERGED = "diverged"  # the code of an error that an equal training comes to as well

# Jobs whose end says what an equal one would come to. Text that is no JSON says nothing.
_TELLS = f"""(status = 'succeeded' OR status = 'failed' AND json_valid(error)
    AND json_extract(error, '$.code') = '{DIVERGED}')"""

_COPY_STEPS = """
    INSERT OR IGNORE INTO events (job, created_at, level, type, message, message_en, data, step)
    SELECT ?, ?, level, type, message, message_en, data, step FROM events
    WHERE job = ? AND step > 0 ORDER BY number
"""


@dataclass(frozen=True)
class Trained:
    """A finished job with the events of its begin and its end."""

    job: Job
    started: Event
    finished: Event


class Twins(Part):
    """Jobs of equal fingerprints, whoever owns them."""

    def file_digest(self, file_id: str) -> str | None:
        """Return the SHA-256 of an upload's content; None if it was deleted."""
        rows = self._database.rows("SELECT digest FROM files WHERE id = ?", file_id)
        if rows and rows[0]["digest"] is None:
            # Of an older release.
            rows = self._database.rows("SELECT content FROM files WHERE id = ?", file_id)
            return hashlib.sha256(rows[0]["content"]).hexdigest() if rows else None
        return rows[0]["digest"] if rows else None

    def keep_fingerprint(self, job_id: str, fingerprint: str | None) -> None:
        with self._database.write() as db:
            db.execute("UPDATE jobs SET fingerprint = ? WHERE id = ?", (fingerprint, job_id))

    def diverged_twin(self, fingerprint: str) -> Job | None:
        """Return the newest of everybody's jobs of this fingerprint if it diverged."""
        sql = f"SELECT * FROM jobs WHERE fingerprint = ? AND {_TELLS} ORDER BY number DESC LIMIT 1"
        newest = next(iter(jobs_of(self._database.rows(sql, fingerprint))), None)
        return newest if newest and newest.status == "failed" else None

    def finished_twins(self, fingerprint: str) -> list[Job]:
        """Return everybody's succeeded jobs of this fingerprint, the newest first."""
        sql = (
            "SELECT * FROM jobs WHERE fingerprint = ? AND status = 'succeeded' ORDER BY number DESC"
        )
        return jobs_of(self._database.rows(sql, fingerprint))

    def finished_fingerprints(self) -> set[str]:
        """Return the fingerprints that a waiting job has in common with a finished one.

        That is one that succeeded, or diverged.
        """
        sql = f"""
            SELECT DISTINCT fingerprint FROM jobs WHERE {_TELLS} AND fingerprint IN (
                SELECT fingerprint FROM jobs
                WHERE status IN ('queued', 'running') AND fingerprint IS NOT NULL
            )
        """
        return {row["fingerprint"] for row in self._database.rows(sql)}

    def checkpoint_steps(self, job_id: str) -> set[int]:
        """Return the steps after which a training has kept a checkpoint."""
        sql = "SELECT step FROM events WHERE job = ? AND type = 'message' AND step > 0"
        return {row["step"] for row in self._database.rows(sql, job_id)}

    def finished_event(self, job_id: str) -> Event | None:
        """Return the event with which a training ended, with its proof; None if it has none."""
        sql = "SELECT * FROM events WHERE job = ? AND type = 'message' ORDER BY number DESC LIMIT 5"
        for row in self._database.rows(sql, job_id):
            event = event_of(row)
            if "update_norm" in (event.data or {}):
                return event
        return None

    def take_over(
        self, job: Job, twin: Trained, models: list[TunedModel], message: Text, finished: Text
    ) -> bool:
        """Give a job the figures and models of an equal one, and let it succeed.

        One transaction. The folders of the models must be in their place already.

        Args:
            models: the job's own, as copied from those of the twin.
            message: says so in its log.
            finished: the message of the job's last event.

        Returns:
            False, with nothing done, if the job was paused or has ended meanwhile.
        """
        plan = json.dumps(twin.job.memory_plan) if twin.job.memory_plan else None
        figures = twin.started.data or {}
        with self._database.write() as db:
            if not _may_go_on(db, job.id):
                return False
            if _holds_back_nothing(job, figures):
                log_event(db, job.id, both(lambda: data.too_few(figures["train_rows"])))
            text = both(lambda: f"{message}\n{twin.started.text}")
            taken = figures | {"taken_over": True}
            # One that was interrupted has said already how it began.
            if not log_event(db, job.id, text, data=taken, step=0):
                log_event(db, job.id, message, data={"taken_over": True})
            db.execute(_COPY_STEPS, (job.id, int(time.time()), twin.job.id))
            for model in models:
                insert_model(db, model)
            db.execute("UPDATE jobs SET memory_plan = ? WHERE id = ?", (plan, job.id))
            return advance_job(
                db,
                job.id,
                "succeeded",
                finished,
                trained_tokens=twin.job.trained_tokens,
                data=twin.finished.data,
            )

    def take_over_failure(self, job: Job, twin: Job, started: Event, message: Text) -> bool:
        """Give a job the figures of an equal one that diverged, and let it fail as that did.

        Returns:
            False, with nothing done, if the job was paused or has ended meanwhile.
        """
        error = twin.error or {}
        why = text_of(error)
        taken = (started.data or {}) | {"taken_over": True}
        text = both(lambda: f"{message}\n{started.text}")
        with self._database.write() as db:
            if not _may_go_on(db, job.id):
                return False
            log_event(db, job.id, text, data=taken, step=0)
            db.execute(_COPY_STEPS, (job.id, int(time.time()), twin.id))
            return advance_job(db, job.id, "failed", why, error=error | {"message": why})


def _may_go_on(db: sqlite3.Connection, job_id: str) -> bool:
    """Return whether a job is neither paused nor ended."""
    state = "SELECT status, requested_state FROM jobs WHERE id = ?"
    status, requested_state = db.execute(state, (job_id,)).fetchone()
    return status not in TERMINAL and requested_state == "run"


def _holds_back_nothing(job: Job, figures: dict[str, Any]) -> bool:
    """Return whether rows were to be held out, but there were too few."""
    held_back = not job.validation_file and job.validation_split
    return bool(held_back and figures.get("valid_rows") == 0)

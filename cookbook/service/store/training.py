"""Write down what happens in the training of a job: its steps, its adapters, its end."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from cookbook.job_states import TERMINAL
from cookbook.service import events
from cookbook.service.events import (
    Checkpoint,
    Finished,
    Placed,
    Planned,
    Started,
    StateUnreadable,
    Step,
    TrainingEvent,
    Waiting,
)
from cookbook.service.store.jobs import advance_job
from cookbook.service.store.log import log_event, log_waiting
from cookbook.service.store.models import insert_model
from cookbook.service.store.part import Part
from cookbook.service.store.records import Job, TunedModel

NO_PLACE = "no_place"
"""What a job waits for that has a process, but no place yet where it is trained."""


class Trainings(Part):
    """What the training process of a job records."""

    def forget_place(self, job_id: str) -> None:
        """Note that a job has no place yet, nor a plan for it: its next process seeks one."""
        sql = "UPDATE jobs SET place = NULL, memory_plan = NULL WHERE id = ?"
        with self._database.write() as db:
            db.execute(sql, (job_id,))

    def note_seeking(self, job_id: str, event: Waiting) -> bool:
        """Note, once, why the training of a job cannot begin yet; return whether it still may."""
        sql = "SELECT status, requested_state FROM jobs WHERE id = ?"
        with self._database.write() as db:
            status, requested_state = db.execute(sql, (job_id,)).fetchone()
            if status in TERMINAL or requested_state != "run":
                return False
            log_waiting(db, job_id, NO_PLACE, events.message(event, ""), level="info")
        return True

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
                case Placed():
                    _keep_place(db, job.id, event.nodes)
                    log_event(db, job.id, message, data=data)
                case Planned():
                    _keep_plan(db, job.id, data["memory"] | {"longest": event.longest})
                    # The first plan is a part of the event with which the training begins.
                    if event.memory.level:
                        log_event(db, job.id, message, data=data)
                case Started():
                    log_event(db, job.id, message, data=data, step=0)
                case StateUnreadable():
                    log_event(db, job.id, message, level="warn", data=data)
                case Step():
                    new = log_event(db, job.id, message, type="metrics", data=data, step=event.step)
                    if new:
                        _forgive_crashes(db, job.id)
                    if event.step == event.total_steps:
                        # A pause that comes after the last step comes too late.
                        return True
                case Checkpoint():
                    insert_model(db, model_of(job, event))
                    if log_event(db, job.id, message, data=data, step=event.step):
                        _forgive_crashes(db, job.id)
                case Finished():
                    insert_model(db, model_of(job, event))
                    tokens = event.trained_tokens
                    advance_job(db, job.id, "succeeded", message, data=data, trained_tokens=tokens)
                    return False
        going_on: bool = requested_state == "run"
        return going_on


def _forgive_crashes(db: sqlite3.Connection, job_id: str) -> None:
    """Let a job that makes progress crash again."""
    db.execute("UPDATE jobs SET crashes = 0 WHERE id = ? AND crashes > 0", (job_id,))


def _keep_place(db: sqlite3.Connection, job_id: str, nodes: Sequence[str]) -> None:
    db.execute("UPDATE jobs SET place = ? WHERE id = ?", (json.dumps(nodes), job_id))


def _keep_plan(db: sqlite3.Connection, job_id: str, plan: dict[str, Any]) -> None:
    db.execute("UPDATE jobs SET memory_plan = ? WHERE id = ?", (json.dumps(plan), job_id))


def model_of(job: Job, event: Checkpoint | Finished) -> TunedModel:
    """Return the model of a job whose adapter is in the event's folder."""
    return TunedModel(
        number=0,
        id=events.model_id(event, job.model),
        job=job.id,
        base=job.base,
        created_at=int(time.time()),
        step=event.step,
        folder=event.folder.name,
        metrics=events.losses(event),
        owner=job.owner,
    )

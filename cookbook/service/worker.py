"""Train one job in a process of its own: read it from the store, train it, record what happens.

    python -m cookbook.service.worker HOME        then the job's id, one line on standard input

Torch is loaded before the id is read, which takes seconds, so a process that is started ahead of a
job begins at once; without an id it just ends. A file lock keeps a second process away from the
same job. Whatever kills this process, the job goes on from its last checkpoint when the supervisor
starts the next one. A cancel or pause is noticed at the next step. On a full disk the process ends
with the code `NO_ROOM`, and the supervisor starts another later.
"""

import contextlib
import dataclasses
import glob
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

from filelock import FileLock, Timeout

from cookbook import data, data_folder, disk
from cookbook.bases import Base, find
from cookbook.data import read
from cookbook.errors import CookbookError, DataError, Diverged, ModelError, ServiceError
from cookbook.i18n import tr
from cookbook.job_states import TERMINAL
from cookbook.paths import Home
from cookbook.service.events import Checkpoint, Finished, Started, TrainingEvent
from cookbook.service.model_card import model_card
from cookbook.service.store import Job, Store

NO_ROOM = 28  # exit code; ENOSPC's number, as a reminder
NICENESS = 5  # chat answers come before training
STEP_MARK = "-step_"  # between the job's id and the step in the name of an adapter's folder

Train = Callable[..., Generator[TrainingEvent, None, None]]


def job_lock(home: Home, job_id: str) -> FileLock:
    """Return the lock that the job's process holds as long as it lives."""
    home.jobs.mkdir(parents=True, exist_ok=True)
    return FileLock(home.job_lock(job_id), blocking=False)


def job_of(adapter_folder: str) -> str:
    """Return the id of the job that an adapter in the models folder comes from."""
    return adapter_folder.split(STEP_MARK)[0]


def remove_leftovers(store: Store, home: Home, job_id: str) -> None:
    """Remove what a job that has ended does not need.

    That is its working folder, and each adapter that was moved into place but not recorded, since
    the job was cancelled or its process killed in between.
    """
    shutil.rmtree(home.job_folder(job_id), ignore_errors=True)
    recorded = {model.folder for model in store.models(job_id)}
    for folder in home.models.glob(f"{glob.escape(job_id)}{STEP_MARK}*"):
        if folder.name not in recorded:
            shutil.rmtree(folder, ignore_errors=True)


def rows_of(store: Store, job: Job) -> tuple[list[dict], list[dict]]:
    """Return the rows to train on and to validate on, by file if one was given, else by share."""
    rows = read.rows(store.file_content(job.training_file))
    if job.validation_file:
        return rows, read.rows(store.file_content(job.validation_file))
    # Too few rows to hold any back: the job's log says so instead of a warning.
    with warnings.catch_warnings(action="ignore"):
        return data.split(rows, job.validation_split, seed=job.seed)


def run_job(store: Store, home: Home, job: Job, train: Train) -> None:
    """Train one job to its end.

    Args:
        train: `cookbook.service.engine.train.train`, or a short one in tests.
    """
    store.advance(job.id, "running", tr("训练开始", "Fine-tuning job started"))
    try:
        data_folder.refuse_link(home.job_folder(job.id))
        base = find(job.base)
        train_rows, valid_rows = rows_of(store, job)
        if job.validation_split and not valid_rows:
            store.add_event(job.id, data.too_few(len(train_rows)))
        training = train(
            base,
            train_rows,
            valid_rows,
            job.hyperparameters,
            folder=home.job_folder(job.id),
            seed=job.seed,
        )
        _record_all(store, home, job, base, training)
    except DataError as error:
        _fail(store, job, error, code="invalid_training_file", param="training_file")
    except Diverged as error:
        _fail(store, job, error, code="diverged", param="learning_rate")
    except ModelError as error:
        _fail(store, job, error, code="model_unavailable", param="model")
    except ServiceError as error:
        _fail(store, job, error, code="data_folder", param=None)
    # A paused job keeps its folder: it goes on from there.
    ended = store.job(job.id)
    if ended is None or ended.status in TERMINAL:
        remove_leftovers(store, home, job.id)


def _record_all(
    store: Store,
    home: Home,
    job: Job,
    base: Base,
    training: Generator[TrainingEvent, None, None],
) -> None:
    """Record each event of a training before the next step begins; end it where the job ends."""
    for event in training:
        try:
            going_on = store.record(job, _completed(store, home, job, base, event))
        except BaseException as error:
            # Not closed: closing saves a state to resume from, and a state that is ahead of the
            # last recorded event would lose that event.
            training.throw(error)
            raise
        if not going_on:
            training.close()


def _completed(
    store: Store, home: Home, job: Job, base: Base, event: TrainingEvent
) -> TrainingEvent:
    """Return the event with what only this process knows; its adapter is moved into place."""
    match event:
        case Started():
            return dataclasses.replace(event, learning_rate_scale=base.learning_rate_scale)
        case Checkpoint() | Finished():
            card = model_card(store, job, base, event)
            return dataclasses.replace(event, folder=_publish(home, job, event, card))
    return event


def _publish(home: Home, job: Job, event: Checkpoint | Finished, card: str) -> Path:
    """Copy an adapter with its card from the job's folder to the models folder, whole or not."""
    target = home.model_folder(f"{job.id}{STEP_MARK}{event.step}")
    data_folder.refuse_link(target)
    # It is there already where a process was killed before it could record it.
    if not target.exists():
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(event.folder, part)
        (part / "README.md").write_text(card, encoding="utf-8")
        disk.settle(part, target)
    return target


def _fail(store: Store, job: Job, error: CookbookError, *, code: str, param: str | None) -> None:
    reason = str(error)
    details = {"code": code, "message": reason, "param": param}
    store.advance(job.id, "failed", reason, error=details)


def main(home: Home) -> int:
    """Wait for a job's id and train it; return the process's exit code."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    from cookbook.service.engine.train import train  # takes seconds: before the id is read

    job_id = sys.stdin.readline().strip()
    if not job_id:
        # The service ended, or did not need this process after all.
        return 0
    try:
        store = Store(home.database)
        # Another process may have the job: one that outlived the service which started it.
        with contextlib.suppress(Timeout), job_lock(home, job_id):
            job = store.job(job_id)
            if job and job.status in ("queued", "running") and job.requested_state == "run":
                run_job(store, home, job, train)
    except Exception as error:
        if not disk.is_full(error):
            raise
        return NO_ROOM
    return 0


if __name__ == "__main__":
    sys.exit(main(Home(Path(sys.argv[1]))))

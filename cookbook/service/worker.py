"""Train one job in a process of its own: read it from the store, train it, record what happens.

    python -m cookbook.service.worker HOME VERSION    then the job's id, a line on standard input

What training needs is loaded before the id is read, which takes seconds, so a process that is
started ahead of a job begins at once; without an id it just ends. A file lock keeps a second
process away from the same job. Where the steps are taken, here or on a cluster, is the trainer's
matter (`trainers/`). Whatever kills this process, the job goes on from its last checkpoint when the
supervisor starts the next one. A cancel, a pause or SIGTERM is noticed at the next step, and what
was done is saved. Where a job cannot go on for a reason that may pass, the process ends with a code
that names it, `Exit`, and the supervisor starts another later. Where the package was upgraded since
its service started, it touches nothing: the tables may have changed.
"""

import contextlib
import dataclasses
import glob
import json
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cookbook import __version__, causes, data, data_folder, disk, processes
from cookbook.adapter_settings import CARD, RECORD
from cookbook.bases import Base, downloaded, find
from cookbook.causes import Cause
from cookbook.data.reading import read
from cookbook.errors import (
    BaseAway,
    ClusterAway,
    CookbookError,
    DataError,
    Diverged,
    MemoryShort,
    ModelError,
    OutOfMemory,
    ServiceError,
    WorkerLost,
)
from cookbook.i18n import Text, both
from cookbook.job_states import TERMINAL
from cookbook.paths import Home
from cookbook.service import events, out_of_memory, trainers
from cookbook.service.download import download
from cookbook.service.events import (
    Checkpoint,
    Finished,
    Placed,
    Planned,
    Started,
    TrainingEvent,
    Waiting,
)
from cookbook.service.exit_codes import Exit
from cookbook.service.model_card import model_card
from cookbook.service.store import Job, Store
from cookbook.service.trainers import TrainerSettings

CRASHES = 3  # deaths without progress between them, after which a job fails
NICENESS = 5  # chat answers come before training
ADAPTER = re.compile(r"(ftjob-[a-z]+)-step_(\d+)")  # the name of an adapter's folder: job and step


Train = Callable[..., Generator[TrainingEvent, None, None]]


def job_lock(home: Home, job_id: str) -> FileLock:
    """Return the lock that the job's process holds as long as it lives."""
    home.jobs.mkdir(parents=True, exist_ok=True)
    return FileLock(home.job_lock(job_id), blocking=False)


def remove_leftovers(home: Home, job_id: str) -> None:
    """Remove what a job that has ended does not need.

    That is its working folder, and parts of adapters. A whole adapter stays even if no record
    explains it: the record may be what is missing, and `recovery` finds the adapter again. Call it
    only for a job that the store knows to have ended.
    """
    shutil.rmtree(home.job_folder(job_id), ignore_errors=True)
    for folder in home.models.glob(f"{glob.escape(job_id)}-step_*.part"):
        # Not a copy that somebody made beside it, under a longer name.
        if ADAPTER.fullmatch(folder.name.removesuffix(".part")):
            shutil.rmtree(folder, ignore_errors=True)


def rows_of(store: Store, job: Job) -> tuple[list[dict], list[dict]]:
    """Return the rows to train on and to validate on, by file if one was given, else by share."""
    rows = read.rows(store.file_content(job.training_file))
    if job.validation_file:
        return rows, read.rows(store.file_content(job.validation_file))
    # Too few rows to hold any back: the job's log says so instead of a warning.
    with warnings.catch_warnings(action="ignore"):
        return data.split(rows, job.validation_split, seed=job.seed)


class Stopping:
    """Notices SIGTERM: a plain stop, a reboot. The training then ends after the step under way.

    Before the first event of a training there is nothing to save, and the process ends at once;
    likewise at a second signal.
    """

    def __init__(self) -> None:
        self.training = False
        self.requested = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._react)

    def _react(self, *_: Any) -> None:
        if self.requested or not self.training:
            raise SystemExit(Exit.STOPPED)
        self.requested = True


def run_job(
    store: Store, home: Home, job: Job, train: Train, stopping: Stopping | None = None
) -> Exit:
    """Train one job to its end, or until it must wait; return why the process ends.

    Args:
        train: that of a trainer (`trainers/`), or a short one in tests.
        stopping: tells when to stop early.
    """
    stopping = stopping or Stopping()
    try:
        data_folder.refuse_link(home.job_folder(job.id))
        # Before the job's status changes: one that cannot start yet goes on waiting.
        base = find(job.base)
        if base.is_missing:
            if not download(store, job, base):
                return Exit.DONE
            base = downloaded(base)
        training = _begin(store, home, job, base, train)
        _record_all(store, home, job, base, training, stopping)
    except (ClusterAway, DataError, Diverged, ModelError, ServiceError, WorkerLost) as error:
        if reason := _react(store, home, job, error):
            return reason
    except Exception as error:
        if not causes.is_lack_of_memory(error):
            raise
        # For the process's log. What follows is up to the supervisor.
        traceback.print_exc()
        return Exit.OUT_OF_MEMORY
    # A paused or stopped job keeps its folder: it goes on from there.
    ended = store.job(job.id)
    if ended is None or ended.status in TERMINAL:
        remove_leftovers(home, job.id)
        return Exit.DONE
    return Exit.STOPPED if stopping.requested else Exit.DONE


def _begin(
    store: Store, home: Home, job: Job, base: Base, train: Train
) -> Generator[TrainingEvent, None, None]:
    """Return the training of the job's rows; nothing of it has happened yet."""
    train_rows, valid_rows = rows_of(store, job)
    if job.validation_split and not valid_rows:
        store.add_event(job.id, both(lambda: data.too_few(len(train_rows))))
    return train(
        base,
        train_rows,
        valid_rows,
        job.hyperparameters,
        folder=home.job_folder(job.id),
        seed=job.seed,
        level=job.memory_level,
    )


def _react(store: Store, home: Home, job: Job, error: CookbookError) -> Exit | None:
    """Let the job wait and return why, where the reason may pass; fail it otherwise."""
    match error:
        case ClusterAway():
            wait(store, job, Exit.NO_CLUSTER.waiting_for, error)
            return Exit.NO_CLUSTER
        case WorkerLost():
            return _go_on_elsewhere(store, job, error)
        case DataError():
            _fail(store, job, error, code="invalid_training_file", param="training_file")
        case Diverged():
            _fail(store, job, error, code="diverged", param="learning_rate")
        case OutOfMemory():
            _fail(store, job, error, code=out_of_memory.CODE, param=None)
        case ModelError():
            if reason := _reason_to_wait(home, job, error):
                wait(store, job, reason.waiting_for, error)
                return reason
            _fail(store, job, error, code="model_unavailable", param="model")
        case _:
            _fail(store, job, error, code="data_folder", param=None)
    return None


def _go_on_elsewhere(store: Store, job: Job, error: WorkerLost) -> Exit | None:
    """Let the job go on from its last checkpoint; fail it where that has happened too often."""
    reason = Text.of(error)
    text = Text(
        f"{reason.zh}。将从上一个检查点继续", f"{reason.en}. Going on from the last checkpoint"
    )
    if store.count_crash(job.id, text) < CRASHES:
        return Exit.WORKER_LOST
    details = {"code": "worker_died", "message": reason, "param": None}
    store.advance(job.id, "failed", reason, error=details)
    return None


def _reason_to_wait(home: Home, job: Job, error: ModelError) -> Exit | None:
    """Return why the job waits for its base; None where that would be in vain."""
    if isinstance(error, MemoryShort):
        return Exit.NO_MEMORY
    # A job that has trained had its base once, and may have it again, whatever is wrong now.
    if isinstance(error, BaseAway) or home.job_folder(job.id).exists():
        return Exit.NO_BASE
    return None


def wait(store: Store, job: Job, waiting_for: str, why: CookbookError | Cause) -> None:
    """Note in the job's log, once, what it waits for."""
    reason = Text.of(why)
    text = Text(
        f"{reason.zh}。任务等待，之后自动继续",
        f"{reason.en}. The job waits, and goes on by itself afterwards",
    )
    store.note_waiting(job.id, waiting_for, text)


def _record_all(
    store: Store,
    home: Home,
    job: Job,
    base: Base,
    training: Generator[TrainingEvent, None, None],
    stopping: Stopping,
) -> None:
    """Record each event of a training before the next step begins; end it where the job ends."""
    begun = False
    for event in training:
        if isinstance(event, Waiting):
            if not store.note_seeking(job.id, event):
                training.close()
            continue
        if not begun:
            begun = True
            store.advance(job.id, "running", Text("训练开始", "Fine-tuning job started"))
        # Before the first step there is nothing to save.
        stopping.training = stopping.training or not isinstance(event, Placed | Planned)
        try:
            completed = _completed(store, home, job, base, event)
            going_on = store.record(job, completed)
            if isinstance(completed, Planned):
                out_of_memory.check_fits(job, completed.memory)
        except BaseException as error:
            # Not closed: closing saves a state to resume from, and a state that is ahead of the
            # last recorded event would lose that event.
            training.throw(error)
            raise
        if not going_on and isinstance(completed, Checkpoint | Finished):
            _take_back(store, job, completed.folder)
        if stopping.requested or not going_on:
            training.close()


def _take_back(store: Store, job: Job, folder: Path) -> None:
    """Remove an adapter that this process has made for a job which was cancelled meanwhile."""
    ended = store.job(job.id)
    if ended is None or ended.status != "cancelled":
        return
    if folder.name not in {model.folder for model in store.models(job.id)}:
        shutil.rmtree(folder, ignore_errors=True)


def _completed(
    store: Store, home: Home, job: Job, base: Base, event: TrainingEvent
) -> TrainingEvent:
    """Return the event with what only this process knows; its adapter is moved into place."""
    match event:
        case Started():
            return dataclasses.replace(event, learning_rate_scale=base.learning_rate_scale)
        case Checkpoint() | Finished():
            card = model_card(store, job, base, event)
            return dataclasses.replace(event, folder=publish(home, job, event, card))
    return event


def publish(
    home: Home,
    job: Job,
    event: Checkpoint | Finished,
    card: str,
    copy_file: Callable[[str, str], Any] = shutil.copy2,
) -> Path:
    """Copy an adapter to the models folder, with the job's own card and record, whole or not.

    Args:
        copy_file: makes a copy of one of the adapter's files.
    """
    target = home.model_folder(f"{job.id}-step_{event.step}")
    data_folder.refuse_link(target)
    # It is there already where a process was killed before it could record it.
    if not target.exists():
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        # Those of another job are never written over: the copies may be links to the same file.
        not_own = shutil.ignore_patterns(CARD, RECORD)
        shutil.copytree(event.folder, part, copy_function=copy_file, ignore=not_own)
        (part / CARD).write_text(card, encoding="utf-8")
        # What is found again if the database is lost; `recovery` reads it.
        record = {
            "model": events.model_id(event, job.model),
            "job": job.id,
            "base": job.base,
            "owner": job.owner,
            "created_at": int(time.time()),
            "step": event.step,
            "metrics": events.losses(event),
        }
        disk.write(part / RECORD, json.dumps(record, indent=2).encode())
        disk.settle(part, target)
    return target


def _fail(store: Store, job: Job, error: CookbookError, *, code: str, param: str | None) -> None:
    reason = Text.of(error)
    details = {"code": code, "message": reason, "param": param}
    store.advance(job.id, "failed", reason, error=details)


def _offer_to_the_kernel(path: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Have the kernel end this process first where memory runs out, not a reader's notebook.

    A training goes on from its last checkpoint; nothing else here does.
    """
    with contextlib.suppress(OSError):
        path.write_text("1000", encoding="ascii")


def main(home: Home, version: str = __version__) -> int:
    """Wait for a job's id and train it; return the process's exit code.

    `version` is that of the service which started this process.
    """
    if version != __version__:
        return Exit.OTHER_VERSION
    stopping = Stopping()
    stopping.listen()
    processes.lower_priority(NICENESS)
    _offer_to_the_kernel()
    settings = TrainerSettings.of_environment()
    trainer = trainers.chosen(settings)
    trainer.prepare()  # takes seconds: before the id is read
    home = dataclasses.replace(home, storage=settings.storage)

    job_id = sys.stdin.readline().strip()
    if not job_id:
        # The service ended, or did not need this process after all.
        return Exit.DONE
    try:
        store = Store(home.database)
        # Another process may have the job: one that outlived the service which started it.
        with contextlib.suppress(Timeout), job_lock(home, job_id):
            job = store.job(job_id)
            if job and job.status in ("queued", "running") and job.requested_state == "run":
                return run_job(store, home, job, trainer.train, stopping)
    except Exception as error:
        if not disk.is_full(error):
            raise
        return Exit.NO_ROOM
    return Exit.NOTHING_TO_DO


if __name__ == "__main__":
    sys.exit(main(Home(Path(sys.argv[1])), *sys.argv[2:]))

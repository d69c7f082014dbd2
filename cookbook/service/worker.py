"""One training process: reads a job from the store, trains it, writes what happens back.

    python -m cookbook.service.worker HOME        then the job's id, a line on standard input

It gets torch before it reads the id, which takes seconds, so one that is started ahead begins at once; without an id
it just ends. A file lock keeps a second worker away from the same job. Whatever kills this process, the job goes on
from its last checkpoint when the supervisor starts the next one; a cancel or pause is noticed at the next step. Where
the disk is full it ends with the code `NO_ROOM`, and the supervisor starts it again later.
"""

import contextlib
import os
import shutil
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from cookbook import data, disk
from cookbook.bases import Base, find
from cookbook.errors import DataError, Diverged, ModelError
from cookbook.i18n import tr
from cookbook.service.store import TERMINAL, Job, Store

NO_ROOM = 28  # ENOSPC's number, as a reminder


def folder_of(home: Path, job_id: str) -> Path:
    """Where a job's adapters and its state lie."""
    return home / "jobs" / job_id


def lock_of(home: Path, job_id: str) -> FileLock:
    """Held by the job's worker as long as it lives."""
    folder_of(home, job_id).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder_of(home, job_id).with_suffix(".lock"), blocking=False)


def rows_of(store: Store, job: Job) -> tuple[list[dict], list[dict]]:
    """(train, validation) rows: by the given validation file, else by share, seeded."""
    read = lambda file_id: (
        data.check_bytes(store.file_content(file_id), store.file(file_id).filename).rows
    )
    if job.validation_file:
        return read(job.training_file), read(job.validation_file)
    with warnings.catch_warnings(
        action="ignore"
    ):  # too few rows to hold any back: told in an event
        return data.split(read(job.training_file), job.validation_split, seed=job.seed)


def run_job(store: Store, home: Path, job: Job, train) -> None:
    """Train one job to its end; `train` is `cookbook.service.engine.train.train` or, in tests, a short stand-in."""
    store.advance(job.id, "running", tr("训练开始", "Fine-tuning job started"))
    try:
        base = find(job.base)
        train_rows, valid_rows = rows_of(store, job)
        if job.validation_split and not valid_rows:
            store.add_event(job.id, data.too_few(len(train_rows)))
        happenings = train(
            base,
            train_rows,
            valid_rows,
            job.hyperparameters,
            folder=folder_of(home, job.id),
            seed=job.seed,
        )
        for happening in happenings:
            try:
                going_on = _write_down(store, home, job, base, happening)
            except BaseException as error:
                # Not closed but broken off: closing saves the state, and a state beyond the last event would lose one.
                happenings.throw(error)
            if not going_on:
                happenings.close()
    except DataError as error:
        _fail(store, job, "invalid_training_file", "training_file", error)
    except Diverged as error:
        _fail(store, job, "diverged", "learning_rate", error)
    except ModelError as error:
        _fail(store, job, "model_unavailable", "model", error)
    if store.job(job.id).status in TERMINAL:
        shutil.rmtree(folder_of(home, job.id), ignore_errors=True)


def _fail(store: Store, job: Job, code: str, param: str, error: Exception) -> None:
    text = str(error)
    store.advance(job.id, "failed", text, error={"code": code, "message": text, "param": param})


def _write_down(store: Store, home: Path, job: Job, base: Base, happening) -> bool:
    """Put what happened into the store; whether to go on."""
    facts = {k: v for k, v in asdict(happening).items() if k != "folder"}
    match type(happening).__name__:
        case "Started":
            text = tr(
                "{train_rows} 条训练，{valid_rows} 条验证，共 {total_steps} 步；{trained_share:.0%} 的 token 参与训练，"
                "实际学习速率 {learning_rate_used:g}",
                "{train_rows} rows to train, {valid_rows} to validate, {total_steps} steps; {trained_share:.0%} of the "
                "tokens are trained on, learning rate really used {learning_rate_used:g}",
            )
            facts["learning_rate_scale"] = base.learning_rate_scale
            store.add_event(job.id, text.format(**facts), data=facts, step=0)
        case "Step":
            loss = (
                "" if happening.valid_loss is None else f", valid_loss {happening.valid_loss:.4f}"
            )
            text = f"Step {happening.step}/{happening.total_steps}: train_loss {happening.train_loss:.4f}{loss}"
            return store.add_metrics(job.id, facts, text)
        case "Checkpoint":
            text = tr(f"第 {happening.epoch} 轮的检查点", f"Checkpoint of epoch {happening.epoch}")
            store.add_checkpoint(
                job, happening.step, _keep(home, job, happening), _losses(happening), text
            )
        case "Finished":
            text = tr(
                f"训练完成，新模型 {job.model}", f"The job has successfully completed: {job.model}"
            )
            kept = _keep(home, job, happening)
            store.finish(
                job, happening.step, kept, _losses(happening), happening.trained_tokens, facts, text
            )
    return True


def _losses(happening) -> dict:
    return {"train_loss": happening.train_loss, "valid_loss": happening.valid_loss}


def _keep(home: Path, job: Job, checkpoint) -> str:
    """Copy an adapter out of the job's folder to where finished models live; its name there."""
    name = f"{job.id}-step_{checkpoint.step}"
    part, target = home / "models" / f"{name}.part", home / "models" / name
    if not target.exists():
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(checkpoint.folder, part)
        disk.settle(part, target)
    return name


def main(home: Path) -> int:
    if hasattr(os, "nice"):
        os.nice(5)  # answers come before training
    from cookbook.service.engine.train import train

    job_id = sys.stdin.readline().strip()
    if not job_id:  # the service ended, or did not need this one after all
        return 0
    try:
        store = Store(home / "service.db")
        with contextlib.suppress(Timeout), lock_of(home, job_id):
            job = store.job(job_id)
            if job.status in ("queued", "running") and job.wanted == "run":
                run_job(store, home, job, train)
    except Exception as error:
        if not disk.is_full(error):
            raise
        return NO_ROOM
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""The queue: one thread of the service that validates new jobs and keeps one training process busy.

Jobs run in the order they came. A job whose process died is started again from its last checkpoint; after three deaths
without progress between them it fails with that reason. Training processes outlive the service: after a restart the
supervisor waits for the one that still runs instead of starting a second.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from filelock import Timeout

from cookbook import data
from cookbook.errors import say
from cookbook.local.store import TERMINAL, Job, Store
from cookbook.local.worker import lock_of

CRASHES = 3
TICK, RETRY = 0.2, 5.0  # seconds

_log = logging.getLogger("cookbook")


class Supervisor:
    """`start` it once; `busy` tells whether a job is under way or waiting."""

    def __init__(self, store: Store, home: Path):
        self._store, self._home = store, home
        self._stop = threading.Event()
        self._process: subprocess.Popen | None = None
        self._job_id: str | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a training process goes on by itself."""
        self._stop.set()

    @property
    def busy(self) -> bool:
        return any(job.wanted == "run" for job in self._unfinished())

    def _unfinished(self) -> list[Job]:
        return self._store.jobs(("validating_files", "queued", "running"))

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            try:
                self._tick()
            except (sqlite3.Error, OSError):  # a full disk, a locked file: it may pass, and the queue must go on
                _log.exception("the queue met an error and tries again")
                self._stop.wait(RETRY)

    def _tick(self) -> None:
        for job in self._store.jobs(("validating_files",)):
            self._validate(job)
        if self._process and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if not self._process:
            self._start_next()

    def _validate(self, job: Job) -> None:
        for param in ("training_file", "validation_file"):
            file = self._store.file(getattr(job, param)) if getattr(job, param) else None
            if getattr(job, param) and not file:
                text = say(f"{param} 已被删除", f"{param} was deleted")
            elif file and not (report := self._check(file)).ok:
                text = str(report)
            else:
                continue
            error = {"code": "invalid_training_file", "message": text, "param": param}
            self._store.advance(job.id, "failed", text, error=error)
            return
        ahead = sum(other.number < job.number for other in self._unfinished())
        place = (
            say(f"排队中，前面还有 {ahead} 个任务", f"Queued, {ahead} jobs ahead") if ahead else say("排队中", "Queued")
        )
        self._store.advance(job.id, "queued", place)

    def _check(self, file) -> data.Report:
        return data.check_bytes(self._store.file_content(file.id), file.filename)

    def _start_next(self) -> None:
        waiting = [job for job in self._unfinished() if job.status != "validating_files" and job.wanted == "run"]
        if not waiting:
            return
        # One that was interrupted goes first, then the oldest.
        job = min(waiting, key=lambda job: (job.status != "running", job.number))
        try:
            with lock_of(self._home, job.id):
                pass
        except Timeout:  # its process outlived the service that started it
            return
        with (self._home / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cookbook.local.worker", str(self._home), job.id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=os.name != "nt",
            )
        self._job_id = job.id

    def _ended(self, code: int) -> None:
        job = self._store.job(self._job_id)
        self._process = self._job_id = None
        if job.status in TERMINAL or job.wanted != "run" or code == 0:
            return
        crashes = self._store.count_crash(
            job.id,
            say(
                f"训练进程意外结束（代码 {code}），将从上一个检查点继续",
                f"The training process ended unexpectedly (code {code}); going on from the last checkpoint",
            ),
        )
        if crashes >= CRASHES:
            text = say(
                f"训练进程连续 {CRASHES} 次意外结束（代码 {code}），详见数据目录里的 worker.log",
                f"The training process died {CRASHES} times in a row (code {code}); see worker.log in the data folder",
            )
            error = {"code": "worker_died", "message": text, "param": None}
            self._store.advance(job.id, "failed", text, error=error)

"""The queue: one thread of the service that validates new jobs and keeps training processes busy.

Jobs run in the order they came, one at a time unless told otherwise. A job whose process died is started again from its
last checkpoint; after three deaths without progress between them it fails with that reason. A job that finds the disk
full waits, says so, and is tried again. Training processes outlive the service: after a restart the supervisor waits
for those that still run instead of starting a second. While training is going on, and from an upload on, one process
more gets ready for the job that will follow.
"""

import contextlib
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from filelock import Timeout

from cookbook import data
from cookbook.errors import DiskFull
from cookbook.i18n import tr
from cookbook.service.store import TERMINAL, Job, Store
from cookbook.service.worker import NO_ROOM, folder_of, lock_of

CRASHES = 3
TICK, RETRY, FULL_RETRY = 0.2, 5.0, 10.0  # seconds
RESERVE = 256 * 1024  # bytes
SPARE_SECONDS = 600.0  # how long a process waits for a job before it gives its memory back

_log = logging.getLogger("cookbook")


class Supervisor:
    """`start` it once; `busy` tells whether a job is under way or waiting."""

    def __init__(self, store: Store, home: Path, at_once: int = 1):
        self._store, self._home, self._at_once = store, home, at_once
        self._stop = threading.Event()
        self._processes: dict[str, subprocess.Popen] = {}
        self._left: set[str] = (
            set()
        )  # jobs that no process of ours trains and that may still have a folder
        self._not_before = 0.0  # where the disk was full: when to try again
        self._spare: subprocess.Popen | None = None  # has torch, waits for a job
        self._expected = threading.Event()
        self._spare_until = 0.0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; training processes go on by themselves."""
        self._stop.set()

    def expect(self) -> None:
        """A job is likely to come, say because a file was uploaded: get a process ready. From any thread."""
        self._expected.set()

    @property
    def busy(self) -> bool:
        return bool(self._processes) or any(job.wanted == "run" for job in self._store.unfinished())

    def _run(self) -> None:
        with contextlib.suppress(sqlite3.Error, OSError):  # what stays is swept at the next start
            self._sweep()
        while not self._stop.wait(TICK):
            try:
                self._tick()
            except DiskFull as error:
                _log.warning(error)
                self._stop.wait(RETRY)
            except (
                sqlite3.Error,
                OSError,
            ):  # a locked file, say: it may pass, and the queue must go on
                _log.exception("the queue met an error and tries again")
                self._stop.wait(RETRY)

    def _sweep(self) -> None:
        """Remove what ended jobs left behind where a process was killed between two steps of its end."""
        known = {model.folder for model in self._store.models()}
        for folder in [*(self._home / "models").glob("*"), *(self._home / "jobs").glob("ftjob-*/")]:
            job = self._store.job(folder.name.split("-step_")[0])
            if folder.name not in known and (job is None or job.status in TERMINAL):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.parent.name == "jobs":
                self._left.add(folder.name)

    def _tick(self) -> None:
        for job in self._store.jobs(("validating_files",)):
            self._validate(job)
        for job_id, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[job_id]
                self._ended(job_id, process.returncode)
        self._tidy()
        self._keep_spare()
        if time.monotonic() >= self._not_before:
            self._start_next()

    def _tidy(self) -> None:
        """A job's process removes its folder at the job's end; where it was gone before (paused, then cancelled): here."""
        for job in filter(None, map(self._store.job, self._left - self._processes.keys())):
            if job.status in TERMINAL and not self._lives(job):
                shutil.rmtree(folder_of(self._home, job.id), ignore_errors=True)
                self._left.discard(job.id)

    def _validate(self, job: Job) -> None:
        for param in ("training_file", "validation_file"):
            file = self._store.file(getattr(job, param)) if getattr(job, param) else None
            if getattr(job, param) and not file:
                text = tr(f"{param} 已被删除", f"{param} was deleted")
            elif file and not (report := self._check(file)).ok:
                text = str(report)
            else:
                continue
            error = {"code": "invalid_training_file", "message": text, "param": param}
            self._store.advance(job.id, "failed", text, error=error)
            return
        ahead = sum(other.number < job.number for other in self._store.unfinished())
        place = (
            tr(f"排队中，前面还有 {ahead} 个任务", f"Queued, {ahead} jobs ahead")
            if ahead
            else tr("排队中", "Queued")
        )
        self._store.advance(job.id, "queued", place)

    def _check(self, file) -> data.Report:
        return data.check_bytes(self._store.file_content(file.id), file.filename)

    def _start_next(self) -> None:
        unfinished = self._store.unfinished()
        alive = set(self._processes) | {
            job.id for job in unfinished if job.status == "running" and self._lives(job)
        }
        waiting = [
            j
            for j in unfinished
            if j.status != "validating_files" and j.wanted == "run" and j.id not in alive
        ]
        # One that was interrupted goes first, then the oldest.
        waiting.sort(key=lambda job: (job.status != "running", job.number))
        for job in waiting[: max(0, self._at_once - len(alive))]:
            self._launch(job)

    def _lives(self, job: Job) -> bool:
        """Whether a process trains this job: it may have outlived the service that started it."""
        try:
            with lock_of(self._home, job.id):
                return False
        except Timeout:
            return True

    def _launch(self, job: Job) -> None:
        self._keep_reserve()
        process, self._spare = self._spare or self._new_process(), None
        self._processes[job.id] = process
        with (
            contextlib.suppress(OSError),
            process.stdin,
        ):  # where it has just died: seen by its code
            process.stdin.write(f"{job.id}\n".encode())
        _log.info(tr("%s 开始训练", "%s is being trained"), job.id)
        self.expect()  # people seldom train once

    def _new_process(self) -> subprocess.Popen:
        with (self._home / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cookbook.service.worker", str(self._home)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={
                    name: value
                    for name, value in os.environ.items()
                    if not name.endswith("_API_KEY")
                },
                start_new_session=os.name != "nt",
            )

    def _keep_spare(self) -> None:
        """Start a process ahead where a job is expected; let it go where none came for long."""
        now = time.monotonic()
        if self._spare and self._spare.poll() is not None:
            self._spare = None
        if self._expected.is_set():
            self._expected.clear()
            self._spare_until = now + SPARE_SECONDS
            self._spare = self._spare or self._new_process()
        elif self._spare and now > self._spare_until and not self._processes:
            self._spare.stdin.close()  # it ends by itself
            self._spare.wait()
            self._spare = None

    def _ended(self, job_id: str, code: int) -> None:
        job = self._store.job(job_id)
        self._left.add(job_id)
        _log.info(
            tr("%s 的训练进程结束：%s，代码 %s", "the process of %s ended: %s, code %s"),
            job_id,
            job.status,
            code,
        )
        if job.status in TERMINAL or job.wanted != "run" or code == 0:
            return
        if code == NO_ROOM:
            return self._wait_for_room(job)
        crashes = self._store.count_crash(
            job.id,
            tr(
                f"训练进程意外结束（代码 {code}），将从上一个检查点继续",
                f"The training process ended unexpectedly (code {code}); going on from the last checkpoint",
            ),
        )
        if crashes >= CRASHES:
            text = tr(
                f"训练进程连续 {CRASHES} 次意外结束（代码 {code}），详见数据目录里的 worker.log",
                f"The training process died {CRASHES} times in a row (code {code}); see worker.log in the data folder",
            )
            error = {"code": "worker_died", "message": text, "param": None}
            self._store.advance(job.id, "failed", text, error=error)

    def _keep_reserve(self) -> None:
        """A little room that is given up when the disk is full, so that the job can still say so."""
        reserve = self._home / "reserve"
        if not reserve.exists():
            try:
                reserve.write_bytes(bytes(RESERVE))
            except OSError:
                reserve.unlink(missing_ok=True)

    def _wait_for_room(self, job: Job) -> None:
        self._not_before = time.monotonic() + FULL_RETRY
        text = tr(
            "磁盘满了，任务等待；腾出空间后自动继续",
            "The disk is full: waiting, going on when there is room",
        )
        _log.warning("%s: %s", job.id, text)
        (self._home / "reserve").unlink(missing_ok=True)
        if self._store.events(job.id, limit=1)[0].message != text:
            self._store.add_event(job.id, text)

"""Keep the queue: one thread of the service that admits new jobs and starts training processes.

Jobs run in the order they came, `max_running` at a time. A job whose process died is started again
from its last checkpoint; after `CRASHES` deaths without progress between them it fails with that
reason. A job that finds the disk full waits, says so, and is tried again. Training processes
outlive the service: after a restart the supervisor waits for those that still run. While training
is going on, and from an upload on, one process more is prewarmed for the job that will follow.

Files are checked when they are uploaded, not here; training itself is worker.py's.
"""

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time

from filelock import Timeout

from cookbook import __version__, data_folder, disk, environment
from cookbook.errors import DiskFull
from cookbook.i18n import tr
from cookbook.job_states import TERMINAL
from cookbook.paths import Home
from cookbook.processes import WORKER_MODULE
from cookbook.service.store import Job, Store
from cookbook.service.worker import NO_ROOM, OTHER_VERSION, job_lock, job_of, remove_leftovers

CRASHES = 3
RESERVE_BYTES = 256 * 1024
TICK_SECONDS = 0.2
RETRY_SECONDS = 5.0  # after an error of the queue itself
FULL_DISK_RETRY_SECONDS = 10.0
PREWARM_SECONDS = 600.0  # how long a process waits for a job before it gives its memory back

_log = logging.getLogger("cookbook")


class Supervisor:
    """`start` it once. `max_running` jobs train at the same time."""

    def __init__(self, store: Store, home: Home, max_running: int = 1):
        self._store = store
        self._home = home
        self._max_running = max_running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}  # by job id
        self._to_tidy: set[str] = set()  # jobs that may still have a folder when they have ended
        self._full_until = 0.0  # where the disk was full: when to start a job again
        self._prewarmed: subprocess.Popen[bytes] | None = None  # has torch, waits for a job
        self._prewarmed_until = 0.0
        self._prewarm_requested = threading.Event()
        self._outdated = False  # the package was upgraded: training needs a new service

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the queue; training processes go on by themselves."""
        self._stop.set()

    def end_training(self) -> None:
        """End the training processes of this service, and the queue with them."""
        self.stop()
        for process in list(self._processes.values()):
            process.terminate()

    def prewarm(self) -> None:
        """Get a process ready, since a job is likely to come. Callable from any thread."""
        self._prewarm_requested.set()

    @property
    def busy(self) -> bool:
        """Return whether a job is under way or waiting; a paused one is neither."""
        if self._processes or self._outdated:
            return bool(self._processes)
        return any(job.requested_state == "run" for job in self._store.unfinished())

    # The queue

    def _run(self) -> None:
        # What cannot be removed now is removed at the next start.
        with contextlib.suppress(sqlite3.Error, OSError):
            self._sweep()
        while not self._stop.wait(TICK_SECONDS):
            try:
                self._tick()
            except DiskFull as error:
                _log.warning(error)
                self._stop.wait(RETRY_SECONDS)
            except (sqlite3.Error, OSError):
                # It may pass, as a locked file does, and the queue must go on.
                _log.exception("the queue met an error and tries again")
                self._stop.wait(RETRY_SECONDS)

    def _tick(self) -> None:
        for job in self._store.jobs(("validating_files",)):
            self._admit(job)
        for job_id, process in list(self._processes.items()):
            code = process.poll()
            if code is not None:
                del self._processes[job_id]
                self._react_to_end(job_id, code)
        self._tidy()
        self._keep_prewarmed()
        if time.monotonic() >= self._full_until and not self._outdated:
            self._start_next()

    def _admit(self, job: Job) -> None:
        """Queue a new job, or fail it where one of its files was deleted meanwhile.

        Only in the moment before the job was added could a file be deleted: from then on the store
        keeps it. The content was checked at the upload; rows that `max_tokens` leaves without a
        trained token are found when they are encoded.
        """
        for param, file_id in (
            ("training_file", job.training_file),
            ("validation_file", job.validation_file),
        ):
            if file_id and self._store.file(file_id) is None:
                reason = tr(f"{param} 已被删除", f"{param} was deleted")
                error = {"code": "invalid_training_file", "message": reason, "param": param}
                self._store.advance(job.id, "failed", reason, error=error)
                return
        ahead = sum(other.number < job.number for other in self._store.unfinished())
        place = tr("排队中", "Queued")
        if ahead:
            place = tr(f"排队中，前面还有 {ahead} 个任务", f"Queued, {ahead} jobs ahead")
        self._store.advance(job.id, "queued", place)

    def _start_next(self) -> None:
        unfinished = self._store.unfinished()
        # Those of this service, and those that outlived the one before.
        training = set(self._processes)
        for job in unfinished:
            if job.status == "running" and self._is_training(job.id):
                training.add(job.id)
        waiting = [
            job
            for job in unfinished
            if job.status in ("queued", "running")
            and job.requested_state == "run"
            and job.id not in training
        ]
        # One that was interrupted goes first, then the oldest.
        waiting.sort(key=lambda job: (job.status != "running", job.number))
        free = max(0, self._max_running - len(training))
        for job in waiting[:free]:
            self._launch(job)

    def _is_training(self, job_id: str) -> bool:
        """Return whether a process trains this job, whoever started it."""
        try:
            with job_lock(self._home, job_id):
                return False
        except Timeout:
            return True

    # Processes

    def _launch(self, job: Job) -> None:
        self._keep_reserve()
        process = self._prewarmed or self._new_process()
        self._prewarmed = None
        self._processes[job.id] = process
        # Where it has just died, the next tick sees its exit code.
        with contextlib.suppress(OSError):
            _send(process, f"{job.id}\n")
        _log.info(tr("%s 开始训练", "training of %s starts"), job.id)
        # People seldom train once.
        self.prewarm()

    def _new_process(self) -> subprocess.Popen[bytes]:
        with data_folder.open_log(self._home.worker_log) as log:
            return subprocess.Popen(
                [sys.executable, "-m", WORKER_MODULE, str(self._home.folder), __version__],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Nothing that a reader keeps in the environment beside what training needs.
                env=environment.of_worker(),
                start_new_session=os.name != "nt",
            )

    def _keep_prewarmed(self) -> None:
        """Start a process ahead where a job is expected; let it go where none came for long."""
        now = time.monotonic()
        if self._prewarmed and self._prewarmed.poll() is not None:
            self._outdated = self._outdated or self._prewarmed.returncode == OTHER_VERSION
            self._prewarmed = None
        if self._prewarm_requested.is_set() and not self._outdated:
            self._prewarm_requested.clear()
            self._prewarmed_until = now + PREWARM_SECONDS
            self._prewarmed = self._prewarmed or self._new_process()
        elif self._prewarmed and now > self._prewarmed_until and not self._processes:
            # Without a job's id it ends by itself.
            _send(self._prewarmed, "")
            self._prewarmed.wait()
            self._prewarmed = None

    def _react_to_end(self, job_id: str, code: int) -> None:
        """Decide how a job goes on whose process has ended with this exit code."""
        job = self._store.job(job_id)
        # It was ended along with the service, by the system or by `stop`: no crash.
        if job is None or self._stop.is_set():
            return
        self._to_tidy.add(job_id)
        text = tr("%s 的训练进程结束：%s，代码 %s", "the process of %s ended: %s, code %s")
        _log.info(text, job_id, job.status, code)
        if job.status in TERMINAL or job.requested_state != "run" or code == 0:
            return
        if code == NO_ROOM:
            self._wait_for_room(job)
            return
        if code == OTHER_VERSION:
            self._wait_for_restart(job)
            return
        text = tr(
            f"训练进程意外结束（代码 {code}），将从上一个检查点继续",
            f"The training process ended unexpectedly (code {code}); "
            "going on from the last checkpoint",
        )
        crashes = self._store.count_crash(job.id, text)
        if crashes >= CRASHES:
            reason = tr(
                f"训练进程连续 {CRASHES} 次意外结束（代码 {code}），详见数据目录里的 worker.log",
                f"The training process died {CRASHES} times in a row (code {code}); "
                "see worker.log in the data folder",
            )
            error = {"code": "worker_died", "message": reason, "param": None}
            self._store.advance(job.id, "failed", reason, error=error)

    def _wait_for_restart(self, job: Job) -> None:
        self._outdated = True
        text = tr(
            "cookbook 已升级，正在运行的服务还是旧版本：再运行一次 connect() 那一格，任务接着训练",
            "The cookbook was upgraded while this service runs: run the cell with connect() again, "
            "and the job goes on",
        )
        _log.warning("%s: %s", job.id, text)
        self._store.add_event(job.id, text)

    # The disk

    def _sweep(self) -> None:
        """Remove what ended jobs left behind where a process was killed while it ended them."""
        adapters = [folder.name for folder in self._home.models.glob("*")]
        working = [folder.name for folder in self._home.jobs.glob("ftjob-*/")]
        for job_id in {*map(job_of, adapters), *working}:
            job = self._store.job(job_id)
            if job is None or job.status in TERMINAL:
                remove_leftovers(self._store, self._home, job_id)
            else:
                self._to_tidy.add(job_id)

    def _tidy(self) -> None:
        """Remove the folders of jobs that ended without a process: paused, then cancelled.

        A job that ends while it is trained is tidied up by its process.
        """
        for job_id in self._to_tidy - self._processes.keys():
            job = self._store.job(job_id)
            if job and job.status in TERMINAL and not self._is_training(job_id):
                remove_leftovers(self._store, self._home, job_id)
                self._to_tidy.discard(job_id)

    def _keep_reserve(self) -> None:
        """Keep a little room that is given up on a full disk, so that the job can still say so."""
        if not self._home.reserve.exists():
            try:
                disk.write(self._home.reserve, bytes(RESERVE_BYTES), private=True)
            except OSError:
                self._home.reserve.unlink(missing_ok=True)

    def _wait_for_room(self, job: Job) -> None:
        self._full_until = time.monotonic() + FULL_DISK_RETRY_SECONDS
        text = tr(
            "磁盘满了，任务等待；腾出空间后自动继续",
            "The disk is full: waiting, going on when there is room",
        )
        _log.warning("%s: %s", job.id, text)
        self._home.reserve.unlink(missing_ok=True)
        # Said once, however often it is tried.
        last = self._store.events(job.id, limit=1)[0]
        if last.message != text:
            self._store.add_event(job.id, text)


def _send(process: subprocess.Popen[bytes], line: str) -> None:
    """Write a process's only line of input and close it."""
    if process.stdin is not None:
        with process.stdin as pipe:
            pipe.write(line.encode())

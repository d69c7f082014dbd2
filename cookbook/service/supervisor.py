"""Keep the queue: one thread of the service that admits new jobs and starts training processes.

Jobs run `max_running` at a time, in the order of turns.py: people take turns. Where `reuse` is on,
a job that equals a finished one takes over its result, and one that equals a job under way waits
for that (twins.py). A job whose process died is started again from its last checkpoint; after
`CRASHES` deaths without progress between them it fails with that reason. One that ran out of memory
goes on with a smaller plan, once. Being stopped is no crash. A job that finds the disk full, too
little memory or its base gone waits, says so, and is tried again, while others run. Where nothing
can be trained at present, as without the cluster, all of them wait. Training processes outlive the
service: after a restart the supervisor waits for those that still run. While training is going on,
and from an upload on, one process more is prewarmed for the job that will follow.

Files are checked when they are uploaded, not here; training itself is worker.py's.
"""

import contextlib
import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable

from filelock import Timeout

from cookbook import causes, disk
from cookbook.bases import find
from cookbook.errors import BaseAway, DiskFull
from cookbook.i18n import Text, both, tr
from cookbook.job_states import TERMINAL, queued
from cookbook.machine.device import CPU
from cookbook.paths import Home
from cookbook.service import out_of_memory, twins, worker_log
from cookbook.service.exit_codes import Exit
from cookbook.service.fingerprint import is_as_asked
from cookbook.service.neighbours import Trainings
from cookbook.service.out_of_memory import MemoryWatch
from cookbook.service.prewarmed import Prewarmed
from cookbook.service.store import Job, Store, Turn
from cookbook.service.trainers import Trainer
from cookbook.service.trainers.here import Here
from cookbook.service.training_process import TrainingProcess
from cookbook.service.turns import HOUR, Places, in_turn
from cookbook.service.twins import Twins
from cookbook.service.waits import WAIT_SECONDS, Waits
from cookbook.service.worker import ADAPTER, CRASHES, job_lock, remove_leftovers, wait

TICK_SECONDS = 0.2
RETRY_SECONDS = 5.0  # after an error of the queue itself
GIVE_BACK_SECONDS = 5.0  # for a process without a job to end
STOPPED_SECONDS = 3.0  # a stop mostly ends the service, too: it must not start the job again

# How a process ends that was asked to end; the signals, where it was not listening yet.
STOPPED = {Exit.STOPPED, -signal.SIGTERM, -signal.SIGINT}
# What jobs wait for, where it is full or away; no base has these names.
DISK, CLUSTER = "disk", "cluster"

_log = logging.getLogger("cookbook")


class Supervisor:
    """`start` it once.

    Args:
        max_running: jobs that train at the same time.
        unload_idle_bases: has chat give back the memory of bases that it does not use at present,
            and returns their names.
        reuse: train equal jobs once; None: as `COOKBOOK_REUSE` says.
        trainer: where jobs are trained; this machine unless it is given.
    """

    def __init__(
        self,
        store: Store,
        home: Home,
        max_running: int = 1,
        unload_idle_bases: Callable[[], list[str]] = list,
        reuse: bool | None = None,
        trainer: Trainer | None = None,
    ):
        self._store = store
        self._trainer = trainer or Here()
        self._unload_idle_bases = unload_idle_bases
        self._home = home
        self._max_running = max_running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._processes: dict[str, TrainingProcess] = {}  # by job id
        self._looked_for: set[str] = set()  # waiting jobs whose base was looked for
        self._to_tidy: set[str] = set()  # jobs that may still have a folder when they have ended
        self._waits = Waits()  # for a job's id, its base, or the disk
        self._prewarmed = Prewarmed(home)
        self._twins = Twins(store, home, self._wait_for_disk) if twins.enabled(reuse) else None
        self._upgrade_noted: set[str] = set()  # jobs whose log says so

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
        self._prewarmed.request()

    def trainings(self) -> Trainings:
        """Return the jobs that train, and what memory they will still take. From any thread."""
        jobs, reserved = [], 0
        for job_id, process in list(self._processes.items()):
            job = self._store.job(job_id)
            plan = job.memory_plan if job else None
            jobs.append(job_id)
            # What a process has on the GPU cannot be seen from here; with a cluster it has nothing.
            if job and plan and plan["device"] == CPU and job.place is None:
                reserved += max(0, plan["needed"] - process.memory.now)
        return Trainings(tuple(jobs), reserved)

    def give_prewarmed_back(self) -> bool:
        """End the process that waits for a job; return whether there was one. From any thread."""
        return self._prewarmed.ask_back(GIVE_BACK_SECONDS)

    @property
    def busy(self) -> bool:
        """Return whether a job is under way or may start soon.

        A paused one is neither, nor is one whose base is gone: that may be for ever, and the job
        goes on when the service is started again. Nor is any where the package was upgraded.
        """
        if self._processes or self._prewarmed.is_outdated:
            return bool(self._processes)
        return any(
            job.requested_state == "run" and self._waits.cause(job.base) != Exit.NO_BASE
            for job in self._store.unfinished()
        )

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
            except Exception:
                # It may pass, as a locked file does, and the queue must go on.
                _log.exception("the queue met an error and tries again")
                self._stop.wait(RETRY_SECONDS)

    def _tick(self) -> None:
        for job in self._store.jobs(("validating_files",)):
            self._admit(job)
        for job_id, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                process.memory.look()
                continue
            del self._processes[job_id]
            self._react_to_end(job_id, code, process)
            process.forget_empty_log()
        self._tidy()
        self._prewarmed.keep(is_training=bool(self._processes))
        if self._prewarmed.is_outdated:
            self._note_upgrade()
        elif self._waits.are_over(DISK) and not self._nothing_trains():
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
                reason = Text(f"{param} 已被删除", f"{param} was deleted")
                error = {"code": "invalid_training_file", "message": reason, "param": param}
                self._store.advance(job.id, "failed", reason, error=error)
                return
        ahead = Places(self._store).ahead(job) or 0
        self._store.advance(job.id, "queued", both(lambda: queued(ahead)))

    def _nothing_trains(self) -> bool:
        """Return whether no job can be trained at present; the log of each that waits says why."""
        fault = self._trainer.fault()
        if fault is None:
            # After an outage, however long, jobs start at once.
            if self._waits.cause(CLUSTER):
                self._waits.end_all(Exit.NO_CLUSTER)
            return False
        # Not at each tick: there may be hundreds of jobs.
        if self._waits.are_over(CLUSTER):
            self._waits.begin(CLUSTER, Exit.NO_CLUSTER, RETRY_SECONDS)
            for job in self._store.unfinished():
                if job.requested_state == "run" and not self._has_process(job):
                    wait(self._store, job, Exit.NO_CLUSTER.waiting_for, fault)
        return True

    def _start_next(self) -> None:
        unfinished = self._store.unfinished()
        # Those of this service, and those that outlived the one before.
        training = set(self._processes)
        training |= {job.id for job in unfinished if self._has_process(job)}
        jobs = [job for job in unfinished if job.status in ("queued", "running")]
        if self._twins:
            jobs = self._twins.set_aside(jobs, training)
        free = self._max_running - len(training)
        # Those of them that have no place yet where they are trained.
        seeking = sum(job.place is None for job in unfinished if job.id in self._processes)
        free = min(free, self._trainer.most_seeking - seeking)
        trained = self._store.turns(time.time() - HOUR) if free > 0 and jobs else []
        for _ in range(free):
            chosen = self._next(jobs, training, trained)
            if chosen is None or self._stop.is_set():
                break
            training.add(chosen.id)
            # A process that outlived the service before may still seek a place for it.
            if self._is_training(chosen.id):
                continue
            # Later jobs are compared with what it learns from now.
            is_as_asked(self._store, chosen)
            self._launch(chosen)

    def _next(self, jobs: list[Job], training: set[str], trained: list[Turn]) -> Job | None:
        """Return the job whose turn it is, of those that may start."""
        refused = set()
        for job in in_turn(jobs, training, trained):
            if self._may_start(job):
                break
            refused.add(job.id)
        else:
            return None
        if not refused:
            return job
        # Those that cannot start have no turn.
        others = [other for other in jobs if other.id not in refused]
        order = in_turn(others, training, trained)
        return next((other for other in order if self._may_start(other)), None)

    def _may_start(self, job: Job) -> bool:
        """Return whether nothing is known to keep the job from training.

        A base that is gone is noted in the job's log; one that cannot be loaded shows in its
        process.
        """
        over = self._waits.are_over(job.id, job.base)
        if not over and job.id in self._looked_for:
            return False
        self._looked_for.add(job.id)
        try:
            find(job.base)
        except BaseAway as error:
            if over:
                self._waits.begin(job.base, Exit.NO_BASE)
            wait(self._store, job, Exit.NO_BASE.waiting_for, error)
            return False
        return over

    def _has_process(self, job: Job) -> bool:
        """Return whether a process of this service has the job, or one that outlived another."""
        if job.id in self._processes:
            return True
        return job.status == "running" and self._is_training(job.id)

    def _is_training(self, job_id: str) -> bool:
        """Return whether a process trains this job, whoever started it."""
        try:
            with job_lock(self._home, job_id):
                return False
        except Timeout:
            return True

    # Processes

    def _launch(self, job: Job) -> None:
        # Given up on a full disk, so that the job can still say so.
        disk.keep_reserve(self._home.reserve)
        process = self._prewarmed.take()
        self._processes[job.id] = process
        self._looked_for.discard(job.id)
        if job.place is not None:
            self._store.forget_place(job.id)
        # Where it has just died, the next tick sees its exit code.
        process.begin(job.id)
        _log.info(tr("%s 开始训练", "training of %s starts"), job.id)
        started = f"{job.id} starts in process {process.pid}, log {process.log.name}"
        worker_log.note(self._home, started)
        # People seldom train once. But a job that waits for memory must not wait for this process.
        is_short = job.memory_level > 0 or self._waits.cause(job.base) == Exit.NO_MEMORY
        if not is_short:
            self.prewarm()

    def _react_to_end(self, job_id: str, code: int, process: TrainingProcess) -> None:
        """Decide how a job goes on whose process has ended with this exit code."""
        job = self._store.job(job_id)
        # It was ended along with the service, by the system or by `stop`: no crash.
        if job is None or self._stop.is_set():
            return
        self._to_tidy.add(job_id)
        text = tr("%s 的训练进程结束：%s，代码 %s", "the process of %s ended: %s, code %s")
        _log.info(text, job_id, job.status, code)
        worker_log.note(self._home, f"{job_id} {job.status}, its process ended with code {code}")
        if self._waits_after(job, code):
            return
        if fault := self._trainer.fault():
            # A process without its cluster ends in many ways, none of which is the job's doing.
            self._waits.begin(job.id, Exit.NO_CLUSTER)
            wait(self._store, job, Exit.NO_CLUSTER.waiting_for, fault)
            return
        cause = process.cause_of_end(code)
        _log.warning("%s: %s", job.id, cause)
        if out_of_memory.ran_out(code, cause, process.memory, job):
            self._react_to_lack_of_memory(job, code, process.memory)
            return
        if not cause.passes:
            self._give_up_or_wait(job, cause)
            return
        why = Text.of(cause)
        message = Text(
            f"训练进程意外结束（代码 {code}），将从上一个检查点继续。{why.zh}",
            f"The training process ended unexpectedly (code {code}); "
            f"going on from the last checkpoint. {why.en}",
        )
        crashes = self._store.count_crash(job.id, message)
        if crashes >= CRASHES:
            reason = Text(
                f"训练进程连续 {CRASHES} 次意外结束（代码 {code}）：{why.zh}",
                f"The training process died {CRASHES} times in a row (code {code}): {why.en}",
            )
            self._fail(job, reason)

    def _react_to_lack_of_memory(self, job: Job, code: int, watch: MemoryWatch) -> None:
        """Let a job go on with a smaller plan, once; that has not fitted either, it fails."""
        if job.memory_level > 0:
            self._fail(job, out_of_memory.failed(job, watch), code=out_of_memory.CODE)
            return
        message, data = out_of_memory.retried(job, code, watch)
        self._store.plan_smaller(job.id, message, data)
        self._make_room(job)

    def _make_room(self, job: Job) -> bool:
        """Give back what memory the service can do without; return whether there was any.

        The job's log says so where chat lost a base, since its next answer takes longer. A job on a
        cluster has no use for it.
        """
        if job.place is not None:
            return False
        gave_prewarmed = self._prewarmed.give_back()
        unloaded = self._unload_idle_bases()
        if unloaded:
            self._store.add_note(job.id, out_of_memory.unloaded(unloaded))
        return gave_prewarmed or bool(unloaded)

    def _give_up_or_wait(self, job: Job, cause: causes.Cause) -> None:
        """Fail a new job at once where another attempt would end in the same way.

        One that has trained is worth waiting for: somebody may repair what is broken.
        """
        if not self._home.job_folder(job.id).exists():
            why = Text.of(cause)
            self._fail(job, Text(f"无法训练：{why.zh}", f"Training is not possible: {why.en}"))
            return
        self._waits.begin(job.id, Exit.NOTHING_TO_DO)
        wait(self._store, job, cause.kind, cause)

    def _fail(self, job: Job, reason: Text, *, code: str = "worker_died") -> None:
        error = {"code": code, "message": reason, "param": None}
        self._store.advance(job.id, "failed", reason, error=error)

    def _waits_after(self, job: Job, code: int) -> bool:
        """Return whether this exit code is no crash; begin the wait that it asks for."""
        over = job.status in TERMINAL or job.requested_state != "run"
        if code == Exit.OTHER_VERSION:
            self._prewarmed.is_outdated = True
            return True
        if code in (Exit.NO_MEMORY, Exit.NO_BASE):
            if job.place is not None:
                # What one node does not have, the next may.
                self._waits.begin(job.id, Exit(code))
                return True
            # What the service itself can give back is there at once.
            made_room = code == Exit.NO_MEMORY and self._make_room(job)
            self._waits.begin(job.base, Exit(code), TICK_SECONDS if made_room else None)
            return True
        # It got beyond what it had waited for.
        self._waits.end(job.base)
        if code == Exit.NO_ROOM and not over:
            self._wait_for_disk(job)
        elif code in STOPPED:
            self._waits.begin(job.id, Exit.STOPPED, STOPPED_SECONDS)
        elif code in (Exit.NOTHING_TO_DO, Exit.WORKER_LOST):
            self._waits.begin(job.id, Exit(code), RETRY_SECONDS)
        elif code == Exit.NO_CLUSTER:
            self._waits.begin(job.id, Exit.NO_CLUSTER)
        else:
            self._waits.end(job.id)
            return over or code == Exit.DONE
        return True

    def _note_upgrade(self) -> None:
        """Note in each waiting job's log, once, that it needs a service of the new version."""
        text = Text(
            "cookbook 已升级，正在运行的服务还是旧版本：再运行一次 connect() 那一格，任务接着训练",
            "The cookbook was upgraded while this service runs: run the cell with connect() again, "
            "and the job goes on",
        )
        for job in self._store.unfinished():
            waits = job.requested_state == "run" and job.id not in self._upgrade_noted
            if not waits or self._is_training(job.id):
                continue
            self._upgrade_noted.add(job.id)
            _log.warning("%s: %s", job.id, text)
            self._store.note_waiting(job.id, Exit.OTHER_VERSION.waiting_for, text)

    # The disk

    def _sweep(self) -> None:
        """Remove what ended jobs left behind where a process was killed while it ended them."""
        names = [folder.name.removesuffix(".part") for folder in self._home.models.glob("*")]
        adapters = [name[1] for name in map(ADAPTER.fullmatch, names) if name]
        working = [folder.name for folder in self._home.working_folders.glob("ftjob-*/")]
        for job_id in {*adapters, *working}:
            job = self._store.job(job_id)
            # What the store does not know stays: recovery.py has named it.
            if job and job.status in TERMINAL:
                remove_leftovers(self._home, job_id)
            elif job:
                self._to_tidy.add(job_id)

    def _tidy(self) -> None:
        """Remove the folders of jobs that ended without a process: paused, then cancelled.

        A job that ends while it is trained is tidied up by its process.
        """
        for job_id in self._to_tidy - self._processes.keys():
            job = self._store.job(job_id)
            if job and job.status in TERMINAL and not self._is_training(job_id):
                remove_leftovers(self._home, job_id)
                self._to_tidy.discard(job_id)

    def _wait_for_disk(self, job: Job) -> None:
        self._waits.begin(DISK, Exit.NO_ROOM, WAIT_SECONDS)
        text = Text(
            "磁盘满了，任务等待；腾出空间后自动继续",
            "The disk is full: waiting, going on when there is room",
        )
        _log.warning("%s: %s", job.id, text)
        self._home.reserve.unlink(missing_ok=True)
        # Said once, however often it is tried.
        self._store.note_waiting(job.id, Exit.NO_ROOM.waiting_for, text)

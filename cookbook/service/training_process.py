"""A training process as the supervisor sees it: started, given a job, watched, read afterwards.

    process = TrainingProcess(home)      loads torch, which takes seconds, and waits for a job
    process.begin(job_id)                or process.give_back()
    process.poll(); process.cause_of_end(code)

It outlives the service that started it. What it does is in worker.py.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from cookbook import __version__, environment
from cookbook.causes import Cause
from cookbook.paths import Home
from cookbook.processes import WORKER_MODULE
from cookbook.service import worker_log
from cookbook.service.out_of_memory import MemoryWatch


class TrainingProcess:
    """One process of worker.py.

    Attributes:
        log: where it writes what it has to say.
        memory: how much memory it has, and what the kernel does meanwhile.
    """

    def __init__(self, home: Home):
        with worker_log.create(home) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER_MODULE, str(home.folder), __version__],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Nothing that a reader keeps in the environment beside what training needs.
                env=environment.of_worker(),
                start_new_session=os.name != "nt",
            )
        self.log = Path(log.name)
        self.pid = self._process.pid
        self.memory = MemoryWatch(self.pid)

    def begin(self, job_id: str) -> None:
        """Have it train a job; it takes no other."""
        self.memory = MemoryWatch(self.pid)
        self._send(f"{job_id}\n")

    def give_back(self) -> None:
        """End it, where it has no job."""
        # Without a job's id it ends by itself.
        self._send("")
        self._process.wait()
        self.forget_empty_log()

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        self._process.terminate()

    def cause_of_end(self, code: int) -> Cause:
        """Return why it ended."""
        return worker_log.cause_of_end(self.log, code)

    def forget_empty_log(self) -> None:
        """Remove the log of a process that had nothing to say."""
        worker_log.forget_empty(self.log)

    def _send(self, line: str) -> None:
        """Write its only line of input and close it."""
        # Where it has just died, its exit code tells.
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                with self._process.stdin as pipe:
                    pipe.write(line.encode())

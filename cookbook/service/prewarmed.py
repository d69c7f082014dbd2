"""Keep a training process ready, with torch loaded, for the job that is likely to come next."""

import threading
import time

from cookbook.paths import Home
from cookbook.service.exit_codes import Exit
from cookbook.service.training_process import TrainingProcess

PREWARM_SECONDS = 600.0  # how long a process waits for a job before it gives its memory back


class Prewarmed:
    """At most one process that waits for a job.

    All but `request` and `ask_back` is for the supervisor's thread alone.

    Attributes:
        is_outdated: the package was upgraded, so that training needs a new service.
    """

    def __init__(self, home: Home):
        self._home = home
        self._process: TrainingProcess | None = None
        self._until = 0.0
        self._requested = threading.Event()
        self._asked_back = threading.Event()
        self._given_back = threading.Event()
        self.is_outdated = False

    def request(self) -> None:
        """Ask for a process. Callable from any thread."""
        self._requested.set()

    def ask_back(self, seconds: float) -> bool:
        """Have the process ended by `keep`, and wait for it; return whether there was one.

        Callable from any thread.
        """
        if self._process is None:
            return False
        self._given_back.clear()
        self._asked_back.set()
        return self._given_back.wait(seconds)

    def keep(self, is_training: bool) -> None:
        """Start a process where a job is expected; let it go where none came for long."""
        now = time.monotonic()
        ended = self._process.poll() if self._process else None
        if self._process and ended is not None:
            self.is_outdated = self.is_outdated or ended == Exit.OTHER_VERSION
            # Its log stays, and the process of the next job will meet the same.
            self._process.forget_empty_log()
            self._process = None
        if self._requested.is_set() and not self.is_outdated:
            self._requested.clear()
            self._until = now + PREWARM_SECONDS
            self._process = self._process or TrainingProcess(self._home)
        elif now > self._until and not is_training:
            self.give_back()
        if self._asked_back.is_set():
            self._asked_back.clear()
            self.give_back()
            self._given_back.set()

    def take(self) -> TrainingProcess:
        """Return the process that waits, or a new one."""
        process = self._process or TrainingProcess(self._home)
        self._process = None
        return process

    def give_back(self) -> bool:
        """Give the memory of the process back; return whether there was one."""
        if self._process is None:
            return False
        self._process.give_back()
        self._process = None
        return True

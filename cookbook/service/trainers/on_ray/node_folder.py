"""The folders on a node for what comes from the service.

bases()                        bases that were sent; they stay, for later jobs
folder = JobFolder()           the working folder of a job, until its process ends
"""

import contextlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


def root() -> Path:
    """Return the folder above all others."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "siliconcloud-cookbook"


def bases() -> Path:
    """Return the folder of bases that were sent."""
    return root() / "bases"


class JobFolder:
    """A working folder that belongs to this process; those of processes that died are removed."""

    def __init__(self) -> None:
        # Of this machine alone: several may share a home, and locks may hold on each for itself.
        above = root() / "jobs" / platform.node()
        above.mkdir(parents=True, exist_ok=True)
        # One at a time: a folder that is not locked yet would look like one that is left over.
        with FileLock(above / LOCK):
            for left in above.glob("*/"):
                with contextlib.suppress(Timeout), FileLock(left / LOCK, blocking=False):
                    shutil.rmtree(left, ignore_errors=True)
            self.path = Path(tempfile.mkdtemp(dir=above))
            self._lock = FileLock(self.path / LOCK, blocking=False)
            self._lock.acquire()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()

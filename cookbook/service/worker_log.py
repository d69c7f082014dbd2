"""Keep what a training process writes to standard error: a file for each.

    log = worker_log.create(home)          for `subprocess.Popen(stderr=log)`
    worker_log.cause_of_end(Path(log.name), exit_code)

Several processes can run, and outlive the service: in a file for all of them nobody could tell
whose the last line is, which says why a process ended. The newest `KEPT` files
stay, and none that is empty.
"""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import IO

from cookbook import causes
from cookbook.causes import Cause
from cookbook.paths import Home

KEPT = 20


def create(home: Home) -> IO[bytes]:
    """Return a new file, open for writing, and remove the oldest ones."""
    folder = home.worker_logs
    folder.mkdir(parents=True, exist_ok=True)
    oldest = sorted(folder.glob("worker-*.log"))[: -KEPT + 1]
    for path in oldest:
        # Windows keeps a file that a process still writes to.
        with contextlib.suppress(OSError):
            path.unlink()
    now = time.strftime("%Y%m%d-%H%M%S")
    return tempfile.NamedTemporaryFile(
        dir=folder, prefix=f"worker-{now}-", suffix=".log", delete=False
    )


def cause_of_end(log: Path | None, exit_code: int) -> Cause:
    """Return why the process ended."""
    output = causes.tail(log) if log else b""
    return causes.cause_of_output(output, exit_code, log=log if output else None)


def forget_empty(log: Path | None) -> None:
    """Remove the log of a process that had nothing to say."""
    with contextlib.suppress(OSError):
        if log and not log.stat().st_size:
            log.unlink()

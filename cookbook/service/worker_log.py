"""Keep what a training process writes to standard error: a file for each, and one that names them.

    log = worker_log.create(home)          for `subprocess.Popen(stderr=log)`
    worker_log.note(home, "…")             a line of worker.log: which job, which file, how it ended
    worker_log.cause_of_end(Path(log.name), exit_code)

Several processes can run, and outlive the service: in a file for all of them nobody could tell
whose the last line is, which says why a process ended. The newest `KEPT` files stay, and none that
is empty.
"""

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import IO

from cookbook import causes, data_folder
from cookbook.causes import Cause
from cookbook.paths import Home

KEPT = 20
ENDING = ".log"


def create(home: Home) -> IO[bytes]:
    """Return a new file, open for writing, and remove the oldest ones.

    Where none can be made, as on a full disk, what is written there is lost: the process must start
    all the same, and tells by its exit code that there is no room.
    """
    folder = home.worker_logs
    now = time.strftime("%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_oldest(folder)
        return tempfile.NamedTemporaryFile(
            dir=folder, prefix=f"worker-{now}-", suffix=ENDING, delete=False
        )
    except OSError:
        return open(os.devnull, "wb")


def note(home: Home, text: str) -> None:
    """Add a line to `worker.log`, with the time; on a full disk it is lost."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n"
    with contextlib.suppress(OSError), data_folder.open_log(home.worker_log) as log:
        log.write(line.encode())


def cause_of_end(log: Path | None, exit_code: int) -> Cause:
    """Return why the process ended."""
    output = causes.tail(log) if log else b""
    return causes.cause_of_output(output, exit_code, log=log if output else None)


def forget_empty(log: Path | None) -> None:
    """Remove the log of a process that had nothing to say."""
    with contextlib.suppress(OSError):
        # Not the null device.
        if log and log.suffix == ENDING and log.stat().st_size == 0:
            log.unlink()


def _remove_oldest(folder: Path) -> None:
    logs = sorted(folder.glob(f"worker-*{ENDING}"))
    for path in logs[: -KEPT + 1]:
        # Windows keeps a file that a process still writes to.
        with contextlib.suppress(OSError):
            path.unlink()

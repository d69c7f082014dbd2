"""Try in a process of its own what could stall this one, or end it.

    ended = trial.run("-c", "import torch", seconds=120)

For code that nobody can vouch for: a chat template, a JSON schema, a library that may not fit the
processor. Uploads have processes that stay (`file_check.py`), and so have jobs (`supervisor.py`).
"""

import subprocess
import sys

from cookbook import environment


def run(*arguments: str, seconds: float, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run Python with these arguments and return how it ended, with what it wrote.

    Args:
        given: what the process reads on standard input.

    Raises:
        subprocess.TimeoutExpired: it took longer than so many seconds, and was ended.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        env=environment.of_worker(),
        timeout=seconds,
        # On Windows a console program would open a window.
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )

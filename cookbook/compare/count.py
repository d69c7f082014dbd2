"""Show how many of many requests are done: in Jupyter, in a terminal, to a function, or nowhere.

tell = shown(True)
tell(12, 180)       "12/180 answered, about 5.6 min left"; at the end the line vanishes
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from cookbook.duration import duration
from cookbook.i18n import tr

Progress = Callable[[int, int], None]

REDRAW_SECONDS = 1.0  # between two counts in Jupyter


def shown(progress: bool | Progress) -> Progress:
    """Return where the count goes: Jupyter, the terminal, the caller's function, or nowhere."""
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return _no_count
    # IPython is never imported here: where it is not loaded, there is no notebook.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        return _JupyterCount()
    return _terminal_count if sys.stderr.isatty() else _no_count


def _no_count(done: int, total: int) -> None:
    pass


def _terminal_count(done: int, total: int) -> None:
    count = f"{done}/{total}" if done < total else ""
    sys.stderr.write(f"\r\033[K{count}")
    sys.stderr.flush()


def counted(done: int, total: int, seconds: float) -> str:
    """Return how many of the requests are answered after these seconds, and the time left.

    A real base on a CPU takes minutes for what the tiny one answers in seconds.
    """
    left = duration(seconds / done * (total - done))
    return tr(
        f"已回答 {done}/{total}，还需约 {left}", f"{done}/{total} answered, about {left} left"
    )


class _JupyterCount:
    """One line, updated once a second; empty at the end, so a stored notebook keeps none of it."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._started = self._drawn = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        from IPython.display import display

        over = done == total
        if not over and time.monotonic() - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        count = "" if over else counted(done, total, self._drawn - self._started)
        bundle = {"text/plain": count}
        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif not over:
            self._handle = display(bundle, raw=True, display_id=True)

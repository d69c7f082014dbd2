"""Show how far something is on one line, which vanishes at the end, so that no notebook keeps it.

    tell = shown(True)
    tell(12, 180)       "12/180 answered, about 5.6 min left"
    show = line(True)
    show("waiting")     any text; "" in the end

In Jupyter, in a terminal, to a function of the caller, or nowhere.
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
    if _in_jupyter():
        return _JupyterCount()
    return _terminal_count if sys.stderr.isatty() else _no_count


def line(progress: bool) -> Callable[[str], None]:
    """Return where a line of text goes: Jupyter, the terminal, or nowhere."""
    if progress and _in_jupyter():
        return _JupyterLine()
    return _terminal_line if progress and sys.stderr.isatty() else _no_line


def _in_jupyter() -> bool:
    # IPython is never imported here: where it is not loaded, there is no notebook.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _no_count(done: int, total: int) -> None:
    pass


def _no_line(text: str) -> None:
    pass


def _terminal_count(done: int, total: int) -> None:
    _terminal_line(f"{done}/{total}" if done < total else "")


def _terminal_line(text: str) -> None:
    sys.stderr.write(f"\r\033[K{text}")
    sys.stderr.flush()


def counted(done: int, total: int, seconds: float) -> str:
    """Return how many of the requests are answered after these seconds, and the time left.

    A real base on a CPU takes minutes for what the tiny one answers in seconds.
    """
    left = duration(seconds / done * (total - done))
    return tr(
        f"已回答 {done}/{total}，还需约 {left}", f"{done}/{total} answered, about {left} left"
    )


class _JupyterLine:
    """One line, drawn again and again in the same place; nothing before the first text."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif text:
            self._handle = display(bundle, raw=True, display_id=True)


class _JupyterCount:
    """A count, drawn once a second; empty at the end."""

    def __init__(self) -> None:
        self._line = _JupyterLine()
        self._started = self._drawn = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        over = done == total
        if not over and time.monotonic() - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        self._line("" if over else counted(done, total, self._drawn - self._started))

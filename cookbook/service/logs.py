"""Keep the service's log readable and small, whatever is done to the service.

A warning that repeats is written `LOG_REPEATS` times a minute, and the next minute says how often
it came. The files themselves are kept short by `disk.keep_short`.
"""

import logging
import sys
import time
from types import TracebackType

from cookbook.i18n import tr
from cookbook.service import limits
from cookbook.terminal import printable

WINDOW_SECONDS = 60.0
MOST_KINDS = 500  # of messages that are counted apart


def log_to_stderr() -> None:
    """Show the service's own messages, and of the libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(asctime)s %(name)s %(message)s"))
    handler.addFilter(Repeats())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("cookbook").setLevel(logging.INFO)


class _Printable(logging.Formatter):
    """Show control characters, which a request may bring, instead of sending them to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class Repeats(logging.Filter):
    """Let a warning through only so often; everything below a warning always."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple, tuple[float, int]] = {}  # (begin of the minute, times since)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        kind = _kind(record)
        now = time.monotonic()
        begin, times = self._seen.get(kind, (now, 0))
        if now - begin > WINDOW_SECONDS:
            _add_count(record, hidden=times - limits.LOG_REPEATS)
            begin, times = now, 0
        # Texts that never come again must not pile up.
        if len(self._seen) >= MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = begin, times + 1
        return times < limits.LOG_REPEATS


def _add_count(record: logging.LogRecord, hidden: int) -> None:
    """Add to the message how often it was not written."""
    if hidden > 0:
        text = tr(f"（此前又出现 {hidden} 次）", f" ({hidden} more before)")
        record.msg = record.getMessage() + text
        record.args = None


def _kind(record: logging.LogRecord) -> tuple:
    """Return what the same message has in common: its text, and where its error was raised."""
    _, error, trace = record.exc_info or (None, None, None)
    text = str(record.msg)
    return record.name, text, type(error), _raised_at(trace)


def _raised_at(trace: TracebackType | None) -> tuple[str, int] | None:
    place = None
    while trace:
        code = trace.tb_frame.f_code
        place = code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return place

"""Know whether somebody uses the service, which ends itself when nobody does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activity:
    """Requests under way, and when the last one ended."""

    def __init__(self) -> None:
        self._open, self._last = 0, time.monotonic()

    @contextmanager
    def request(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._last = time.monotonic()

    @property
    def in_use(self) -> bool:
        """Return whether a request is under way."""
        return self._open > 0

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self._open else time.monotonic() - self._last

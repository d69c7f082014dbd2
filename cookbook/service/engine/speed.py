"""Measure how fast answers are generated at present.

    speed.add(seconds, tokens)       after each pass, in the engine's thread
    speed.read()                     tokens per second, all answers together; from any thread

Only the time of passes counts, prompts included: an engine that nobody asks is not slow.
"""

import threading
import time
from collections import deque

WINDOW = 300  # seconds that `read` looks back


class Speed:
    """Tokens and seconds of the last minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # (clock in whole seconds, seconds of passes, tokens): an entry a second, not a pass.
        self._seconds: deque[tuple[int, float, int]] = deque(maxlen=WINDOW)

    def add(self, seconds: float, tokens: int) -> None:
        """Count a pass that took so long and chose so many tokens."""
        now = int(time.monotonic())
        with self._lock:
            if self._seconds and self._seconds[-1][0] == now:
                _, earlier_seconds, earlier_tokens = self._seconds.pop()
                seconds += earlier_seconds
                tokens += earlier_tokens
            self._seconds.append((now, seconds, tokens))

    def read(self) -> float | None:
        """Return the tokens per second of the last minutes; None where nothing was generated."""
        since = time.monotonic() - WINDOW
        with self._lock:
            recent = [entry for entry in self._seconds if entry[0] >= since]
        seconds = sum(entry[1] for entry in recent)
        tokens = sum(entry[2] for entry in recent)
        return tokens / seconds if tokens and seconds else None

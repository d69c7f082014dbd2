"""Remember what the queue waits for, and when it is time to try again."""

import time
from dataclasses import dataclass

from cookbook.service.exit_codes import Exit

WAIT_SECONDS = 10.0  # before a job that waits is tried again; doubled each time
LONGEST_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Wait:
    """A wait for something: until when, as `time.monotonic` counts, and for how long at first."""

    cause: Exit
    until: float
    seconds: float


class Waits:
    """What is waited for, by a job's id, the name of its base, or the disk."""

    def __init__(self) -> None:
        self._waits: dict[str, Wait] = {}

    def begin(self, key: str, cause: Exit, seconds: float | None = None) -> None:
        """Wait `seconds`; without them twice as long as the last time."""
        if seconds is None:
            last = self._waits.get(key)
            doubled = 2 * last.seconds if last else 0
            seconds = min(max(doubled, WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        self._waits[key] = Wait(cause, time.monotonic() + seconds, seconds)

    def end(self, key: str) -> None:
        self._waits.pop(key, None)

    def end_all(self, cause: Exit) -> None:
        """End every wait for this: it is there again."""
        self._waits = {key: wait for key, wait in self._waits.items() if wait.cause != cause}

    def are_over(self, *keys: str) -> bool:
        """Return whether it is time to try again."""
        now = time.monotonic()
        return all(now >= self._waits[key].until for key in keys if key in self._waits)

    def cause(self, key: str) -> Exit | None:
        """Return what the last wait was for; None once it was got over."""
        wait = self._waits.get(key)
        return wait.cause if wait else None

"""Say how far a download is: bytes, speed, time that is left."""

import time
from collections import deque
from dataclasses import dataclass

from cookbook.hubs import room
from cookbook.i18n import tr

SPEED_SECONDS = 10.0  # over which the speed is measured
MOMENT_SECONDS = 0.2  # between two measurements


@dataclass(frozen=True)
class Progress:
    """How far a download is.

    Attributes:
        done: bytes that are there.
        total: bytes of all files.
        bytes_per_second: of the last seconds; None while nothing comes.
        seconds_left: at that speed; None where it is not known.
        file: what is being fetched or read.
    """

    done: int
    total: int
    bytes_per_second: float | None
    seconds_left: float | None
    file: str


class Meter:
    """Adds up the files, and measures the speed of the last seconds."""

    def __init__(self, total: int):
        self._total = total
        self._done = self._received = 0  # of the files before
        self._recent: deque[tuple[float, int]] = deque()

    def at(self, done: int, received: int, file: str) -> Progress:
        """Return the progress with so much of the current file there, and received just now.

        What was there before is read much faster than anything is received.
        """
        done += self._done
        received += self._received
        now = time.monotonic()
        recent = self._recent
        # One entry for a moment, however often a block comes.
        if not recent or now - recent[-1][0] > MOMENT_SECONDS:
            recent.append((now, received))
        # The oldest that is recent enough stays, to measure from.
        while now - recent[0][0] > SPEED_SECONDS and len(recent) > 1:
            recent.popleft()
        since, before = recent[0]
        is_known = now > since and received > before
        speed = (received - before) / (now - since) if is_known else None
        left = (self._total - done) / speed if speed else None
        return Progress(done, self._total, speed, left, file)

    def finish(self, size: int, received: int) -> None:
        """Count a file as done."""
        self._done += size
        self._received += received


def described(progress: Progress) -> str:
    """Return how far a download is, in a line."""
    share = progress.done / max(progress.total, 1)
    text = f"{share:.0%}, {room.size(progress.done)} / {room.size(progress.total)}"
    if progress.bytes_per_second:
        text += f", {room.size(int(progress.bytes_per_second))}/s"
    if progress.seconds_left and progress.seconds_left >= 1:
        text += tr("，还要", ", left: ") + _duration(progress.seconds_left)
    return text


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes >= 1:
        return tr(f"约 {minutes:.0f} 分钟", f"about {minutes:.0f} min")
    return tr(f"约 {seconds:.0f} 秒", f"about {seconds:.0f} s")

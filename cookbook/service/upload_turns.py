"""Check few uploads at a time, and let the people of a room take turns.

    async with turns.of(caller):
        content = await upload.read()

Whoever sends twenty large files at once waits for themselves: only one of them is checked, or waits
for a check, so the next person's small file comes second and not last.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cookbook.service import limits
from cookbook.service.callers import Caller


class UploadTurns:
    """The uploads that are being checked; the limit is read when this is made."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(limits.UPLOADS)
        # Of everybody who has uploaded: not more than a room has people.
        self._own: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def of(self, caller: Caller) -> AsyncIterator[None]:
        """Wait for the caller's turn, and keep the place until the end of the block."""
        if caller.is_leader:
            async with self._slots:
                yield
            return
        own = self._own.setdefault(caller.name, asyncio.Lock())
        # Both wait in the order of arrival.
        async with own, self._slots:
            yield

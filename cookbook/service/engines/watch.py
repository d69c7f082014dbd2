"""Notice that an engine has ended and left its streams open.

    watch = Watch(engine_is_there)
    async with watch.over_stream():         raises TimeoutError once the engine is not there
        async for event in events:
            watch.heard()

vLLM that is told to end stops generating first, and then waits until its clients close their
streams, which say nothing more. A stream may also be silent because others are answered before it.
So an engine that is silent for some seconds is asked whether it is there.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

SILENT_SECONDS = 5.0  # on all streams together, until the engine is asked


class Watch:
    """Watches the streams of one engine, as long as there are any.

    Args:
        is_there: asks the engine; False where it is known to have ended.
    """

    def __init__(self, is_there: Callable[[], Awaitable[bool]]) -> None:
        self._is_there = is_there
        self._limits: set[asyncio.Timeout] = set()
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def over_stream(self) -> AsyncIterator[None]:
        """Raise TimeoutError in the body once the engine is not there."""
        async with asyncio.timeout(None) as limit:
            self._limits.add(limit)
            if self._task is None or self._task.done():
                self.heard()
                self._task = asyncio.create_task(self._run())
            try:
                yield
            finally:
                self._limits.discard(limit)

    def heard(self) -> None:
        """Say that the engine has sent something."""
        self._heard_at = time.monotonic()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._limits:
            await asyncio.sleep(SILENT_SECONDS)
            if time.monotonic() - self._heard_at < SILENT_SECONDS:
                continue
            asked_at = time.monotonic()
            if await self._is_there() or self._heard_at > asked_at:
                continue
            for limit in list(self._limits):
                limit.reschedule(asyncio.get_running_loop().time())
            self._limits.clear()

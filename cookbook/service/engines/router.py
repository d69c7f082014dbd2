"""Answer chat where its base is served: by an engine, or by the embedded one.

    chat = ChatRouter(ChatEngine(), settings, home)
    threading.Thread(target=chat.load, args=(base,), daemon=True).start()
    generation = chat.submit(request, on_piece)
    chat.close()

The same contract as `ChatEngine`. What an engine lists is answered there. The project's own tiny
base is answered in this process where no engine lists it; any other base never is, since whoever
has set up an engine has no memory for it here. The engines are asked in a thread with a loop of its
own.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any

from cookbook.bases import Base
from cookbook.engine_options import EngineSettings
from cookbook.i18n import Text
from cookbook.paths import Home
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.chat_request import ChatRequest, Generation, OnPiece, Piece, internal_error
from cookbook.service.engines.faults import EngineFault
from cookbook.service.engines.pool import Pool
from cookbook.service.neighbours import Neighbours

TIDY_SECONDS = 60.0  # between two looks at the engines
START_SECONDS = 20.0  # that the first look may take, before the embedded engine is loaded

_log = logging.getLogger("cookbook")


class ChatRouter:
    """The engines, and the embedded one beside them.

    Args:
        embedded: answers for the tiny base; loaded when it is first needed.
    """

    def __init__(self, embedded: ChatEngine, settings: EngineSettings, home: Home) -> None:
        self._embedded = embedded
        self._loaded = False  # the embedded engine, or it is being loaded
        self._lock = threading.Lock()  # of the line above
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engines", daemon=True)
        self._thread.start()
        self._pool = self._start(_made(settings, home)).result()
        self._looked = asyncio.Event()  # at the engines, once
        self._tidying: asyncio.Task[None] | None = None

    @property
    def neighbours(self) -> Neighbours:
        """Who has the rest of this machine's memory; to be set before `load`."""
        return self._embedded.neighbours

    @neighbours.setter
    def neighbours(self, neighbours: Neighbours) -> None:
        self._embedded.neighbours = neighbours

    def load(self, base: Base) -> None:
        """Look at the engines; load the embedded one where it will answer for this base.

        Requests wait until then: a service that finds its folder in use touches no engine.
        """
        try:
            self._start(self._begin()).result(START_SECONDS)
        except CancelledError:
            # Closed meanwhile.
            return
        except TimeoutError:
            # An engine that takes longer to answer keeps nobody waiting here.
            pass
        if base.is_shipped and not self._pool.serves(base):
            self._load_embedded(base)

    def submit(self, request: ChatRequest, on_piece: OnPiece) -> Generation:
        """Start an answer. `on_piece` is called in a thread of the engines."""
        generation = _Generation()
        generation.future = self._start(self._answer(request, on_piece, generation))
        return generation

    def unload_idle(self) -> list[str]:
        """Give back the memory of the embedded engine's bases; return their names."""
        return self._embedded.unload_idle()

    def tokens_per_second(self) -> float | None:
        """Return how fast answers were generated in the last minutes; None if none were."""
        speeds = [self._pool.speed.read(), self._embedded.tokens_per_second()]
        known = [speed for speed in speeds if speed is not None]
        return sum(known) if known else None

    def close(self) -> None:
        """End every answer of the engines, and their connections."""
        self._start(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _answer(
        self, request: ChatRequest, on_piece: OnPiece, generation: "_Generation"
    ) -> None:
        try:
            await self._looked.wait()
            if request.base.is_shipped and not self._pool.serves(request.base):
                self._load_embedded(request.base)
                generation.follow(self._embedded.submit(request, on_piece))
                return
            await self._pool.answer(request, on_piece)
        except EngineFault as error:
            on_piece(Piece.failed(Text.of(error), error.code))
        except Exception as error:
            _log.exception("an engine's answer could not be read")
            on_piece(Piece.failed(internal_error(error), "engine_error"))

    def _load_embedded(self, base: Base) -> None:
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
        target = self._embedded.load
        threading.Thread(target=target, args=(base,), name="chat-loader", daemon=True).start()

    async def _begin(self) -> None:
        """Return after the first look at the engines; more of them follow."""
        self._tidying = asyncio.create_task(self._tidy())
        await self._looked.wait()

    async def _tidy(self) -> None:
        """Look at the engines now and from time to time, and unload what was deleted."""
        try:
            await self._pool.look()
        finally:
            self._looked.set()
        while True:
            try:
                await self._pool.tidy()
            except Exception:
                # Such as a folder that cannot be read: answers go on.
                _log.exception("the engines could not be looked at")
            await asyncio.sleep(TIDY_SECONDS)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pool.close()


async def _made(settings: EngineSettings, home: Home) -> Pool:
    # In the loop, to which what it holds belongs.
    return Pool(settings, home)


class _Generation:
    """An answer on its way from an engine, or from the embedded one."""

    def __init__(self) -> None:
        self.future: Future[Any] | None = None
        self._followed: Generation | None = None
        self._cancelled = False

    def follow(self, generation: Generation) -> None:
        """Pass on to another one what is asked of this."""
        self._followed = generation
        # `cancel` sets its mark before it looks here, so one of the two sees the other.
        if self._cancelled:
            generation.cancel()

    def cancel(self) -> None:
        self._cancelled = True
        if self._followed:
            self._followed.cancel()
        # It closes the connection to the engine, which stops there.
        if self.future:
            self.future.cancel()

"""Choose an engine for each answer, and another one where that fails.

    pool = Pool(settings, home)
    await pool.look()
    await pool.answer(request, on_piece)        raises EngineFault where no engine answers

The engine with the fewest answers under way is asked; one that has the adapter is preferred until
it has `CLEARLY_MORE` than the idlest. Where an engine fails before the client was sent anything,
the next one is asked.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from contextlib import aclosing

from cookbook.bases import Base
from cookbook.engine_options import EngineSettings
from cookbook.i18n import tr
from cookbook.paths import Home
from cookbook.quoted import without_password
from cookbook.service.chat_request import ChatRequest, OnPiece, Piece
from cookbook.service.engine.speed import Speed
from cookbook.service.engines import faults, wire
from cookbook.service.engines.adapters import Adapters
from cookbook.service.engines.faults import EngineFault, NotLoaded, TooLong
from cookbook.service.engines.folder import own_folder, shared_folder
from cookbook.service.engines.remote import AWAY_SECONDS, RemoteEngine

CLEARLY_MORE = 8  # answers under way, for which an adapter is loaded elsewhere as well

_log = logging.getLogger("cookbook")


class Pool:
    """All engines.

    Attributes:
        speed: how fast answers come, all engines together.
    """

    def __init__(self, settings: EngineSettings, home: Home) -> None:
        self.engines = [RemoteEngine(one, settings.key) for one in settings.addresses]
        self.speed = Speed()
        self._is_shared = settings.models is not None
        self._folder = own_folder(home)
        if settings.models is not None:
            self._folder = shared_folder(home, settings.models, settings.models_there)
        self._adapters: dict[RemoteEngine, Adapters] = {}
        for engine in self.engines:
            sees = self._is_shared or engine.is_here
            self._adapters[engine] = Adapters(engine, self._folder if sees else None)
        for one in self._adapters.values():
            one.siblings = [other for other in self._adapters.values() if other is not one]
        self._said: dict[RemoteEngine, str] = {}
        self._counted_at = 0.0

    async def look(self, *, newer_than: float = 0.0) -> None:
        """Find out what every engine serves; log what is new."""
        looks = [self._look(engine, newer_than) for engine in self.engines]
        await asyncio.gather(*looks)

    async def tidy(self) -> None:
        """Look at every engine, unload what belongs to deleted models, remove copies left over."""
        await self.look()
        for engine, adapters in self._adapters.items():
            # It may go away meanwhile.
            with contextlib.suppress(EngineFault):
                if engine.fault is None:
                    await adapters.tidy()
        async with contextlib.AsyncExitStack() as stack:
            for adapters in self._adapters.values():
                await stack.enter_async_context(adapters.at_rest())
            # What an engine has that is away is not known.
            if not any(engine.fault for engine in self.engines):
                listed = [path for engine in self.engines for path in engine.listed.values()]
                await asyncio.to_thread(self._folder.remove_all_but, listed)

    def serves(self, base: Base) -> bool:
        """Return whether an engine serves the base, as far as is known."""
        return any(engine.name_of(base) is not None for engine in self.engines)

    async def answer(self, request: ChatRequest, on_piece: OnPiece) -> None:
        """Hand the pieces of an answer to `on_piece`, from whichever engine gives it.

        Raises:
            EngineFault: none does, or one broke off in the middle.
        """
        if not self.serves(request.base):
            # One may have been started since.
            await self.look(newer_than=AWAY_SECONDS)
        tried: list[RemoteEngine] = []
        failed: list[EngineFault] = []
        sent = False

        def send(piece: Piece) -> None:
            nonlocal sent
            sent = True
            on_piece(piece)

        while engine := self._choose(request, tried):
            tried.append(engine)
            try:
                await self._answer_from(engine, request, send)
                return
            except EngineFault as error:
                self._say(engine)
                if sent or not error.elsewhere:
                    raise
                failed.append(error)
        raise faults.joined(failed) if failed else self._why_none(request.base)

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close()

    def _choose(self, request: ChatRequest, tried: list[RemoteEngine]) -> RemoteEngine | None:
        """Return the engine to ask next; None where there is none left."""
        found: list[tuple[bool, int, bool, float, int, RemoteEngine]] = []
        for engine in self.engines:
            if engine in tried or engine.name_of(request.base) is None:
                continue
            has = request.adapter is None or self._adapters[engine].has(request.model)
            rank = engine.under_way + (0 if has else CLEARLY_MORE)
            # One that is away is asked where no other is left: it may be back.
            found.append((engine.is_away, rank, not has, engine.used_at, len(found), engine))
        return min(found)[-1] if found else None

    def _why_none(self, base: Base) -> EngineFault:
        away = []
        for engine in self.engines:
            # One that was never reached may serve it, too.
            if engine.fault and (not engine.bases or engine.name_of(base)):
                away.append(engine.fault)
        if away:
            return faults.joined(away)
        served = {engine.address: list(engine.bases) for engine in self.engines}
        return faults.no_engine_for(base, served)

    async def _answer_from(
        self, engine: RemoteEngine, request: ChatRequest, on_piece: OnPiece
    ) -> None:
        with self._under_way(engine):
            # Back again, with other adapters or another base.
            if engine.fault is not None:
                await engine.look()
                self._say(engine)
            name = engine.name_of(request.base)
            if name is None:
                raise self._why_none(request.base)
            if request.adapter is None:
                await self._ask_base(engine, name, request, on_piece)
                return
            adapters = self._adapters[engine]
            async with adapters.use(request.model, request.adapter):
                try:
                    await self._ask(engine, request.model, request, on_piece)
                except NotLoaded:
                    await adapters.load_again(request.model, request.adapter)
                    await self._ask(engine, request.model, request, on_piece)

    async def _ask_base(
        self, engine: RemoteEngine, name: str, request: ChatRequest, on_piece: OnPiece
    ) -> None:
        try:
            await self._ask(engine, name, request, on_piece)
        except NotLoaded:
            # Restarted with another base, or under another name.
            await engine.look()
            found = engine.name_of(request.base)
            if found is None:
                raise self._why_none(request.base) from None
            await self._ask(engine, found, request, on_piece)

    async def _ask(
        self, engine: RemoteEngine, name: str, request: ChatRequest, on_piece: OnPiece
    ) -> None:
        try:
            await self._read(engine, name, request, on_piece, limited=True)
        except TooLong:
            # The embedded engine takes `max_tokens` for a limit, vLLM for room that must be there.
            if not request.max_tokens:
                raise
            await self._read(engine, name, request, on_piece, limited=False)

    async def _read(
        self,
        engine: RemoteEngine,
        name: str,
        request: ChatRequest,
        on_piece: OnPiece,
        *,
        limited: bool,
    ) -> None:
        route, body = wire.to_engine(request, name, limited=limited)
        reading = wire.Reading(request)
        async with aclosing(engine.stream(route, body, request)) as events:
            async for event in events:
                if event is None:
                    break
                try:
                    piece = reading.take(event)
                except (ValueError, LookupError, TypeError, AttributeError) as error:
                    reason = str(error) or type(error).__name__
                    raise faults.broke_off(engine.address, reason) from error
                if piece is not None:
                    self._count(reading.new_tokens())
                    on_piece(piece)
        last = reading.end()
        if last is None:
            raise faults.broke_off(engine.address, "EOF")
        self._count(reading.new_tokens())
        on_piece(last)

    @contextlib.contextmanager
    def _under_way(self, engine: RemoteEngine) -> Iterator[None]:
        # An engine that nobody asks is not slow.
        if not any(one.under_way for one in self.engines):
            self._counted_at = time.monotonic()
        engine.under_way += 1
        engine.used_at = time.monotonic()
        try:
            yield
        finally:
            engine.under_way -= 1

    def _count(self, tokens: int) -> None:
        now = time.monotonic()
        self.speed.add(now - self._counted_at, tokens)
        self._counted_at = now

    async def _look(self, engine: RemoteEngine, newer_than: float) -> None:
        # Its fault is kept, and said.
        with contextlib.suppress(EngineFault):
            await engine.look(newer_than=newer_than)
        self._say(engine)

    def _say(self, engine: RemoteEngine) -> None:
        """Log what an engine serves, or why it does not, where that is new."""
        text = str(engine.fault) if engine.fault else self._description(engine)
        if self._said.get(engine) == text:
            return
        self._said[engine] = text
        _log.log(logging.WARNING if engine.fault else logging.INFO, text)

    def _description(self, engine: RemoteEngine) -> str:
        names = ", ".join(engine.bases)
        shown = without_password(engine.address)
        text = tr(f"推理引擎 {shown} 提供 {names}", f"the engine at {shown} serves {names}")
        if not engine.loads_adapters:
            return tr(f"{text}。", f"{text}. ") + str(faults.no_runtime_loading(engine.address))
        if not self._is_shared and not engine.is_here:
            return tr(f"{text}。", f"{text}. ") + str(faults.no_folder(engine.address))
        return text + tr("，能加载适配器", " and loads adapters")

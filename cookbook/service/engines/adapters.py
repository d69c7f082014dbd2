"""Which adapters of this service an engine has loaded.

    adapters = Adapters(engine, folder)
    async with adapters.use(name, source): …        loaded before, and not unloaded meanwhile
    async with adapters.at_rest(): …                nothing is loaded or unloaded meanwhile
    await adapters.tidy()                           unload those whose model was deleted

An adapter has the name of its model. Of this service's own at most `MOST` are loaded; another one
takes the place of the one that was asked longest ago and is not asked now. What the engine lists
under a model's name and was not given by this service is used as it is, and never unloaded.

vLLM ends where it reads an adapter again and finds no folder. So what an engine may still have is
never removed: not while it is asked, not where unloading failed, not where the engine is away.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from cookbook.service.engines import faults
from cookbook.service.engines.faults import EngineFault
from cookbook.service.engines.folder import AdapterFolder
from cookbook.service.engines.remote import RemoteEngine

MOST = 16


class Adapters:
    """The adapters of one engine.

    Args:
        folder: None where the engine sees no folder of this service.

    Attributes:
        siblings: those of the other engines, which may have the same copies.
    """

    def __init__(self, engine: RemoteEngine, folder: AdapterFolder | None) -> None:
        self._engine = engine
        self._folder = folder
        self._in_use: Counter[str] = Counter()
        self._asked: list[str] = []  # names, the one that was asked last at the end
        # One after the other, as the engine does it anyway.
        self._loading = asyncio.Lock()
        self._loads: set[asyncio.Task[None]] = set()
        self.siblings: list[Adapters] = []

    def has(self, name: str) -> bool:
        """Return whether the adapter is loaded, as far as is known."""
        return name in self._engine.listed

    @contextlib.asynccontextmanager
    async def use(self, name: str, source: Path) -> AsyncIterator[None]:
        """Have the adapter loaded, and keep it so.

        Raises:
            EngineFault: it cannot be loaded.
        """
        self._in_use[name] += 1
        if name in self._asked:
            self._asked.remove(name)
        self._asked.append(name)
        try:
            if not self.has(name):
                await self._load(name, source)
            yield
        finally:
            self._in_use[name] -= 1

    async def load_again(self, name: str, source: Path) -> None:
        """Load an adapter that the engine has lost, as by a restart.

        Raises:
            EngineFault: it cannot be loaded.
        """
        await self._engine.look()
        if not self.has(name):
            await self._load(name, source)

    async def tidy(self) -> None:
        """Unload the adapters whose models are gone, and give again a copy that is gone.

        Raises:
            EngineFault: the engine has not unloaded one.
        """
        async with self._loading:
            for name in self._own():
                await self._tidy_one(name, self._engine.listed[name])

    @contextlib.asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Have nothing loaded or unloaded meanwhile."""
        async with self._loading:
            yield

    def holds(self, path: str) -> bool:
        """Return whether the engine has an adapter from this path."""
        return path in self._engine.listed.values()

    def is_asked(self, name: str) -> bool:
        """Return whether an answer of the adapter is under way, or waits for it to be loaded."""
        return self._in_use[name] > 0

    async def _tidy_one(self, name: str, path: str) -> None:
        source = self._folder.source_of(path) if self._folder else None
        if self._folder is None or source is None:
            return
        if not source.is_dir():
            if not self.is_asked(name):
                await self._unload(name)
        elif not self._folder.has_copy(path):
            await self._give(self._folder, name, source)

    async def _load(self, name: str, source: Path) -> None:
        # To its end, as in the engine, even where the client leaves: its copy must stay until then.
        load = asyncio.create_task(self._load_in_turn(name, source))
        self._loads.add(load)
        load.add_done_callback(self._loads.discard)
        await asyncio.shield(load)

    async def _load_in_turn(self, name: str, source: Path) -> None:
        async with self._loading:
            # Another request may have waited for the same, or whoever asked has left.
            if self.has(name) or not self.is_asked(name):
                return
            if self._folder is None:
                raise faults.no_folder(self._engine.address)
            path = await self._give(self._folder, name, source)
            try:
                await self._engine.load(name, path)
            except EngineFault:
                # One that did not answer may have loaded it.
                if self._engine.fault is None:
                    await self._take_back(self._folder, name, path)
                raise
            # Only now: one that is refused takes nobody's place. What the engine does not unload
            # keeps no answer back; the next load tries it again.
            with contextlib.suppress(EngineFault):
                await self._make_room()

    async def _give(self, folder: AdapterFolder, name: str, source: Path) -> str:
        try:
            # Copied in a thread: it may have hundreds of megabytes.
            return await asyncio.to_thread(folder.give, source)
        except FileNotFoundError as error:
            raise faults.adapter_gone(name) from error
        except OSError as error:
            raise faults.folder_not_writable(error, str(folder.here)) from error

    async def _make_room(self) -> None:
        """Unload the adapters that were asked longest ago, but for those that are asked now."""
        own = self._own()
        for name in own:
            if len(own) <= MOST:
                return
            if not self.is_asked(name):
                await self._unload(name)
                own = [other for other in own if other != name]

    async def _unload(self, name: str) -> None:
        path = self._engine.listed[name]
        await self._engine.unload(name)
        with contextlib.suppress(ValueError):
            self._asked.remove(name)
        if self._folder is not None:
            await self._take_back(self._folder, name, path)

    async def _take_back(self, folder: AdapterFolder, name: str, path: str) -> None:
        # Another engine may read the same copy, or be about to.
        needed = any(one.holds(path) or one.is_asked(name) for one in self.siblings)
        if not needed and not self.holds(path):
            await asyncio.to_thread(folder.take_back, path)

    def _own(self) -> list[str]:
        """Return the adapters that the engine was given by this service, the last asked last."""
        if self._folder is None:
            return []
        own = []
        for name, path in self._engine.listed.items():
            if self._folder.source_of(path) is not None:
                own.append(name)
        order = {name: number for number, name in enumerate(self._asked)}
        return sorted(own, key=lambda name: order.get(name, -1))

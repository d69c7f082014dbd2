"""One engine: its routes, what it serves, and whether it can be reached.

    engine = RemoteEngine("http://127.0.0.1:8000", key)
    await engine.look()                         what it serves now
    await engine.load(name, path); await engine.unload(name)
    async for event in engine.stream(route, body, request): …

Everything runs in the loop of `router.py`. An engine that could not be reached is away for some
seconds; `pool.py` asks the others meanwhile. One in this network is reached without a proxy, any
other through the environment's.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from cookbook.address import is_loopback
from cookbook.bases import Base
from cookbook.proxies import is_near
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engines import faults, wire
from cookbook.service.engines.faults import EngineFault
from cookbook.service.engines.watch import Watch

AWAY_SECONDS = 5.0  # that an engine which could not be reached is left alone
CONNECT_SECONDS = 5.0
KEEP_SECONDS = 2.0  # that an idle connection is kept; vLLM closes one after 5
LOOK_SECONDS = 10.0  # for the list of models
LOAD_SECONDS = 300.0  # for an adapter, from a slow disk
SILENT_SECONDS = 600.0  # without a token, as where many requests wait before this one
_LONGEST_ERROR = 64 * 1024  # bytes

# Not all of them are httpx's own, such as one about a name that is too long for DNS.
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)

HEALTH = "/health"
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


class RemoteEngine:
    """An engine behind an address.

    Attributes:
        bases: what it serves: the name of each base, with the folder or hub name it was loaded
            from.
        listed: the adapters that it lists, with the path of each.
        loads_adapters: whether it loads adapters while it runs; None before that is known.
        fault: why it could not be reached last; None while it can.
        under_way: answers of ours.
        used_at: when it was chosen last.
    """

    def __init__(self, address: str, key: str | None = None) -> None:
        self.address = address
        self.host = urlsplit(address).hostname or ""
        self.bases: dict[str, str] = {}
        self.listed: dict[str, str] = {}
        self.loads_adapters: bool | None = None
        self.fault: EngineFault | None = None
        self.under_way = 0
        self.used_at = 0.0
        self._away_until = 0.0
        self._looked_at = 0.0
        self._changes = 0  # adapters loaded or unloaded so far
        self._client = _client(address, self.host, key)
        self._watch = Watch(self._is_there)

    @property
    def is_here(self) -> bool:
        """Return whether it runs on this machine."""
        return is_loopback(self.host)

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def name_of(self, base: Base) -> str | None:
        """Return the name under which it serves the base; None where it does not."""
        for name, root in self.bases.items():
            if name == base.id or root in (base.id, base.source):
                return name
        return None

    async def look(self, *, newer_than: float = 0.0) -> None:
        """Find out what the engine serves.

        Args:
            newer_than: keep what is not older than so many seconds.

        Raises:
            EngineFault: it cannot be reached, refuses the key, or is another kind of server.
        """
        if newer_than and self.fault is not None and self.is_away:
            raise self.fault
        if self.fault is None and time.monotonic() - self._looked_at < newer_than:
            return
        changes = -1
        while changes != self._changes:
            # Again, where the list may be older than what was loaded or unloaded meanwhile.
            changes = self._changes
            bases, listed = await self._models()
        self.bases, self.listed = bases, listed
        # A restarted one may have been given other options.
        if self.loads_adapters is None or self.fault is not None:
            self.loads_adapters = await self._has_route()
        self.fault = None
        self._looked_at = time.monotonic()

    async def load(self, name: str, path: str) -> None:
        """Load an adapter; one that is loaded already is all right.

        Raises:
            EngineFault: it was not loaded.
        """
        body = {"lora_name": name, "lora_path": path}
        status, content = await self._call("POST", LOAD, body, seconds=LOAD_SECONDS)
        if status != 200:
            text = faults.message_of(content)
            if fault := faults.load_refused(self.address, status, text, path):
                raise fault
        self.loads_adapters = True
        self.listed[name] = path
        self._changes += 1

    async def unload(self, name: str) -> None:
        """Unload an adapter; one that is not loaded is all right.

        Raises:
            EngineFault: the engine cannot be reached, or has not unloaded it.
        """
        body = {"lora_name": name}
        status, content = await self._call("POST", UNLOAD, body, seconds=LOAD_SECONDS)
        if status not in (200, 404):
            raise faults.not_unloaded(self.address, status, faults.message_of(content))
        self.listed.pop(name, None)
        self._changes += 1

    async def stream(
        self, route: str, body: dict[str, Any], request: ChatRequest
    ) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield the events of an answer; None at its end.

        Raises:
            EngineFault: the engine does not answer, or not to the end.
        """
        begun = False
        try:
            async with (
                self._watch.over_stream(),
                self._client.stream("POST", route, json=body) as response,
            ):
                if response.status_code != 200:
                    text = faults.message_of(await _beginning(response))
                    raise faults.answer_refused(self.address, response.status_code, text, request)
                async for event in wire.events(response.aiter_bytes()):
                    begun = True
                    self._watch.heard()
                    yield event
        except (*_FAILURES, ValueError) as error:
            if begun:
                raise faults.broke_off(self.address, str(error) or type(error).__name__) from error
            raise self._gone(faults.unreachable(self.address, error)) from error

    async def close(self) -> None:
        self._watch.close()
        await self._client.aclose()

    async def _models(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the bases and the adapters that the engine lists."""
        status, content = await self._call("GET", "/v1/models", seconds=LOOK_SECONDS)
        if status in (401, 403):
            raise self._gone(faults.key_refused(self.address))
        bases: dict[str, str] = {}
        listed: dict[str, str] = {}
        try:
            for card in orjson.loads(content)["data"]:
                kind = listed if card.get("parent") else bases
                kind[str(card["id"])] = str(card.get("root") or "")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            text = f"{status} {faults.message_of(content)}"
            raise self._gone(faults.unknown_server(self.address, text)) from error
        return bases, listed

    async def _is_there(self) -> bool:
        """Return False where nothing listens, or vLLM says that its engine has ended."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                response = await self._client.get(HEALTH)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return False
        # It may be too busy to answer this.
        except _FAILURES:
            return True
        return response.status_code != 503

    async def _has_route(self) -> bool:
        # Refused without a name, by a server that knows the route.
        nothing = {"lora_name": "", "lora_path": ""}
        status, _ = await self._call("POST", LOAD, nothing, seconds=LOOK_SECONDS)
        return status not in (404, 405, 501)

    async def _call(
        self, method: str, route: str, body: dict[str, Any] | None = None, *, seconds: float
    ) -> tuple[int, bytes]:
        """Return the status and the content of the engine's answer.

        Raises:
            EngineFault: it cannot be reached.
        """
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.request(method, route, json=body)
        except _FAILURES as error:
            raise self._gone(faults.unreachable(self.address, error)) from error
        return response.status_code, response.content

    def _gone(self, fault: EngineFault) -> EngineFault:
        self.fault = fault
        self._away_until = time.monotonic() + AWAY_SECONDS
        return fault


def _client(address: str, host: str, key: str | None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
    # A connection for each answer: how many there may be is the service's matter.
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=32, keepalive_expiry=KEEP_SECONDS
    )
    transport = None
    try:
        # A proxy for the internet cannot reach this network.
        if is_near(host):
            transport = httpx.AsyncHTTPTransport(limits=limits)
        return httpx.AsyncClient(
            base_url=address, headers=headers, timeout=timeout, limits=limits, transport=transport
        )
    # A proxy or certificates of the environment.
    except (OSError, ValueError, ImportError) as error:
        raise faults.no_client(address, error) from error


async def _beginning(response: httpx.Response) -> bytes:
    content = b""
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _LONGEST_ERROR:
            break
    return content[:_LONGEST_ERROR]

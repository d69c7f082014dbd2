"""How many connections the service holds, and how long each of them may keep it waiting.

    config = uvicorn.Config(app, http=LimitedProtocol, ws="none", backlog=limits.ACCEPTED)
    LimitedServer(config, secured).run(sockets=[listener])

uvicorn has a limit of time between two requests, and none for a head or a body that does not come
or an answer that is not read; what it has for the number of connections refuses new ones while old
ones do nothing. Here a connection without a request makes room for a new one, the oldest first, so
whoever has no token cannot keep others out. The numbers are in limits.py.

Knows no route. How much a request may send is middleware.py's.
"""

import asyncio
import functools
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cookbook.service import limits
from cookbook.service.api_error import ApiError

CHECK_SECONDS = 2.0  # between two looks at a connection
HANDSHAKE_SECONDS = 10.0  # of TLS, before which a connection is not counted
GOODBYE_SECONDS = 3600.0  # of TLS; asyncio's half a minute would cut off a slow download
BUFFER_BYTES = 64 * 1024  # of an answer that is not read yet, as asyncio has it without TLS
_PHRASES = {408: "Request Timeout", 503: "Service Unavailable"}


def raise_descriptor_limit() -> None:
    """Let this process open as many files and connections as its user may."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, limits.DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@functools.cache
def most_connections() -> int:
    """Return how many connections are held: half of the descriptors are for everything else."""
    try:
        import resource
    except ImportError:
        return limits.CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.CONNECTIONS
    return min(limits.CONNECTIONS, soft // 2)


@dataclass(frozen=True)
class Secured:
    """A socket whose connections speak TLS."""

    listener: socket.socket
    context: ssl.SSLContext


class LimitedServer(uvicorn.Server):
    """A server that accepts few connections at a time, while many may wait to be accepted.

    `secured` is served beside the sockets of `run`, which speak no TLS: uvicorn has one kind only,
    and waits a minute for a handshake.
    """

    def __init__(self, config: uvicorn.Config, secured: Secured | None = None):
        super().__init__(config)
        self._secured = secured

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        listeners = list(sockets or [])
        if self._secured:
            self.servers.append(await self._serve_secured(self._secured))
            listeners.append(self._secured.listener)
        # asyncio has one number for both. The system refuses those that find no place to wait,
        # and they try again a second later.
        for listener in listeners:
            listener.listen(limits.BACKLOG)

    async def _serve_secured(self, secured: Secured) -> asyncio.Server:
        def protocol() -> LimitedProtocol:
            return LimitedProtocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        return await asyncio.get_running_loop().create_server(
            protocol,
            sock=secured.listener,
            ssl=secured.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=GOODBYE_SECONDS,
            backlog=self.config.backlog,
        )


class LimitedProtocol(H11Protocol):
    """One connection. A timer of its own looks now and then whether it makes progress."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = self.loop.time()
        self._idle_since = now  # connected, or answered the last request
        self._began = now  # the request under way
        self._heard = now  # the last byte came
        self._received = 0  # bytes since the request began
        self._timer: asyncio.TimerHandle | None = None
        # An answer that is not read: what was buffered when it last became less, and when
        self._buffered: int | None = None
        self._taken = now

    @property
    def answering(self) -> bool:
        """Return whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    # What asyncio and uvicorn call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # That of TLS holds eight times as much, which no thousand readers must make it do.
        if transport.get_extra_info("sslcontext"):
            transport.set_write_buffer_limits(BUFFER_BYTES)
        self._timer = self.loop.call_later(CHECK_SECONDS, self._check)
        if len(self.connections) > most_connections():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        self._received += len(data)
        last = self.cycle
        super().data_received(data)
        if self.cycle is not last:
            self._note_begin()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        last = self.cycle
        # Begins the next request where it has come already.
        super().on_response_complete()
        if self.cycle is not last:
            self._note_begin()

    def _note_begin(self) -> None:
        self._began = self._heard = self.loop.time()
        self._received = 0

    # Limits

    def _make_room(self) -> None:
        """End the connection that has been without a request for longest, if need be this one."""
        # uvicorn's type has other protocols, too; here all are of this class.
        connections: set[Any] = self.connections
        idle = [other for other in connections if not other.answering]
        oldest = min(idle, key=_idle_since)
        if oldest is self:
            refusal = ApiError(
                503,
                zh=f"连接太多，达到上限 {most_connections()} 个：稍后再试",
                en=f"{most_connections()} connections are open, which is the limit: "
                "try again in a moment",
                code="too_many_connections",
                headers={"retry-after": "2"},
            )
            self._refuse(refusal)
        else:
            oldest.transport.abort()
        # Not counted from now on; asyncio closes it in a moment.
        self.connections.discard(oldest)

    def _check(self) -> None:
        """End the connection if it keeps the service waiting for too long."""
        now = self.loop.time()
        self._timer = self.loop.call_later(CHECK_SECONDS, self._check)
        is_late = self.flow.write_paused or self._unread() > BUFFER_BYTES
        if is_late or self.transport.is_closing():
            self._check_reader(now)
            return
        self._buffered = None
        if not self.answering:
            if now - self._idle_since > limits.HEAD_SECONDS:
                self._end_unfinished()
        elif self.cycle.more_body:
            self._check_body(now)

    def _unread(self) -> int:
        """Return how many bytes of an answer wait for their reader."""
        # With TLS there is a transport below, which keeps whatever is written at once, and of which
        # asyncio tells nothing.
        below = getattr(getattr(self.transport, "_ssl_protocol", None), "_transport", None)
        kept: int = below.get_write_buffer_size() if below else 0
        return kept + self.transport.get_write_buffer_size()

    def _check_reader(self, now: float) -> None:
        buffered = self._unread()
        if self._buffered is None or buffered < self._buffered - limits.PROGRESS_BYTES:
            self._buffered, self._taken = buffered, now
        elif now - self._taken > limits.STALLED_SECONDS:
            # Not closed, which would wait for the reader to take what is buffered.
            self.transport.abort()

    def resume_writing(self) -> None:
        self._buffered = None
        super().resume_writing()

    def _check_body(self, now: float) -> None:
        # What is not read at present is not the client's fault.
        if self.flow.read_paused:
            self._heard = now
        allowed = limits.STALLED_SECONDS + self._received / limits.BODY_RATE
        if now - self._heard > limits.STALLED_SECONDS or now - self._began > allowed:
            self._end_unfinished()

    def _end_unfinished(self) -> None:
        """Close the connection, and say why where a part of a request has come."""
        unread, _ = self.conn.trailing_data
        started = self.answering and self.cycle.response_started
        if (unread or self.answering) and not started:
            refusal = ApiError(
                408,
                zh="请求在时限内没有发完：检查网络后重试",
                en="the request did not arrive in time: check the network and try again",
                code="request_timeout",
            )
            self._refuse(refusal)
        else:
            self.transport.abort()

    def _refuse(self, error: ApiError) -> None:
        """Write the error response and close, whatever state the request is in."""
        body = json.dumps(error.body(), ensure_ascii=False).encode()
        head = [
            f"HTTP/1.1 {error.status_code} {_PHRASES[error.status_code]}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        head += [f"{name}: {value}" for name, value in (error.headers or {}).items()]
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()
        # The route that waits for the rest learns that nobody is there.
        if self.answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()


def _idle_since(connection: Any) -> float:
    return connection._idle_since

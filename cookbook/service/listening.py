"""Listen for requests: on which sockets, with which token, with TLS or without.

    listening = listen(host, port, last=remembered(home), api_key=None, …)
    listening.sockets, listening.secured      what the server accepts connections on
    listening.local_url                       what clients on this machine call

A room may have two sockets: its people's, and one for this machine alone. The leader's own
notebooks and page use the second where the first speaks TLS, whose certificate is for another name
than 127.0.0.1, or has another port than the service that the notebooks were connected to before.
"""

import contextlib
import secrets
import socket
from dataclasses import dataclass

from cookbook.address import in_url
from cookbook.errors import ServiceError
from cookbook.room.address import own_addresses
from cookbook.service.certificate import Tls
from cookbook.service.connections import Secured
from cookbook.service.publication import Endpoint

LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Listening:
    """Where a service listens.

    Attributes:
        listener: everybody's socket; with `tls`, whoever connects to it speaks TLS.
        local: a socket of this machine alone, without TLS; None where `listener` serves it, too.
        api_key: the token of whoever runs the service.
        address: what others are given to reach it, where it is not the machine's own: a proxy's.
    """

    listener: socket.socket
    local: socket.socket | None
    api_key: str
    tls: Tls | None = None
    address: str | None = None

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets of requests without TLS."""
        found = [] if self.tls else [self.listener]
        return [*found, self.local] if self.local else found

    @property
    def secured(self) -> Secured | None:
        """The socket of requests with TLS."""
        return Secured(self.listener, self.tls.context) if self.tls else None

    @property
    def port(self) -> int:
        """The port of everybody's socket."""
        return _port(self.listener)

    @property
    def local_port(self) -> int:
        """The port that clients on this machine call."""
        return _port(self.local or self.listener)

    @property
    def local_url(self) -> str:
        """The `base_url` of clients on this machine."""
        host = LOCAL if self.local else self.host
        # One that listens everywhere is called by the loopback address.
        host = {"0.0.0.0": LOCAL, "::": "::1"}.get(host, host)
        return f"http://{in_url(host)}:{self.local_port}/v1"

    @property
    def host(self) -> str:
        """The address that everybody's socket listens on."""
        host: str = self.listener.getsockname()[0]
        return host

    @property
    def named(self) -> list[str]:
        """Addresses that do not change with the network: one that was given, or a certificate's."""
        if self.address:
            return [self.address]
        return [f"https://{name}:{self.port}" for name in _plain_names(self.tls)]

    def addresses(self) -> list[str]:
        """Return the addresses at which others reach the service now, the likeliest first."""
        return self.named or own_addresses(self.port, self.tls is not None, self.host)

    def close(self) -> None:
        """Close the sockets."""
        for each in (self.listener, self.local):
            if each is not None:
                each.close()


def listen(
    host: str,
    port: int,
    *,
    last: Endpoint | None,
    api_key: str | None,
    is_room: bool = False,
    tls: Tls | None = None,
    address: str | None = None,
) -> Listening:
    """Listen, on the port and with the token of the folder's last service where that works.

    Raises:
        ServiceError: the port is taken, or the host is not this machine's.
    """
    # What the last service's clients speak on its port is not TLS: see `_local`.
    listener, is_last = _bound(host, port, None if tls else last)
    # Clients of the last service send its token to whoever has its port now: a new one is safer.
    # A room keeps it, and the port as well.
    key = last.api_key if last and (is_last or is_room) else secrets.token_urlsafe(32)
    local = None
    if is_room:
        local = _local(listener, last, needed=tls is not None)
    return Listening(listener, local, api_key or key, tls, address)


def _bound(host: str, port: int, last: Endpoint | None) -> tuple[socket.socket, bool]:
    """Return a socket, and whether it has the port of the last service."""
    if last and port in (0, last.port):
        with contextlib.suppress(ServiceError):
            return bind(host, last.port), True
    return bind(host, port), False


def _local(listener: socket.socket, last: Endpoint | None, needed: bool) -> socket.socket | None:
    """Return a socket for this machine alone, on the port of its clients before, if it can be."""
    if last and last.port != _port(listener):
        with contextlib.suppress(ServiceError):
            return bind(LOCAL, last.port)
    return bind(LOCAL, 0) if needed else None


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ServiceError: the port is taken, or the host is not this machine's.
    """
    if not 0 <= port < 2**16:
        raise ServiceError(
            zh=f"--port {port}：端口是 0 到 {2**16 - 1}",
            en=f"--port {port}: a port is a number from 0 to {2**16 - 1}",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or error
        raise ServiceError(
            zh=f"不能监听 {host}:{port}（{reason}）：用 --port 换一个端口，0 表示任选一个空闲的",
            en=f"cannot listen on {host}:{port} ({reason}): "
            "choose another --port; 0 is any free one",
        ) from error
    # The same socket under its protocol's own number instead of 0. Connections inherit the number,
    # and only by it asyncio knows that it can set TCP_NODELAY. Without that, every answer on a
    # connection that is kept waits for the client's delayed acknowledgement, about 40 ms.
    return socket.socket(family, listener.type, socket.IPPROTO_TCP, fileno=listener.detach())


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def _plain_names(tls: Tls | None) -> list[str]:
    """Return the names of a certificate that are hosts, not patterns of hosts."""
    return [name for name in tls.names if "*" not in name] if tls else []

"""The door of the embedded service: who may come in, and how much they may bring.

Decided from the request's head alone, before anything is read: the bearer token (compared in constant time), the Host
(a service on this machine answers to no other name, so a web page cannot reach it under a name of its own), the
declared length. What comes without a length is counted while it is read and cut off at the limit.
"""

import hmac
import ipaddress
import time
from contextlib import contextmanager

from cookbook.i18n import tr
from cookbook.service import limits
from cookbook.service.requests import ApiError, refused


class Activity:
    """Whether somebody uses the service: requests under way, and when the last one ended."""

    def __init__(self):
        self._open, self._last = 0, time.monotonic()

    @contextmanager
    def request(self):
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self._open else time.monotonic() - self._last


class Guard:
    """ASGI middleware; `loopback` tells that the service listens on this machine alone."""

    def __init__(self, app, *, api_key: str, loopback: bool, activity: Activity):
        self._app, self._key, self._loopback, self._activity = (
            app,
            api_key.encode(),
            loopback,
            activity,
        )

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        limit = limits.UPLOAD_BYTES if scope["path"] == "/v1/files" else limits.BODY_BYTES
        try:
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            if scope["path"] == "/health":
                return await self._app(scope, receive, send)
            self._check_key(headers.get(b"authorization", b""))
            _check_length(headers.get(b"content-length", b"0"), limit)
        except ApiError as refusal:
            return await refused(refusal)(scope, receive, send)
        with self._activity.request():
            await self._app(scope, _counted(receive, limit), send)

    def _check_host(self, host: str) -> None:
        if self._loopback and not _is_this_machine(host):
            text = tr(
                f"这个服务只在本机使用，不认主机名 {host}：请用 127.0.0.1",
                f"this service is for this machine alone and does not answer to {host}: use 127.0.0.1",
            )
            raise ApiError(421, text, code="wrong_host")

    def _check_key(self, given: bytes) -> None:
        scheme, _, token = given.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._key):
            text = tr(
                "API key 不对：用 connect() 给出的 api_key",
                "wrong API key: use the api_key that connect() gives",
            )
            raise ApiError(
                401, text, code="invalid_api_key", headers={"www-authenticate": "Bearer"}
            )


def _is_this_machine(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_length(declared: bytes, limit: int) -> None:
    if not declared.isdigit() or len(declared) > 18:
        raise ApiError(
            400, tr("Content-Length 不是数字", "Content-Length is no number"), code="invalid_value"
        )
    if int(declared) > limit:
        raise _too_large(limit)


def _counted(receive, limit: int):
    read = 0

    async def counted():
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise _too_large(limit, {"connection": "close"})
        return message

    return counted


def _too_large(limit: int, headers: dict | None = None) -> ApiError:
    size = f"{limit // 2**20} MB"
    text = tr(
        f"请求超过 {size} 上限：拆成几个",
        f"the request is over the limit of {size}: split it into several",
    )
    if limit == limits.UPLOAD_BYTES:
        return ApiError(413, text, code="file-size", param="file", headers=headers)
    return ApiError(413, text, code="too_large", headers=headers)

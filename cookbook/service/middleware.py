"""Who may call the embedded service, and how much they may send.

Decided from the request's head alone, before any of the body is read: the Host (a service on this
machine answers to no other name, so a web page cannot reach it under a name of its own), the
bearer token (compared in constant time; who tries one after the other waits), the declared length.
A body without a declared length is counted while it is read, and cut off at the limit; so is what
all requests send together, see under_way.py. The language of the answer is decided here, too.

Not Starlette's middleware: its errors are plain text; `TrustedHostMiddleware` has no pattern for
"any address of this machine"; `RequestBodyLimitMiddleware` takes a length that is not a number
for none.
"""

import asyncio
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from cookbook.address import is_loopback
from cookbook.clock import clock
from cookbook.i18n import answer_in
from cookbook.service import limits, page
from cookbook.service.activity import Activity
from cookbook.service.api_error import ApiError, error_response
from cookbook.service.callers import Caller, Callers
from cookbook.service.health import HEALTH
from cookbook.service.languages import Languages, accepted
from cookbook.service.presence import Presence, act_of
from cookbook.service.sentences import shortened
from cookbook.service.under_way import Bodies, Requests, too_large, too_many

PUBLIC = {HEALTH, *page.PATHS}
"""What needs no key, and is no sign that somebody uses the service."""

_OPEN_COMMAND = "python -m cookbook serve --host 0.0.0.0 --api-key …"
_LONGEST_NUMBER = 18  # digits of a declared length; Python refuses to read numbers of thousands


class WrongKeys:
    """Slow down whoever tries one key after the other; a right key never comes here."""

    def __init__(self) -> None:
        self._left, self._counted_at = float(limits.WRONG_KEYS), time.monotonic()
        self._waiting = 0

    async def wait(self) -> None:
        """Return at once for the first few, later after a while.

        Raises:
            ApiError: too many wait already.
        """
        now = time.monotonic()
        more = (now - self._counted_at) * limits.WRONG_KEYS / 60
        self._left, self._counted_at = min(self._left + more, limits.WRONG_KEYS), now
        if self._left >= 1:
            self._left -= 1
            return
        if self._waiting >= limits.WRONG_KEYS_WAITING:
            raise too_many(
                zh="错误的 API key 太多：稍后再试",
                en="too many wrong API keys: try again shortly",
            )
        self._waiting += 1
        try:
            await asyncio.sleep(limits.WRONG_KEY_SECONDS)
        finally:
            self._waiting -= 1


class AccessMiddleware:
    """ASGI middleware; `loopback` says that the service listens on this machine alone."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        callers: Callers,
        presence: Presence,
        languages: Languages,
        loopback: bool,
        activity: Activity,
    ):
        self._app = app
        self._callers = callers
        self._presence = presence
        self._languages = languages
        self._loopback = loopback
        self._activity = activity
        self._requests, self._bodies, self._wrong_keys = Requests(), Bodies(), WrongKeys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _tidy(scope)
        headers = dict(scope["headers"])
        # Not only inside this block: unexpected errors are answered past all middleware. Each
        # request has a task of its own, with which this ends.
        asked = accepted(headers.get(b"accept-language", b""))
        answer_in(asked)
        # By address, since the route is not known yet.
        limit = limits.UPLOAD_BYTES if scope["path"] == "/v1/files" else limits.BODY_BYTES
        try:
            if self._loopback:
                _check_host(headers.get(b"host", b"").decode("latin-1"))
            if scope["path"] in PUBLIC:
                await self._app(scope, receive, send)
                return
            _check_method(scope["method"])
            caller = await self._caller(headers.get(b"authorization", b""))
            self._requests.check(caller)
            _check_encoding(headers.get(b"content-encoding", b""))
            _check_length(headers.get(b"content-length", b"0"), limit)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        scope["caller"] = caller
        if asked is None:
            answer_in(self._languages.of(caller.name))
        # A page that was left open asks for the room by itself: no sign that somebody is there.
        if not caller.is_leader and scope["path"] != "/v1/room":
            self._presence.note(caller.name, act_of(scope["method"], scope["path"]))
        # Until the last byte of the response: a stream keeps the service from ending itself.
        with (
            self._activity.request(),
            self._requests.counted(caller),
            self._bodies.counted(receive, limit, caller) as body,
        ):
            await self._app(scope, body, send)

    async def _caller(self, given: bytes) -> Caller:
        caller = await self._callers.of(given)
        if caller is not None and caller.is_late:
            raise _closed(caller)
        if caller is not None:
            return caller
        # Without a key it is no guess.
        if given:
            await self._wrong_keys.wait()
        if await self._callers.is_room():
            raise _wrong_key(
                zh="密钥不对：对照密钥条检查；丢了就请组织者换一把"
                "（python -m cookbook room renew 名字）",
                en="wrong key: compare it with your slip; if it is lost, ask the leader, who can "
                "run python -m cookbook room renew NAME",
            )
        raise _wrong_key(
            zh="API key 不对：用 connect() 给出的 api_key",
            en="wrong API key: use the api_key that connect() gives",
        )


def _wrong_key(*, zh: str, en: str) -> ApiError:
    headers = {"www-authenticate": "Bearer"}
    return ApiError(401, zh=zh, en=en, code="invalid_api_key", headers=headers)


def _closed(caller: Caller) -> ApiError:
    """Return what somebody is told who comes too late."""
    when = clock(caller.closes_at)
    return ApiError(
        403,
        zh=f"课堂已在 {when} 结束：请组织者延长",
        en=f"the room closed at {when}: ask the leader to extend it",
        code="room_closed",
    )


def _tidy(scope: Scope) -> Scope:
    """Return the request as the routes know it: base addresses are written in several ways."""
    # "/v1/models/" and "//v1//models": slashes that a base_url ended or began with
    path = "/" + "/".join(part for part in scope["path"].split("/") if part)
    # HEAD is GET without the body, which the server leaves out by itself.
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "path": path, "method": method}


def _check_host(host: str) -> None:
    if not _is_this_machine(host):
        name = shortened(host)
        raise ApiError(
            421,
            zh=f"这个服务只在本机使用，不接受主机名 {name}。本机的程序请用 127.0.0.1；"
            "要从容器（host.docker.internal）或别的机器访问，先 python -m cookbook stop，"
            f"再用 {_OPEN_COMMAND} 启动",
            en=f"this service is for this machine alone and does not answer to {name}. "
            "Programs on this machine use 127.0.0.1; to call it from a container "
            "(host.docker.internal) or another machine, run python -m cookbook stop and then "
            f"{_OPEN_COMMAND}",
            code="wrong_host",
        )


def _check_method(method: str) -> None:
    """Raise ApiError for what a browser asks before a page may call: the token is never in it."""
    if method == "OPTIONS":
        raise ApiError(
            405,
            zh="网页不能直接调用这个服务（没有 CORS）：由网页的服务端或 Python 程序来调用",
            en="web pages cannot call this service (there is no CORS): "
            "call it from the page's server or from Python",
            code="cors_not_supported",
            headers={"allow": "GET, POST, DELETE"},
        )


def _check_encoding(encoding: bytes) -> None:
    """Raise ApiError for a compressed body: a few bytes could become millions."""
    if encoding.strip().lower() not in (b"", b"identity"):
        raise ApiError(
            415,
            zh="请求体不能压缩：去掉 Content-Encoding，按原样发送",
            en="a compressed body is not read: leave out Content-Encoding and send it as it is",
            code="unsupported_encoding",
        )


def _is_this_machine(host: str) -> bool:
    # "name", "name:port", "[address]" or "[address]:port"
    return is_loopback(host if host.endswith("]") else host.rsplit(":", 1)[0])


def _check_length(declared: bytes, limit: int) -> None:
    if not declared.isdigit() or len(declared) > _LONGEST_NUMBER:
        raise ApiError(
            400,
            zh="Content-Length 不是数字",
            en="Content-Length is not a number",
            code="invalid_value",
        )
    if int(declared) > limit:
        raise too_large(limit)

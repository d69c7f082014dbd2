"""Explain a failed request in one sentence that says what to do: `explain(error)`.

Whoever answered is quoted, with the remedy beside it: SiliconCloud's for its own errors, a local
one for the embedded service. What a proxy or gateway answers in between is not taken for an answer
of either. Errors are recognized by the names of their types, so neither `openai` nor an HTTP
library is loaded for it.
"""

from typing import Any

from cookbook import siliconcloud
from cookbook.address import is_loopback
from cookbook.i18n import tr
from cookbook.quoted import one_line, page_title
from cookbook.terminal import printable

_PLATFORM, _LOCAL, _ROOM, _ELSEWHERE, _NOWHERE = "platform", "local", "room", "elsewhere", ""
_TRACE = "x-siliconcloud-trace-id"  # in every answer of the platform

_rooms: set[str] = set()  # base URLs of the rooms that this process has joined


def note_room(base_url: str) -> None:
    """Remember that a room answers there: from its address alone it cannot be told."""
    _rooms.add(base_url)


def explain(error: BaseException) -> str:
    """Return the sentence for an error of the `openai` client or a cut stream. Never raise."""
    body = getattr(error, "body", None)
    place = _place(error)
    if place != _PLATFORM and isinstance(body, dict) and body.keys() >= {"type", "message"}:
        # The embedded service's message says what to do itself.
        return printable(str(body.get("message")))
    if getattr(error, "status_code", None) is not None:
        return printable(_refused(error, body, place) or _gateway(error, place))
    return printable(_connection(error, place) or f"{type(error).__name__}: {error}")


# Where the request went


def _host(error: BaseException) -> str:
    """Return the host that was asked; empty where the error does not tell."""
    try:
        return str(error.request.url.host)  # type: ignore[attr-defined]
    # httpx raises RuntimeError where an error has no request.
    except (AttributeError, RuntimeError):
        return ""


def _place(error: BaseException) -> str:
    """Return who was asked: the platform, a room, a service on this machine, or somebody else."""
    host = _host(error)
    # First, since a room may be on this machine, too.
    if _room(error):
        return _ROOM
    if host.endswith(siliconcloud.HOSTS) or _TRACE in _headers(error):
        return _PLATFORM
    if is_loopback(host):
        return _LOCAL
    return _ELSEWHERE if host else _NOWHERE


def _room(error: BaseException) -> str:
    """Return the address of the room that was asked, as people type it; empty for others."""
    try:
        url = str(error.request.url)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return ""
    for base_url in _rooms:
        if url.startswith(f"{base_url}/"):
            return base_url.removesuffix("/v1")
    return ""


def _headers(error: BaseException) -> Any:
    return getattr(getattr(error, "response", None), "headers", {})


# Answers that are errors


def _refused(error: BaseException, body: object, place: str) -> str | None:
    """Return the platform's message, with the remedy for its code or else its HTTP status."""
    status = getattr(error, "status_code", None)
    message = _message_of(error, body, place)
    if message is None:
        return None
    code = body.get("code") if isinstance(body, dict) else None
    # Both numbers are shown, since they are what a search of the platform's documentation finds.
    numbers = f"[{status} / {code}]" if code else f"[{status}]"
    if place in (_ELSEWHERE, _ROOM):
        remedy = ""
        quoted = tr(f"服务的原话：{message}", f"the service said: {message}")
    else:
        remedy = _remedy(code, status)
        quoted = tr(f"平台的原话：{message}", f"the platform said: {message}")
    parts = [remedy, numbers, quoted if message else ""]
    return " ".join(filter(None, parts))


def _remedy(*numbers: object) -> str:
    """Return the remedy of the first number that has one; empty where none has.

    The code comes before the status, since it says more: 403 can be the balance or the account.
    """
    for number in numbers:
        if isinstance(number, int) and number in siliconcloud.REMEDIES:
            return tr(*siliconcloud.REMEDIES[number])
    return ""


def _message_of(error: BaseException, body: object, place: str) -> str | None:
    """Return the sentence of the service itself; None where its answer is not of a known shape."""
    if isinstance(body, dict):
        message = body.get("message") or body.get("detail")
        # On this machine only a stand-in for the platform answers in the platform's shape.
        trusted = place != _LOCAL or "code" in body or "data" in body
        return one_line(message) if trusted and isinstance(message, str) else None
    if not isinstance(body, str) or not body or _is_page(body):
        return "" if _TRACE in _headers(error) else None
    # A bare JSON string is the platform's; other text may be, where the platform was asked.
    text = str(getattr(getattr(error, "response", None), "text", ""))
    is_json = text.strip().startswith('"')
    return one_line(body) if is_json or place != _LOCAL else None


def _gateway(error: BaseException, place: str) -> str:
    """Return the sentence for an answer that comes from something between here and the service."""
    answer = str(getattr(error, "status_code", ""))
    title = page_title(str(getattr(error, "body", "")))
    if title:
        answer += f": {title}"
    if place == _ROOM:
        where = _room(error)
        return tr(
            f"应答的是课堂 {where} 前面的网关或代理（{answer}），课堂没有应答：过一会儿再试；"
            "还不行，就问组织者课堂是否还开着",
            f"a proxy or gateway in front of the room at {where} answered ({answer}), not the "
            "room: try again in a moment; if this goes on, ask the leader whether it is still open",
        )
    if place == _LOCAL:
        return tr(
            f"应答的不是内嵌服务，而是代理或网关（{answer}）：再运行 connect() 那一格；"
            "不行就把 127.0.0.1 加进环境变量 NO_PROXY",
            f"a proxy or gateway answered ({answer}), not the embedded service: run the cell with "
            "connect() again, or add 127.0.0.1 to the environment variable NO_PROXY",
        )
    return tr(
        f"应答的是中间的代理或网关（{answer}），请求没有到达服务：过一会儿再试；"
        "若一直这样，检查 HTTPS_PROXY 和 base_url",
        f"a proxy or gateway answered ({answer}), the request did not reach the service: try again "
        "in a moment; if it stays, check HTTPS_PROXY and base_url",
    )


def _is_page(text: str) -> bool:
    return text.lstrip().startswith("<")


# No answer


def _connection(error: BaseException, place: str) -> str | None:
    # The cause tells how a connection failed: the client wraps its transport's error.
    cause = error.__cause__ or error
    kinds = [*type(error).__mro__, *type(cause).__mro__]
    names = {kind.__name__ for kind in kinds}
    detail = one_line(str(cause))
    if names & {"APITimeoutError", "TimeoutException"}:
        return _too_late(place)
    if names & {"RemoteProtocolError", "ReadError", "IncompleteRead"}:
        return _cut_off(place)
    if "ProxyError" in names:
        return tr(
            f"代理没有让请求通过（{detail}）：检查环境变量 HTTP_PROXY、HTTPS_PROXY",
            f"the proxy did not let the request through ({detail}): check HTTP_PROXY and "
            "HTTPS_PROXY",
        )
    if names & {"APIConnectionError", "ConnectError", "ConnectionError"}:
        if place == _ROOM:
            return _room_away(_room(error))
        return _unreachable(_host(error), place, detail)
    return None


def _room_away(where: str) -> str:
    return tr(
        f"连不上课堂 {where}：它可能停了、换了地址，或网络断了。过一会儿再试；"
        "还不行，就向组织者要现在的地址，再运行 connect() 那一格",
        f"cannot reach the room at {where}: it may have stopped or moved, or the network is down. "
        "Try again in a moment; if this goes on, ask the leader for the current address and run "
        "the cell with connect() again",
    )


def _too_late(place: str) -> str:
    if place in (_LOCAL, _ROOM):
        return tr(
            "等了太久没有应答：服务可能正忙，过一会儿再试，或减小 max_tokens",
            "no answer in time: the service may be busy, so try again later or lower max_tokens",
        )
    return tr(
        "等了太久没有应答：检查网络，或减小 max_tokens 再试",
        "no answer in time: check the network or lower max_tokens",
    )


def _cut_off(place: str) -> str:
    if place == _LOCAL:
        return tr(
            "回答传到一半断了：再试一次；若服务停了，先再运行 connect() 那一格",
            "the answer broke off in the middle: try again; if the service has stopped, run the "
            "cell with connect() first",
        )
    return tr("回答传到一半断了：再试一次", "the answer broke off in the middle: try again")


def _unreachable(host: str, place: str, detail: str) -> str:
    if place == _LOCAL:
        return tr(
            "连不上本机的服务，它可能停了：再运行 connect() 那一格，"
            "再用新的 base_url 建一次 client",
            "cannot reach the service on this machine, it may have stopped: run the cell with "
            "connect() again, then make the client again with its base_url",
        )
    if place == _NOWHERE:
        return tr(
            "连不上服务：内嵌服务可能停了，再运行一次 connect() 那一格；"
            "在云上则检查网络和 base_url",
            "cannot reach the service: the embedded one may have stopped, so run the cell with "
            "connect() again; for the cloud check the network and base_url",
        )
    if "CERTIFICATE_VERIFY_FAILED" in detail:
        return tr(
            f"{host} 的证书不被信任，多半是公司的代理换掉了它：把公司的根证书设进 SSL_CERT_FILE",
            f"the certificate of {host} is not trusted, most likely a company's proxy replaced it: "
            "set SSL_CERT_FILE to the company's root certificate",
        )
    return tr(
        f"连不上 {host}（{detail}）：检查网络、代理（HTTPS_PROXY）和 base_url",
        f"cannot reach {host} ({detail}): check the network, the proxy (HTTPS_PROXY) and base_url",
    )

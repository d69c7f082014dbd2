"""Say why a room does not answer, in one sentence that says what to do.

Errors are recognized by what caused them, not by an HTTP library's own classes alone: its
transport wraps those of sockets and of TLS.
"""

import contextlib
import errno
import socket
import ssl
from urllib.parse import urlsplit

from cookbook import causes, proxies
from cookbook.errors import ServiceError
from cookbook.room.invitation import Place

_PROBE_SECONDS = 3.0
_NO_ROUTE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


def shown(base_url: str) -> str:
    """Return the room's address as people type it."""
    return base_url.removesuffix("/v1")


def explained(error: BaseException, base_url: str, place: Place) -> ServiceError:
    """Return the sentence for an error of the transport."""
    chain = list(causes.chain(error))
    where = shown(base_url)
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return _untrusted(where, one)
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return _no_tls(base_url)
    names = {type(one).__name__ for one in chain}
    proxy = proxies.variable(base_url)
    if "ProxyError" in names:
        return _stopped_by_proxy(where, proxy)
    # What TLS answers to plain HTTP is not HTTP, or nothing at all.
    broken = {"RemoteProtocolError", "ReadError"} & names
    if broken and not proxy and _speaks_tls(base_url):
        return _only_tls(base_url)
    zh, en = _reason(chain, names)
    if proxy:
        zh, en = f"{zh}，经过 {proxy} 的代理", f"{en}, through the proxy in {proxy}"
    return _gone(where, zh, en, place)


def behind_gateway(base_url: str, status: int, place: Place) -> ServiceError:
    """Return the sentence for a gateway that finds no room behind it."""
    zh, en = f"网关返回 HTTP {status}", f"a gateway answers HTTP {status}"
    proxy = proxies.variable(base_url)
    if proxy:
        zh, en = f"{proxy} 的代理返回 HTTP {status}", f"the proxy in {proxy} answers HTTP {status}"
    return _gone(shown(base_url), zh, en, place)


def _gone(where: str, why_zh: str, why_en: str, place: Place) -> ServiceError:
    leave_zh, leave_en = place.to_leave()
    return ServiceError(
        zh=f"课堂 {where} 没有应答（{why_zh}）：它可能停了，或换了地址。"
        "向组织者要现在的地址，并确认连的是同一个网络；"
        f"想先用本机的内嵌服务，就{leave_zh}",
        en=f"the room at {where} does not answer ({why_en}): it may have stopped, or its address "
        "has changed. Ask the leader for the current address, and check that you are on the same "
        f"network; to go on alone with the embedded service, {leave_en}",
    )


def _reason(chain: list[BaseException], names: set[str]) -> tuple[str, str]:
    for one in chain:
        if isinstance(one, (socket.gaierror, UnicodeError)):
            return "找不到这个主机名", "unknown host name"
        if isinstance(one, ConnectionRefusedError):
            return "那个端口上没有服务", "nothing listens on that port"
        if isinstance(one, OSError) and one.errno in _NO_ROUTE:
            return "网络不通", "not reachable from this network"
    if any("Timeout" in name for name in names):
        return "超时", "timed out"
    return "连接中断", "the connection broke"


def _untrusted(where: str, error: ssl.SSLCertVerificationError) -> ServiceError:
    reason = error.verify_message or error.reason or ""
    return ServiceError(
        zh=f"课堂 {where} 的证书不被信任（{reason}）：向组织者要证书文件，"
        "把它的路径设进环境变量 SSL_CERT_FILE，再重启内核；提示主机名不符时，改用证书上的域名",
        en=f"the certificate of the room at {where} is not trusted ({reason}): ask the leader for "
        "the certificate's file, set SSL_CERT_FILE to its path and restart the kernel; if the "
        "host name does not match, use the name in the certificate",
    )


def _no_tls(base_url: str) -> ServiceError:
    where = shown(base_url)
    plain = where.replace("https://", "http://", 1)
    return ServiceError(
        zh=f"{where} 没有用 TLS：地址改成 {plain}，或向组织者核对",
        en=f"{where} does not use TLS: write {plain}, or check the address with the leader",
    )


def _only_tls(base_url: str) -> ServiceError:
    where = shown(base_url)
    safe = where.replace("http://", "https://", 1)
    return ServiceError(
        zh=f"{where} 只接受 TLS：地址改成 {safe}",
        en=f"{where} accepts TLS only: write {safe}",
    )


def _stopped_by_proxy(where: str, proxy: str) -> ServiceError:
    name = proxy or "HTTP_PROXY"
    return ServiceError(
        zh=f"代理（环境变量 {name}）没有把请求转给 {where}：把这个主机名加进 NO_PROXY，"
        "或改正代理，再重启内核",
        en=f"the proxy in {name} did not pass the request on to {where}: add its host to "
        "NO_PROXY, or correct the proxy, and restart the kernel",
    )


def _speaks_tls(base_url: str) -> bool:
    """Return whether TLS is spoken there; only a greeting is sent, and no certificate is judged."""
    parts = urlsplit(base_url)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = (parts.hostname or "", parts.port or 80)
    with (
        contextlib.suppress(OSError),
        socket.create_connection(address, _PROBE_SECONDS) as opened,
        context.wrap_socket(opened, server_hostname=address[0]),
    ):
        return True
    return False

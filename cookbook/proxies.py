"""Keep a proxy from standing between this process and the services on this machine.

    bypass()     requests to this machine go straight to it, whichever library sends them
    check()      raise where a proxy or certificate setting keeps every OpenAI client from starting
    is_near()    whether a host is in this network, where a proxy for the internet cannot reach it
    variable()   what names the proxy that a request to an address goes through

HTTP libraries read proxies from the environment (`HTTP_PROXY`, `no_proxy` and so on, in either
case) and, where it has none, from the registry of Windows or the network settings of macOS, whose
exceptions httpx does not read. Only the environment of this process is changed, and only so that
other hosts are reached as before.
"""

import contextlib
import errno
import ipaddress
import os
import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from urllib.parse import urlsplit

from cookbook.errors import ServiceError
from cookbook.quoted import without_password

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
SCHEMES = ("http", "https", "all")
"""The kinds of proxy that httpx reads."""

_NEAR_NAMES = (".local", ".lan", ".localdomain", ".home.arpa", ".internal")
"""How names end that only a network's own name service, or its machines themselves, answer."""

_SOCKS = ("socks5", "socks5h")
_USABLE = ("http", "https", *_SOCKS)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_KEY_LOG = "SSLKEYLOGFILE"  # where browsers and virus scanners have keys of connections written

_found_good: set[tuple[object, ...]] = set()  # settings that `check` has found to be usable
_written: dict[str, str] = {}  # what `bypass` wrote into an environment without proxies


def bypass(*hosts: str) -> None:
    """Have this process send requests to this machine, and to `hosts`, without a proxy."""
    system = _system_proxies() if _has_network_settings() else {}
    os.environ.update(system)
    # The lower case wins where both are set, and an empty one counts as set.
    lower = os.environ.get("no_proxy")
    upper = os.environ.get("NO_PROXY")
    exceptions = {
        "no_proxy": upper if lower is None else lower,
        "NO_PROXY": lower if upper is None else upper,
    }
    for name, given in exceptions.items():
        os.environ[name] = _extended(given or "", {*THIS_MACHINE, *hosts})
    if system:
        _written.update({name: os.environ[name] for name in (*system, *exceptions)})


def is_near(host: str) -> bool:
    """Return whether a host is in this machine's network: by its address, or by such a name.

    No name is resolved: some proxies give every name an address of their own.
    """
    host = host.strip("[]").lower()
    try:
        # Private, link-local and shared ones (of a campus, or a VPN such as Tailscale).
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_NEAR_NAMES)


def variable(url: str) -> str:
    """Return the variable of the proxy that a request to `url` goes through; empty without one."""
    import urllib.request

    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    for name in _proxies():
        if name.lower() in (f"{parts.scheme}_proxy", "all_proxy"):
            return name
    return ""


def check(*, https: bool) -> None:
    """Raise ServiceError, naming the variable, where no OpenAI client can be made.

    Args:
        https: the requests need certificates, too.
    """
    proxies = _proxies()
    certificates = {name: os.environ.get(name, "") for name in _CERTIFICATES}
    key_log = os.environ.get(_KEY_LOG, "")
    state = (https, *proxies.items(), *certificates.items(), key_log)
    # Reading certificates takes longer than all else here.
    if state in _found_good:
        return
    for name, url in proxies.items():
        _check_proxy(name, url)
    _check_key_log(key_log)
    _check_certificates(*certificates.values(), https=https)
    if proxies and "openai" in sys.modules:
        _check_client(proxies)
    _found_good.add(state)


def _check_client(proxies: Iterable[str]) -> None:
    """Raise ServiceError for what only the library itself knows to refuse."""
    from openai import DefaultHttpxClient

    try:
        DefaultHttpxClient().close()
    except Exception as error:
        names = ", ".join(proxies)
        raise ServiceError(
            zh=f"环境变量 {names} 里有一个用不了，OpenAI() 会报错（{error}）："
            "改正或删掉它，再重启内核",
            en=f"one of {names} cannot be used, so that OpenAI() fails ({error}): correct or unset "
            "it and restart the kernel",
        ) from error


def _system_proxies() -> dict[str, str]:
    """Return the system's proxies as variables, where the environment has none of its own.

    With `NO_PROXY` in the environment the system's settings are no longer read, and other hosts
    would lose their proxy.
    """
    import urllib.request  # takes half as long to import as the whole package

    # They may have changed since an earlier call.
    for name, value in _written.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    _written.clear()
    if urllib.request.getproxies_environment():
        return {}
    system = urllib.request.getproxies()
    # Beside one that httpx cannot use, even requests to this machine would fail.
    variables = {"NO_PROXY": ",".join(_system_exceptions())}
    for scheme in SCHEMES:
        url = system.get(scheme)
        if url and _fault(url) is None:
            variables[f"{scheme.upper()}_PROXY"] = url
    return variables


def _has_network_settings() -> bool:
    return sys.platform in ("win32", "darwin")


def _system_exceptions() -> list[str]:
    """Return the hosts that the system's settings except, in the form of `NO_PROXY`."""
    given: list[str] = []
    # A setting that is not there means none.
    with contextlib.suppress(OSError, ImportError, AttributeError):
        if sys.platform == "win32":
            import winreg

            path = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as settings:
                override, _ = winreg.QueryValueEx(settings, "ProxyOverride")
            given = str(override).split(";")
        elif sys.platform == "darwin":
            import _scproxy

            settings = _scproxy._get_proxy_settings()
            given = list(settings.get("exceptions", ()))
    hosts = [host.strip().removeprefix("*") for host in given]
    # Other patterns, such as 10.* and <local>, cannot be said in NO_PROXY.
    return [host for host in hosts if re.fullmatch(r"[\w.:-]+", host)]


def _extended(exceptions: str, hosts: Iterable[str]) -> str:
    """Return a value of `NO_PROXY` with these hosts added."""
    present = _hosts(exceptions)
    # No proxy for any host; urllib reads the star only where it is alone.
    if "*" in present:
        return exceptions
    missing = set(hosts) - set(present)
    return ",".join([*present, *sorted(missing)])


def _hosts(exceptions: str) -> list[str]:
    hosts = [host.strip() for host in exceptions.split(",")]
    return [host for host in hosts if host]


def _proxies() -> dict[str, str]:
    """Return the proxies that httpx reads, by the name of their variable."""
    # With a star, however it is surrounded, httpx reads none.
    exceptions = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    if "*" in _hosts(exceptions):
        return {}
    found = {}
    for name, url in os.environ.items():
        scheme, _, kind = name.lower().rpartition("_")
        # The lower case wins, as in urllib, and an empty one counts as set.
        wins = name.islower() or name.lower() not in os.environ
        if kind == "proxy" and scheme in SCHEMES and url and wins:
            found[name] = url
    return found


def _fault(url: str) -> str | None:
    """Return what is wrong with a proxy's URL: "socksio", "scheme", "url", or None."""
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError
    except ValueError:
        return "url"
    if not url.isprintable():
        return "url"
    if parts.scheme not in _USABLE:
        return "scheme"
    if parts.scheme in _SOCKS and find_spec("socksio") is None:
        return "socksio"
    return None


def _check_proxy(name: str, url: str) -> None:
    fault = _fault(url)
    if fault is None:
        return
    shown = without_password(url)
    address = "HOST:PORT" if fault == "url" else shown.split("://")[-1].strip(" \"'")
    # Such as the address of a script that chooses a proxy.
    if not re.match(r"[^/]", address):
        address = "HOST:PORT"
    package_zh = package_en = ""
    if fault == "socksio":
        package_zh, package_en = "，或 pip install socksio", ", or run pip install socksio"
    raise ServiceError(
        zh=f"环境变量 {name}={shown!r} 会让 OpenAI() 报错：删掉它，或改成 http://{address}"
        f"（Clash、V2Ray 的端口一般也支持 HTTP）{package_zh}，再重启内核",
        en=f"{name}={shown!r} makes OpenAI() fail: unset it, or set it to http://{address} "
        f"(the port of Clash or V2Ray usually speaks HTTP too){package_en}; "
        "then restart the kernel",
    )


def _check_key_log(file: str) -> None:
    """Raise ServiceError for a file of keys that cannot be written: no client can be made then."""
    if not file:
        return
    try:
        # As every client does.
        with open(file, "ab"):
            pass
    except OSError as error:
        raise ServiceError(
            zh=f"环境变量 {_KEY_LOG}={file!r} 指的文件不能写（{error.strerror}），OpenAI() 会报错："
            "删掉这个变量，再重启内核",
            en=f"the file of {_KEY_LOG}={file!r} cannot be written ({error.strerror}), so OpenAI() "
            "fails: unset it and restart the kernel",
        ) from error


def _check_certificates(file: str, folders: str, *, https: bool) -> None:
    """Raise ServiceError for certificates that are not there, as a removed environment leaves."""
    name, value = "SSL_CERT_FILE", file
    if file:
        reason = _fault_of_certificates(file)
    else:
        # Read where no file is set. A client can be made without it, but has no certificates.
        name, value = "SSL_CERT_DIR", folders
        present = any(os.path.isdir(folder) for folder in folders.split(os.pathsep))
        reason = "" if present or not folders or not https else os.strerror(errno.ENOENT)
    if reason:
        raise ServiceError(
            zh=f"环境变量 {name}={value!r} 里没有能读的证书（{reason}），OpenAI() 会报错："
            "删掉这个变量，或改成存在的证书，再重启内核",
            en=f"{name}={value!r} holds no certificates that can be read ({reason}), so OpenAI() "
            "fails: unset it, or name existing ones; then restart the kernel",
        )


def _fault_of_certificates(file: str) -> str:
    """Return why a file of certificates cannot be used; empty if it can."""
    import ssl

    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # also that of ssl
        return error.strerror or str(error)
    return ""

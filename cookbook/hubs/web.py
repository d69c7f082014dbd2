"""Ask a hub over HTTP: short waits, a few attempts, and one sentence where it is out of reach.

Proxies and certificates are those of the environment, as httpx reads it.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cookbook.errors import BaseAway, CookbookError
from cookbook.quoted import without_passwords
from cookbook.retry_after import retry_after

if TYPE_CHECKING:
    import httpx

    from cookbook.hubs.hub import Hub

CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
ATTEMPTS = 3  # of a question; of a file, without a byte between them
PAUSE_SECONDS = 1.0  # before the second attempt; doubled each time
LONGEST_PAUSE_SECONDS = 30.0  # even if a hub asks for more
MIRROR = "https://hf-mirror.com"

_PASSING = {408, 425, 429, 500, 502, 503, 504}


def connect(hub: "Hub") -> "httpx.Client":
    """Return an HTTP client for one hub."""
    import httpx

    from cookbook import __version__, proxies

    proxies.bypass()
    headers = {"User-Agent": f"siliconcloud-cookbook/{__version__}", **hub.headers()}
    # The sizes and checksums that a hub tells are those of the bare content.
    headers["Accept-Encoding"] = "identity"
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    try:
        return httpx.Client(
            auth=hub.endpoint.credentials, headers=headers, timeout=timeout, follow_redirects=True
        )
    # Such as a proxy whose URL is wrong, or certificates that are not there.
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        if isinstance(error, CookbookError):
            raise
        # Of a URL that cannot be read, the part that is wrong may be one of a password.
        why = "URL" if isinstance(error, httpx.InvalidURL) else reason(error)
        raise BaseAway(
            zh=f"代理或证书的设置用不了（{why}）：检查 HTTPS_PROXY、SSL_CERT_FILE 等环境变量",
            en=f"the settings of proxy or certificates cannot be used ({why}): check "
            "HTTPS_PROXY, SSL_CERT_FILE and the like",
        ) from error


def get(http: "httpx.Client", hub: "Hub", url: str) -> "httpx.Response":
    """Return the answer to a question, whatever its status, after a few attempts.

    Raises:
        BaseAway: no answer came.
    """
    import httpx

    attempt = 0
    while True:
        attempt += 1
        try:
            response = http.get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if attempt == ATTEMPTS or not _is_passing_error(error):
                raise unreachable(hub, reason(error)) from error
            pause(seconds_until(attempt))
            continue
        if response.status_code not in _PASSING:
            return response
        if attempt == ATTEMPTS:
            raise unreachable(hub, f"HTTP {response.status_code}")
        pause(seconds_until(attempt, response))


def is_passing(response: "httpx.Response") -> bool:
    """Return whether the same request may succeed a little later."""
    return response.status_code in _PASSING


def _is_passing_error(error: Exception) -> bool:
    """Return whether it makes sense to ask again at once.

    A host that does not answer at all has taken its seconds already.
    """
    import httpx

    final = httpx.TimeoutException | httpx.ProxyError | httpx.UnsupportedProtocol
    return isinstance(error, httpx.TransportError) and not isinstance(error, final)


def seconds_until(attempt: int, response: "httpx.Response | None" = None) -> float:
    """Return how long to wait before the next attempt; a hub may say so itself."""
    seconds = None if response is None else retry_after(response.headers)
    if seconds is None:
        seconds = PAUSE_SECONDS * 2 ** (attempt - 1)
    return min(seconds, LONGEST_PAUSE_SECONDS)


# One place, so that tests need not wait.
pause: Callable[[float], None] = time.sleep


def reason(error: Exception) -> str:
    """Return in a few words why a request failed."""
    text = without_passwords(str(error).split("\n")[0].strip())
    return (text or type(error).__name__)[:120]


def unreachable(hub: "Hub", why: str) -> BaseAway:
    """Return the error for a hub that gives no answer, with the ways around."""
    other = "huggingface" if hub.key == "modelscope" else "modelscope"
    # Whole, since a job's log and a chat answer show it, too.
    command = f"python -m cookbook pull … --from {other}"
    mirror_zh = mirror_en = ""
    # Who has set a mirror knows about mirrors.
    if hub.key == "huggingface" and not hub.endpoint.variable:
        mirror_zh = f"，或设 HF_ENDPOINT={MIRROR} 用镜像"
        mirror_en = f" or set HF_ENDPOINT={MIRROR}, a mirror"
    return BaseAway(
        zh=f"连不上 {hub.title}（{hub.address}，{why}）：检查网络，"
        f"用 {command} 换个来源{mirror_zh}",
        en=f"{hub.title} is out of reach ({hub.address}, {why}): check the network, "
        f"choose another source with {command}{mirror_en}",
    )

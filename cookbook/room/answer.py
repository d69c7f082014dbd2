"""Send the one request that `connect()` makes to a room, and read whatever comes back.

    get(invitation, notebook)      -> the room's base URL and its answer, see `service/room.py`

Every failure is a ServiceError in one sentence that names the address and never the key:
`no_answer.py` has those where nobody answers, this module those where somebody else does. It loads
an HTTP library, so it is imported where a room is joined.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from cookbook.errors import ServiceError
from cookbook.i18n import language
from cookbook.quoted import one_line, page_title
from cookbook.retry_after import retry_after
from cookbook.room import no_answer, typed
from cookbook.room.invitation import Invitation

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
ATTEMPTS = 4
"""How often a room that has too much to do is asked: thirty people may begin at once."""

_LONGEST_WAIT = 5.0  # seconds between two attempts
_MAX_BYTES = 4 * 1024 * 1024
_BUSY = (429, 503)
_GATEWAY = (502, 503, 504)
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `data` is its JSON, or None where it is something else."""

    status: int
    headers: Mapping[str, str]
    text: str
    data: Any

    @property
    def error(self) -> dict[str, Any] | None:
        """The error of a service that speaks OpenAI's API; None for any other answer."""
        error = self.data.get("error") if isinstance(self.data, dict) else None
        return error if isinstance(error, dict) and {"message", "type"} <= error.keys() else None


def get(invitation: Invitation, notebook: str | None) -> tuple[str, dict[str, Any]]:
    """Return the room's base URL, which it may correct to https, and its answer.

    Raises:
        ServiceError: nobody answers, somebody else does, or the room refuses the key.
    """
    base_url = invitation.base_url
    answer = _patiently(invitation, base_url, notebook)
    if answer.status in _MOVED:
        base_url = _moved_to(base_url, answer)
        answer = _patiently(invitation, base_url, notebook)
    if answer.status == 200 and _is_room(answer.data):
        return base_url, answer.data
    raise _refusal(invitation, base_url, answer)


def _is_room(data: Any) -> bool:
    if not isinstance(data, dict) or data.get("object") != "room":
        return False
    return isinstance(data.get("name"), str) and isinstance(data.get("base_model"), str)


def _patiently(invitation: Invitation, base_url: str, notebook: str | None) -> Answer:
    for attempt in range(1, ATTEMPTS + 1):
        answer = _once(invitation, base_url, notebook)
        if answer.status not in _BUSY or answer.error is None or attempt == ATTEMPTS:
            break
        time.sleep(_wait(answer, attempt))
    return answer


def _wait(answer: Answer, attempt: int) -> float:
    asked_for = retry_after(answer.headers)
    return min(float(attempt) if asked_for is None else asked_for, _LONGEST_WAIT)


def _once(invitation: Invitation, base_url: str, notebook: str | None) -> Answer:
    limits = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    headers = {
        "authorization": f"Bearer {invitation.key}",
        "accept": "application/json",
        "accept-language": language(),
    }
    # Empty where it is not known: with it the room keeps the language for what this key asks later.
    asked = {"notebook": notebook or ""}
    try:
        with (
            httpx.Client(timeout=limits) as client,
            client.stream("GET", f"{base_url}/room", params=asked, headers=headers) as response,
        ):
            content = _content(response)
    # Not all of them are httpx's own, such as one about a name that is too long for DNS.
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise no_answer.explained(error, base_url, invitation.place) from error
    text = content.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    return Answer(response.status_code, response.headers, text, data)


def _content(response: httpx.Response) -> bytes:
    """Read an answer, but not for ever: another server may send one without an end."""
    deadline = time.monotonic() + ANSWER_SECONDS
    content = b""
    for part in response.iter_bytes():
        content += part
        if len(content) > _MAX_BYTES or time.monotonic() > deadline:
            break
    return content


def _moved_to(base_url: str, answer: Answer) -> str:
    """Return where the room is, if the answer leads to the same host by https.

    Raises:
        ServiceError: it leads to somewhere else, to which the key is not sent.
    """
    where, target = no_answer.shown(base_url), answer.headers.get("location", "")
    old, new = urlsplit(base_url), urlsplit(target)
    moved = f"{new.scheme}://{new.netloc}{new.path}".removesuffix("/").removesuffix("/room")
    if new.scheme == "https" and new.hostname == old.hostname and moved.endswith("/v1"):
        return moved
    elsewhere = one_line(f"{new.scheme}://{new.netloc}") if new.netloc else where
    raise ServiceError(
        zh=f"{where} 跳转到 {elsewhere}，密钥没有发过去：如果那是网络的登录页，先在浏览器里登录；"
        "否则向组织者核对地址",
        en=f"{where} redirects to {elsewhere}; the key was not sent there: if that is the "
        "network's login page, log in with a browser first; otherwise check the address with the "
        "leader",
    )


def _refusal(invitation: Invitation, base_url: str, answer: Answer) -> ServiceError:
    """Return why an answer is not the room's, or what the room says against the caller."""
    where = no_answer.shown(base_url)
    if answer.status == 401 and answer.error is not None:
        zh, en = typed.key_hint(invitation.key)
        return ServiceError(
            zh=f"课堂 {where} 不认这把密钥{zh}：对照密钥条检查 COOKBOOK_KEY；"
            "组织者给你换过密钥的话，用新的那一把",
            en=f"the room at {where} does not know this key{en}: compare COOKBOOK_KEY with your "
            "slip; if the leader has given you a new key, use that one",
        )
    if answer.error is not None and answer.status != 404:
        # Its own sentence says what to do.
        said = one_line(str(answer.error["message"]))
        return ServiceError(zh=f"课堂 {where}：{said}", en=f"the room at {where}: {said}")
    if answer.status in _GATEWAY:
        return no_answer.behind_gateway(base_url, answer.status, invitation.place)
    if answer.status in (401, 403, 407):
        return ServiceError(
            zh=f"{where} 前面的网关或代理拒绝了请求（HTTP {answer.status}）："
            "向组织者核对地址，或先登录这个网络",
            en=f"a gateway or proxy in front of {where} refused the request (HTTP "
            f"{answer.status}): check the address with the leader, or log in to the network first",
        )
    return _not_a_room(where, answer)


def _not_a_room(where: str, answer: Answer) -> ServiceError:
    if answer.error is not None:
        return ServiceError(
            zh=f"{where} 有一个服务，但不是课堂：向组织者核对地址，"
            "并请组织者用新版本的 python -m cookbook room 启动",
            en=f"a service answers at {where}, but it is not a room: check the address with the "
            "leader, who starts a room with python -m cookbook room of a current version",
        )
    what_zh, what_en = f"HTTP {answer.status}", f"HTTP {answer.status}"
    if title := page_title(answer.text):
        what_zh, what_en = f"网页“{title}”", f"the web page “{title}”"
    return ServiceError(
        zh=f"{where} 应答的不是课堂（{what_zh}）：向组织者核对地址和端口，应像 {typed.EXAMPLE}",
        en=f"what answers at {where} is not a room ({what_en}): check the address and the port "
        f"with the leader, as in {typed.EXAMPLE}",
    )

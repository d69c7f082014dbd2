"""Join a room: prove the key with one request, and return the connection.

    join(invitation)      -> Connection

Promises: the key is sent to the named address alone (or the same host by https, where it says so);
a room in this network is reached without a proxy. What a reader should know is a warning: another
version, a setting without effect here, a key that travels in the open.
"""

import os
import warnings
from typing import Any
from urllib.parse import urlsplit

from cookbook import environment, explain, notebook, proxies
from cookbook.connected import Connection
from cookbook.i18n import tr
from cookbook.room import answer, no_answer
from cookbook.room.invitation import Invitation
from cookbook.terminal import printable

_LONGEST = 500  # letters of what the leader says
_LONGEST_NAME = 200  # letters of a notebook's name, as the room takes them


def join(invitation: Invitation) -> Connection:
    """Return the connection to a room.

    Raises:
        ServiceError: it does not answer, is closed, does not know the key, or is not a room.

    Warns:
        UserWarning: its version is another, the key is sent unencrypted over the internet, or
            `COOKBOOK_BASE_MODEL` is set and without effect.
    """
    parts = urlsplit(invitation.base_url)
    host = parts.hostname or ""
    proxies.bypass(*([host] if proxies.is_near(host) else []))
    proxies.check(https=parts.scheme == "https")
    path = notebook.path()
    name = path.name[:_LONGEST_NAME] if path else None
    base_url, room = answer.get(invitation, name)
    explain.note_room(base_url)
    for text in _remarks(base_url, room):
        # To the line that called `connect`.
        warnings.warn(text, UserWarning, stacklevel=3)
    message = room.get("message")
    said = message.get("text") if isinstance(message, dict) else None
    closes_at = room.get("closes_at")
    return Connection(
        base_url,
        invitation.key,
        room["base_model"],
        trains_by_api=True,
        room=printable(room["name"]),
        message=printable(str(said))[:_LONGEST] if said else None,
        closes_at=closes_at if isinstance(closes_at, int | float) else None,
    )


def _remarks(base_url: str, room: dict[str, Any]) -> list[str]:
    """Return what the reader should know."""
    from cookbook import __version__

    found = []
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not proxies.is_near(parts.hostname or ""):
        where = no_answer.shown(base_url)
        found.append(
            tr(
                f"{where} 在互联网上，又没有 TLS：密钥和数据不加密传输，请组织者换成 https",
                f"{where} is on the internet and has no TLS: the key and your data are sent "
                "unencrypted. Ask the leader for an https address",
            )
        )
    theirs = str(room.get("version") or "")
    if theirs and _release(theirs) != _release(__version__):
        found.append(
            tr(
                f"课堂的版本是 {theirs}，这里装的是 {__version__}：有单元格出错时，"
                "装上和组织者一样的版本",
                f"the room has version {theirs}, and {__version__} is installed here: if a cell "
                "fails, install the leader's version",
            )
        )
    if environment.value_of("COOKBOOK_BASE_MODEL", os.environ):
        base = room["base_model"]
        found.append(
            tr(
                f"COOKBOOK_BASE_MODEL 在课堂里不起作用：基础模型由组织者定，是 {base}",
                f"COOKBOOK_BASE_MODEL has no effect in a room: the leader chooses the base, "
                f"which is {base}",
            )
        )
    return [printable(text) for text in found]


def _release(version: str) -> list[str]:
    """Return what decides whether helpers and service fit each other: major and minor number."""
    return version.split(".")[:2]

"""Let people of a JupyterHub into a room: their key comes with their server's environment.

In jupyterhub_config.py (docs/hub has whole files):

    from cookbook.room.hub import Room

    room = Room(python="/opt/room/bin/python", folder="/srv/room")
    c.JupyterHub.services = [room.service()]
    c.Spawner.pre_spawn_hook = room.give_key

The hub starts the room as one of its services, and each start of a person's server adds the person
to the room or renews their key. Promises: the hub goes on with its work meanwhile; a room that is
still starting is waited for; the key is in nobody's log. Imports nothing but the standard library,
so that `pip install --no-deps` puts it into a hub's environment without changing anything there.

The hub reads the leader's key in the room's folder: it runs as root or as the room's own user.
"""

import asyncio
import hashlib
import http.client
import json
import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from cookbook.address import Address, health
from cookbook.errors import ArgumentError, ServiceError
from cookbook.paths import Home
from cookbook.room import names

WAIT_SECONDS = 30.0  # for a room that is still starting
PAUSE_SECONDS = 0.5
ANSWER_SECONDS = 10.0

_DIGEST = re.compile(r"-[0-9a-f]{8}\Z")  # what `name_of` adds
_HOST = "127.0.0.1"
_MAX_BYTES = 64 * 1024  # of an answer


class RoomAway(ServiceError):
    """The room does not run, or not yet."""


@dataclass(frozen=True)
class Room:
    """A room that a hub starts and lets its people into.

    Attributes:
        python: an interpreter with `siliconcloud-cookbook[local]`; the hub's own needs no torch.
        folder: the room's data folder.
        port: where the room listens, for this machine alone.
        user: the account that the room runs as; by default the hub's own.
        options: more arguments of `python -m cookbook room`.
        environment: variables for the room, such as COOKBOOK_LANG and COOKBOOK_BASE_MODEL.
        address: where people's servers find the room, if they are not on this machine.
    """

    python: str
    folder: str | Path
    port: int = 8765
    user: str | None = None
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None

    def service(self) -> dict[str, Any]:
        """Return the entry of `c.JupyterHub.services`; the hub shows it at /services/room/."""
        command = [self.python, "-m", "cookbook", "room", "--no-open", "--hours", "0"]
        command += ["--host", _HOST, "--port", str(self.port), "--home", str(self.folder)]
        entry = {
            "name": "room",
            "url": f"http://{_HOST}:{self.port}",
            "command": [*command, *self.options],
            "environment": dict(self.environment),
        }
        return entry | {"user": self.user} if self.user else entry

    async def give_key(self, spawner: Any) -> None:
        """Put the room's address and a new key into the environment of a server that starts.

        Raises:
            tornado.web.HTTPError: the room does not answer, or refuses; the hub shows the reason.
        """
        user = spawner.user.name
        name = name_of(user)
        try:
            key = await self._key_for(name)
        except ServiceError as error:
            raise _shown(error) from error
        if name != user:
            spawner.log.info("room: the hub's %s is %s in the room", user, name)
        given = {
            "COOKBOOK_SERVICE": self.address or f"http://{_HOST}:{self.port}",
            "COOKBOOK_KEY": key,
        }
        spawner.environment = {**spawner.environment, **given}

    async def _key_for(self, name: str) -> str:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                # It waits for the disk and for an answer, and the hub must not.
                return await asyncio.to_thread(new_key, Path(self.folder), name)
            except RoomAway:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)


def name_of(user: str) -> str:
    """Return the name in the room of one of the hub's people; two never get the same one.

    A name that a room allows is used as it is. Any other, such as an e-mail address, keeps its
    letters and gets a digest of the whole: `li.lei@example.com` is `li.lei-example.com-9dab8131`.
    """
    # A room does not tell capitals from small letters, and a hub may.
    if user == user.casefold() and _is_allowed(user) and not _DIGEST.search(user):
        return user
    digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    # In this order: the usual form of a sign such as 🄰 is a capital letter.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", user).casefold())
    letters = [sign if sign.isalnum() or sign in "_.-" else "-" for sign in text]
    start = "".join(letters)[: names.LONGEST - len(digest) - 1].strip("_.-") or "hub"
    return f"{start}-{digest}"


def _is_allowed(name: str) -> bool:
    try:
        return names.tidy(name) == name
    except ArgumentError:
        return False


def new_key(folder: Path, name: str) -> str:
    """Return a new key for somebody of the room in `folder`, who is added if not there yet.

    Raises:
        RoomAway: the room does not answer.
        ServiceError: it refuses, or its folder cannot be read.
    """
    status, answer = _post(folder, "people", {"name": name})
    if status == 409:
        status, answer = _post(folder, f"people/{quote(name, safe='')}/renew", None)
    key = answer.get("key")
    if status == 200 and isinstance(key, str):
        return key
    reason = (answer.get("error") or {}).get("message") or f"HTTP {status}"
    raise ServiceError(
        zh=f"课堂没有给 {name} 密钥：{reason}",
        en=f"the room gave {name} no key: {reason}",
    )


def _post(folder: Path, route: str, body: object) -> tuple[int, dict[str, Any]]:
    """Return what the room answers its leader."""
    room = _address(folder)
    port = urlsplit(room["base_url"]).port
    connection = http.client.HTTPConnection(_HOST, port, timeout=ANSWER_SECONDS)
    headers = {"authorization": f"Bearer {room['api_key']}", "content-type": "application/json"}
    content = None if body is None else json.dumps(body)
    try:
        connection.request("POST", f"/v1/room/{route}", content, headers)
        response = connection.getresponse()
        answer = json.loads(response.read(_MAX_BYTES))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _away(folder) from error
    finally:
        connection.close()
    return response.status, answer if isinstance(answer, dict) else {}


def _address(folder: Path) -> Address:
    """Return what the address file of a room says, whose service has proved to be the room's own.

    Where a room has ended, another person of the machine could listen on its port.
    """
    path = Home(folder).address
    try:
        found: Address = json.loads(path.read_bytes())
        proved = health(found) is not None
    except PermissionError as error:
        raise ServiceError(
            zh=f"JupyterHub 不能读 {path}：请管理员用 root 或课堂自己的账号运行 JupyterHub",
            en=f"the hub cannot read {path}: its administrator must run it as root or as the "
            "room's own account",
        ) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _away(folder) from error
    if not proved:
        raise _away(folder)
    return found


def _away(folder: Path) -> RoomAway:
    return RoomAway(
        zh=f"课堂（{folder}）没有应答：过一会儿再试；还不行，请管理员看 JupyterHub 的日志",
        en=f"the room ({folder}) does not answer: try again in a moment. If it still does not, "
        "ask the hub's administrator: the hub's log has the reason",
    )


def _shown(error: ServiceError) -> Any:
    """Return an error whose text JupyterHub shows to the person whose server does not start."""
    from tornado.web import HTTPError  # every hub has it

    # JupyterHub looks for an attribute that Tornado does not know.
    shown: Any = HTTPError(503, str(error))
    shown.jupyterhub_message = str(error)
    return shown


def notebooks_link(hub: str, repository: str, branch: str = "main") -> str:
    """Return the nbgitpuller link that copies the notebooks into a person's server and opens 00.

    Args:
        hub: the hub's address, `https://hub.example.org`.
        repository: where the course is cloned from.
    """
    # Named in the link: by itself nbgitpuller would keep the ".git" of an address.
    clone = repository.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
    opened = f"lab/tree/{clone}/notebooks/00_quickstart.ipynb"
    query = {"repo": repository, "branch": branch, "targetpath": clone, "urlpath": opened}
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query)}"

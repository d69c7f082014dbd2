"""Let others find the service: the address file, and the port and token that outlive it.

    endpoint = remembered(home)           port and token of this folder's last service, or None
    remember(home, endpoint)
    publication = Publication(home, …)    writes the address file
    publication.renew()                   False where the folder was removed or replaced
    publication.withdraw()                removes the address file, if it is still this service's

Port and token stay, so that clients made before an idle end, panels and buttons live on. They are
not used in a copy of the folder: its services are other services.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cookbook import __version__, disk
from cookbook.address import Address, read_private, settings
from cookbook.client import is_api_key
from cookbook.paths import Home


@dataclass(frozen=True)
class Endpoint:
    """Where a service listens, and its token."""

    port: int
    api_key: str


def remembered(home: Home) -> Endpoint | None:
    """Return the endpoint of this folder's last service; None in a copy of the folder."""
    found = read_private(home.identity)
    if found is None or found.get("folder") != _identity(home.folder):
        return None
    port = found.get("port")
    api_key = found.get("api_key")
    # A file that somebody has edited is no reason not to start.
    if not isinstance(port, int) or not isinstance(api_key, str):
        return None
    is_usable = 0 < port < 2**16 and is_api_key(api_key)
    return Endpoint(port, api_key) if is_usable else None


def remember(home: Home, endpoint: Endpoint) -> None:
    """Keep port and token for the next service of this folder."""
    content = {
        "folder": _identity(home.folder),
        "port": endpoint.port,
        "api_key": endpoint.api_key,
    }
    disk.write(home.identity, json.dumps(content).encode(), private=True)


def _identity(folder: Path) -> list[str | int]:
    """Return what tells this folder from a copy, and from one that came in an archive."""
    # A copy has another path; what an archive brings to the same path has another number.
    status = folder.stat()
    return [str(folder), status.st_dev, status.st_ino]


class Publication:
    """The address file of this service.

    `managed` tells that `connect()` started it, and may start another in its place.
    """

    def __init__(self, home: Home, *, base_url: str, api_key: str, base_model: str, managed: bool):
        import psutil

        self._home = home
        self._lock = _inode(home.service_lock)
        self._address: Address = {
            "base_url": base_url,
            "api_key": api_key,
            "pid": os.getpid(),
            "base_model": base_model,
            # What follows tells others whether the service is the one they would start.
            "started": psutil.Process().create_time(),
            "home": str(home.folder),
            "version": __version__,
            "interpreter": sys.executable,
            "managed": managed,
            **settings(),
        }
        self._write()

    def renew(self) -> bool:
        """Write the file again where it is gone; return False where the folder is another one."""
        if self._is_ours():
            return True
        # Whoever holds the lock is the service of the folder. Where the folder was removed, the
        # lock that this service holds is no longer in it.
        if _inode(self._home.service_lock) != self._lock:
            return False
        self._write()
        return True

    def withdraw(self) -> None:
        """Remove the file, unless it is that of another service by now."""
        if self._is_ours():
            self._home.address.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        return read_private(self._home.address) == self._address

    def _write(self) -> None:
        content = json.dumps(self._address).encode()
        disk.write(self._home.address, content, private=True)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

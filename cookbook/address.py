"""Say who serves a data folder, and have them prove it before anything is sent to them.

    address = read(home.address)      what the file says, if only this user can have written it
    health(address)                   the service's answer; None if it does not know the token
    proof(api_key, nonce, folder)     what a service answers to a nonce
    settings()                        what a service started by this process would be set to

Promise: the token is sent to nobody who has not proved to know it, and nothing is sent to another
machine. A proof is an HMAC over a nonce and the data folder, so it cannot be used twice, and a
service of another folder cannot give it.
"""

import contextlib
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cookbook import bases, disk, machine
from cookbook.client import is_api_key
from cookbook.environment import value_of
from cookbook.machine import device
from cookbook.quoted import without_password

Address = dict[str, Any]
"""The content of an address file: base_url, api_key, pid, base_model, started, home, …"""

ANSWER_SECONDS = 5.0
MAX_BYTES = 64 * 1024  # of a file or an answer

# What the first release wrote, and each later one, too.
_FIELDS = {"base_url": str, "api_key": str, "pid": int, "base_model": str}
_PATHS = ("home", "interpreter", "base_setting")


# Neither through a link, nor waiting where it is a pipe, which Windows does not know.
_PLAIN_FILE: int = os.O_RDONLY | disk.NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)


def proof(api_key: str, nonce: str, folder: Path | str) -> str:
    """Return what only a service of this folder with this token can answer to the nonce."""
    message = nonce.encode() + b"\n" + os.fsencode(folder)
    return hmac.new(api_key.encode(), message, hashlib.sha256).hexdigest()


def settings() -> dict[str, Any]:
    """Return what a service takes from the environment of the process that starts it.

    Raises:
        ArgumentError: `COOKBOOK_MEMORY` is not an amount of memory.
        ModelError: `COOKBOOK_DEVICE` names no device.
    """
    machine.chosen_limit(os.environ)  # a wrong value is an error here, before anything starts
    return {
        "base_setting": bases.chosen(),
        "jobs": value_of("COOKBOOK_JOBS", os.environ) or "1",
        "fast": value_of("COOKBOOK_FAST", os.environ) or "1",
        "memory": value_of(machine.VARIABLE, os.environ) or None,
        "device": device.chosen(),
        "trainer": value_of("COOKBOOK_TRAINER", os.environ) or "local",
        "engine": without_password(value_of("COOKBOOK_ENGINE", os.environ)) or None,
    }


def read(path: Path) -> Address | None:
    """Return the content of an address file; None where it is not there or cannot be trusted.

    A trusted one is this user's own, nobody else can write it, and its service is on this machine.
    """
    found = read_private(path)
    if found is None:
        return None
    for name, kind in _FIELDS.items():
        if not isinstance(found.get(name), kind):
            return None
    if not 0 < found["pid"] < 2**31:
        return None
    if not is_api_key(found["api_key"]):
        return None
    if not _is_here(found["base_url"]):
        return None
    for name in _PATHS:
        if isinstance(found.get(name), str):
            found[name] = _as_here(found[name])
    return found


def _as_here(path: str) -> str:
    """Return a path as this process writes it, whose locale may know other letters."""
    try:
        return os.fsdecode(path.encode("utf-8", "surrogateescape"))
    except UnicodeError:
        return path


def read_private(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file that only this user can have written, or else None."""
    try:
        with open(os.open(path, _PLAIN_FILE), "rb") as file:
            status = os.fstat(file.fileno())
            is_file = stat.S_ISREG(status.st_mode)
            if not is_file or not _is_own(status, path.parent):
                return None
            content = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_folder_of(address: Address, folder: Path) -> bool:
    """Return whether the file was written for this folder, not for one it was copied from."""
    home = address.get("home")
    try:
        # Not by name: a link, or another case of the letters, leads to the same folder.
        return isinstance(home, str) and os.path.samefile(home, folder)
    except (OSError, ValueError):
        return False


def health(
    address: Address, *, details: bool = False, language: str | None = None
) -> dict[str, Any] | None:
    """Return what the service says of itself; None if it does not prove to know the token.

    Args:
        details: ask on for what it tells only to those who have the token.
        language: has it answer in this language from now on, "zh" or "en".
    """
    # Takes a third of the time of the whole package's import. It never asks a proxy.
    import http.client

    parts = urlsplit(address["base_url"])
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.connect()
        with _deadline(connection.sock):
            nonce = os.urandom(16).hex()
            answer = _get(connection, f"/health?nonce={nonce}", {})
            expected = proof(address["api_key"], nonce, address["home"])
            given = str(answer.get("proof"))
            if not hmac.compare_digest(given.encode(), expected.encode()):
                return None
            if details or language:
                # On the same connection: another one could end elsewhere.
                connection.auto_open = 0
                headers = {"authorization": f"Bearer {address['api_key']}"}
                if language:
                    headers["accept-language"] = language
                answer = _get(connection, "/health", headers)
        return answer
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@contextlib.contextmanager
def _deadline(opened: socket.socket) -> Iterator[None]:
    """Cut the connection if it takes too long: a stranger could answer one byte at a time."""
    import threading

    def cut() -> None:
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(ANSWER_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _get(connection: Any, target: str, headers: dict[str, str]) -> dict[str, Any]:
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    content = json.loads(response.read(MAX_BYTES))
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def _is_own(status: os.stat_result, folder: Path) -> bool:
    """Return whether a file is this user's and closed to others."""
    if not hasattr(os, "getuid"):
        return True
    if status.st_uid == os.getuid() and not status.st_mode & 0o077:
        return True
    # Some file systems know neither owners nor modes (a Windows drive in WSL, a network share).
    # There a new private file looks the same.
    trial = folder / f".trial-{os.urandom(4).hex()}"
    try:
        with open(os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)) as file:
            fresh = os.fstat(file.fileno())
        trial.unlink()
    except OSError:
        return False
    same_mode = stat.S_IMODE(status.st_mode) == stat.S_IMODE(fresh.st_mode)
    return same_mode and status.st_uid == fresh.st_uid


def in_url(host: str) -> str:
    """Return a host as a URL has it: an address of IPv6 is in brackets."""
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Return whether a host, by name or address, is this machine and reached from it alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_here(base_url: str) -> bool:
    """Return whether the address is an HTTP address of this machine."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    # Nothing but the parts that a service writes: no user, no other path.
    if base_url != f"http://{in_url(host)}:{port}/v1":
        return False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
        if is_loopback(host):
            return True
        # One of this machine's own addresses, as after `serve --host`: others cannot be bound.
        with socket.socket(family) as trial:
            trial.bind((host, 0))
    except OSError:
        return False
    return True

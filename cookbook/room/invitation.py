"""Find which room a notebook is to join, and with which key.

    find()                          what the environment says, or else a `.env` beside the notebook
    find("http://…", "room-…")      what was given to `connect`

The environment comes before files. Of a `.env` only COOKBOOK_SERVICE and COOKBOOK_KEY are read. A
key that was written beside the address of another room is not sent to this one, and what another
user has put above the notebook's folder names no room. Nothing is asked over the network here.
"""

import codecs
import io
import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cookbook import environment, notebook
from cookbook.errors import ArgumentError, KeyMissing
from cookbook.i18n import tr
from cookbook.room import typed

SERVICE, KEY = "COOKBOOK_SERVICE", "COOKBOOK_KEY"
FILE_NAMES = (".env", ".env.txt")  # as Notepad on Windows saves the first
OTHER_SERVICES = ("local", "siliconcloud")

_LEVELS = 3  # of folders above the notebook's that are looked into
_MAX_BYTES = 1024 * 1024
_MENTION = re.compile(rf"\s{{0,80}}(?:export\s{{1,80}})?({SERVICE}|{KEY})", re.IGNORECASE)
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Place:
    """Somewhere that a room may be named: a call, the environment, a file."""

    service: str
    key: str = field(repr=False)
    name_zh: str
    name_en: str
    file: Path | None = None

    def to_leave(self) -> tuple[str, str]:
        """Return what to do to work with the embedded service instead, zh and en."""
        if self.file:
            return f"删掉 {self.file} 里的 {SERVICE}", f"remove {SERVICE} from {self.file}"
        if self.name_en == SERVICE:
            return (
                f"去掉环境变量 {SERVICE} 并重启内核",
                f"unset {SERVICE} and restart the kernel",
            )
        return '用 connect("local")', 'use connect("local")'


@dataclass(frozen=True)
class Invitation:
    """The room to join: its base URL, the key, and where the address was found."""

    base_url: str
    key: str = field(repr=False)
    place: Place


def find(service: str | None = None, key: str | None = None) -> Invitation | None:
    """Return the room that was named; None where none was, or another service was.

    Args:
        service: an address given to `connect`; without one, the environment and files are read.
        key: the key given to `connect`.

    Raises:
        ArgumentError: the address, or a line of a `.env`, cannot be used, or there is only a key.
        KeyMissing: there is no key for it, or something that cannot be one.
    """
    places = _places(service or "", key or "")
    looked_at = []
    for place in places:
        looked_at.append(place)
        if place.service:
            break
    named = looked_at[-1]
    if not named.service or named.service.lower() in OTHER_SERVICES:
        if key:
            raise _key_alone()
        return None
    base_url = _address_of(named)
    for place in itertools.chain(looked_at, places):
        if place.key and _is_for(place, base_url):
            return Invitation(base_url, typed.key(place.key), named)
    raise _no_key(named)


def _places(service: str, key: str) -> Iterator[Place]:
    """Yield the places in their order; files are only read once it is their turn."""
    yield Place(service, key, "connect() 的参数", "the address given to connect()")
    yield Place(
        environment.value_of(SERVICE, os.environ),
        environment.value_of(KEY, os.environ),
        name_zh=f"环境变量 {SERVICE}",
        name_en=SERVICE,
    )
    for path, start in _files():
        yield _read(path, start)


def _address_of(place: Place) -> str:
    if not typed.is_address(place.service):
        raise ArgumentError(
            zh=f"{place.name_zh}是 {place.service!r:.60}，不是课堂的地址：应像 {typed.EXAMPLE}",
            en=f"{place.name_en} is {place.service!r:.60}, which is not the address of a room such "
            f"as {typed.EXAMPLE}",
        )
    return typed.address(place.service)


def _is_for(place: Place, base_url: str) -> bool:
    """Return whether a place's key belongs to this room, as far as the place tells."""
    if not place.service:
        return True
    try:
        return typed.address(place.service) == base_url
    except ArgumentError:
        return False


def _key_alone() -> ArgumentError:
    return ArgumentError(
        zh=f'key= 是课堂的密钥，要和地址一起给：connect("{typed.EXAMPLE}", key=…)',
        en=f'key= is the key of a room: give its address as well, connect("{typed.EXAMPLE}", '
        "key=…)",
    )


def _no_key(named: Place) -> KeyMissing:
    where = named.file or ".env"
    return KeyMissing(
        zh=f"没有课堂的密钥：在 {where} 里加一行 {KEY}=room-…（组织者给的密钥条上有），"
        f"或设环境变量 {KEY}",
        en=f"no key for the room: add the line {KEY}=room-… to {where} (it is on the slip that the "
        f"leader gave you), or set the environment variable {KEY}",
    )


# Files


def _files() -> Iterator[tuple[Path, Path]]:
    """Yield the files that may name a room, the nearest to the notebook first.

    Each with the folder from which it was looked for.
    """
    folders: dict[Path, Path] = {}
    try:
        here = Path.cwd()
        folders[here] = here
        start = notebook.folder()
        for above in _upwards(start):
            folders.setdefault(above, start)
    except OSError:
        pass  # the current folder was deleted
    for folder, start in folders.items():
        for name in FILE_NAMES:
            # A virtual environment may have the name, too.
            if os.path.isfile(folder / name):
                yield folder / name, start


def _upwards(folder: Path) -> Iterator[Path]:
    """Yield a folder and those above it, up to the checkout or the reader's own folder."""
    for above in [folder, *folder.parents][: _LEVELS + 1]:
        # What lies at the root of a disk belongs to no course.
        if above == above.parent:
            return
        yield above
        is_checkout = (above / ".git").exists() or (above / "pyproject.toml").exists()
        if is_checkout or above == Path(os.path.expanduser("~")):
            return


def _read(path: Path, start: Path) -> Place:
    """Return what a file says of a room; nothing where somebody else has put it there."""
    from dotenv.parser import parse_stream

    values = {SERVICE: "", KEY: ""}
    text = _text(path)
    if not _is_trusted(path, start):
        if any(name in text.upper() for name in values):
            _warn_of_others(path)
        text = ""
    for binding in parse_stream(io.StringIO(text)):
        name = (binding.key or "").strip().upper()
        if name in values and not binding.error and binding.value is not None:
            # As in a shell, the last one counts.
            values[name] = binding.value.strip()
        elif found := _mention(binding.original.string):
            skipped, variable = found
            raise _unreadable_line(path, binding.original.line + skipped, variable)
    own = f"{path} 里的 {SERVICE}", f"{SERVICE} in {path}"
    return Place(values[SERVICE], values[KEY], *own, file=path)


def _is_trusted(path: Path, start: Path) -> bool:
    """Return whether a file is the reader's, root's, or of whoever owns the notebook's folder.

    In `/tmp`, or above a folder of one's own in a shared one, anybody could name a room, to which
    the reader's key and files would go.
    """
    # Windows keeps such rights elsewhere.
    if sys.platform == "win32":
        return True
    try:
        return path.stat().st_uid in (os.geteuid(), 0, start.stat().st_uid)
    except OSError:
        return False


def _warn_of_others(path: Path) -> None:
    warnings.warn(
        tr(
            f"{path} 是别的用户放的，没有用它：里面若是你的课堂，用 connect(地址, key=…)",
            f"another user has put {path} there, and it was not used: if it names your room, "
            "use connect(ADDRESS, key=…)",
        ),
        UserWarning,
        stacklevel=2,
    )


def _mention(statement: str) -> tuple[int, str] | None:
    """Return which line of a statement begins with one of the names, and that name."""
    for number, line in enumerate(statement.splitlines()):
        if found := _MENTION.match(line):
            return number, found[1].upper()
    return None


def _unreadable_line(path: Path, line: int, variable: str) -> ArgumentError:
    # Without the line itself, which may hold the key.
    return ArgumentError(
        zh=f"{path} 第 {line} 行格式不对：写成 {variable}=…（英文等号，引号要成对或不用）",
        en=f"line {line} of {path} cannot be read: write {variable}=… with an equals sign, and "
        "with both quotes or none",
    )


def _text(path: Path) -> str:
    """Return a file's text; empty where it cannot be read, or is something else by that name."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        warnings.warn(
            tr(
                f"读不了 {path}（{error.strerror}），已忽略",
                f"{path} cannot be read ({error.strerror}) and was ignored",
            ),
            UserWarning,
            stacklevel=2,
        )
        return ""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    for encoding in ("utf-8", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    # Both names are ASCII; what is damaged around them does not matter.
    return content.decode("utf-8", "replace")

"""Write to the disk so that a file is there whole or not at all, and recognize a full disk.

Whatever a reader would miss (address, identifiers, adapters, states to resume from) is written
beside its place, flushed, and then moved there: a power cut leaves the old or the new, never half
of one.
"""

import errno
import os
import re
import shutil
from pathlib import Path

from cookbook.errors import DiskFull

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Error numbers that mean "no room": disk full, file too big for it, quota used up."""

NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""For `os.open`: fail where the path is a link. Windows has no such flag."""

_CUT = re.compile(r"\d{1,20} requested and \d{1,20} written")

SMALL_BYTES = 64 * 1024
"""A disk with less room than this is full for every purpose."""

LOG_BYTES = 4 * 1024 * 1024
"""The longest that a log becomes before its older part is dropped."""


RESERVE_BYTES = 256 * 1024


def keep_reserve(path: Path) -> None:
    """Keep a file of a little room; who deletes it can still write down that the disk is full."""
    if not path.exists():
        try:
            write(path, bytes(RESERVE_BYTES), private=True)
        except OSError:
            path.unlink(missing_ok=True)


def is_full(error: BaseException) -> bool:
    """Return whether this error means that there is no room."""
    if isinstance(error, DiskFull):
        return True
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    # safetensors, and whatever copies a folder, report the number in their text alone.
    number = re.search(r"(?:os error|\[Errno) (\d+)", str(error))
    if number is not None:
        return int(number[1]) in FULL
    # numpy's `tofile` has no number at all.
    return isinstance(error, OSError) and _CUT.fullmatch(str(error)) is not None


def has_room(folder: Path) -> bool:
    """Return whether a small file can be written there."""
    try:
        return shutil.disk_usage(folder).free > SMALL_BYTES
    except OSError:
        return True


def write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file whole, replacing an older one; `private` leaves it readable for its owner alone.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    # The mode from the first moment on, so that others can never read a private file.
    mode = 0o600 if private else 0o666
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        settle(part, path)
    except BaseException:
        # On a full disk, half a file would hold the little room that is left.
        part.unlink(missing_ok=True)
        raise


def settle(part: Path, target: Path) -> None:
    """Move a finished file or folder into place, its bytes on the disk first.

    Raises:
        OSError: a file cannot be flushed or moved.
    """
    paths = [part]
    if part.is_dir():
        paths += part.rglob("*")
    for path in paths:
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(part, target)
    if os.name != "nt":
        # The rename itself must reach the disk, too.
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def check_lock(lock: object) -> None:
    """Refuse a lock that filelock made of a mere file, where a file system has no locks.

    Such a file stays where its process is killed, and then keeps everybody out.

    Raises:
        OSError: with ENOLCK.
    """
    if type(lock).__name__.startswith("Soft"):
        raise OSError(errno.ENOLCK, "the file system has no locks")


def used(folder: Path) -> int:
    """Return the bytes in all files below `folder`; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def keep_short(log: Path, most: int = LOG_BYTES) -> None:
    """Drop the older part of a log that is longer than `most` bytes.

    Processes that append to it go on. Lines that come in this very moment may be lost.
    """
    try:
        if log.lstat().st_size <= most:
            return
        # Never through a link.
        flags = os.O_RDWR | NO_FOLLOW | getattr(os, "O_BINARY", 0)
        with open(os.open(log, flags), "rb+") as file:
            file.seek(-most // 2, os.SEEK_END)
            # Begins with a whole line.
            _, _, newest = file.read().partition(b"\n")
            file.seek(0)
            file.write(newest)
            file.truncate()
    except OSError:
        # Not there, or in use: the next look finds it again.
        return

"""The disk: what is written is there whole or not at all, and a full disk is known for what it is."""

import errno
import os
import re
import shutil
from pathlib import Path

from cookbook.errors import DiskFull

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_full(error: BaseException) -> bool:
    """Whether this error means that there is no room; safetensors tells it in words alone."""
    if isinstance(error, DiskFull) or isinstance(error, OSError) and error.errno in FULL:
        return True
    told = re.search(r"os error (\d+)", str(error))
    return bool(told) and int(told[1]) in FULL


def settle(part: Path, target: Path) -> None:
    """Move a finished file or folder into place, its bytes on the disk first: a power cut leaves the old or the new."""
    for path in [part, *part.rglob("*")] if part.is_dir() else [part]:
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(part, target)
    if os.name != "nt":  # the rename itself
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def used(folder: Path) -> int:
    """Bytes in all files below `folder`; those that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total

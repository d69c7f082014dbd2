"""Make the data folder for this user alone, and refuse one that others could have tampered with.

    prepare(home)       make it (0700) if it is not there, and examine it
    examine(home)       raise ServiceError, or warn, where it cannot be trusted
    refuse_link(path)   before something is written into a folder of a job or a model
    open_log(path)      a log file, never through a link

A folder of ours that others could write to is closed to them, with a warning; any other is refused,
and so is one of another user. A link never leads a write out of the folder. There is one exception:
`models`, `jobs`, `uploads`, `logs`, or the whole data folder may be links to a folder of the same
user, on a larger disk for example. Windows keeps such rights elsewhere: there only links are
refused.
"""

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cookbook import disk
from cookbook.errors import ServiceError
from cookbook.paths import Home

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

# What the names of the service's own files begin with; a reader's files may be there, too.
_OWN_FILES = (
    "service.",
    "worker.",
    "start.",
    "engine.",
    "import.lock",
    "reserve",
    "identifiers.",
    "identity.",
)


def prepare(home: Home) -> None:
    """Make the data folder, readable for its owner alone, and examine it.

    Raises:
        OSError: it cannot be made.
        ServiceError: it cannot be trusted.
    """
    home.folder.parent.mkdir(parents=True, exist_ok=True)
    # Under a mode of its own: the reader's umask may let others in.
    with contextlib.suppress(FileExistsError):
        home.folder.mkdir(mode=0o700)
    examine(home)


def examine(home: Home) -> None:
    """Look at owner, rights and links of a data folder; one that is not there is no danger.

    Raises:
        ServiceError: it is another user's, others can write to it, or one of its files is a link or
            another user's. The text names the remedy.

    Warns:
        UserWarning: it was open to others and is closed now, or cannot be closed on this disk.
    """
    # Not `Path.is_dir`, which raises where a folder above may not be entered.
    if not os.path.isdir(home.folder):
        return
    owner = _trusted_owner(home.folder)
    _close(home)
    for path in _own_files(home.folder):
        refuse_link(path)
        if owner is not None and path.lstat().st_uid not in (owner, os.geteuid()):
            raise ServiceError(
                zh=f"{path} 是别的用户放进数据目录的：确认后删掉它，或用 COOKBOOK_HOME 换一个目录",
                en=f"another user put {path} into the data folder: look at it and delete it, "
                "or choose another folder with COOKBOOK_HOME",
            )
    parts = (home.models, home.jobs, home.uploads, home.worker_logs, home.set_aside)
    for folder in (*parts, home.engine_models):
        if folder.is_dir():
            _check_part(folder)


def refuse_link(path: Path) -> None:
    """Refuse to go on where `path` is a link: what is written there would land elsewhere.

    Raises:
        ServiceError: it is one.
    """
    if path.is_symlink():
        raise ServiceError(
            zh=f"{path} 是一个链接，写入会落到数据目录之外：删掉这个链接再试",
            en=f"{path} is a link, and what is written there would leave the data folder: "
            "delete the link and try again",
        )


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to it, readable for its owner alone.

    Raises:
        OSError: it cannot be written, or is a link.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | disk.NO_FOLLOW | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o600), "ab")


def _own_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(_OWN_FILES):
            yield path


def _trusted_owner(folder: Path) -> int | None:
    """Return the owner of a folder; None where the system has no such owners.

    Raises:
        ServiceError: it is another user's. Root is only warned: a container often runs as root in a
            folder of the person who started it.
    """
    if os.name == "nt":
        return None
    owner = folder.stat().st_uid
    if owner == os.geteuid():
        return owner
    zh = f"数据目录 {folder} 属于别的用户（uid {owner}），它的主人可以读写这里的一切："
    en = f"the data folder {folder} belongs to another user (uid {owner}), who can change "
    remedy_zh = "用 COOKBOOK_HOME 换一个自己的目录"
    remedy_en = "everything in it: choose a folder of your own with COOKBOOK_HOME"
    if os.geteuid() != 0:
        raise ServiceError(zh=zh + remedy_zh, en=en + remedy_en)
    _warn(ServiceError(zh=zh + remedy_zh, en=en + remedy_en))
    return owner


def _close(home: Home) -> None:
    """Take the right to write from everybody but the owner of the data folder.

    Raises:
        ServiceError: the folder is not the service's alone (`/tmp`, a shared project), so its
            rights are left as they are.
    """
    folder = home.folder
    if not _open_to_others(folder):
        return
    mode = folder.stat().st_mode
    used_before = home.database.exists() or folder.name == ".cookbook"
    if mode & stat.S_ISVTX or not (used_before or _is_empty(folder)):
        raise _open_folder(folder)
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IMODE(mode) & ~OTHERS_WRITE)
    if _open_to_others(folder):
        # Drives of Windows within Linux, memory sticks: nobody's rights can be changed there.
        _warn(_open_folder(folder))
        return
    _warn(
        ServiceError(
            zh=f"别的用户原来可以写数据目录 {folder}，现已关闭（chmod go-w）",
            en=f"others could write to the data folder {folder}: closed now (chmod go-w)",
        )
    )


def _check_part(folder: Path) -> None:
    """Examine a folder within the data folder, which may be a link to a larger disk."""
    _trusted_owner(folder)
    if not _open_to_others(folder):
        return
    with contextlib.suppress(OSError):
        if not folder.is_symlink():
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) & ~OTHERS_WRITE)
    if _open_to_others(folder) and folder.is_symlink():
        raise _open_folder(folder)


def _open_folder(folder: Path) -> ServiceError:
    return ServiceError(
        zh=f"别的用户可以写数据目录 {folder}：运行 chmod go-w {folder}，"
        "或用 COOKBOOK_HOME 换一个自己的目录",
        en=f"others can write to the data folder {folder}: run chmod go-w {folder}, "
        "or choose a folder of your own with COOKBOOK_HOME",
    )


def _open_to_others(folder: Path) -> bool:
    return os.name != "nt" and bool(folder.stat().st_mode & OTHERS_WRITE)


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _warn(reason: ServiceError) -> None:
    # Below `prepare` or `examine`, in the reader's own call.
    warnings.warn(str(reason), stacklevel=4)

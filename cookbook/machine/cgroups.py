"""Say how much memory the control groups of this process still allow it (Linux containers).

    cgroups.room() -> Room(free, limit)       both infinite where nothing is limited

A container's limit is not what the system reports as free. Version 2 has one tree of groups,
version 1 one for memory alone; each group can have a limit, and that of every ancestor counts.
What a group holds as a copy of files can be dropped at any time, so it counts as free.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNLIMITED = sys.maxsize

PROCESS = Path("/proc/self/cgroup")
TREE = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Room:
    """What the groups allow: bytes that can still be taken, and bytes in all."""

    free: int
    limit: int


@dataclass(frozen=True)
class _Files:
    """Where a version keeps its figures, and what it calls file caches in `memory.stat`."""

    limits: tuple[str, ...]
    used: str
    caches: tuple[str, ...]


# Above memory.high a group is not killed but slowed down so much that it seems to hang.
_VERSION_2 = _Files(
    limits=("memory.max", "memory.high"),
    used="memory.current",
    caches=("inactive_file", "active_file", "slab_reclaimable"),
)
_VERSION_1 = _Files(
    limits=("memory.limit_in_bytes",),
    used="memory.usage_in_bytes",
    caches=("total_inactive_file", "total_active_file"),
)


def room(process: Path = PROCESS, tree: Path = TREE) -> Room:
    """Return what the groups of this process allow. Other systems have no such files."""
    free = limit = UNLIMITED
    for group, files in groups(process, tree):
        used = _number(group / files.used)
        allowed = [_number(group / name) for name in files.limits]
        limits = [number for number in allowed if number is not None]
        if used is None or not limits:
            continue
        caches = _caches(group / "memory.stat", files.caches)
        in_use = max(0, used - caches)
        left = max(0, min(limits) - in_use)
        limit = min(limit, *limits)
        free = min(free, left)
    return Room(free, limit)


def groups(process: Path = PROCESS, tree: Path = TREE) -> Iterator[tuple[Path, _Files]]:
    """Yield the folder of each group that this process is in, from its own to the topmost."""
    try:
        lines = process.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        # "0::/a/b" is version 2; "4:memory:/a/b" is version 1's tree for memory.
        _, _, group = line.partition(":")
        controllers, _, path = group.partition(":")
        if not controllers:
            yield from _upwards(tree, path, _VERSION_2)
        elif "memory" in controllers.split(","):
            yield from _upwards(tree / "memory", path, _VERSION_1)


def _upwards(root: Path, path: str, files: _Files) -> Iterator[tuple[Path, _Files]]:
    # Inside a container the path may be the host's; its own group is then at the root.
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        group = root.joinpath(*parts[:length])
        if group.is_dir():
            yield group, files


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is none, as in "max"."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    if not text.isdecimal():
        return None
    number = int(text)
    # Version 1 writes almost 2**63 where nothing is limited.
    return number if number < 2**60 else None


def _caches(stat: Path, names: tuple[str, ...]) -> int:
    """Return the bytes that the group holds only as copies of files."""
    try:
        lines = stat.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    total = 0
    for line in lines:
        name, _, value = line.partition(" ")
        if name in names and value.isdecimal():
            total += int(value)
    return total

"""Read how many processes the kernel has killed for lack of memory (Linux).

    before = kernel_kills.counts()
    ...                                 a process ends by signal 9
    kernel_kills.rose(before)           whether the kernel has killed any meanwhile

The machine counts in /proc/vmstat, each control group of this process and its ancestors in a file
of its own. A kill is counted before the signal is sent, so there is nothing to wait for. Where no
such file is, as on other systems, nothing is known and nothing ever rises.
"""

import re
from pathlib import Path

from cookbook.machine import cgroups

VMSTAT = Path("/proc/vmstat")

# In a group's folder, of version 2 and of version 1.
_FILES = ("memory.events", "memory.oom_control")
_KILLS = re.compile(r"^oom_kill (\d+)$", flags=re.M)

Counts = dict[Path, int]
"""By the file that tells."""


def counts(
    vmstat: Path = VMSTAT, process: Path = cgroups.PROCESS, tree: Path = cgroups.TREE
) -> Counts:
    """Return the counts that can be read here."""
    found: Counts = {}
    groups = [group for group, _ in cgroups.groups(process, tree)]
    for path in (vmstat, *(group / name for group in groups for name in _FILES)):
        kills = _kills(path)
        if kills is not None:
            found[path] = kills
    return found


def rose(before: Counts) -> bool:
    """Return whether the kernel has killed a process since these counts were read."""
    return any((_kills(path) or 0) > kills for path, kills in before.items())


def _kills(path: Path) -> int | None:
    try:
        found = _KILLS.search(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return int(found[1]) if found else None

"""Say whether a disk has room for a download, and how sizes are written."""

import shutil
from pathlib import Path

from cookbook.errors import DiskFull

MB, GB = 2**20, 2**30
RESERVE = 200 * MB  # bytes that stay free: a full disk stops more than a download


def free(path: Path) -> int:
    """Return the free bytes of the disk on which a path is, or will be."""
    # A cache that was never used has no folder yet.
    folder = path
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check(path: Path, missing: int) -> None:
    """Raise DiskFull where `missing` bytes do not fit on the disk of `path`."""
    # Nothing is written where everything is there.
    if missing and missing + RESERVE > free(path):
        raise full(path, missing)


def full(path: Path, missing: int) -> DiskFull:
    """Return the error for a disk that has no room for `missing` more bytes."""
    there = free(path)
    return DiskFull(
        zh=f"磁盘空间不够：还要下载 {size(missing)}，{path} 所在的磁盘只剩 {size(there)}。"
        "腾出空间，或用 HF_HOME（ModelScope 用 MODELSCOPE_CACHE）换到大一些的磁盘",
        en=f"the disk is too small: {size(missing)} are still to be downloaded, and the disk of "
        f"{path} has {size(there)} free. Make room, or choose a larger disk with HF_HOME "
        "(MODELSCOPE_CACHE for ModelScope)",
    )


def size(count: int) -> str:
    """Return a number of bytes for people: "942 MB", "3.1 GB"."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / MB:.0f} MB"

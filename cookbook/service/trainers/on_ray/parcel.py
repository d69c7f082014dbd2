"""Carry files and folders between the service and a node, in parts, whole or not at all.

    contents(path)                           there: relative names and sizes
    for name, start in parts(contents): …    what to ask for, a part at a time
    read(path, name, start)                  there: one of the parts
    arrival = Arrival(target)                here: `take` each part, then `settle`

A part is small enough for the memory of both sides and for Ray's object store, however large an
adapter, a state or a base is.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from cookbook import disk

PART_BYTES = 64 * 2**20

Contents = dict[str, int]
"""Relative names and sizes of a folder's files; of a file, its size under an empty name."""


def contents(path: Path) -> Contents:
    """Return what is in a folder, or that it is a file, and how much."""
    if path.is_file():
        return {"": path.stat().st_size}
    found = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            found[file.relative_to(path).as_posix()] = file.stat().st_size
    return found


def parts(files: Contents) -> Iterator[tuple[str, int]]:
    """Yield the name and first byte of each part; an empty file has one, too."""
    for name, size in files.items():
        for start in range(0, max(size, 1), PART_BYTES):
            yield name, start


def read(path: Path, name: str, start: int) -> bytes:
    """Return one part."""
    with (path / name).open("rb") as file:
        file.seek(start)
        return file.read(PART_BYTES)


class Arrival:
    """What arrives of a file or folder, beside its place until it is whole."""

    def __init__(self, target: Path):
        self._target = target
        self._part = target.with_name(target.name + ".part")
        # A process that died may have left some of it.
        if self._part.is_dir():
            shutil.rmtree(self._part)
        self._part.unlink(missing_ok=True)

    def take(self, name: str, start: int, content: bytes) -> None:
        """Write one part down; those of a file come in their order."""
        path = self._part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.write(content)

    def settle(self, expected: Contents) -> None:
        """Move it into place.

        Raises:
            OSError: it is not what was to come.
        """
        if (found := contents(self._part)) != expected:
            different = sorted(set(expected.items()) ^ set(found.items()))
            raise OSError(f"{self._target.name} has not arrived whole: {different[:4]}")
        disk.settle(self._part, self._target)

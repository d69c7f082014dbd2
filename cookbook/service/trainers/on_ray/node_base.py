"""Find a base on a node, or keep there what the service sends of it.

    wanted = Wanted.of(base)            in the job's process: which files, and their fingerprint
    find(wanted)                        on the node: the base with its folder there, or None
    sent_to(wanted)                     on the node: the folder for a base that is sent

The folder may be one of the project's own bases, the same path as on the service's machine, a hub's
cache, or what an earlier job was sent. It is taken only where its files are the same: a base of the
same name and sizes may have other weights.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cookbook import bases
from cookbook.bases import Base
from cookbook.hubs import cache
from cookbook.service.trainers.on_ray import node_folder
from cookbook.service.trainers.on_ray.parcel import Contents

# What transformers reads of a folder; others are cards, pictures, and weights in other formats.
_READ = (".safetensors", ".json", ".txt", ".model", ".jinja")

_SAMPLE = 4096  # bytes
_SAMPLES = 1024  # of a file at most, evenly spread
_STRIDE = 2**20  # between two samples at least


@dataclass(frozen=True)
class Wanted:
    """A base as it is on the service's machine."""

    base: Base
    files: Contents
    fingerprint: str

    @classmethod
    def of(cls, base: Base) -> "Wanted":
        """Return what a node must have to train this base."""
        files = files_of(Path(base.source))
        return cls(base, files, fingerprint(Path(base.source), files))

    @property
    def bytes(self) -> int:
        return sum(self.files.values())


def files_of(folder: Path) -> Contents:
    """Return the files of a base's folder that are read; none where there is no such folder."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}
    files = {}
    for path in entries:
        if path.suffix in _READ and path.is_file():
            files[path.name] = path.stat().st_size
    return files


def fingerprint(folder: Path, files: Contents) -> str:
    """Return what tells these files from others, from samples of large ones: in a second or two."""
    digest = hashlib.sha256()
    for name, size in files.items():
        digest.update(f"{name}\0{size}\0".encode())
        with (folder / name).open("rb") as file:
            for start in _sampled(size):
                file.seek(start)
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def _sampled(size: int) -> range:
    if size <= _STRIDE:
        return range(0, size, _SAMPLE)
    return range(0, size, max(_STRIDE, size // _SAMPLES))


def find(wanted: Wanted) -> Base | None:
    """Return the base with its folder on this machine, None where it must be sent."""
    for folder in _candidates(wanted):
        # One that cannot be read here is sent, as one that is not there.
        with contextlib.suppress(OSError):
            files = files_of(folder)
            if files == wanted.files and fingerprint(folder, files) == wanted.fingerprint:
                return replace(wanted.base, source=str(folder))
    return None


def _candidates(wanted: Wanted) -> Iterator[Path]:
    base = wanted.base
    for shipped in bases.installed():
        if shipped.id == base.id:
            yield Path(shipped.source)
    yield Path(base.source)
    if base.on_hub and (found := cache.find(base.id)):
        yield found.folder
    yield sent_to(wanted)


def sent_to(wanted: Wanted) -> Path:
    """Return the folder on this machine for a base that the service sends."""
    return node_folder.bases() / wanted.fingerprint[:32]

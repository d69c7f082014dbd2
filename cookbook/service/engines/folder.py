"""The folder through which engines get adapters: the service writes it, an engine reads it.

    folder = own_folder(home)                           for an engine on this machine
    folder = shared_folder(home, shared, "/adapters")   for one elsewhere, or in a container
    path = folder.give(source)      where an engine finds the adapter, once it is there
    folder.take_back(path)          no engine has it any more

Engines never read the models themselves. An engine may read an adapter again at any time, and one
that does not find it ends (vLLM 0.32): a copy stays until the adapter is unloaded, even where the
model is deleted before. In the data folder it is a hard link, which takes no room.
"""

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Collection
from pathlib import Path, PurePath, PurePosixPath

from cookbook import disk
from cookbook.adapter_settings import CONFIG, WEIGHTS
from cookbook.paths import Home

_FILES = (CONFIG, WEIGHTS)
"""What an engine reads of an adapter. The rest of its folder is for people."""


def own_folder(home: Home) -> "AdapterFolder":
    """Return the folder for engines that run as the same user on this machine."""
    return AdapterFolder(home.models, home.engine_models, str(home.engine_models))


def shared_folder(home: Home, shared: Path, there: str) -> "AdapterFolder":
    """Return the folder for engines that see `shared` as `there`; empty for the same path.

    Several services may use it: this one has a folder of its own in it.
    """
    there = there or str(shared)
    number = hashlib.sha256(os.fsencode(home.models)).hexdigest()[:12]
    here = shared / f"cookbook-{number}"
    return AdapterFolder(home.models, here, f"{there.rstrip('/')}/{here.name}", open_as=shared)


class AdapterFolder:
    """Copies of adapters, each in a folder of its model's name.

    Args:
        models: the data folder's models.
        here: where the copies are.
        there: the same folder as the engines see it.
        open_as: the folder whose rights the copies get; None for the service's own, with links.
    """

    def __init__(
        self, models: Path, here: Path, there: str, *, open_as: Path | None = None
    ) -> None:
        self.here = here
        self._models, self._there, self._open_as = models, there, open_as
        # As the engines' system writes a path, not this one's.
        self._kind: type[PurePath] = PurePosixPath if open_as else PurePath
        # One writes at a time.
        self._lock = threading.Lock()

    def give(self, source: Path) -> str:
        """Return the path at which engines find the adapter of this model folder.

        Raises:
            FileNotFoundError: the model is gone.
            OSError: it cannot be copied.
        """
        for name in _FILES:
            if not (source / name).is_file():
                raise FileNotFoundError(source / name)
        with self._lock:
            target = self.here / source.name
            if not target.is_dir():
                self._copy(source, target)
        return self._path(source.name)

    def take_back(self, path: str) -> None:
        """Remove the copy at a path; one that is not ours is left alone."""
        source = self.source_of(path)
        if source is not None:
            with self._lock:
                shutil.rmtree(self.here / source.name, ignore_errors=True)

    def source_of(self, path: str) -> Path | None:
        """Return the model folder that an engine's path means; None for one that is not ours."""
        name = self._kind(path).name
        if not name or path != self._path(name):
            return None
        return self._models / name

    def has_copy(self, path: str) -> bool:
        """Return whether an engine that reads the adapter again finds it."""
        return (self.here / self._kind(path).name / _FILES[1]).is_file()

    def remove_all_but(self, paths: Collection[str]) -> None:
        """Remove what no engine has, such as what a service left that was killed."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            for copy in self.here.iterdir():
                if self._path(copy.name) not in paths:
                    shutil.rmtree(copy, ignore_errors=True)

    def _path(self, name: str) -> str:
        return str(self._kind(self._there) / name)

    def _copy(self, source: Path, target: Path) -> None:
        """Copy an adapter, whole or not at all."""
        self.here.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            for name in _FILES:
                self._copy_file(source / name, part / name)
            self._open(part)
            self._open(self.here)
            disk.settle(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _copy_file(self, source: Path, target: Path) -> None:
        if self._open_as is None:
            with contextlib.suppress(OSError):
                os.link(source, target)
                return
        # Another disk, or rights of its own, which a link would give to the model as well.
        shutil.copyfile(source, target)
        self._open(target)

    def _open(self, path: Path) -> None:
        """Let the engine's user read it, as the shared folder lets them."""
        if self._open_as is not None:
            mode = self._open_as.stat().st_mode & 0o777
            path.chmod(mode if path.is_dir() else mode & 0o666)

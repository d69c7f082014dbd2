"""The folder through which an engine gets adapters: the service writes it, the engine reads it.

    folder = AdapterFolder(home.models)                         an engine on this machine
    folder = AdapterFolder(home.models, shared, "/adapters")    another one, in a container
    path = folder.give(source)          where the engine finds the adapter; copied first if need be
    folder.take_back(path)              the copy is no longer needed

Without a shared folder nothing is copied: the engine reads the data folder's own models. In a
shared folder, which several services may use, everything is below a folder of this service's own.
"""

import contextlib
import hashlib
import os
import shutil
import threading
from pathlib import Path, PurePosixPath

from cookbook import disk

_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What an engine reads of an adapter. The rest of its folder is for people."""


class AdapterFolder:
    """Where adapters are given to engines.

    Attributes:
        here: the folder of the copies; None where there are none.

    Args:
        models: the data folder's own models.
        here: the shared folder; None where the engine reads `models` itself.
        there: the shared folder as the engine sees it.
    """

    def __init__(self, models: Path, here: Path | None = None, there: str = "") -> None:
        self._models = models
        self.here: Path | None = None
        self._there = str(models)
        # One writes at a time.
        self._lock = threading.Lock()
        if here is not None:
            number = hashlib.sha256(os.fsencode(models)).hexdigest()[:12]
            self.here = here / f"cookbook-{number}"
            self._there = f"{(there or str(here)).rstrip('/')}/{self.here.name}"

    def give(self, source: Path) -> str:
        """Return the path at which the engine finds the adapter of this model folder.

        Raises:
            FileNotFoundError: the model is gone.
            OSError: it cannot be copied.
        """
        for name in _FILES:
            if not (source / name).is_file():
                raise FileNotFoundError(source / name)
        if self.here is not None:
            with self._lock:
                self._copy(source, self.here / source.name)
        return self._path(source.name)

    def take_back(self, path: str) -> None:
        """Remove the copy that the engine found at this path; of the data folder, nothing."""
        source = self.source_of(path)
        if self.here is not None and source is not None:
            with self._lock:
                shutil.rmtree(self.here / source.name, ignore_errors=True)

    def source_of(self, path: str) -> Path | None:
        """Return the model folder that an engine's path means; None for one that is not ours."""
        name = PurePosixPath(path).name
        if not name or path != self._path(name):
            return None
        return self._models / name

    def remove_left(self) -> None:
        """Remove the copies of models that are gone, and what a service left that was killed."""
        if self.here is None or not self.here.is_dir():
            return
        with self._lock, contextlib.suppress(OSError):
            for copy in self.here.iterdir():
                if not (self._models / copy.name).is_dir():
                    shutil.rmtree(copy, ignore_errors=True)

    def _path(self, name: str) -> str:
        # As the engine's system writes it, not this one's.
        if self.here is None:
            return str(self._models / name)
        return f"{self._there}/{name}"

    def _copy(self, source: Path, target: Path) -> None:
        """Copy an adapter, whole or not at all, as open to others as the shared folder is."""
        if target.is_dir():
            return
        mode = target.parent.parent.stat().st_mode & 0o777
        if not target.parent.is_dir():
            target.parent.mkdir()
            target.parent.chmod(mode)
        part = target.with_name(target.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            for name in _FILES:
                shutil.copyfile(source / name, part / name)
                # The service's own files are private; the engine may be another user's.
                (part / name).chmod(mode & 0o666)
            part.chmod(mode)
            disk.settle(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

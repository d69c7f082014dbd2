"""Download a base model into the usual cache of its hub.

    remote = look_up("Qwen/Qwen2.5-0.5B-Instruct")      asks the hub: names, sizes, checksums
    for progress in remote.download():                  only what is missing; resumes by itself
        ...
    remote.folder                                       complete, verified

Closing the generator ends the download; what is there stays for the next one. The small files come
first: a model that is no chat model is refused before its weights are fetched.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cookbook import bases, disk
from cookbook.errors import ArgumentError, BaseAway, CookbookError
from cookbook.hubs import checkpoint, names, room, selection, transfer, web
from cookbook.hubs.hub import Hub, Listing, Place, RemoteFile
from cookbook.hubs.huggingface import HuggingFace
from cookbook.hubs.modelscope import ModelScope
from cookbook.hubs.progress import Meter, Progress

if TYPE_CHECKING:
    import httpx

HUBS: dict[str, Hub] = {hub.key: hub for hub in (HuggingFace(), ModelScope())}

LOCK_SECONDS = 1.0  # between two looks at a download of another process


class Remote:
    """A model on a hub: what of it is needed, and where it goes."""

    def __init__(self, hub: Hub, listing: Listing, files: list[RemoteFile]):
        self.hub, self.listing, self._files = hub, listing, files
        self._place: Place = hub.place(listing)

    @property
    def total(self) -> int:
        """Return the bytes of all files that are needed."""
        return sum(file.size for file in self._files)

    @property
    def folder(self) -> Path:
        """Return the folder that it is loaded from once it is there."""
        return self._place.folder

    def missing(self) -> int:
        """Return the bytes that are not there yet."""
        return self.total - sum(self._there(file) for file in self._files)

    def check_room(self) -> None:
        """Raise DiskFull where the rest does not fit on the disk."""
        room.check(self.folder, self.missing())

    def download(self) -> Iterator[Progress]:
        """Fetch what is missing, verify all of it, and yield how far it is.

        Raises:
            BaseAway: the network or the hub is away; a later attempt goes on from there.
            ModelError: it is not a chat model, or a file is damaged at its source.
            DiskFull: the disk is too small.
        """
        meter = Meter(self.total)
        with _alone(self._place.lock) as lock:
            # Another process downloads the same model: show how far that one is.
            while not _acquired(lock):
                yield meter.at(self.total - self.missing(), 0, "")
            self.check_room()
            with web.connect(self.hub) as http:
                yield from self._obtain_all(http, meter)
            self._place.finish()
            yield meter.at(0, 0, "")

    def _obtain_all(self, http: "httpx.Client", meter: Meter) -> Iterator[Progress]:
        checked = False
        for file in self._files:
            # The weights come last.
            if file.name.endswith(".safetensors") and not checked:
                checkpoint.check_chat(self.folder, self.listing.model)
                checked = True
            received = 0
            for part in self._obtain(http, file):
                received = part.received
                yield meter.at(part.done, received, file.name)
            meter.finish(file.size, received)

    def _obtain(self, http: "httpx.Client", file: RemoteFile) -> Iterator[transfer.Part]:
        """Use the file that is there if it is right; else fetch it."""
        present = self._place.present(file)
        # One of another size is not read, but stays until there is a better one.
        if present is not None and present.stat().st_size == file.size:
            whole = transfer.Part(file, present)
            yield from whole.read()
            if whole.is_right:
                self._place.keep(file, present)
                return
        part = self._place.part(file)
        yield from transfer.fetch(http, self.hub, self.listing, file, part)
        self._place.keep(file, part)

    def _there(self, file: RemoteFile) -> int:
        present = self._place.present(file)
        path = self._place.part(file) if present is None else present
        return min(path.stat().st_size, file.size) if path.exists() else 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[FileLock]:
    """Give a lock that is let go in the end, whoever has acquired it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, blocking=False)
    try:
        yield lock
    finally:
        lock.release()


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire()
        disk.check_lock(lock)
    except Timeout:
        web.pause(LOCK_SECONDS)
        return False
    except (OSError, NotImplementedError):
        # A file system without locks: two downloads at once would only find wrong checksums.
        lock.release()
    return True


def look_up(given: str, source: str | None = None, revision: str | None = None) -> Remote:
    """Ask a hub for a model.

    Args:
        given: its name, or the address of its page.
        source: "huggingface" or "modelscope"; None for the one of the address, else the first.
        revision: a branch, a tag or a commit; None for the usual one.

    Raises:
        ArgumentError: it is not the name of a model.
        ModelError: there is no such model, or it cannot be used here.
        BaseAway: the hub is out of reach.
    """
    # Unlike those of Path, these take any text.
    if os.path.isdir(os.path.expanduser(given)):
        raise ArgumentError(
            zh=f"{given} 是本机的文件夹，不用下载：设 COOKBOOK_BASE_MODEL={given}",
            en=f"{given} is a folder of this machine, there is nothing to download: "
            f"set COOKBOOK_BASE_MODEL={given}",
        )
    name = names.read(given, bases.known_names())
    hub = HUBS[source or name.hub or "huggingface"]
    with web.connect(hub) as http:
        try:
            wanted = names.check_revision(revision or name.revision or hub.default_revision)
            listing = hub.listing(http, name.id, wanted)
        except CookbookError as error:
            raise _with_suggestion(error, name.id) from error
        _refuse_adapter(http, hub, listing)
        return Remote(hub, listing, selection.needed(listing))


def _with_suggestion(error: CookbookError, model: str) -> CookbookError:
    """Add the known name that a name which no hub has is like."""
    closest = names.suggestion(model, bases.known_names())
    if isinstance(error, BaseAway) or closest is None:
        return error
    return type(error)(
        zh=f"{error.zh}。是不是 {closest}？", en=f"{error.en}. Did you mean {closest}?"
    )


def _refuse_adapter(http: "httpx.Client", hub: Hub, listing: Listing) -> None:
    by_name = {file.name: file for file in listing.files}
    if selection.ADAPTER not in by_name or "config.json" in by_name:
        return
    response = web.get(http, hub, by_name[selection.ADAPTER].url)
    try:
        base = response.json().get("base_model_name_or_path")
    except (ValueError, AttributeError):
        base = None
    raise selection.adapter_of(listing.model, base if isinstance(base, str) else None)

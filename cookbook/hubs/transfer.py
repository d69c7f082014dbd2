"""Fetch one file: go on where a broken download ended, verify its checksum, never keep a wrong one.

    for part in fetch(http, hub, listing, file, path):
        part.done       bytes of it that are there, more each time

The part stays on the disk whatever ends this process, so the next attempt goes on from there. A
part whose checksum is wrong at its end is fetched once more from its beginning, then refused.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook import disk
from cookbook.errors import BaseAway, ModelError
from cookbook.hubs import room, web
from cookbook.hubs.hub import Hub, Listing, RemoteFile

if TYPE_CHECKING:
    import httpx

BLOCK = 2**18  # bytes read from a file at a time
TRIES = 2  # of a file whose checksum is wrong
SLICE_SECONDS = 0.5  # of a pause: a cancelled job does not wait for its end


class Part:
    """What is there of a file, and the checksum of that.

    Attributes:
        done: bytes that are there and were read.
        received: bytes that came over the network, those of a wrong file included.
    """

    def __init__(self, file: RemoteFile, path: Path):
        self.file, self.path = file, path
        self.done = self.received = 0
        self._digest = _new_hash(file)

    def read(self) -> "Iterator[Part]":
        """Take in what an earlier download has left; yield this after each block."""
        if not self.path.exists():
            return
        # Of another file, or with something behind its end.
        if self.path.stat().st_size > self.file.size:
            self.begin_again()
            return
        with self.path.open("rb") as content:
            while block := content.read(BLOCK):
                self._take(block)
                yield self

    def append(self, blocks: Iterable[bytes]) -> "Iterator[Part]":
        """Write blocks to the end; yield this after each."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer, a process that is killed loses nothing that it has counted.
        with self.path.open("ab", buffering=0) as content:
            for block in blocks:
                content.write(block)
                self._take(block)
                self.received += len(block)
                yield self

    def begin_again(self) -> None:
        """Throw away what is there."""
        self.path.unlink(missing_ok=True)
        self.done = 0
        self._digest = _new_hash(self.file)

    @property
    def is_right(self) -> bool:
        """Return whether it has the size and the checksum that the hub told."""
        expected = self.file.sha256 or self.file.blob_id
        return self.done == self.file.size and expected in (None, self._digest.hexdigest())

    def _take(self, block: bytes) -> None:
        self._digest.update(block)
        self.done += len(block)


def fetch(
    http: "httpx.Client", hub: Hub, listing: Listing, file: RemoteFile, path: Path
) -> Iterator[Part]:
    """Fetch a file into `path` and yield what is there of it, again and again.

    Raises:
        BaseAway: the connection broke several times without a byte between.
        ModelError: the content is not what the hub's checksum says, or it was refused.
        DiskFull: there is no room for it.
    """
    part = Part(file, path)
    try:
        yield from part.read()
        for _ in range(TRIES):
            yield from _complete(http, hub, listing, part)
            if part.is_right:
                return
            # Damaged on its way, or the rest belongs to another version than the beginning.
            part.begin_again()
    except OSError as error:
        if isinstance(error, BaseAway | ModelError) or not disk.is_full(error):
            raise
        raise room.full(path, file.size - part.done) from error
    raise ModelError(
        zh=f"{file.name} 下载了两次，校验和都不对：来源或中间的代理有问题，"
        "换一个来源（--from）再试",
        en=f"{file.name} was downloaded twice, and its checksum was wrong both times: the source "
        "or a proxy on the way damages it. Try another source (--from)",
    )


def _complete(http: "httpx.Client", hub: Hub, listing: Listing, part: Part) -> Iterator[Part]:
    """Append what is missing, in as many connections as it takes."""
    import httpx

    attempt = 0
    while part.done < part.file.size or not part.path.exists():
        before, response = part.done, None
        attempt += 1
        try:
            headers = {"Range": f"bytes={part.done}-"} if part.done else {}
            with http.stream("GET", part.file.url, headers=headers) as response:
                why = f"HTTP {response.status_code}"
                if response.is_success:
                    yield from _body(response, part)
                    why = "closed early"
                elif not web.is_passing(response):
                    raise hub.refuse(response, listing.model, listing.revision)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = web.reason(error)
        if part.done >= part.file.size:
            return
        if part.done > before:
            attempt = 1
        elif attempt == web.ATTEMPTS:
            raise _interrupted(hub, part, why)
        yield from _pause(web.seconds_until(attempt, response), part)


def _body(response: "httpx.Response", part: Part) -> Iterator[Part]:
    # A proxy or mirror that knows no ranges sends the file from its beginning.
    starts = response.headers.get("Content-Range", "").startswith(f"bytes {part.done}-")
    if part.done and not (response.status_code == 206 and starts):
        part.begin_again()
    # Blocks as they come: what is gathered first would be lost where the connection breaks.
    yield from part.append(response.iter_raw())


def _pause(seconds: float, part: Part) -> Iterator[Part]:
    while seconds > 0:
        web.pause(min(seconds, SLICE_SECONDS))
        seconds -= SLICE_SECONDS
        yield part


def _interrupted(hub: Hub, part: Part, why: str) -> BaseAway:
    share = part.done / max(part.file.size, 1)
    if not part.done:
        return web.unreachable(hub, why)
    return BaseAway(
        zh=f"下载中断（{part.file.name}，已有 {share:.0%}，{why}）：检查网络，"
        "再运行一次同样的命令，从断点继续",
        en=f"the download was interrupted ({part.file.name}, {share:.0%} is there, {why}): check "
        "the network and run the same command again, which goes on from there",
    )


def _new_hash(file: RemoteFile) -> "hashlib._Hash":
    if file.sha256 or not file.blob_id:
        return hashlib.sha256()
    # Git's checksum of a small file counts its length, too. Against damage, not against attacks.
    return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)

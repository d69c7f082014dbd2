"""Carry out `python -m cookbook pull`: sizes first, then a bar, or a line now and then in a log."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cookbook.hubs import pull, room
from cookbook.hubs.progress import Progress, described
from cookbook.hubs.pull import Remote
from cookbook.i18n import tr
from cookbook.terminal import printable

INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended
LINE_SECONDS = 10.0  # between two lines in a log

Show = Callable[[Progress], None]


def run(name: str, source: str | None, revision: str | None) -> int:
    """Download a model and say how to use it; return the exit status.

    Raises:
        CookbookError: it was not downloaded; the sentence says why and what to do.
    """
    remote = pull.look_up(name, source, revision)
    # Before anything is written, so that Ctrl-C costs nothing.
    print(_headline(remote), flush=True)
    progress = None
    try:
        with _display(remote) as show:
            for progress in remote.download():
                show(progress)
    except KeyboardInterrupt:
        print(_stopped(progress), file=sys.stderr)
        return INTERRUPTED
    print(tr("完成，已校验：", "done, verified: ") + printable(str(remote.folder)))
    print(tr("使用它：", "use it: ") + _setting(remote.listing.model))
    return 0


def _headline(remote: Remote) -> str:
    model, title = remote.listing.model, remote.hub.title
    total = room.size(remote.total)
    missing = room.size(remote.missing())
    free = room.size(room.free(remote.folder))
    return tr(
        f"{model}（{title}）共 {total}，要下载 {missing}，磁盘剩余 {free}",
        f"{model} ({title}): {total} in all, {missing} to download, {free} free on the disk",
    )


def _stopped(progress: Progress | None) -> str:
    share = progress.done / max(progress.total, 1) if progress else 0
    return tr(
        f"已停止（{share:.0%}）：再运行一次同样的命令，从断点继续",
        f"stopped at {share:.0%}: run the same command again to go on from there",
    )


def _setting(model: str) -> str:
    """Return how a shell of this system chooses the model."""
    if os.name == "nt":
        return f'$env:COOKBOOK_BASE_MODEL = "{model}"'
    return f"export COOKBOOK_BASE_MODEL={model}"


@contextmanager
def _display(remote: Remote) -> Iterator[Show]:
    """Give a function that shows progress: a bar on a terminal, lines elsewhere."""
    # A bar in a log would be one long line.
    if not sys.stderr.isatty():
        yield _lines()
        return
    from tqdm import tqdm

    with tqdm(total=remote.total, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def show(progress: Progress) -> None:
            bar.update(progress.done - bar.n)

        yield show


def _lines() -> Show:
    # The headline has just said where it begins.
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        print(described(progress), flush=True)

    return show

"""Download a job's base before it is trained, with the progress in the job's log.

A job whose base is not on this machine stays queued meanwhile. It can be cancelled or paused at any
time: what was downloaded stays, and the next attempt goes on from there.
"""

import time

from cookbook.bases import Base
from cookbook.errors import ArgumentError, BaseAway, DiskFull, ModelError
from cookbook.hubs import pull, room
from cookbook.hubs.progress import Progress, described
from cookbook.i18n import Text, both, tr
from cookbook.job_states import TERMINAL
from cookbook.service.store import Job, Store

EVENT_SECONDS = 10.0  # between two events of the progress
EVENT_SHARE = 0.05  # of the whole, after which an event comes sooner
SHORTEST_SECONDS = 1.0  # between two events in any case
LOOK_SECONDS = 0.5  # between two looks whether the job was cancelled


def download(store: Store, job: Job, base: Base) -> bool:
    """Download the base; return whether it is there. It is not where the job was called off.

    Raises:
        BaseAway: the hub is out of reach, or the disk is too small at present.
        ModelError: there is no such model, or it is not one that can be tuned.
    """
    try:
        remote = pull.look_up(base.id)
        total = room.size(remote.total)
        text = Text(
            f"基础模型 {base.id} 还没有下载：先下载 {total}（{remote.hub.title}）",
            f"The base model {base.id} was not downloaded yet: downloading {total} first "
            f"({remote.hub.title})",
        )
        store.add_note(job.id, text, _figures(remote.total - remote.missing(), remote.total))
        return _follow(store, job, remote)
    except DiskFull as error:
        # The cache may be on another disk than what the jobs of others need.
        raise BaseAway(zh=error.zh, en=error.en) from error
    except ArgumentError as error:
        raise ModelError(zh=error.zh, en=error.en) from error


def _follow(store: Store, job: Job, remote: pull.Remote) -> bool:
    looked = noted = time.monotonic()
    noted_bytes = remote.total - remote.missing()
    # Closed where this returns early, with what is there kept.
    for progress in remote.download():
        now = time.monotonic()
        if now - looked >= LOOK_SECONDS:
            looked = now
            if _is_called_off(store, job):
                return False
        # Often enough to see it move, seldom enough to keep the log short.
        grown = (progress.done - noted_bytes) / max(progress.total, 1)
        late = now - noted >= EVENT_SECONDS
        if late or (grown >= EVENT_SHARE and now - noted >= SHORTEST_SECONDS):
            noted, noted_bytes = now, progress.done
            _note(store, job, progress)
    text = Text("基础模型已下载，校验无误", "The base model is there, its checksums are right")
    store.add_note(job.id, text, _figures(remote.total, remote.total))
    return True


def _note(store: Store, job: Job, progress: Progress) -> None:
    text = both(lambda: tr("下载基础模型：", "Downloading the base model: ") + described(progress))
    figures = _figures(progress.done, progress.total)
    if progress.bytes_per_second:
        figures["bytes_per_second"] = round(progress.bytes_per_second)
    store.add_note(job.id, text, figures)


def _figures(done: int, total: int) -> dict[str, int]:
    return {"bytes": done, "total": total}


def _is_called_off(store: Store, job: Job) -> bool:
    now = store.job(job.id)
    return now is None or now.status in TERMINAL or now.requested_state != "run"

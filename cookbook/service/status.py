"""Describe what the service is doing: for its log, and for `python -m cookbook status`.

Reads the store, the process list and the disk. It changes nothing and needs no running service.
"""

import os
import shutil
from collections import Counter
from pathlib import Path

import psutil

from cookbook import disk
from cookbook.i18n import tr
from cookbook.job_states import UNFINISHED
from cookbook.machine import MB, in_gb
from cookbook.paths import Home
from cookbook.processes import WORKER_MODULE
from cookbook.service import recovery, turns
from cookbook.service.store import LOCAL, Batch, Job, Store
from cookbook.service.store.records import text_of
from cookbook.service.turns import Places
from cookbook.terminal import printable

COLUMN = 16  # letters: the longest status


def headline(
    store: Store, home: Path, pid: int | None = None, chat_speed: float | None = None
) -> str:
    """Return one line: jobs that train, wait and are paused; the speed of chat; memory; disk.

    Args:
        home: the data folder.
        pid: the service's process; None for this one.
        chat_speed: tokens per second; None where nothing was asked lately.
    """
    states = Counter(_state(job) for job in store.unfinished())
    training, paused = states["running"], states["paused"]
    waiting = states.total() - training - paused
    service_bytes, training_bytes = memory(pid or os.getpid(), home)
    service_memory = f"{service_bytes / MB:,.0f} MB"
    training_memory = f"{training_bytes / MB:,.0f} MB"
    used_bytes = disk.used(home)
    free_bytes = shutil.disk_usage(home).free
    used = f"{used_bytes / MB:,.0f} MB"
    free = in_gb(free_bytes)
    chat_zh, chat_en = "", ""
    if chat_speed is not None:
        chat_zh, chat_en = (
            f"聊天 {chat_speed:,.0f} token/秒 · ",
            f"chat {chat_speed:,.0f} tokens/s · ",
        )
    return tr(
        f"训练中 {training} · 排队 {waiting} · 暂停 {paused} · {chat_zh}"
        f"内存：服务 {service_memory}，训练 {training_memory} · 磁盘：已用 {used}，剩余 {free}",
        f"training {training} · waiting {waiting} · paused {paused} · {chat_en}"
        f"memory: service {service_memory}, training {training_memory} · "
        f"disk: {used} used, {free} free",
    )


def jobs(store: Store, recent: int = 5) -> list[str]:
    """Return a line for each job: those not ended in the order of the queue, the last few ended."""
    unfinished = turns.in_order(store, Places(store))
    # Enough of the newest that `recent` of them have ended.
    newest = store.jobs_page(None, recent + len(unfinished))
    ended = [job for job in newest if job.finished_at]
    in_order = [*unfinished, *reversed(ended[:recent])]
    # Of a service without a room, everything is its owner's.
    with_owner = any(job.owner != LOCAL for job in in_order)
    return [_line(store, job, with_owner) for job in in_order]


def batches(store: Store) -> list[str]:
    """Return a line for each batch that has not ended, oldest first."""
    under_way = store.batches_under_way()
    with_owner = any(batch.owner != LOCAL for batch in under_way)
    return [_batch_line(batch, with_owner) for batch in under_way]


def kept(store: Store, home: Path) -> list[str]:
    """Return a line for each part of the data folder that no record explains, and so stays."""
    return [recovery.kept(name) for name in recovery.unexplained(store, Home(home))]


def _batch_line(batch: Batch, with_owner: bool) -> str:
    owner = [batch.owner.ljust(COLUMN)] if with_owner else []
    done, total, failed = batch.answered + batch.failed, batch.total, batch.failed
    counts = tr(f"{done}/{total} 行，失败 {failed}", f"{done} of {total} lines, {failed} failed")
    # What it waits for.
    fault = [str(text_of(batch.fault))] if batch.fault else []
    parts = [batch.id, batch.status.ljust(COLUMN), *owner, batch.model, counts, *fault]
    return printable("  ".join(parts))


def _line(store: Store, job: Job, with_owner: bool) -> str:
    message = store.events(job.id, limit=1)[0].first_line
    state = _state(job).ljust(COLUMN)
    task_name = (job.suffix or "-").ljust(COLUMN)
    owner = [job.owner.ljust(COLUMN)] if with_owner else []
    parts = [job.id, state, *owner, task_name, job.base, *_place(job), *_plan(job), message]
    return printable("  ".join(parts))


def _place(job: Job) -> list[str]:
    """Return the nodes that train a job; nothing where this machine does."""
    if job.status != "running" or not job.place:
        return []
    return [", ".join(dict.fromkeys(job.place))]


def _plan(job: Job) -> list[str]:
    """Return what a running job's memory plan needs; nothing where no plan was made yet."""
    if job.status != "running" or not job.memory_plan:
        return []
    needed = in_gb(job.memory_plan["needed"])
    return [tr(f"内存约 {needed}", f"needs about {needed}")]


def _state(job: Job) -> str:
    """Return the job's status, or "paused", which the API has no word for."""
    if job.requested_state == "pause" and job.status in UNFINISHED:
        return "paused"
    return job.status


def memory(pid: int, home: Path) -> tuple[int, int]:
    """Return the bytes of the service, and of its training processes together."""
    service = training = 0
    for process in psutil.process_iter(["pid", "cmdline", "memory_info"]):
        memory = process.info["memory_info"]
        if not memory:
            # It ended, or belongs to somebody else.
            continue
        command = process.info["cmdline"] or []
        if process.info["pid"] == pid:
            service = memory.rss
        elif WORKER_MODULE in command and str(home) in command:
            training += memory.rss
    return service, training

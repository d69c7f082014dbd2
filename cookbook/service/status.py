"""What the service is doing, at a glance: for the log, and for `python -m cookbook status`."""

import os
import shutil
from pathlib import Path

import psutil

from cookbook import disk
from cookbook.i18n import tr
from cookbook.service.store import Job, Store


def headline(store: Store, home: Path, pid: int | None = None) -> str:
    """How many jobs train, wait and are paused; memory of the service and its training processes; disk."""
    unfinished = store.unfinished()
    paused = sum(job.wanted == "pause" for job in unfinished)
    running = sum(job.status == "running" and job.wanted == "run" for job in unfinished)
    service, training = (f"{size / 2**20:,.0f} MB" for size in _memory(pid or os.getpid(), home))
    mine, free = (
        f"{disk.used(home) / 2**20:,.0f} MB",
        f"{shutil.disk_usage(home).free / 2**30:,.1f} GB",
    )
    waiting = len(unfinished) - running - paused
    return tr(
        f"训练中 {running} · 排队 {waiting} · 暂停 {paused} · 内存：服务 {service}，训练 {training} · 磁盘：已用 {mine}，剩余 {free}",
        f"training {running} · waiting {waiting} · paused {paused} · memory: service {service}, training {training} · "
        f"disk: {mine} used, {free} free",
    )


def jobs(store: Store, recent: int = 5) -> list[str]:
    """A line for each job that has not ended, in the order of the queue, and for the last few that have."""
    unfinished = store.unfinished()
    ended = [job for job in store.jobs_page(None, recent + len(unfinished)) if job.finished_at][
        :recent
    ]
    return [_line(store, job) for job in [*unfinished, *reversed(ended)]]


def _line(store: Store, job: Job) -> str:
    last = store.events(job.id, limit=1)[0].message.split("\n")[0]
    state = "paused" if job.wanted == "pause" and not job.finished_at else job.status
    return f"{job.id}  {state:<16}  {job.suffix or '-':<16}  {job.base}  {last}"


def _memory(pid: int, home: Path) -> tuple[int, int]:
    """(bytes of the service, bytes of its training processes)"""
    service = training = 0
    for process in psutil.process_iter(["pid", "cmdline", "memory_info"]):
        if not process.info["memory_info"]:
            continue
        if process.info["pid"] == pid:
            service = process.info["memory_info"].rss
        elif {"cookbook.service.worker", str(home)} <= set(process.info["cmdline"] or []):
            training += process.info["memory_info"].rss
    return service, training

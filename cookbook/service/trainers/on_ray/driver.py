"""Train one job on a cluster, in the job's own process. Importing this loads Ray, never torch.

    for event in train(settings, base, train_rows, valid_rows, hp, folder=…, seed=…): ...

It yields what the engine's `train` yields, in lock-step: the workers on the nodes take the next
step when the caller asks for the next event. What they make comes along: the state to resume from
is in `folder` before the event that followed it is yielded, an adapter with its event. So a state
is never ahead of what the caller has recorded, and the caller cannot tell where it was trained.

Before that, `Waiting` comes again and again as long as the job has no place, and `Placed` once.
"""

import contextlib
import errno
import functools
import os
import secrets
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from cookbook import base_files, disk
from cookbook.bases import Base
from cookbook.errors import BaseAway, ClusterAway, CookbookError, WorkerLost
from cookbook.machine import Machine, in_gb
from cookbook.service.engine.working_folder import DAMAGED, STATE
from cookbook.service.events import Checkpoint, Finished, Placed, TrainingEvent, Waiting
from cookbook.service.trainers.on_ray import needs, parcel, place
from cookbook.service.trainers.on_ray.connection import connect
from cookbook.service.trainers.on_ray.crew import Crew
from cookbook.service.trainers.on_ray.needs import Job
from cookbook.service.trainers.on_ray.node_base import Wanted
from cookbook.service.trainers.on_ray.place import GPU, WAIT_SECONDS, Needs
from cookbook.service.trainers.on_ray.work import Made, Task
from cookbook.service.trainers.settings import TrainerSettings


def train(
    settings: TrainerSettings,
    base: Base,
    train_rows: list[dict[str, Any]],
    valid_rows: list[dict[str, Any]],
    hp: dict[str, Any],
    *,
    folder: Path,
    seed: int = 42,
    level: int = 0,
) -> Generator[TrainingEvent, None, None]:
    """Train as the engine's `train` does, on nodes of a cluster; see there.

    Raises:
        ClusterAway: it cannot be reached, or none of its nodes can do it at present.
        WorkerLost: a node or its process has gone; the state in `folder` is to be gone on from.
        MemoryError: a node has run out of memory.
        RuntimeError: what else a worker ended in; its traceback is in this process's log.
    """
    wanted = _wanted(base)
    head = connect(settings.ray_address)
    job = Job(base, train_rows + valid_rows, hp, level)
    crew, sharded = yield from _gather(job, settings, head)
    try:
        yield Placed(crew.nodes)
        yield from _bring_base(crew, wanted)
        _choose_folder(crew, folder, settings.storage)
        world = len(crew.nodes)
        _start(crew, Task(train_rows, valid_rows, hp, seed, level, world, sharded))
        yield from _events(crew, folder)
    finally:
        crew.dismiss()


def _gather(
    job: Job, settings: TrainerSettings, head: str
) -> Generator[Waiting, None, tuple[Crew, bool]]:
    """Return workers that can train the job, and whether they share the base's weights.

    Raises:
        ClusterAway: the nodes with the service's versions are not enough, or the head has gone.
    """
    outdated: dict[str, ClusterAway] = {}
    machine: Machine | None = None
    while True:
        look = functools.partial(_needs, job, settings, outdated, machine)
        needed = look()
        own = yield from place.seek(head, needed, look, outdated)
        if own is None:
            continue
        crew = Crew(own, head)
        try:
            if found := crew.outdated():
                outdated |= found
                # Whether there are others.
                _needs(job, settings, outdated, machine)
                for fault in found.values():
                    yield Waiting(fault.zh, fault.en)
            elif needed.sharded or GPU not in needed.each:
                return crew, needed.sharded
            else:
                # Only a worker knows how much memory its GPU has.
                machine = crew.ask(0, "machine")
                if not _needs(job, settings, outdated, machine).sharded:
                    return crew, False
        except BaseException:
            crew.dismiss()
            raise
        crew.dismiss()


def _needs(
    job: Job,
    settings: TrainerSettings,
    outdated: dict[str, ClusterAway],
    machine: Machine | None = None,
) -> Needs:
    """Return what the job needs, by the nodes that have the service's versions.

    Raises:
        ClusterAway: they are not enough.
    """
    nodes = [node for node in place.nodes() if node.id not in outdated]
    try:
        return needs.of(job, nodes, settings, machine)
    except ClusterAway as error:
        # With the right versions the others might do.
        raise next(iter(outdated.values()), error) from None


def _start(crew: Crew, task: Task) -> None:
    """Have all workers begin, once they know each other."""
    ranks = range(task.workers)
    if task.workers > 1:
        meeting = crew.ask(0, "open_meeting", task.workers)
        crew.ask_each("meet", [(rank, task.workers, *meeting) for rank in ranks])
    # Once into Ray's store, however many fetch it.
    shared = ray.put(task)
    crew.ask_each("start", [(shared, rank) for rank in ranks])


def _events(crew: Crew, folder: Path) -> Generator[TrainingEvent, None, None]:
    """Yield what happens in a training that has been started."""
    while True:
        made: Made = crew.ask_all("next")[0]
        _keep_state(crew, made, folder)
        if made.event is None:
            crew.ask_all("clear")
            return
        try:
            yield _with_adapter(crew, made.event, folder)
        except GeneratorExit:
            # Stopped here, for now or for good. A worker that is lost just now saves nothing: the
            # job goes on from the state before.
            with contextlib.suppress(WorkerLost, ClusterAway):
                _keep_state(crew, crew.ask_all("stop")[0], folder)
                crew.ask_all("clear")
            raise


def _keep_state(crew: Crew, made: Made, folder: Path) -> None:
    """Let the state in the service's folder be what it is on the node, if that has changed."""
    if made.state is not None:
        crew.fetch(0, made.state, folder / STATE)
    elif made.is_set_aside:
        (folder / STATE).replace(folder / DAMAGED)


def _with_adapter(crew: Crew, event: TrainingEvent, folder: Path) -> TrainingEvent:
    """Return the event; one of an adapter has it in the service's folder."""
    if not isinstance(event, Checkpoint | Finished):
        return event
    here = folder / event.folder.name
    # In a shared folder it is there.
    if event.folder != here:
        crew.fetch(0, event.folder, here)
    return replace(event, folder=here)


# Before the training


def _choose_folder(crew: Crew, folder: Path, storage: Path | None) -> None:
    """Have the workers work in the service's folder where that is shared, else in their own.

    Raises:
        ClusterAway: the service or a node does not see the shared folder.
    """
    if storage is None:
        crew.ask_all("use_own_folder")
        state = folder / STATE
        if state.is_file():
            crew.ask(0, "expect_state")
            for _ in crew.send(0, state, parcel.contents(state)):
                pass
        return
    # Not in the folder itself: that it is there tells that the job has trained.
    mark = folder.with_name(f"{folder.name}.{secrets.token_hex(8)}.mark")
    try:
        mark.touch()
    except OSError as error:
        if disk.is_full(error):
            raise
        reason = error.strerror or type(error).__name__
        raise ClusterAway(
            zh=f"服务写不了共享文件夹（{reason}）：检查 --storage 的共享盘是否还挂载着",
            en=f"the service cannot write to the shared folder ({reason}): check that the shared "
            "disk of --storage is still mounted",
        ) from error
    try:
        sees = crew.ask_all("use_shared_folder", folder, mark)
    finally:
        mark.unlink(missing_ok=True)
    for node, there in zip(crew.nodes, sees, strict=True):
        if not there:
            raise ClusterAway(
                zh=f"节点 {node} 看不到共享文件夹：在那里以同样的路径挂载 --storage 的文件夹，"
                "或去掉 --storage",
                en=f"node {node} does not see the shared folder: mount that of --storage there "
                "under the same path, or leave --storage out",
            )


def _wanted(base: Base) -> Wanted:
    """Return what the nodes need of the base.

    Raises:
        BaseAway: its folder cannot be read at present.
        ModelError: it cannot be trained.
    """
    folder = Path(base.source)
    try:
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        base_files.check_folder(base, folder)
        return Wanted.of(base)
    except CookbookError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BaseAway(
            zh=f"读不到基础模型 {base.id} 的文件夹（{reason}）：把它放回原处，"
            "或检查 COOKBOOK_BASE_MODEL",
            en=f"cannot read the folder of the base model {base.id} ({reason}): put it back where "
            "it was, or check COOKBOOK_BASE_MODEL",
        ) from error


def _bring_base(crew: Crew, wanted: Wanted) -> Generator[Waiting, None, None]:
    """See to it that each worker has the base: it is sent to nodes that do not have it.

    Raises:
        BaseAway: it was changed while it was sent.
    """
    for rank, node in enumerate(crew.nodes):
        note = _sending(wanted, node)
        is_sent = False
        while not crew.ask(rank, "has_base", wanted):
            if is_sent:
                raise _changed(wanted)
            yield note
            is_sent = crew.ask(rank, "expect_base", wanted)
            if is_sent:
                yield from _send_base(crew, rank, wanted, note)
            else:
                # Another job sends it to this node at present.
                time.sleep(WAIT_SECONDS)


def _send_base(crew: Crew, rank: int, wanted: Wanted, note: Waiting) -> Iterator[Waiting]:
    try:
        for _ in crew.send(rank, Path(wanted.base.source), wanted.files):
            yield note
    except (OSError, RuntimeError) as error:
        # What was read here, or what arrived there, is not what was announced.
        if _is_as_announced(wanted):
            raise
        raise _changed(wanted) from error
    crew.ask(rank, "release_base")


def _is_as_announced(wanted: Wanted) -> bool:
    try:
        return Wanted.of(wanted.base) == wanted
    except OSError:
        return False


def _changed(wanted: Wanted) -> BaseAway:
    return BaseAway(
        zh=f"基础模型 {wanted.base.id} 的文件在发送时变了：等它写完",
        en=f"the files of the base model {wanted.base.id} changed while they were "
        "sent: wait until they are whole",
    )


def _sending(wanted: Wanted, node: str) -> Waiting:
    name, size = wanted.base.id, in_gb(wanted.bytes)
    return Waiting(
        zh=f"节点 {node} 上没有基础模型 {name}，正在发过去（{size}）；以后的任务不用再发",
        en=f"Node {node} does not have the base model {name}: it is being sent there ({size}). "
        "Later jobs find it there",
    )

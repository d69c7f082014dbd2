"""What a worker does on its node: get the base, run the engine's own `train`, event by event.

The driver calls one method after the other (`driver.py`) and waits for each, so a step is taken
only when the service has recorded the event before. Everything here is on the node.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cookbook import machine
from cookbook.bases import Base
from cookbook.machine import Machine
from cookbook.service.engine.working_folder import STATE
from cookbook.service.events import TrainingEvent
from cookbook.service.trainers.on_ray import node_base, parcel
from cookbook.service.trainers.on_ray.meeting import Meeting
from cookbook.service.trainers.on_ray.node_base import Wanted
from cookbook.service.trainers.on_ray.node_folder import JobFolder
from cookbook.service.trainers.on_ray.parcel import Arrival, Contents


@dataclass(frozen=True)
class Task:
    """What is trained, and by how many: the arguments of `train`, but for base and folder."""

    train_rows: list[dict[str, Any]]
    valid_rows: list[dict[str, Any]]
    hp: dict[str, Any]
    seed: int
    level: int
    workers: int
    sharded: bool


@dataclass(frozen=True)
class Made:
    """What one step brought; `event` is None at the end.

    Attributes:
        state: the file of the state to resume from, where that has changed on this node alone.
        is_set_aside: whether the state that was there could not be read.
    """

    event: TrainingEvent | None
    state: Path | None = None
    is_set_aside: bool = False


class Work:
    """One worker's part of a job."""

    def __init__(self) -> None:
        self._base: Base | None = None
        self._training: Generator[TrainingEvent, None, None] | None = None
        self._arrival: Arrival | None = None
        self._base_lock: FileLock | None = None
        self._folder = Path()
        self._own: JobFolder | None = None
        self._meeting = Meeting()
        self._saved: tuple[int, int] | None = None

    # The base

    def has_base(self, wanted: Wanted) -> bool:
        """Return whether the base is on this node; it is trained then."""
        self._base = node_base.find(wanted)
        return self._base is not None

    def expect_base(self, wanted: Wanted) -> bool:
        """Get ready for the base; return False where another worker of this node takes it."""
        target = node_base.sent_to(wanted)
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        # It may have come since it was looked for, and be in use.
        if node_base.find(wanted):
            lock.release()
            return False
        self._base_lock = lock
        self._arrival = Arrival(target)
        return True

    def release_base(self) -> None:
        """Let other workers of this node look for the base."""
        assert self._base_lock is not None
        self._base_lock.release()

    # The working folder

    def use_own_folder(self) -> None:
        """Work in a folder of this node; what is made there is fetched."""
        self._own = JobFolder()
        self._folder = self._own.path

    def use_shared_folder(self, folder: Path, mark: Path) -> bool:
        """Work in the service's own folder; return whether the service's mark is seen here."""
        self._folder = folder
        return mark.is_file()

    def expect_state(self) -> None:
        """Get ready for the state to resume from."""
        self._arrival = Arrival(self._folder / STATE)

    def clear(self) -> None:
        """Remove the folder of this node."""
        if self._own:
            self._own.remove()

    # Files

    def take(self, name: str, start: int, content: bytes) -> None:
        """Write a part of what is sent."""
        assert self._arrival is not None
        self._arrival.take(name, start, content)

    def settle(self, contents: Contents) -> None:
        """Keep what has been sent."""
        assert self._arrival is not None
        self._arrival.settle(contents)
        self._arrival = None

    def contents(self, path: Path) -> Contents:
        """Return what is in a file or folder that the service fetches."""
        return parcel.contents(path)

    def read(self, path: Path, name: str, start: int) -> bytes:
        """Return a part of it."""
        return parcel.read(path, name, start)

    # The training

    def machine(self) -> Machine:
        """Return what this worker has of its node."""
        return machine.here(for_this_process=True)

    def open_meeting(self, world: int) -> tuple[str, int]:
        """Return where the other workers find this one, rank 0: a port that the system chooses."""
        return self._meeting.open(world)

    def meet(self, rank: int, world: int, host: str, port: int) -> None:
        """Join the other workers; returns when all have."""
        self._meeting.join(rank, world, host, port)

    def start(self, task: Task, rank: int) -> None:
        """Load torch, and begin; nothing of the training has happened yet."""
        from cookbook.service.engine.train import train
        from cookbook.service.engine.workers import Workers

        assert self._base is not None
        self._saved = self._state_now()
        self._training = train(
            self._base,
            task.train_rows,
            task.valid_rows,
            task.hp,
            folder=self._folder,
            seed=task.seed,
            level=task.level,
            workers=Workers(rank, task.workers, task.sharded),
        )

    def next(self) -> Made:
        """Take the next step, and return what happened."""
        assert self._training is not None
        return self._made(next(self._training, None))

    def stop(self) -> Made:
        """End the training after the last event; its state is saved."""
        assert self._training is not None
        self._training.close()
        return self._made(None)

    def _made(self, event: TrainingEvent | None) -> Made:
        before, self._saved = self._saved, self._state_now()
        if self._own is None or self._saved == before:
            return Made(event)
        if self._saved is None:
            return Made(event, is_set_aside=True)
        return Made(event, self._folder / STATE)

    def _state_now(self) -> tuple[int, int] | None:
        """Return what tells the state from the one before; None without one."""
        try:
            status = (self._folder / STATE).stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

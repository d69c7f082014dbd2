"""The actors of one job, a worker each, called in lock-step.

    crew = Crew(place, head)
    crew.ask(rank, "has_base", wanted)      one of them
    crew.ask_all("next")                    all at the same time; the answers by rank
    crew.dismiss()                          end them, and give their place back

All workers of a job are one generation: where one fails or is lost, the call raises, and the caller
dismisses them all. While an answer is awaited the head is looked at, too: Ray ends this process a
minute after the head has died, and the job's log is to say why.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cookbook.errors import ClusterAway, CookbookError, WorkerLost
from cookbook.service.trainers.on_ray import actor, cluster, parcel, versions
from cookbook.service.trainers.on_ray.failure import Failure
from cookbook.service.trainers.on_ray.parcel import Arrival, Contents
from cookbook.service.trainers.on_ray.place import CPU, GPU, MEMORY, Place

LOOK_SECONDS = 2.0
AWAY_SECONDS = 20.0
"""For so long a head may give no answer: one that is busy, or starts again."""

OTHERS_SECONDS = 5.0
"""For so long the others are heard after one has failed: who was lost explains what they say."""

_log = logging.getLogger("cookbook")


class Crew:
    """The workers of one job.

    Attributes:
        nodes: the names of their nodes.
    """

    def __init__(self, place: Place, head: str):
        self._place = place
        self._head = head
        self._looked_at = self._heard_at = time.monotonic()
        self._is_away = False
        self.nodes = tuple(node.name for node in place.nodes)
        # By value: the node need not have this module.
        ray.cloudpickle.register_pickle_by_value(actor)
        remote = ray.remote(actor.Actor)
        self._actors: list[Any] = []
        for rank in range(len(place.nodes)):
            options = remote.options(
                num_cpus=place.each[CPU],
                num_gpus=place.each.get(GPU, 0),
                memory=place.each.get(MEMORY),
                max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(place.group, rank),
            )
            self._actors.append(options.remote(threads=round(place.each[CPU])))

    def outdated(self) -> dict[str, ClusterAway]:
        """Return the nodes, by id, that have other versions than the service, and what to do."""
        found = {}
        calls = [one.versions.remote(versions.PACKAGES) for one in self._actors]
        for node, own in zip(self._place.nodes, self._answers(calls), strict=True):
            if fault := versions.fault(node.name, own):
                found[node.id] = fault
        return found

    def ask(self, rank: int, name: str, *arguments: Any) -> Any:
        """Call a method of one worker's `Work`, and return what it returns."""
        return self._answers([self._actors[rank].call.remote(name, *arguments)], rank)[0]

    def ask_all(self, name: str, *arguments: Any) -> list[Any]:
        """Call a method of all workers at the same time; return what each returns."""
        return self.ask_each(name, [arguments] * len(self._actors))

    def ask_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The same, with arguments of its own for each worker."""
        pairs = zip(self._actors, arguments, strict=True)
        return self._answers([one.call.remote(name, *own) for one, own in pairs])

    def fetch(self, rank: int, there: Path, here: Path) -> None:
        """Bring a file or folder of a worker here, whole or not at all."""
        files = self.ask(rank, "contents", there)
        here.parent.mkdir(parents=True, exist_ok=True)
        arrival = Arrival(here)
        for name, start in parcel.parts(files):
            arrival.take(name, start, self.ask(rank, "read", there, name, start))
        arrival.settle(files)

    def send(self, rank: int, here: Path, files: Contents) -> Iterator[None]:
        """Send a file, or these files of a folder, to a worker; yield after each part."""
        for name, start in parcel.parts(files):
            self.ask(rank, "take", name, start, parcel.read(here, name, start))
            yield
        self.ask(rank, "settle", files)

    def dismiss(self) -> None:
        """End the workers' processes, and give their place back."""
        # Without a head nobody takes it.
        if self._is_away:
            return
        for one in self._actors:
            with contextlib.suppress(RayError):
                ray.kill(one)
        # Ray does it when this process ends, too; what the job ended in is what must be told.
        with contextlib.suppress(RayError):
            self._place.give_back()

    def _answers(self, calls: list[Any], first_rank: int = 0) -> list[Any]:
        """Return the answers to these calls, one for each rank from `first_rank` on.

        Raises:
            ClusterAway: the head has gone.
            WorkerLost: one of the workers has.
            Exception: what one of them ended in.
        """
        found: dict[Any, Any] = {}
        failed: list[Exception] = []
        until = float("inf")
        waiting = list(calls)
        while waiting and time.monotonic() < until:
            ready, waiting = ray.wait(waiting, timeout=LOOK_SECONDS)
            for call in ready:
                answer = self._answer(call, self.nodes[first_rank + calls.index(call)])
                found[call] = answer
                if isinstance(answer, Exception):
                    failed.append(answer)
                    until = min(until, time.monotonic() + OTHERS_SECONDS)
            self._look()
        if failed:
            raise _telling(failed)
        return [found[call] for call in calls]

    def _answer(self, call: Any, node: str) -> Any:
        """Return an answer that has come; what it ended in as an exception, not raised."""
        try:
            answer = ray.get(call)
        except RayError as error:
            return self._lost(node, error)
        return answer.error(node) if isinstance(answer, Failure) else answer

    def _lost(self, node: str, error: RayError) -> Exception:
        """Return what it means that a worker gives no answer any more."""
        if not cluster.answers(self._head):
            self._is_away = True
            return _away(self._head)
        text = str(error)
        # Ray's own watch over the memory of a node.
        if isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in text:
            return MemoryError(text)
        if isinstance(error, ray.exceptions.RayActorError) and error.actor_init_failed:
            return RuntimeError(text)
        _log.error("%s: %s", node, text)
        return WorkerLost(
            zh=f"节点 {node} 上的训练中断了：节点断开，或者那里的训练进程被结束",
            en=f"the training on node {node} was cut off: the node has gone, or its process was "
            "killed",
        )

    def _look(self) -> None:
        """Raise ClusterAway where the head has given no answer for long."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if cluster.answers(self._head):
            self._heard_at = now
        elif now - self._heard_at > AWAY_SECONDS:
            self._is_away = True
            raise _away(self._head)


def _away(head: str) -> ClusterAway:
    return ClusterAway(
        zh=f"Ray 集群的 head 节点（{head}）断开了：重新启动它，或检查网络",
        en=f"the head of the Ray cluster ({head}) has gone: start it again, or check the network",
    )


def _telling(errors: list[Exception]) -> Exception:
    """Return the error that explains the others, which may be no more than its consequences."""
    order = (ClusterAway, WorkerLost, CookbookError, MemoryError, Exception)
    return min(errors, key=lambda error: [isinstance(error, kind) for kind in order].index(True))

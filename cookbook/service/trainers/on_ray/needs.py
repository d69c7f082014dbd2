"""What a job needs of a cluster: how many workers, and what each of them needs of a node.

    needed = needs.of(job, nodes, settings)             by what the nodes offer
    needed = needs.of(job, nodes, settings, machine)    by what a worker has found on its node, too

Ray knows the memory of a node, but not that of a GPU: whether a base fits there is known once a
worker has looked. Where it does not, as many workers are asked for as can hold its parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cookbook import memory, tokens
from cookbook.bases import Base
from cookbook.errors import ClusterAway
from cookbook.machine import Machine
from cookbook.machine.device import CPU as ON_CPU
from cookbook.memory import MemoryPlan
from cookbook.service.trainers.on_ray.place import (
    CPU,
    GPU,
    MEMORY,
    Needs,
    Node,
    Resources,
    shown,
)
from cookbook.service.trainers.settings import MOST_CPUS_CHOSEN, TrainerSettings


@dataclass(frozen=True)
class Job:
    """What is trained, as far as its needs depend on it."""

    base: Base
    rows: list[dict[str, Any]]
    hp: dict[str, Any]
    level: int

    @cached_property
    def lengths(self) -> list[int]:
        """The rows' tokens, about: other bases have other tokens. The workers count again."""
        counted = tokens.count_conversations(row["messages"] for row in self.rows)
        return [conversation.total for conversation in counted]

    def plan(self, machine: Machine) -> MemoryPlan | None:
        """Return the plan for workers with this machine; None of a base whose sizes are unknown."""
        shape = self.base.shape
        if shape is None:
            return None
        return memory.choose_workers(shape, self.lengths, self.hp, machine, level=self.level)


def of(
    job: Job, nodes: Sequence[Node], settings: TrainerSettings, machine: Machine | None = None
) -> Needs:
    """Return what a job needs, by the nodes that are there: GPUs where any has one.

    Raises:
        ClusterAway: the nodes are not enough.
    """
    if not nodes:
        raise ClusterAway(
            zh="Ray 集群里没有可以训练的节点：在要用来训练的机器上运行 "
            "ray start --address=HOST:6379",
            en="the Ray cluster has no node to train on: run ray start --address=HOST:6379 on the "
            "machines that are to train",
        )
    each = _without_memory(nodes, settings.worker_cpus)
    plan = None
    if GPU not in each:
        most = round(max(node.offered.get(MEMORY, 0) for node in nodes))
        machine = Machine(ON_CPU, most, most, bfloat16=False)
    if machine is not None:
        plan = job.plan(replace(machine, devices=_places(each, nodes)))
    if plan is not None and GPU not in each:
        each[MEMORY] = float(plan.needed)
    places = _places(each, nodes)
    if plan is not None and plan.sharded:
        if places < plan.workers:
            raise _too_few(each, plan.workers, nodes)
        return Needs(each, (plan.workers,), sharded=True)
    if places == 0:
        raise _too_few(each, 1, nodes)
    most_workers = min(settings.workers, job.hp["batch_size"], places)
    return Needs(each, tuple(_halves(most_workers)))


def _without_memory(nodes: Sequence[Node], cpus: int) -> Resources:
    if any(node.offered.get(GPU) for node in nodes):
        return {GPU: 1.0, CPU: float(max(1, cpus))}
    largest = max(node.offered.get(CPU, 0) for node in nodes)
    return {CPU: float(cpus) if cpus else max(1.0, min(MOST_CPUS_CHOSEN, largest // 1))}


def _places(each: Resources, nodes: Sequence[Node]) -> int:
    """Return how many workers all nodes could hold if nothing else ran there."""
    return sum(node.places(each) for node in nodes)


def _halves(most: int) -> list[int]:
    """Return the numbers of workers to try: fewer where others have the rest."""
    numbers = [most]
    while numbers[-1] > 1:
        numbers.append(numbers[-1] // 2)
    return numbers


def _too_few(each: Resources, workers: int, nodes: Sequence[Node]) -> ClusterAway:
    largest = max(nodes, key=_size)
    needs_zh, needs_en = shown(each)
    has_zh, has_en = shown(largest.offered)
    if workers > 1:
        return ClusterAway(
            zh=f"集群放不下这个任务：它要 {workers} 个 worker，每个 {needs_zh}；"
            f"最大的节点 {largest.name} 有 {has_zh}。加节点，或换小一些的基础模型、max_tokens",
            en=f"the cluster is too small for this job: it needs {workers} workers with "
            f"{needs_en} each; the largest node, {largest.name}, has {has_en}. Add nodes, or "
            "choose a smaller base or max_tokens",
        )
    return ClusterAway(
        zh=f"没有节点放得下这个任务：需要 {needs_zh}，最大的节点 {largest.name} 只有 {has_zh}。"
        "加一个更大的节点，或换小一些的基础模型、max_tokens",
        en=f"no node is large enough for this job: it needs {needs_en}, and the largest, "
        f"{largest.name}, has {has_en}. Add a larger node, or choose a smaller base or max_tokens",
    )


def _size(node: Node) -> tuple[float, ...]:
    return tuple(node.offered.get(name, 0) for name in (GPU, MEMORY, CPU))

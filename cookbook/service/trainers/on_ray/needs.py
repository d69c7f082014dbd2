"""What one worker of a job needs of a node, in Ray's resources."""

from collections.abc import Sequence
from typing import Any

from cookbook import memory, tokens
from cookbook.bases import Base
from cookbook.errors import ClusterAway
from cookbook.machine import Machine
from cookbook.machine.device import CPU as ON_CPU
from cookbook.service.trainers.on_ray.place import CPU, GPU, MEMORY, Node, Resources, shown

MOST_CPUS = 4
"""Processors that a worker asks for by itself: a LoRA of a small base gains little by more."""


def of(
    base: Base,
    rows: list[dict[str, Any]],
    hp: dict[str, Any],
    nodes: Sequence[Node],
    *,
    level: int,
    cpus: int,
) -> Resources:
    """Return what a worker needs, by the nodes that are there: a GPU where any has one.

    The memory of a CPU is that of a plan for the largest node. The worker plans again there.

    Args:
        cpus: processors for each worker; 0 chooses.

    Raises:
        ClusterAway: no node is large enough.
    """
    if not nodes:
        raise ClusterAway(
            zh="Ray 集群里没有可以训练的节点：在要用来训练的机器上运行 "
            "ray start --address=HOST:6379",
            en="the Ray cluster has no node to train on: run ray start --address=HOST:6379 on the "
            "machines that are to train",
        )
    if any(node.offered.get(GPU) for node in nodes):
        needs = {GPU: 1.0, CPU: float(max(1, cpus))}
    else:
        largest = max(node.offered.get(CPU, 0) for node in nodes)
        needs = {CPU: float(cpus) if cpus else max(1.0, min(MOST_CPUS, largest // 1))}
        most = max(node.offered.get(MEMORY, 0) for node in nodes)
        if bytes_needed := _memory(base, rows, hp, round(most), level):
            needs[MEMORY] = float(bytes_needed)
    if not any(node.can_hold(needs) for node in nodes):
        raise _too_large(needs, nodes)
    return needs


def _memory(
    base: Base, rows: list[dict[str, Any]], hp: dict[str, Any], free: int, level: int
) -> int:
    """Return the bytes that the plan for so much memory needs; 0 of a base of unknown sizes."""
    if base.shape is None:
        return 0
    counted = tokens.count_conversations(row["messages"] for row in rows)
    lengths = [conversation.total for conversation in counted]
    machine = Machine(ON_CPU, free, free, bfloat16=False)
    return memory.choose(base.shape, lengths, hp, machine, level=level).needed


def _too_large(needs: Resources, nodes: Sequence[Node]) -> ClusterAway:
    largest = max(nodes, key=_size)
    needs_zh, needs_en = shown(needs)
    has_zh, has_en = shown(largest.offered)
    return ClusterAway(
        zh=f"没有节点放得下这个任务：需要 {needs_zh}，最大的节点 {largest.name} 只有 {has_zh}。"
        "加一个更大的节点，或用小一些的基础模型、max_tokens",
        en=f"no node is large enough for this job: it needs {needs_en}, and the largest, "
        f"{largest.name}, has {has_en}. Add a larger node, or choose a smaller base or max_tokens",
    )


def _size(node: Node) -> tuple[float, ...]:
    return tuple(node.offered.get(name, 0) for name in (GPU, MEMORY, CPU))

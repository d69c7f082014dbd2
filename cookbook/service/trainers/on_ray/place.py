"""Seek a place for a job: as many bundles of a cluster's resources as it has workers.

    place = yield from seek(head, needed, look)     Waiting events until there is one
    place.nodes                                     the node of each worker
    place.give_back()

Ray places all bundles of a job or none, and gives those back whose process has died.
"""

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from cookbook.machine import in_gb
from cookbook.service.events import Waiting
from cookbook.service.trainers.on_ray import cluster

WAIT_SECONDS = 1.0
"""Between two looks, in which a job that waits may be paused or cancelled."""

CPU, GPU, MEMORY = "CPU", "GPU", "memory"
NODE_ID = "ray.io/node-id"
"""The label that Ray gives each node."""

Resources = dict[str, float]
"""What Ray calls them; memory in bytes."""


@dataclass(frozen=True)
class Node:
    """A node that is there at present.

    Attributes:
        name: what a person calls it.
        offered: all that it has, whoever uses it now.
    """

    id: str
    name: str
    offered: Resources

    def places(self, each: Resources) -> int:
        """Return how many workers it could hold if nothing else ran there."""
        return round(min(self.offered.get(name, 0) // amount for name, amount in each.items()))


@dataclass(frozen=True)
class Needs:
    """What a job needs.

    Attributes:
        each: of a node, for each worker.
        workers: how many there may be, the best number first; the last is waited for.
        sharded: whether each of them holds a part of the base alone.
    """

    each: Resources
    workers: tuple[int, ...]
    sharded: bool = False


@dataclass(frozen=True)
class Place:
    """Bundles that are a job's own until it gives them back."""

    group: PlacementGroup
    each: Resources
    nodes: tuple[Node, ...]

    def give_back(self) -> None:
        remove_placement_group(self.group)


def nodes() -> list[Node]:
    """Return the nodes that can train: the service's own machine offers no processors."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    names = [_name(node) for node in alive]
    found = []
    for node, name in zip(alive, names, strict=True):
        # Containers often have the same one.
        if names.count(name) > 1:
            name = f"{name} ({node['NodeManagerAddress']})"
        if node["Resources"].get(CPU, 0) > 0:
            found.append(Node(node["NodeID"], name, node["Resources"]))
    return found


def _name(node: dict[str, Any]) -> str:
    """Return the name that was given with `ray start --node-name`, else the host's."""
    given: str = node["NodeName"]
    return node["NodeManagerHostname"] if given == node["NodeManagerAddress"] else given


def seek(
    head: str, needed: Needs, look: Callable[[], Needs], avoided: Collection[str] = ()
) -> Generator[Waiting, None, Place | None]:
    """Return a place once there is one; each second until then, say what is waited for.

    Args:
        head: of the cluster. Of one that has gone Ray itself says nothing for a minute.
        look: tells what is needed by the nodes that are there then.
        avoided: ids of nodes that are not to be taken.

    Returns:
        None where nodes have come or gone meanwhile: the caller looks again what is needed.

    Raises:
        ClusterAway: the head has gone, or the nodes that are left are not enough.
    """
    *more, last = needed.workers
    for number in more:
        group = _ask(needed.each, number, avoided)
        if _is_there(group.ready()):
            return _placed(group, needed.each, number)
        remove_placement_group(group)
    group = _ask(needed.each, last, avoided)
    ready = group.ready()
    try:
        while not _is_there(ready):
            if fault := cluster.fault_at(head):
                raise fault
            # A node that has gone is still among the others for some seconds.
            if look() != needed:
                remove_placement_group(group)
                return None
            yield _waiting(needed.each, last)
    except BaseException:
        # Without a head this would hang.
        if cluster.answers(head):
            remove_placement_group(group)
        raise
    return _placed(group, needed.each, last)


def _is_there(ready: Any) -> bool:
    """Return whether a place is there within a second.

    `PlacementGroup.wait` would hang where the head dies.
    """
    return bool(ray.wait([ready], timeout=WAIT_SECONDS)[0])


def _ask(each: Resources, workers: int, avoided: Collection[str]) -> PlacementGroup:
    chosen = {NODE_ID: f"!in({','.join(sorted(avoided))})"} if avoided else {}
    return placement_group(
        [each] * workers, strategy="PACK", bundle_label_selector=[chosen] * workers
    )


def _placed(group: PlacementGroup, each: Resources, workers: int) -> Place | None:
    """Return the place; None, with the group removed, where one of its nodes has just gone."""
    by_id = {node.id: node for node in nodes()}
    ids = placement_group_table(group)["bundles_to_node_id"]
    found = [by_id.get(ids.get(i, "")) for i in range(workers)]
    there = tuple(node for node in found if node is not None)
    if len(there) < workers:
        remove_placement_group(group)
        return None
    return Place(group, each, there)


def _waiting(each: Resources, workers: int) -> Waiting:
    zh, en = shown(each)
    each_zh = f" {workers} 个 worker，每个" if workers > 1 else ""
    each_en = f"{workers} workers with " if workers > 1 else ""
    return Waiting(
        zh=f"集群暂时没有空位：需要{each_zh} {zh}。任务排队，有空位就开始",
        en=f"The cluster has no free place at present: the job needs {each_en}{en}. It starts "
        "when there is one",
    )


def shown(resources: Resources) -> tuple[str, str]:
    """Return an amount of resources as text, zh and en."""
    zh, en = [], []
    if gpus := resources.get(GPU):
        zh.append(f"{gpus:g} 张显卡")
        en.append(f"{gpus:g} GPU")
    if cpus := resources.get(CPU):
        zh.append(f"{cpus:g} 个 CPU 核")
        en.append(f"{cpus:g} CPU")
    if memory := resources.get(MEMORY):
        zh.append(f"{in_gb(round(memory))} 内存")
        en.append(f"{in_gb(round(memory))} of memory")
    return "、".join(zh), ", ".join(en)

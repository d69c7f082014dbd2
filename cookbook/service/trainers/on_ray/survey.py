"""Ask every node of a cluster what machine it is and what is installed there.

    python -m cookbook.service.trainers.on_ray.survey HOST:PORT

Writes a line of JSON: {"nodes": [{"name", "machine", "devices"}], "faults": [{"zh", "en"}]}, a
fault for each node that cannot train, such as one with other versions. In a process of its own: see
nodes.py.
"""

import json
import sys
import time
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cookbook.errors import ClusterAway, CookbookError
from cookbook.service.trainers.on_ray import actor, place, versions
from cookbook.service.trainers.on_ray.connection import connect
from cookbook.service.trainers.on_ray.place import GPU, Node

ANSWER_SECONDS = 60.0  # for the nodes to start a process each, and answer
LEAST_SECONDS = 0.5  # to fetch an answer that is there


def survey(address: str) -> dict[str, Any]:
    """Return what the nodes say of themselves.

    Raises:
        ClusterAway: the cluster cannot be joined.
    """
    connect(address)
    ray.cloudpickle.register_pickle_by_value(actor)
    nodes = place.nodes()
    # All at the same time: a node takes seconds to start a process.
    installed = [_ask(node, actor.Actor.versions, versions.PACKAGES) for node in nodes]
    machines = [_ask(node, actor.machine) for node in nodes]
    until = time.monotonic() + ANSWER_SECONDS
    found: list[dict[str, Any]] = []
    faults: list[ClusterAway] = []
    for node, own, machine in zip(nodes, installed, machines, strict=True):
        try:
            if fault := versions.fault(node.name, _answer(own, until)):
                faults.append(fault)
                continue
            there = _answer(machine, until)
        except RayError as error:
            faults.append(_no_answer(node, error))
            continue
        devices = max(1, round(node.offered.get(GPU, 0)))
        found.append({"name": node.name, "machine": there, "devices": devices})
    return {"nodes": found, "faults": [{"zh": fault.zh, "en": fault.en} for fault in faults]}


def _ask(node: Node, function: Any, *arguments: Any) -> Any:
    there = NodeAffinitySchedulingStrategy(node.id, soft=False)
    # It needs nothing that a training could have.
    return ray.remote(num_cpus=0, scheduling_strategy=there)(function).remote(*arguments)


def _answer(call: Any, until: float) -> Any:
    """Return the answer to a call; several nodes that give none are waited for once."""
    return ray.get(call, timeout=max(LEAST_SECONDS, until - time.monotonic()))


def _no_answer(node: Node, error: RayError) -> ClusterAway:
    reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return ClusterAway(
        zh=f"节点 {node.name} 没有回答（{reason[0]:.300}）：看那里的 /tmp/ray/session_latest/logs",
        en=f"node {node.name} gives no answer ({reason[0]:.300}): see /tmp/ray/session_latest/logs "
        "there",
    )


if __name__ == "__main__":
    try:
        print(json.dumps(survey(sys.argv[1])))
    except CookbookError as error:
        print(json.dumps({"nodes": [], "faults": [{"zh": error.zh, "en": error.en}]}))

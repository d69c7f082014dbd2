"""Train one job with several processes, the workers, that take every step together.

    workers = Workers(rank, world, sharded=False)
    training = train(base, train_rows, valid_rows, hp, folder=…, workers=workers)

Each process has joined torch's default process group before, as `rank` of `world`: with the backend
"gloo" on CPUs, "cpu:gloo,cuda:nccl" on GPUs. All of them run the same training on the same rows and
are asked for each event together; they yield the same ones. The caller takes rank 0's, the only
worker that reads and writes the job's folder.

A step is the whole batch's step, however many share it. Each worker has the adapter and its
optimizer, trains its share of the rows, and all add up their gradients. The base's weights are
whole in each of them, or `sharded`: each keeps a part of every layer (`shards.py`).

A worker alone, `ALONE`, shares with nobody, and nothing here costs it anything.
"""

import heapq
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cookbook.errors import ModelError
from cookbook.machine import CPU, Machine

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Workers:
    """Those who train a job together, as one of them sees it.

    Attributes:
        rank: of this worker, from 0.
        world: how many there are.
        sharded: whether each keeps a part of the base's layers alone.
    """

    rank: int = 0
    world: int = 1
    sharded: bool = False

    @property
    def leads(self) -> bool:
        """Return whether this worker reads and writes the job's folder."""
        return self.rank == 0

    def shares(self, lengths: Sequence[int]) -> list[list[int]]:
        """Deal out rows of these lengths; return each worker's, by their places in ascending order.

        The longest rows are dealt first, each to the worker with the fewest tokens: no worker gets
        more than the longest rows of an even share together.
        """
        if self.world == 1:
            return [list(range(len(lengths)))]
        shares: list[list[int]] = [[] for _ in range(self.world)]
        loads = [(0, rank) for rank in range(self.world)]
        longest_first = sorted(range(len(lengths)), key=lambda place: -lengths[place])
        for place in longest_first:
            load, rank = loads[0]
            shares[rank].append(place)
            heapq.heapreplace(loads, (load + lengths[place], rank))
        return [sorted(share) for share in shares]

    def all_reduce(self, total: Tensor, weights: Sequence[Tensor] = ()) -> Tensor:
        """Return the sum of all workers' `total`, and sum the gradients of the weights likewise.

        Whoever had no rows adds zeros. Everybody gets the same, bit for bit.
        """
        if self.world == 1:
            return total
        parts = [total.reshape(1)]
        for weight in weights:
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            parts.append(gradient.reshape(-1))
            weight.grad = None
        # One message for all of them.
        flat = torch.cat(parts)
        dist.all_reduce(flat)
        start = 1
        for weight in weights:
            weight.grad = flat[start : start + weight.numel()].view_as(weight)
            start += weight.numel()
        return flat[0]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Give everybody the values that these tensors have in rank 0."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        dist.broadcast(flat, src=0)
        parts = flat.split([tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's value, which can be pickled."""
        if self.world == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def weakest(self, machine: Machine) -> Machine:
        """Return what all workers' machines have: by it each makes the same memory plan.

        Workers on one machine share its memory; a GPU is a worker's own.

        Raises:
            ModelError: some compute on a GPU and some on a CPU.
        """
        if self.world == 1:
            return machine
        gathered: list[Any] = [None] * self.world
        dist.all_gather_object(gathered, (platform.node(), _boot(), machine))
        neighbours = Counter((name, boot) for name, boot, _ in gathered)
        rooms = []
        for name, boot, other in gathered:
            sharing = neighbours[name, boot] if other.device == CPU else 1
            rooms.append(replace(other, free=other.free // sharing, total=other.total // sharing))
        devices = {room.device for room in rooms}
        if len(devices) > 1:
            computers = sorted({name for name, _, other in gathered if other.device == CPU})
            raise ModelError(
                zh=f"一起训练的 {self.world} 个 worker 里，{'、'.join(computers)} 上的没有可用的"
                "显卡，别的有：检查那里的显卡和驱动，或者给所有节点设 COOKBOOK_DEVICE=cpu",
                en=f"of the {self.world} workers that train together, those on "
                f"{', '.join(computers)} have no GPU that can be used, the others have one: check "
                "the GPU and its driver there, or set COOKBOOK_DEVICE=cpu on all nodes",
            )
        least = min(rooms, key=lambda room: room.free)
        return replace(
            least,
            total=min(room.total for room in rooms),
            bfloat16=all(room.bfloat16 for room in rooms),
            four_bit=all(room.four_bit for room in rooms),
        )


ALONE = Workers()
"""One process for the whole job."""


def _boot() -> str:
    """Return what tells this computer from another of the same name; empty where it is unknown."""
    return _BOOT.read_text().strip() if _BOOT.is_file() else ""

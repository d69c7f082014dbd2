"""Where the workers of a job find each other, to add up their gradients.

Rank 0 listens on a port that the system chooses, under the address that other nodes know its node
by: the head has no worker, and a port that was free a moment ago may be taken.
"""

import os
import socket
from datetime import timedelta
from typing import Any

import psutil

PATIENCE = timedelta(minutes=10)
"""For so long a worker waits for another: one may load a large base from a slow disk. One that is
lost is noticed long before, by Ray."""


class Meeting:
    """One worker's way to the others."""

    def __init__(self) -> None:
        self._store: Any = None

    def open(self, world: int) -> tuple[str, int]:
        """Listen for all workers; return the host and port to give to `join`."""
        import ray
        from torch.distributed import TCPStore

        host = ray.util.get_node_ip_address()
        self._store = TCPStore(
            host, 0, world, is_master=True, timeout=PATIENCE, wait_for_workers=False
        )
        return host, self._store.port

    def join(self, rank: int, world: int, host: str, port: int) -> None:
        """Join the others, as `rank` of `world`."""
        import ray
        import torch
        import torch.distributed as dist

        if name := _interface(ray.util.get_node_ip_address()):
            # Otherwise that of the host's name is taken, which is often the loopback.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        if self._store is None:
            self._store = dist.TCPStore(host, port, world, is_master=False, timeout=PATIENCE)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend, store=self._store, rank=rank, world_size=world, timeout=PATIENCE
        )


def _interface(address: str) -> str | None:
    """Return the network interface that has this address."""
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.address == address:
                return name
    return None

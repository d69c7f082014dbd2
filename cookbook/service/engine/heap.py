"""Give memory that was freed back to the system, or to others on the GPU.

    give_back()             all that is not used any more
    Heap(needed).trim()     after a step: the same, once the process holds more than was planned
    give_back_at_once()     from here on, whenever a large tensor is freed

glibc keeps what was freed for this process. With rows of many lengths it cannot use all of it
again, and what it holds grows from step to step, far beyond what any step needs.
"""

import ctypes
import gc
import sys

import psutil
import torch

SLACK = 1.25
"""What a process may hold of what it really uses, before it gives back: at less it would often."""


LARGE = 2**20
"""Bytes of a tensor that `give_back_at_once` calls large."""

# Of glibc's malloc.h: from how many bytes on a block has memory of its own, and how many may.
_M_MMAP_THRESHOLD, _M_MMAP_MAX = -3, -4


def give_back() -> None:
    """Return memory that is not used any more to the system, or to others on the GPU."""
    # Models hold cycles: a hook knows its layer, and the layer its hooks.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    _trim()


def give_back_at_once() -> None:
    """Let every large tensor of a CPU have memory of its own, which is returned when it is freed.

    For what comes and goes all the time in many sizes. It costs time: the system clears each block.
    """
    if sys.platform == "linux":
        choose = getattr(ctypes.CDLL(None), "mallopt", None)
        if choose:
            # Unless it is set, glibc raises it to the largest that was ever freed.
            choose(_M_MMAP_THRESHOLD, LARGE)
            # The service's own processes are started with 0.
            choose(_M_MMAP_MAX, 2**16)


class Heap:
    """The memory of a training process; `limit` is what its plan says it needs, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._process = psutil.Process()

    def trim(self) -> None:
        """Give back what was freed, if the process holds more than the limit."""
        if self._held() <= self._limit:
            return
        _trim()
        # Where the limit is nearly used, there is nothing to give back.
        self._limit = max(self._limit, round(SLACK * self._held()))

    def _held(self) -> int:
        return self._process.memory_info().rss


def _trim() -> None:
    # Other systems give it back by themselves, and so do other libraries than glibc.
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)

"""Say what memory this machine has for a model, and in what type it computes.

On a CPU the memory is what the system can give, or what a container may still take, the smaller of
the two. With a GPU that torch can use it is the GPU's.
"""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cookbook import environment
from cookbook.errors import ArgumentError
from cookbook.machine import cgroups, gpu
from cookbook.machine.device import CPU, CUDA
from cookbook.machine.gigabytes import GB, MB

VARIABLE = "COOKBOOK_MEMORY"
CPU_INFO = Path("/proc/cpuinfo")

# A number and its unit; a plain number has no meaning that everybody shares.
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s{0,3}([GMT])i?B?", flags=re.I)
_UNITS = {"T": 2**40, "G": GB, "M": MB}


@dataclass(frozen=True)
class Machine:
    """Where a model is trained or answers.

    Attributes:
        device: "cpu" or "cuda".
        free: bytes that a new process can have.
        total: bytes that it could have if nothing else ran.
        bfloat16: whether matrix products in bfloat16 are faster here than in float32.
        four_bit: whether a base can be loaded in 4 bit (bitsandbytes is installed).
        name: the GPU's name; empty for a CPU.
        limit: bytes that `COOKBOOK_MEMORY` allows; 0 where it sets no limit.
        workers: how many such machines may share a job whose base fits one of them.
        devices: how many there are, for a base that fits none of them alone.
    """

    device: str
    free: int
    total: int
    bfloat16: bool
    four_bit: bool = False
    name: str = ""
    limit: int = 0
    workers: int = 1
    devices: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it; `of_dict` reads it back."""
        return asdict(self)

    @classmethod
    def of_dict(cls, values: Any) -> "Machine | None":
        """Return the machine that a service reports; None where it says something else."""
        expected = {
            "device": str,
            "free": int,
            "total": int,
            "bfloat16": bool,
            "four_bit": bool,
            "name": str,
            "limit": int,
            "workers": int,
            "devices": int,
        }
        # What a service of an earlier version does not report.
        usual = {"limit": 0, "workers": 1, "devices": 1}
        if not isinstance(values, dict):
            return None
        known: dict[str, Any] = {}
        for name, kind in expected.items():
            known[name] = values.get(name, usual.get(name))
            # Exactly: True is an int to Python.
            if type(known[name]) is not kind:
                return None
        return cls(**known)


def here(*, for_this_process: bool = False) -> Machine:
    """Return this machine as it is now.

    Args:
        for_this_process: count what this process holds already as free: it is the one that will
            hold the model, and a plan counts the libraries that it has loaded.

    Raises:
        ArgumentError: `COOKBOOK_MEMORY` is not an amount of memory.
    """
    own_limit = chosen_limit(os.environ)
    four_bit = find_spec("bitsandbytes") is not None
    card = gpu.first()
    if card is not None:
        held = card.held if for_this_process else 0
        free, total = limited(card.free + held, card.total, own_limit)
        limit = own_limit or 0
        return Machine(CUDA, free, total, card.bfloat16, four_bit, card.name, limit)

    import psutil  # a fifth of the time of the package's import

    memory = psutil.virtual_memory()
    room = cgroups.room()
    # A container does not see its own limit in what the system reports.
    free = min(memory.available, room.free)
    total = min(memory.total, room.limit)
    if for_this_process:
        free += psutil.Process().memory_info().rss
    free, total = limited(free, total, own_limit)
    bfloat16 = computes_in_bfloat16()
    return Machine(CPU, free, total, bfloat16, four_bit, limit=own_limit or 0)


def limited(free: int, total: int, limit: int | None) -> tuple[int, int]:
    """Return (free, total) bytes of which a training takes `limit` at most."""
    if limit is None:
        return min(free, total), total
    return min(free, total, limit), min(total, limit)


def chosen_limit(settings: Mapping[str, str]) -> int | None:
    """Return the bytes that `COOKBOOK_MEMORY` names; None where it is not set.

    Raises:
        ArgumentError: it is not an amount such as 6GB or 6000MB, or it is 0.
    """
    given = environment.value_of(VARIABLE, settings)
    if not given:
        return None
    amount = _AMOUNT.fullmatch(given)
    if amount is None or float(amount[1]) == 0:
        raise ArgumentError(
            zh=f"环境变量 {VARIABLE} 的值 {given!r} 不是内存大小：写成 6GB 或 6000MB 这样，"
            "或者去掉它",
            en=f"the environment variable {VARIABLE} is {given!r}, which is not an amount of "
            "memory: write it as 6GB or 6000MB, or unset it",
        )
    return int(float(amount[1]) * _UNITS[amount[2].upper()])


def computes_in_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Return whether this processor multiplies matrices in bfloat16 faster than in float32.

    Only Linux tells; where it is not known, the answer is no: float32 is right everywhere.
    """
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    # x86 writes "flags : …", ARM "Features : …", once for each core.
    listed = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    flags = set(listed.partition(":")[2].split())
    if platform.machine() in ("aarch64", "arm64"):
        return "bf16" in flags
    return bool(flags & {"amx_bf16", "avx512_bf16"})

"""Say what memory this machine has for a model, and in what type it computes.

    machine.here() -> Machine        without importing torch

On a CPU the memory is what the system can give, or what a container (cgroup) may still take, the
smaller of the two. With a usable GPU it is the GPU's.
"""

from dataclasses import dataclass
from pathlib import Path

import psutil


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
    """

    device: str
    free: int
    total: int
    bfloat16: bool
    four_bit: bool = False
    name: str = ""


def here() -> Machine:
    """Return this machine as it is now."""
    memory = psutil.virtual_memory()
    return Machine("cpu", memory.available, memory.total, bfloat16=_computes_in_bfloat16())


def _computes_in_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2]
    except OSError:
        return False
    names = flags.partition("\n")[0].split()
    return "amx_bf16" in names or "avx512_bf16" in names

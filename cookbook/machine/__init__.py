"""Know the machine that a model is trained on, or answers on: its memory, its GPU, its processor.

    machine.here() -> Machine                 without importing torch
    machine.here(for_this_process=True)       where this very process will hold the model
    machine.in_gb(size)                       bytes as a reader takes them in, "3.1 GB"
    COOKBOOK_MEMORY=6GB                       a reader's own limit for one training
    COOKBOOK_DEVICE=cpu                       the processor, although there is a GPU

    machine     what is free, of system, container, GPU and the reader's limit
    gpu         the card that torch would use, asked of torch or of nvidia-smi
    cgroups     what a container's limit leaves (Linux)
    device      the reader's choice between processor and GPU
    gigabytes   how amounts of memory are written

What needs torch to be known is in `service/engine/device.py`.
"""

from cookbook.machine.device import CPU, CUDA
from cookbook.machine.gigabytes import GB, MB, at_least, in_gb
from cookbook.machine.machine import (
    VARIABLE,
    Machine,
    chosen_limit,
    here,
)

__all__ = [
    "CPU",
    "CUDA",
    "GB",
    "MB",
    "VARIABLE",
    "Machine",
    "chosen_limit",
    "at_least",
    "here",
    "in_gb",
]

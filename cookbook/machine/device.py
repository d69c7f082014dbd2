"""Read `COOKBOOK_DEVICE`, with which a reader chooses where models train and answer.

    device.chosen() -> "cpu", "cuda", or None where the machine decides

Torch-free; what the GPU itself can do is known by `service/engine/device.py`.
"""

import os

from cookbook import environment
from cookbook.errors import ModelError

CPU, CUDA = "cpu", "cuda"
VARIABLE = "COOKBOOK_DEVICE"


def chosen() -> str | None:
    """Return the device that `COOKBOOK_DEVICE` names; None where it is not set.

    Raises:
        ModelError: it names something else.
    """
    given = environment.value_of(VARIABLE, os.environ).lower()
    if given in ("", CPU, CUDA):
        return given or None
    raise ModelError(
        zh=f"{VARIABLE}={given} 不对：设成 cpu 或 cuda，或不设，由机器决定",
        en=f"{VARIABLE}={given} is not valid: set it to cpu or cuda, or leave it out and the "
        "machine decides",
    )

"""Name the types that a base's weights can have, with their bytes, and say which suit a machine.

How much a model takes is counted with these figures for a training and for chat alike.
"""

from cookbook.machine import CPU, CUDA, MB, Machine

FLOAT32, BFLOAT16, STORED_BFLOAT16, NF4 = "float32", "bfloat16", "bfloat16-stored", "nf4"
"""Types of the base's weights. The third is stored in bfloat16 and computed in float32."""

BYTES = {FLOAT32: 4.0, BFLOAT16: 2.0, STORED_BFLOAT16: 2.0, NF4: 0.5 + 4 / 64}
"""Bytes of a weight in each type. NF4: four bits, and a float32 for each block of 64, which
bitsandbytes quantizes once more, down to 0.516 bytes: rather too high than too low."""

RUNTIME = {CPU: 450 * MB, CUDA: 700 * MB}
"""Bytes that torch, transformers and PEFT take in a process; on a GPU those of CUDA's context and
its own work space."""

SMALL = 100_000_000
"""Parameters up to which float32 costs little and gives the same figures on every machine."""

INSTALL_4_BIT = "pip install bitsandbytes"
"""The command that makes NF4 possible; it is the extra `gpu`."""


def weight_types(parameters: int, machine: Machine) -> list[str]:
    """Return the types that the weights of a base may have there, the best first."""
    if parameters <= SMALL:
        return [FLOAT32]
    types = [BFLOAT16] if machine.bfloat16 else [FLOAT32, STORED_BFLOAT16]
    if machine.device == CUDA and machine.four_bit:
        types.append(NF4)
    return types

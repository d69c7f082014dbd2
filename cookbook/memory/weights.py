"""Name the types that a base's weights can have, and say which suit a machine."""

from cookbook.machine import CUDA, Machine

FLOAT32, BFLOAT16, STORED_BFLOAT16, NF4 = "float32", "bfloat16", "bfloat16-stored", "nf4"
"""Types of the base's weights. The third is stored in bfloat16 and computed in float32."""

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

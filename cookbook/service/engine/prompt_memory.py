"""Estimate the memory that reading prompts takes, so that one that is too long is refused.

    prompt_memory.fits(model, rows, longest)
    raise prompt_memory.too_large(model, answer)

The system mostly gives memory that it does not have and kills a process when it is used: that
would end every answer, and the service with them.
"""

from typing import Any

from cookbook import machine
from cookbook.errors import MemoryShort
from cookbook.machine import in_gb
from cookbook.shapes import Shape

UNASKED = 2**28
"""Bytes below which the system is not asked for its free memory: 256 MB."""

# Values of a layer's width, and of its inner width, that are held for each token of a pass.
_WIDTHS, _INNER_WIDTHS = 10, 4


def needed(model: Any, rows: int, longest: int) -> int:
    """Return the bytes that a pass over these prompts takes at its peak; 0 if it is not known."""
    shape = Shape.of(model.config.to_dict())
    if shape is None:
        return 0
    itemsize = model.dtype.itemsize
    key_width = shape.num_key_value_heads * shape.head_dim
    cached = 2 * shape.num_hidden_layers * key_width
    held = _WIDTHS * shape.hidden_size + _INNER_WIDTHS * shape.intermediate_size
    total = rows * longest * (cached + held) * itemsize
    if rows > 1:
        # What is padding is masked: as truth values, and as numbers that are added.
        total += rows * longest**2 * (1 + itemsize)
    return total


def fits(model: Any, rows: int, longest: int) -> bool:
    """Return whether there is memory for a pass over so many prompts."""
    asked = needed(model, rows, longest)
    return asked < UNASKED or asked <= machine.here().free


def too_large(model: Any, tokens: int) -> MemoryShort:
    """Return the error for a prompt of so many tokens that does not fit."""
    asked, free = in_gb(needed(model, 1, tokens)), in_gb(machine.here().free)
    return MemoryShort(
        zh=f"内存不够：读这个 {tokens} 个 token 的提问约需 {asked}，现在空闲 {free}。"
        "缩短提问，等训练结束，或换小一些的模型",
        en=f"not enough memory: reading this prompt of {tokens} tokens takes about {asked}, "
        f"{free} are free. Shorten it, wait for trainings to end, or use a smaller model",
    )

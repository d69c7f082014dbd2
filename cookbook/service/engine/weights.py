"""Choose in which type chat loads a base's weights, or refuse a base that does not fit in any.

    kind = first_that_fits(base, sizes_of(skeleton, types), machine)

A training has a memory plan instead (`cookbook/memory`), which counts far more than weights. Here
`skeleton` is the model without memory: it has sizes alone.
"""

from collections.abc import Iterable
from typing import Any

from cookbook.bases import Base
from cookbook.errors import MemoryShort, OutOfMemory
from cookbook.machine import CUDA, Machine, in_gb
from cookbook.memory import BFLOAT16, BYTES, INSTALL_4_BIT, NF4, RUNTIME
from cookbook.service.engine import device

WORK_SPACE = 1.25
"""Memory needed for each byte of weights: passes over them take about a quarter more."""


def sizes_of(skeleton: Any, types: Iterable[str]) -> dict[str, int]:
    """Return the bytes of a model's weights in each of these types."""
    return {kind: weight_bytes(skeleton, kind) for kind in types}


def weight_bytes(model: Any, weights: str) -> int:
    """Return what the weights of a model take in this type."""
    from torch import nn

    parameters = model.num_parameters()
    if weights != NF4:
        return round(BYTES[weights] * parameters)
    head = model.get_output_embeddings()
    quantized = 0
    for module in model.modules():
        if isinstance(module, nn.Linear) and module is not head:
            quantized += module.weight.numel()
    # Embedding and head are never in 4 bit.
    return round(BYTES[NF4] * quantized + BYTES[BFLOAT16] * (parameters - quantized))


def first_that_fits(base: Base, sizes: dict[str, int], here: Machine) -> str:
    """Return the first type of weights that fits.

    Args:
        sizes: bytes of the weights in each type, the best first.

    Raises:
        MemoryShort: other programs have the memory that it needs.
        OutOfMemory: it would not fit if all memory were free.
    """
    runtime = RUNTIME[here.device]
    needs = {kind: WORK_SPACE * size + runtime for kind, size in sizes.items()}
    for kind, needed in needs.items():
        if needed <= here.free:
            return kind
    raise _too_large(base, min(needs.values()), here, tried_four_bit=NF4 in sizes)


def _too_large(
    base: Base, needed: float, here: Machine, *, tried_four_bit: bool
) -> MemoryShort | OutOfMemory:
    """Return the error for a base that needs more bytes than are free, with what would help."""
    needs, free, total = in_gb(needed), in_gb(here.free), in_gb(here.total)
    remedy_zh, remedy_en = _four_bit_instead(here, tried_four_bit)
    where_zh, where_en = "内存", "memory"
    others_zh, others_en = "关掉别的程序", "close other programs"
    if here.device == CUDA:
        where_zh, where_en = f"显存（{here.name}）", f"memory of the GPU ({here.name})"
        others_zh, others_en = device.OTHER_GPU_ZH, device.OTHER_GPU_EN
    if needed > here.total:
        return OutOfMemory(
            zh=f"{where_zh}不够：{base.id} 约需 {needs}，这台机器一共 {total}。"
            f"换小一些的模型{remedy_zh}",
            en=f"not enough {where_en}: {base.id} needs about {needs}, this machine has "
            f"{total}. Choose a smaller model{remedy_en}",
        )
    return MemoryShort(
        zh=f"{where_zh}不够：{base.id} 约需 {needs}，现在空闲 {free}"
        f"（一共 {total}）。换小一些的模型，或{others_zh}{remedy_zh}",
        en=f"not enough {where_en}: {base.id} needs about {needs}, {free} of "
        f"{total} are free. Choose a smaller model or {others_en}{remedy_en}",
    )


def _four_bit_instead(here: Machine, tried: bool) -> tuple[str, str]:
    """Return what else would help on a GPU, to be added to a sentence, zh and en."""
    if here.device != CUDA or tried or here.four_bit:
        return "", ""
    return (
        f"；或运行 {INSTALL_4_BIT} 用 4 bit 加载",
        f"; or run {INSTALL_4_BIT} to load it in 4 bit",
    )

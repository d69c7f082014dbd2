"""Load a base in 4 bit (NF4 of QLoRA, by bitsandbytes), and read its matrices back.

    settings = four_bit.settings(torch.bfloat16)      for `from_pretrained(quantization_config=…)`
    weight = four_bit.matrix(layer)                   (out, in), as it is computed with

The linear layers of the body take 4 bit and about a 30th for their scales, which are quantized once
more; embedding and head stay as they are. bitsandbytes is the extra `gpu`.
"""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cookbook import causes
from cookbook.errors import ModelError
from cookbook.machine import CPU, CUDA
from cookbook.memory import INSTALL_4_BIT

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig


def is_installed() -> bool:
    """Return whether bitsandbytes is there; whether it works is seen when it is used."""
    return find_spec("bitsandbytes") is not None


def check(device: str) -> None:
    """Refuse where 4 bit cannot work, before any weights are read.

    Raises:
        ModelError: bitsandbytes is missing or cannot be loaded, or has no code for this CUDA.
    """
    if not is_installed():
        raise ModelError(
            zh=f"用 4 bit 加载需要 bitsandbytes：运行 {INSTALL_4_BIT}，再试一次",
            en=f"loading in 4 bit requires bitsandbytes: run {INSTALL_4_BIT}, then try again",
        )
    try:
        compiled = library()
    # Whatever a compiled package raises here, it cannot be used.
    except Exception as error:
        cause = causes.cause(error)
        raise ModelError(
            zh=f"bitsandbytes 加载不了：{cause.zh}", en=f"bitsandbytes cannot be loaded: {cause.en}"
        ) from error
    if device == CUDA and not getattr(compiled, "compiled_with_cuda", False):
        raise _without_cuda()


def library() -> Any:
    """Return the compiled part of bitsandbytes, which may be that for a CPU."""
    return importlib.import_module("bitsandbytes.cextension").lib


def _without_cuda() -> ModelError:
    """Return the error for a bitsandbytes that found no library of its own for torch's CUDA."""
    import torch

    version = torch.version.cuda or torch.version.hip
    return ModelError(
        zh=f"bitsandbytes 没有适合这个 torch（CUDA {version}）的库："
        "运行 pip install --upgrade bitsandbytes，再试一次",
        en=f"bitsandbytes has no library for this torch (CUDA {version}): "
        "run pip install --upgrade bitsandbytes, then try again",
    )


def settings(compute: "torch.dtype") -> "BitsAndBytesConfig":
    """Return what transformers takes to load in NF4 and to compute in `compute`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def keep_layout(model: Any) -> None:
    """Keep the layout of the weights on a CPU.

    There bitsandbytes rearranges them at the first evaluation, for speed, and neither a gradient
    nor `matrix` can read them afterwards.
    """
    if model.device.type != CPU:
        return
    for module in model.modules():
        if is_quantized(module):
            module.support_avx512bf16_for_cpu = False


def is_quantized(module: Any) -> bool:
    """Return whether this layer's matrix is in 4 bit."""
    return getattr(getattr(module, "weight", None), "quant_state", None) is not None


def matrix(layer: Any) -> "torch.Tensor":
    """Return the matrix of a quantized layer, (out, in), in the type that it was loaded in."""
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(layer.weight.data, layer.weight.quant_state)

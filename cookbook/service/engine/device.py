"""Choose where models are computed, and say why a GPU that is there is not used.

    device.choose()                  "cuda" or "cpu"
    device.why_not_cuda()            a sentence with its remedy; None where nothing is wrong
    device.here()                    this machine, its memory, and whether it computes in bfloat16

Without `COOKBOOK_DEVICE` a GPU that cannot be used leaves the work to the CPU, and the log says so
once: the course must not stop at an old graphics card. With `COOKBOOK_DEVICE=cuda` it is an error.
One GPU is used, the first that `CUDA_VISIBLE_DEVICES` leaves.
"""

import logging
import os
import re
import warnings
from functools import cache

from cookbook import machine
from cookbook.errors import MemoryShort, ModelError
from cookbook.i18n import tr
from cookbook.known_causes import Cause
from cookbook.machine import gpu
from cookbook.machine.device import CPU, CUDA, chosen

_OLDER_CUDA = (
    "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126"
)
_CUDA_TORCH = "https://pytorch.org/get-started/locally"

log = logging.getLogger(__name__)


def choose() -> str:
    """Return the device to compute on.

    Raises:
        ModelError: `COOKBOOK_DEVICE` is wrong, or asks for a GPU that cannot be used.
    """
    wanted = chosen()
    if wanted == CPU:
        return CPU
    reason = why_not_cuda()
    if reason is None and _available():
        return CUDA
    if wanted == CUDA:
        reason = reason or _NO_GPU
        raise ModelError(
            zh=f"COOKBOOK_DEVICE=cuda，但{reason.zh}", en=f"COOKBOOK_DEVICE=cuda, but {reason.en}"
        )
    if reason:
        _say_once(tr(f"改用 CPU：{reason.zh}", f"The CPU is used: {reason.en}"))
    return CPU


_NO_GPU = Cause(
    "gpu",
    "torch 在这台机器上没有找到显卡：去掉 COOKBOOK_DEVICE，或检查 CUDA_VISIBLE_DEVICES",
    "torch finds no GPU on this machine: leave COOKBOOK_DEVICE out, or check CUDA_VISIBLE_DEVICES",
)


@cache
def _say_once(reason: str) -> None:
    log.warning(reason)


@cache
def why_not_cuda() -> Cause | None:
    """Return why the GPU of this machine cannot be used; None if it can, or if there is none."""
    import torch

    if _available():
        return _without_code()
    cards = gpu.visible(gpu.listed(), os.environ)
    if not cards:
        return None
    name = cards[0].name
    if torch.version.cuda is None:
        return Cause(
            "gpu",
            f"这个 torch 不带 CUDA，用不了显卡 {name}："
            f"按 {_CUDA_TORCH} 安装带 CUDA 的 torch，或设 COOKBOOK_DEVICE=cpu",
            f"this torch was built without CUDA and cannot use the GPU {name}: "
            f"install one with CUDA ({_CUDA_TORCH}), or set COOKBOOK_DEVICE=cpu",
        )
    return Cause(
        "gpu",
        f"torch 用不了显卡 {name}：驱动太旧或没有权限。更新显卡驱动"
        f"（这个 torch 要 CUDA {torch.version.cuda}），或设 COOKBOOK_DEVICE=cpu",
        f"torch cannot use the GPU {name}: its driver is too old, or access is denied. Update the "
        f"driver (this torch needs CUDA {torch.version.cuda}), or set COOKBOOK_DEVICE=cpu",
    )


@cache
def _available() -> bool:
    import torch

    # Of an old driver torch warns in several lines; `why_not_cuda` says it in one.
    with warnings.catch_warnings(action="ignore"):
        return torch.cuda.is_available()


def _without_code() -> Cause | None:
    """Return why the GPU cannot run this torch, which brings compiled code for some GPUs alone."""
    import torch

    targets = torch.cuda.get_arch_list()
    # AMD's GPUs have names of another kind.
    if torch.version.hip:
        return None
    with warnings.catch_warnings(action="ignore"):
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
    capability = 10 * major + minor
    if gpu.has_code(capability, targets):
        return None
    oldest = min(map(gpu.target_number, targets))
    if capability < oldest:
        zh, en = "太旧", "too old"
        remedy_zh = f"装支持旧显卡的版本：{_OLDER_CUDA}"
        remedy_en = f"install one that supports older GPUs: {_OLDER_CUDA}"
    else:
        zh, en = "太新", "too new"
        remedy_zh = "运行 pip install --upgrade torch"
        remedy_en = "run pip install --upgrade torch"
    return Cause(
        "gpu",
        f"显卡 {name}（计算能力 {major}.{minor}）对这个 torch 来说{zh}："
        f"{remedy_zh}，或设 COOKBOOK_DEVICE=cpu",
        f"the GPU {name} (compute capability {major}.{minor}) is {en} for this torch: "
        f"{remedy_en}, or set COOKBOOK_DEVICE=cpu",
    )


def here(*, for_this_process: bool = False) -> machine.Machine:
    """Return this machine as it is now, its memory included.

    Args:
        for_this_process: count what this process holds already as free.

    Raises:
        MemoryShort: other programs hold the GPU so that it cannot even be asked.
    """
    try:
        return machine.here(for_this_process=for_this_process)
    except RuntimeError as error:
        # A GPU in exclusive mode serves one process; a full one has no room for another's context.
        if not re.search(r"busy or unavailable|out of memory", str(error)):
            raise
        raise MemoryShort(
            zh=f"显卡被别的程序占用了：{OTHER_GPU_ZH}",
            en=f"other programs hold the GPU: {OTHER_GPU_EN}",
        ) from error


OTHER_GPU_ZH = "结束它们，用 CUDA_VISIBLE_DEVICES 换一张卡，或设 COOKBOOK_DEVICE=cpu"
OTHER_GPU_EN = "end them, choose another GPU with CUDA_VISIBLE_DEVICES, or set COOKBOOK_DEVICE=cpu"

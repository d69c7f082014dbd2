"""A LoRA layer's arithmetic in one step of autograd, for training in float32.

    lora.quicken(model)   # a PEFT model; from here on its LoRA layers train as below

What PEFT does in six operations and the autograd of each, on tensors as wide as the layer, is here three products that
add in place. The dropout mask takes 16 random bits a value, a quarter of what one draw of the generator gives. A layer
that is not plain LoRA in float32, that answers (`model.eval()`) or whose adapter is switched off, is left to PEFT.
"""

from types import MethodType

import torch
import torch.nn.functional as F
from peft.tuners.lora.layer import Linear
from torch import Tensor

NAME = "default"  # what PEFT calls the one adapter of a model
LEVELS = 1 << 16


def quicken(model) -> None:
    """Let every plain LoRA layer of a PEFT model train by `_Lora`."""
    for module in model.modules():
        if type(module) is Linear and not module.lora_variant and list(module.lora_A) == [NAME]:
            module.forward = MethodType(_forward, module)


def _forward(layer: Linear, x: Tensor, *args, **kwargs) -> Tensor:
    a, b, base = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight, layer.base_layer
    plain = {t.dtype for t in (x, a, base.weight)} == {torch.float32} and not (args or kwargs)
    if not plain or not layer.training or layer.disable_adapters or layer.merged:
        return Linear.forward(layer, x, *args, **kwargs)
    share = getattr(layer.lora_dropout[NAME], "p", 0.0)  # `nn.Identity` where nothing is dropped
    kept = _mask(x, share) if share else None
    return _Lora.apply(x, base.weight, base.bias, a, b, layer.scaling[NAME] / (1 - share), kept)


def _mask(x: Tensor, share: float) -> Tensor:
    """1 where a value of `x` is kept, 0 where it is dropped; `share`, to a 65,536th, are dropped."""
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(
        -(2**63), None
    )
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    return (bits >= round(share * LEVELS) - LEVELS // 2).to(x.dtype)


class _Lora(torch.autograd.Function):
    """x W' + bias + scale · (kept · x) A' B', where W and bias are frozen. Shapes: x, kept (…, in), A (rank, in), B (out, rank)."""

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale, kept):
        flat = x.flatten(0, -2)
        dropped = flat if kept is None else flat * kept.flatten(0, -2)
        low = dropped @ a.T
        out = F.linear(flat, weight, bias).addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(weight, a, b, kept, dropped, low)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, grad):
        weight, a, b, kept, dropped, low = ctx.saved_tensors
        flat = grad.flatten(0, -2)
        to_low = (flat @ b).mul_(ctx.scale)
        to_b = (flat.T @ low).mul_(ctx.scale)
        to_a = to_low.T @ dropped
        if not ctx.needs_input_grad[0]:  # the first layer's
            return None, None, None, to_a, to_b, None, None
        to_x = flat @ weight
        if kept is None:
            to_x.addmm_(to_low, a)
        else:
            to_x.addcmul_(to_low @ a, kept.flatten(0, -2))
        return to_x.view(*grad.shape[:-1], -1), None, None, to_a, to_b, None, None

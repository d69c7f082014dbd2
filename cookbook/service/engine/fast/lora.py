"""Train a LoRA layer in one step of autograd, with the losses and gradients of PEFT's layer.

    patch_lora_layers(model)   # a PEFT model; from here on its LoRA layers train as below

What PEFT does in six operations, each with its own autograd step on tensors as wide as the layer,
is here three products that add in place. The dropout mask takes 16 random bits a value, a quarter
of what one draw of the generator gives, so with dropout the two paths draw different masks.

Left to PEFT: any variant of LoRA, other types than float32, evaluation, and an adapter that is
switched off or merged. `COOKBOOK_FAST=0` leaves everything to PEFT.
"""

import math
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

NAME = "default"
"""What PEFT calls the one adapter of a model."""

LEVELS = 1 << 16
"""Values of the 16 random bits that decide whether a value is dropped."""


def patch_lora_layers(model: nn.Module) -> None:
    """Let every plain LoRA layer of a PEFT model train by `LoraFunction`. Changes the layers."""
    for module in model.modules():
        # A subclass computes something else, and so does a variant such as DoRA.
        if type(module) is not Linear or module.lora_variant:
            continue
        if list(module.lora_A) == [NAME]:
            # Set on the object: PEFT's class, which other models share, stays as it is.
            module.forward = MethodType(forward, module)  # type: ignore[method-assign]


def forward(layer: Linear, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return what the layer makes of `x`, (…, in) to (…, out), in one step where that applies."""
    a = layer.lora_A[NAME].weight
    b = layer.lora_B[NAME].weight
    base = layer.base_layer
    is_float32 = x.dtype == a.dtype == base.weight.dtype == torch.float32
    acts = not layer.disable_adapters and not layer.merged
    if args or kwargs or not (layer.training and acts and is_float32):
        return Linear.forward(layer, x, *args, **kwargs)
    # PEFT puts an `nn.Identity` where nothing is dropped.
    share = getattr(layer.lora_dropout[NAME], "p", 0.0)
    mask = dropout_mask(x, share) if share else None
    # What is kept is scaled up by 1 / (1 - share), as dropout does; here once, in the scale.
    scale = layer.scaling[NAME] / (1 - share)
    return LoraFunction.apply(x, base.weight, base.bias, a, b, scale, mask)


def dropout_mask(x: Tensor, share: float) -> Tensor:
    """Return 1 where a value of `x` is kept and 0 where it is dropped.

    `share` of the values are dropped, rounded to a 65,536th.
    """
    # A draw of 64 bits gives four values.
    values = x.numel()
    draws = torch.empty(math.ceil(values / 4), dtype=torch.int64, device=x.device)
    draws.random_(-(2**63), None)
    bits = draws.view(torch.int16)
    bits = bits[:values].view(x.shape)
    lowest_kept = round(share * LEVELS) - LEVELS // 2  # int16 begins at -LEVELS / 2
    return (bits >= lowest_kept).to(x.dtype)


class LoraFunction(torch.autograd.Function):
    """x Wᵀ + bias + scale · (mask · x) Aᵀ Bᵀ, where W and bias are frozen.

    Shapes: x and mask (…, in), W (out, in), A (rank, in), B (out, rank); the result is (…, out).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
        mask: Tensor | None,
    ) -> Tensor:
        # All rows and tokens in one dimension.
        flat = x.flatten(0, -2)
        dropped = flat
        if mask is not None:
            dropped = flat * mask.flatten(0, -2)
        low = dropped @ a.T
        out = F.linear(flat, weight, bias)
        out.addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(weight, a, b, mask, dropped, low)
        ctx.scale = scale
        return out.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, a, b, mask, dropped, low = ctx.saved_tensors
        no_gradient = None, None  # for weight and bias, and for scale and mask
        flat = grad.flatten(0, -2)
        to_low = (flat @ b).mul_(ctx.scale)
        to_b = (flat.T @ low).mul_(ctx.scale)
        to_a = to_low.T @ dropped
        # Nothing before the first layer trains.
        if not ctx.needs_input_grad[0]:
            return None, *no_gradient, to_a, to_b, *no_gradient
        to_x = flat @ weight
        # The way through the adapter is added to the way through the base, in place.
        if mask is None:
            to_x.addmm_(to_low, a)
        else:
            to_x.addcmul_(to_low @ a, mask.flatten(0, -2))
        to_x = to_x.unflatten(0, grad.shape[:-1])
        return to_x, *no_gradient, to_a, to_b, *no_gradient

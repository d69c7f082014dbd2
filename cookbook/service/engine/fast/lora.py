"""Train a LoRA layer in one step of autograd, with the losses and gradients of PEFT's layer.

    dropout = patch_lora_layers(model, share, longest)
    # from here on the LoRA layers of this PEFT model train as below

What PEFT does in six operations, each with its own autograd step on tensors as wide as the layer,
is here three products that add in place. Of each layer only its input is kept, in its own type; the
dropout mask is cut out again for the backward pass (`dropout.py`, which draws other masks than
PEFT). The adapter is float32 and so are its gradients, which add up over micro-batches; products
are taken in the type of the activations. The base's weights may be of another type: they are turned
into it for the product.

Left to PEFT: any variant of LoRA, evaluation, and an adapter that is switched off or merged.
`COOKBOOK_FAST=0` leaves everything to PEFT.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora.layer import Linear, LoraLayer
from torch import Tensor, nn

from cookbook.service.engine import four_bit
from cookbook.service.engine.fast.dropout import Cut, Dropout

NAME = "default"
"""What PEFT calls the one adapter of a model."""

TYPES = (torch.float32, torch.bfloat16)
"""Types of activations that are trained here; others are left to PEFT."""


def patch_lora_layers(model: nn.Module, share: float, longest: int) -> Dropout:
    """Let every plain LoRA layer of a PEFT model train by `LoraFunction`. Changes the layers.

    Args:
        share: of the values that are dropped.
        longest: tokens of the longest row.

    Returns:
        The dropout of all these layers, which is to be told each step and its rows.
    """
    # A subclass computes something else, and so does a variant such as DoRA.
    layers = [
        module
        for module in model.modules()
        if is_plain(module) and not module.lora_variant and list(module.lora_A) == [NAME]
    ]
    widest = max((layer.lora_A[NAME].weight.shape[1] for layer in layers), default=0)
    dropout = Dropout(share, longest * widest, len(layers))
    for number, layer in enumerate(layers):
        # Set on the object: PEFT's class, which other models share, stays as it is.
        layer.forward = partial(forward, layer, dropout, number)
    return dropout


def is_plain(module: nn.Module) -> bool:
    """Return whether this is PEFT's layer for a plain matrix, or for one in 4 bit."""
    if type(module) is Linear:
        return True
    return isinstance(module, LoraLayer) and four_bit.is_quantized(module.get_base_layer())


def forward(
    layer: Any, dropout: Dropout, number: int, x: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """Return what the layer makes of `x`, (…, in) to (…, out), in one step where that applies."""
    a = layer.lora_A[NAME].weight
    b = layer.lora_B[NAME].weight
    acts = not layer.disable_adapters and not layer.merged
    cut = dropout.cut(number) if dropout.share else None
    fits = x.dtype in TYPES and a.dtype == torch.float32 and not (args or kwargs)
    if not (layer.training and acts and fits and (cut is None or cut.suits(x))):
        return type(layer).forward(layer, x, *args, **kwargs)
    scale = layer.scaling[NAME]
    return LoraFunction.apply(x, a, b, layer.base_layer, scale, cut)


def weight_of(base: nn.Linear, dtype: torch.dtype) -> Tensor:
    """Return the frozen weight (out, in) of a layer of the base in the type of its activations."""
    weight = four_bit.matrix(base) if four_bit.is_quantized(base) else base.weight
    return weight.to(dtype)


class LoraFunction(torch.autograd.Function):
    """x Wᵀ + bias + scale · (mask · x) Aᵀ Bᵀ, where W and bias are the base's and frozen.

    Shapes: x and mask (rows, tokens, in), W (out, in), A (rank, in), B (out, rank); the result is
    (rows, tokens, out).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, a: Tensor, b: Tensor, base: nn.Linear, scale: float, cut: Cut | None
    ) -> Tensor:
        # What is kept is scaled up by 1 / (1 - share), as dropout does; here once, in the scale.
        if cut is not None:
            scale /= 1 - cut.share
        # All rows and tokens in one dimension.
        flat = x.flatten(0, -2)
        dropped = flat
        if cut is not None:
            dropped = (x * cut.mask(x)).flatten(0, -2)
        low = dropped @ a.to(x.dtype).T
        bias = None if base.bias is None else base.bias.to(x.dtype)
        out = F.linear(flat, weight_of(base, x.dtype), bias)
        out.addmm_(low, b.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(x, a, b, low)
        ctx.base, ctx.scale, ctx.cut = base, scale, cut
        return out.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b, low = ctx.saved_tensors
        cut = ctx.cut
        no_gradient = None, None, None  # for base, scale and cut
        flat = grad.flatten(0, -2)
        mask = None
        dropped = x
        if cut is not None:
            mask = cut.mask(x)
            dropped = x * mask
        to_low = (flat @ b.to(x.dtype)).mul_(ctx.scale)
        to_b = (flat.T @ low).to(b.dtype).mul_(ctx.scale)
        to_a = (to_low.T @ dropped.flatten(0, -2)).to(a.dtype)
        # Nothing before the first layer trains.
        if not ctx.needs_input_grad[0]:
            return None, to_a, to_b, *no_gradient
        to_x = flat @ weight_of(ctx.base, x.dtype)
        # The way through the adapter is added to the way through the base, in place.
        if mask is None:
            to_x.addmm_(to_low, a.to(x.dtype))
        else:
            to_x.addcmul_(to_low @ a.to(x.dtype), mask.flatten(0, -2))
        return to_x.unflatten(0, grad.shape[:-1]), to_a, to_b, *no_gradient

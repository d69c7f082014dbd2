"""Train a LoRA layer in one step of autograd, with the losses and gradients of PEFT's layer.

    layers = fast_layers(model, dropout)       # of a PEFT model
    layers[0](x), layers[0].applies(x)

What PEFT does in six operations, each with its own autograd step on tensors as wide as the layer,
is here three products that add in place. Of each layer only its input is kept, in its own type; the
dropout mask is cut out again for the backward pass (`dropout.py`, which draws other masks than
PEFT). The adapter is float32 and so are its gradients, which add up over micro-batches; products
are taken in the type of the activations. The base's weights may be of another type: they are turned
into it for the product.

Left to PEFT: any variant of LoRA, evaluation, and an adapter that is switched off or merged.
"""

from dataclasses import dataclass
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


def plain_layers(model: nn.Module) -> list[Any]:
    """Return the LoRA layers of a PEFT model that can be trained here."""
    # A subclass computes something else, and so does a variant such as DoRA.
    return [
        module
        for module in model.modules()
        if is_plain(module) and not module.lora_variant and list(module.lora_A) == [NAME]
    ]


def is_plain(module: nn.Module) -> bool:
    """Return whether this is PEFT's layer for a plain matrix, or for one in 4 bit."""
    if type(module) is Linear:
        return True
    return isinstance(module, LoraLayer) and four_bit.is_quantized(module.get_base_layer())


@dataclass(frozen=True)
class FastLora:
    """The forward pass of a LoRA layer: in one step where that applies, else PEFT's own."""

    layer: Any  # PEFT's
    dropout: Dropout
    number: int  # of the layer, for its dropout

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the layer makes of `x`, (rows, tokens, in) to (rows, tokens, out)."""
        if args or kwargs or not self.applies(x):
            return type(self.layer).forward(self.layer, x, *args, **kwargs)
        return LoraFunction.apply(x, *self.weights, self.arithmetic())

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        """The adapter's two matrices, A (rank, in) and B (out, rank)."""
        return self.layer.lora_A[NAME].weight, self.layer.lora_B[NAME].weight

    def applies(self, x: Tensor) -> bool:
        """Return whether the layer trains on `x` as it does here."""
        layer = self.layer
        acts = layer.training and not layer.disable_adapters and not layer.merged
        a, _ = self.weights
        fits = x.dtype in TYPES and a.dtype == torch.float32
        return acts and fits and (not self.dropout.share or self.dropout.suits(x))

    def arithmetic(self) -> "Arithmetic":
        """Return what the layer computes now, for the rows that were chosen."""
        share = self.dropout.share
        cut = self.dropout.cut(self.number) if share else None
        # What is kept is scaled up by 1 / (1 - share), as dropout does; here once, in the scale.
        scale = self.layer.scaling[NAME] / (1 - share)
        return Arithmetic(self.layer.base_layer, scale, cut)


@dataclass(frozen=True)
class Arithmetic:
    """x Wᵀ + bias + scale · (mask · x) Aᵀ Bᵀ, where W and bias are the base's and frozen.

    Shapes: x and mask (rows, tokens, in), W (out, in), A (rank, in), B (out, rank); the result is
    (rows, tokens, out).
    """

    base: nn.Linear
    scale: float
    cut: Cut | None

    def forward(self, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result, and the adapter's inner values (all tokens, rank) for `backward`."""
        # All rows and tokens in one dimension.
        flat = x.flatten(0, -2)
        low = self._dropped(x).flatten(0, -2) @ a.to(x.dtype).T
        bias = None if self.base.bias is None else self.base.bias.to(x.dtype)
        out = F.linear(flat, self._weight(x.dtype), bias)
        out.addmm_(low, b.to(x.dtype).T, alpha=self.scale)
        return out.unflatten(0, x.shape[:-1]), low

    def to_weights(
        self, grad: Tensor, x: Tensor, a: Tensor, b: Tensor, low: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the inner values, of A and of B."""
        flat = grad.flatten(0, -2)
        to_low = (flat @ b.to(x.dtype)).mul_(self.scale)
        to_a = to_low.T @ self._dropped(x).flatten(0, -2)
        to_b = flat.T @ low
        return to_low, to_a.to(a.dtype), to_b.to(b.dtype).mul_(self.scale)

    def to_x(self, grad: Tensor, x: Tensor, a: Tensor, to_low: Tensor) -> Tensor:
        """Return the gradient of x."""
        out = grad.flatten(0, -2) @ self._weight(x.dtype)
        # The way through the adapter is added to the way through the base, in place.
        if self.cut is None:
            out.addmm_(to_low, a.to(x.dtype))
        else:
            mask = self.cut.mask(x).flatten(0, -2)
            out.addcmul_(to_low @ a.to(x.dtype), mask)
        return out.unflatten(0, x.shape[:-1])

    def _dropped(self, x: Tensor) -> Tensor:
        return x if self.cut is None else x * self.cut.mask(x)

    def _weight(self, dtype: torch.dtype) -> Tensor:
        """Return the base's weight in the type of the activations."""
        base = self.base
        weight = four_bit.matrix(base) if four_bit.is_quantized(base) else base.weight
        return weight.to(dtype)


class LoraFunction(torch.autograd.Function):
    """A LoRA layer, of which only its input is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, arithmetic: Arithmetic) -> Tensor:
        out, low = arithmetic.forward(x, a, b)
        ctx.save_for_backward(x, a, b, low)
        ctx.arithmetic = arithmetic
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b, low = ctx.saved_tensors
        to_low, to_a, to_b = ctx.arithmetic.to_weights(grad, x, a, b, low)
        # Nothing before the first layer trains.
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = ctx.arithmetic.to_x(grad, x, a, to_low)
        return to_x, to_a, to_b, None

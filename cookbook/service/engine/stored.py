"""Keep a base's matrices in bfloat16 and compute in float32: half the memory, the usual arithmetic.

    store(model)      a model in bfloat16; from here on its layers take and give float32

For processors, and older GPUs, that do not compute in bfloat16. Each matrix is cast for its product
and dropped again, a slice at a time, so that no whole copy of a large one is ever held. Norms and
biases are small and become float32. The weights are frozen: they get no gradient.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLICE = 2**24
"""Weights that are cast at a time: 64 MB in float32."""


class StoredLinear(nn.Linear):
    """A linear layer whose matrix is in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        out = StoredProduct.apply(x, self.weight)
        return out if self.bias is None else out + self.bias


class StoredEmbedding(nn.Embedding):
    """An embedding in bfloat16 that gives float32."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids).float()


class StoredProduct(torch.autograd.Function):
    """x Wᵀ in float32, where W (out, in) is frozen and in bfloat16; x is (…, in)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        # Saved as it is stored: the cast is done again for the gradient.
        ctx.save_for_backward(weight)
        return forward_product(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        to_x = backward_product(grad.flatten(0, -2), weight)
        return to_x.unflatten(0, grad.shape[:-1]), None


def forward_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ in the type of `x`, (…, in) to (…, out); W (out, in) may have another type."""
    if x.dtype == weight.dtype:
        return F.linear(x, weight)
    parts = [F.linear(x, part.to(x.dtype)) for part in slices(weight)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def backward_product(grad: Tensor, weight: Tensor) -> Tensor:
    """Return grad W in the type of `grad`, (tokens, out) to (tokens, in)."""
    if grad.dtype == weight.dtype:
        return grad @ weight
    to_x = grad.new_zeros(len(grad), weight.shape[1])
    start = 0
    for part in slices(weight):
        end = start + len(part)
        to_x.addmm_(grad[:, start:end], part.to(grad.dtype))
        start = end
    return to_x


def slices(weight: Tensor) -> Iterator[Tensor]:
    """Yield the rows of a matrix, so many at a time that casting them takes little memory."""
    rows = max(1, SLICE // weight.shape[1])
    yield from weight.split(rows)


def store(model: nn.Module) -> None:
    """Let every linear layer and embedding of a model compute in float32. Changes the layers."""
    matrices = set()
    for module in model.modules():
        # A quantized layer, which is a subclass, computes in its own way.
        if type(module) is nn.Linear:
            module.__class__ = StoredLinear
            matrices.add(module.weight)
        elif type(module) is nn.Embedding:
            module.__class__ = StoredEmbedding
            matrices.add(module.weight)
    for parameter in model.parameters():
        if parameter not in matrices and parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.float()


def is_stored(model: nn.Module) -> bool:
    """Return whether the model's matrices are cast for each product."""
    return any(isinstance(module, StoredLinear) for module in model.modules())


def computing_type(model: Any) -> torch.dtype:
    """Return the type of a model's activations."""
    return torch.float32 if is_stored(model) else model.dtype

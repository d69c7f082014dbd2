"""Train through an RMSNorm and keep only its input, which the residual stream shares.

transformers computes it in float32 out of five operations and keeps a float32 copy. The result here
is the same to the last bit; the weight is frozen.
"""

from typing import Any

import torch
from torch import Tensor, nn


def is_rms_norm(module: nn.Module) -> bool:
    """Return whether this is the usual RMSNorm of transformers' decoders."""
    # Some norms scale by 1 + weight, and have other names of their own.
    name = type(module).__name__
    usual = name in ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm")
    return usual and not module.weight.requires_grad


class FastNorm:
    """The forward pass of an RMSNorm in training."""

    def __init__(self, norm: Any):
        self.norm = norm

    def __call__(self, x: Tensor) -> Tensor:
        """Return x divided by its root mean square, times the weight."""
        return NormFunction.apply(x, self.norm.weight, self.norm.variance_epsilon)


class NormFunction(torch.autograd.Function):
    """weight · x / sqrt(mean(x²) + epsilon), over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        rate = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, rate)
        return weight * (wide * rate).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        x, weight, rate = ctx.saved_tensors
        grad = (grad * weight).float()
        normal = x.float().mul_(rate)
        along = (grad * normal).mean(-1, keepdim=True)
        to_x = grad.addcmul_(normal, along, value=-1).mul_(rate)
        return to_x.to(x.dtype), None, None

"""Train a gated feed-forward block and keep only what its gate and its way up give.

    down(silu(gate) · up)

transformers keeps four tensors of this width, the widest of a layer: the gate before and after its
activation, the way up, and their product, which is the input of the LoRA layer `down`. Here the
last two are computed again for the backward pass, at the cost of one pass over them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cookbook.service.engine.fast.lora import Arithmetic, FastLora

PARTS = ("gate_proj", "up_proj", "down_proj", "act_fn")
"""What such a block is called and made of in transformers' decoders (Llama, Qwen, Mistral, …)."""


def is_gated(module: nn.Module) -> bool:
    """Return whether this is a feed-forward block with a SiLU gate and nothing else."""
    if not all(hasattr(module, part) for part in PARTS):
        return False
    children = {name for name, _ in module.named_children()}
    gate = type(module.act_fn).__name__
    return children <= set(PARTS) and gate in ("SiLU", "SiLUActivation")


class FastGated:
    """The forward pass of a gated block, where its last layer trains as `FastLora` does."""

    def __init__(self, block: Any, down: FastLora):
        self.block = block
        self.down = down

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the block makes of `x`, (rows, tokens, width) to the same."""
        if not self.down.applies(x):
            return type(self.block).forward(self.block, x)
        gate = self.block.gate_proj(x)
        up = self.block.up_proj(x)
        a, b = self.down.weights
        return GatedFunction.apply(gate, up, a, b, self.down.arithmetic())


class GatedFunction(torch.autograd.Function):
    """A LoRA layer on silu(gate) · up, of which only these two are kept."""

    @staticmethod
    def forward(
        ctx: Any, gate: Tensor, up: Tensor, a: Tensor, b: Tensor, arithmetic: Arithmetic
    ) -> Tensor:
        x = F.silu(gate).mul_(up)
        out, low = arithmetic.forward(x, a, b)
        # Neither the activation nor x: both are computed again.
        ctx.save_for_backward(gate, up, a, b, low)
        ctx.arithmetic = arithmetic
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, a, b, low = ctx.saved_tensors
        active = F.silu(gate)
        x = active * up
        to_low, to_a, to_b = ctx.arithmetic.to_weights(grad, x, a, b, low)
        to_x = ctx.arithmetic.to_x(grad, x, a, to_low)
        to_up = active.mul_(to_x)
        # In place: from here on the gradient of x is not needed.
        to_active = to_x.mul_(up)
        to_gate = torch.ops.aten.silu_backward(to_active, gate)
        return to_gate, to_up, to_a, to_b, None

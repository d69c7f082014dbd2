"""Plan the memory of a training before it starts: what it needs, and how it is made to fit.

    plan = memory.choose(shape, lengths, hp, machine.here())
    plan.fits; print(plan)      "needs about 3.1 GB of 6.0 GB free: micro-batches of 2, …"

A step is the whole batch's step whatever the plan: a batch goes through the model in micro-batches
whose gradients add up, and activations that are not kept are computed again. So a smaller plan
costs time and changes no result. Read by helpers and service alike; imports no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cookbook.machine import Machine
from cookbook.shapes import Shape

FLOAT32, BFLOAT16, STORED_BFLOAT16, NF4 = "float32", "bfloat16", "bfloat16-stored", "nf4"
"""Types of the base's weights. The third is stored in bfloat16 and computed in float32."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a training is made to fit.

    Attributes:
        needed: bytes at the peak, of the process on a CPU, of the card on a GPU.
        free: bytes that were free when it was made.
        device: "cpu" or "cuda".
        weights: type of the base's weights: `FLOAT32`, `BFLOAT16`, `STORED_BFLOAT16` or `NF4`.
        micro_tokens: tokens, padding included, that go through the model at once; a row that is
            longer goes alone.
        micro_batch: rows of the longest kind that fit into that.
        checkpointed: layers whose activations are computed again instead of kept.
        layers: layers of the base.
        loss_chunk: trained tokens whose logits are held at a time.
        level: 0, or how often it was made smaller after it had not fitted.
    """

    needed: int
    free: int
    device: str
    weights: str
    micro_tokens: int
    micro_batch: int
    checkpointed: int
    layers: int
    loss_chunk: int
    level: int = 0

    @property
    def fits(self) -> bool:
        return self.needed <= self.free


def choose(
    shape: Shape,
    lengths: Sequence[int],
    hp: dict[str, Any],
    machine: Machine,
    *,
    level: int = 0,
) -> MemoryPlan:
    """Return the fastest plan that fits, or the smallest where none does.

    Args:
        lengths: tokens of each row, cut at `max_tokens`.
        hp: the seven hyperparameters; `batch_size`, `max_tokens` and `lora_rank` matter.
        level: how often a plan of this job has run out of memory before.
    """
    longest = min(max(lengths, default=1), hp["max_tokens"])
    micro_tokens = 512
    weights = BFLOAT16 if machine.bfloat16 and shape.parameters > 100_000_000 else FLOAT32
    return MemoryPlan(
        needed=0,
        free=machine.free,
        device=machine.device,
        weights=weights,
        micro_tokens=micro_tokens,
        micro_batch=min(hp["batch_size"], max(1, micro_tokens // longest)),
        checkpointed=0,
        layers=shape.num_hidden_layers,
        loss_chunk=128,
        level=level,
    )

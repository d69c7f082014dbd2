"""Take the gradients of a batch in micro-batches that fit into memory.

    for part in micro_batches(batch, plan.micro_tokens): ...
    loss, trained = gradients(model, batch, plan, …)

A step is the whole batch's step, whatever the plan. Each micro-batch adds the summed loss of its
trained tokens, divided by the trained tokens of the whole batch, so no row weighs more because of
the company it has. Gradients add up in float32. Several workers share the rows (`workers.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from cookbook.memory import MemoryPlan
from cookbook.service.engine.examples import Example, collate
from cookbook.service.engine.fast.dropout import Dropout
from cookbook.service.engine.loss import loss_sum
from cookbook.service.engine.workers import ALONE, Workers

IDLE = Example([0, 0], [False, False])
"""A row of which nothing is trained: it adds nothing to a loss, and zeros to gradients."""


def micro_batches(examples: Sequence[Example], micro_tokens: int) -> list[list[int]]:
    """Return the places of the examples, in groups that go through the model together.

    Rows of like length share a group, the longest first; a group has at most `micro_tokens` tokens
    with its padding, or a single row.
    """
    lengths = [len(example.ids) for example in examples]
    places = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    groups: list[list[int]] = []
    group: list[int] = []
    width = 0
    for place in places:
        tokens = (len(group) + 1) * width
        if not group or tokens > micro_tokens:
            # The first row of a group is its longest.
            width = lengths[place]
            group = []
            groups.append(group)
        group.append(place)
    return groups


def own_micro_batches(
    examples: Sequence[Example], micro_tokens: int, workers: Workers
) -> list[list[int]]:
    """Return the micro-batches that are this worker's, by their places among all examples.

    Where the layers are sharded each pass takes all workers: those who have fewer micro-batches end
    with empty ones.
    """
    if workers.world == 1:
        return micro_batches(examples, micro_tokens)
    groups = []
    for share in workers.shares([len(example.ids) for example in examples]):
        rows = [examples[place] for place in share]
        own = micro_batches(rows, micro_tokens)
        groups.append([[share[place] for place in group] for group in own])
    passes = max(map(len, groups)) if workers.sharded else 0
    mine = groups[workers.rank]
    return mine + [[] for _ in range(passes - len(mine))]


def gradients(
    model: Any,
    batch: Sequence[Example],
    plan: MemoryPlan,
    pad: int,
    dropout: Dropout | None,
    workers: Workers = ALONE,
) -> tuple[float, int]:
    """Add the gradients of the batch's mean loss; return its summed loss and trained tokens.

    Several workers share the rows, and each ends with the whole batch's gradients and loss.
    """
    trained = sum(sum(example.trained[1:]) for example in batch)
    total = torch.zeros((), device=model.device)
    for places in own_micro_batches(batch, plan.micro_tokens, workers):
        if dropout is not None:
            dropout.choose_rows(places or [0])
        rows = [batch[place] for place in places] or [IDLE]
        ids, labels = collate(rows, pad, model.device)
        loss, _ = loss_sum(model, ids, labels, plan.loss_chunk)
        # By the whole batch's tokens, not by those of this part.
        mean = loss / trained
        mean.backward()
        total += loss.detach()
    if workers.world > 1:
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        total = workers.all_reduce(total, weights)
    return float(total), trained


def checkpoint_layers(model: Any, checkpointed: int) -> None:
    """Let the first layers compute their activations again in the backward pass, not keep them.

    The first, since theirs would be kept longest.
    """
    layers = model.get_base_model().model.layers
    for number, layer in enumerate(layers):
        layer.gradient_checkpointing = number < checkpointed
        layer._gradient_checkpointing_func = recomputed


def recomputed(function: Any, *args: Any) -> Any:
    """Call a layer so that nothing but its input is kept of it."""
    return checkpoint(function, *args, use_reentrant=False)

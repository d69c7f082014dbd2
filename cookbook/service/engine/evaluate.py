"""Measure a model on examples: the loss of its trained tokens, and what an adapter changes.

    loss, tokens = loss_sum(model, ids, labels)      with gradients, for a training step
    evaluate(model, examples, pad, device)           mean loss a token, without gradients
    adapter_effect(model, example, pad)              the proof that an adapter acts

`model` is a PEFT model of a transformers causal language model with the parts `model` and
`lm_head`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cookbook.service.engine.examples import NOT_TRAINED, Example, collate


def loss_sum(model: Any, ids: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Return the summed cross-entropy of the trained tokens, and their number.

    `ids` and `labels` are (rows, width), as `collate` makes them.
    """
    base = model.get_base_model()
    # The last token predicts nothing, the first is predicted by none.
    inputs, targets = ids[:, :-1], labels[:, 1:]
    hidden = base.model(input_ids=inputs, use_cache=False).last_hidden_state
    trained = targets != NOT_TRAINED
    # The head is as large as the rest of a small model: logits are made only where there is a
    # target.
    logits = base.lm_head(hidden[trained]).float()
    loss = F.cross_entropy(logits, targets[trained], reduction="sum")
    return loss, int(trained.sum())


@torch.no_grad()
def evaluate(
    model: Any,
    examples: Sequence[Example],
    pad: int,
    device: torch.device | str,
    batch_size: int = 16,
) -> float | None:
    """Return the mean loss of the trained tokens of `examples`, or None if there are none."""
    if not examples:
        return None
    model.eval()
    # Rows of like length share a batch, which leaves little padding.
    ordered = sorted(examples, key=lambda example: len(example.ids))
    total, tokens = torch.zeros((), device=device), 0
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        ids, labels = collate(batch, pad, device)
        loss, trained = loss_sum(model, ids, labels)
        total += loss
        tokens += trained
    model.train()
    return float(total) / tokens


@torch.no_grad()
def adapter_effect(model: Any, example: Example, pad: int) -> tuple[float, float]:
    """Return (norm of all weight updates together, largest change of a logit).

    The norm is Frobenius's. The logits are those from which the first trained token of `example` is
    predicted, with the adapter against without.
    """
    model.eval()
    ids, labels = collate([example], pad, model.device)
    trained = (labels[0] != NOT_TRAINED).nonzero()
    position = int(trained[0]) - 1
    tuned = model(input_ids=ids).logits[0, position]
    with model.disable_adapter():
        untuned = model(input_ids=ids).logits[0, position]
    norms = []
    for module in model.modules():
        if hasattr(module, "lora_A"):
            a = module.lora_A["default"].weight.float()
            b = module.lora_B["default"].weight.float()
            norm = float((b @ a).norm())
            norms.append(norm * module.scaling["default"])
    difference = (tuned - untuned).float().abs().max()
    return math.hypot(*norms), float(difference)

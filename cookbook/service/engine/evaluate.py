"""Measure a model on examples: the loss of its trained tokens, and what an adapter changes.

    evaluate(model, examples, pad, plan)     mean loss a token, without gradients
    adapter_effect(model, example, pad)      the proof that an adapter acts

`model` is a PEFT model of a transformers causal language model with the parts `model` and
`lm_head`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cookbook.memory import MemoryPlan
from cookbook.service.engine.examples import NOT_TRAINED, Example, collate
from cookbook.service.engine.loss import loss_sum
from cookbook.service.engine.step import IDLE, own_micro_batches
from cookbook.service.engine.workers import ALONE, Workers

AT_ONCE = 1024
"""Tokens that are evaluated together, at most: more are no faster and leave the caches."""


@torch.no_grad()
def evaluate(
    model: Any,
    examples: Sequence[Example],
    pad: int,
    plan: MemoryPlan,
    workers: Workers = ALONE,
) -> float | None:
    """Return the mean loss of the trained tokens of `examples`, or None if there are none.

    Several workers share the examples, and each gets the loss of all.
    """
    if not examples:
        return None
    model.eval()
    total = torch.zeros((), device=model.device)
    tokens = sum(sum(example.trained[1:]) for example in examples)
    # Without gradients a micro-batch needs less memory than in training.
    for places in own_micro_batches(examples, min(plan.micro_tokens, AT_ONCE), workers):
        rows = [examples[place] for place in places] or [IDLE]
        ids, labels = collate(rows, pad, model.device)
        loss, _ = loss_sum(model, ids, labels, plan.loss_chunk)
        total += loss
    model.train()
    return float(workers.all_reduce(total)) / tokens


@torch.no_grad()
def adapter_effect(model: Any, example: Example, pad: int) -> tuple[float, float]:
    """Return (norm of all weight updates together, largest change of a logit).

    The norm is Frobenius's. The logits are those from which the first trained token of `example` is
    predicted, with the adapter against without.
    """
    model.eval()
    ids, labels = collate([example], pad, model.device)
    trained = (labels[0] != NOT_TRAINED).nonzero()
    read = ids[:, : int(trained[0])]
    tuned = next_logits(model, read)
    with model.disable_adapter():
        untuned = next_logits(model, read)
    norms = []
    for module in model.modules():
        if hasattr(module, "lora_A"):
            a = module.lora_A["default"].weight.double()
            b = module.lora_B["default"].weight.double()
            # |BA|² from two small products: BA itself is as large as the layer.
            squared = ((b.T @ b) * (a @ a.T)).sum()
            norms.append(math.sqrt(squared.clamp(min=0)) * module.scaling["default"])
    difference = (tuned - untuned).float().abs().max()
    return math.hypot(*norms), float(difference)


def next_logits(model: Any, ids: Tensor) -> Tensor:
    """Return the logits (vocabulary) of the token after `ids`, which are one row."""
    base = model.get_base_model()
    hidden = base.model(input_ids=ids, use_cache=False).last_hidden_state
    return base.lm_head(hidden[0, -1])

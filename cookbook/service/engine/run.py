"""Put together what a job trains: base, adapter, optimizer, examples and the plan of its memory.

    run = yield from build(base, train_rows, valid_rows, hp, seed=…, level=0)

The tokenizer comes first: the plan depends on the rows' real lengths, and only then are the base's
weights loaded, in the type that the plan says. Which rows a step takes and how fast it learns
follow from seed and step alone; nothing here depends on what happened before.
"""

import hashlib
import json
import math
import sys
from array import array
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from torch.optim import AdamW

from cookbook import fast, memory
from cookbook.bases import Base
from cookbook.machine import CPU
from cookbook.memory import MemoryPlan
from cookbook.service.engine import device
from cookbook.service.engine.evaluate import evaluate
from cookbook.service.engine.examples import Example, encode_all
from cookbook.service.engine.fast.dropout import Dropout
from cookbook.service.engine.fast.train import speed_up
from cookbook.service.engine.heap import Heap
from cookbook.service.engine.load import load, shape_of, tokenizer_of
from cookbook.service.engine.step import checkpoint_layers
from cookbook.service.engine.workers import ALONE, Workers
from cookbook.service.events import Planned

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WARM_UP = 0.05  # share of the steps
FINAL_RATE = 0.1  # share of the learning rate that is left at the last step


@dataclass(frozen=True)
class Run:
    """What a job trains, with what, and on what. Of all this only model and optimizer change."""

    base: Base
    hp: dict[str, Any]
    seed: int
    plan: MemoryPlan
    model: Any  # a PeftModel
    tokenizer: "PreTrainedTokenizerBase"
    optimizer: AdamW
    dropout: Dropout | None  # None: PEFT draws it
    train_set: list[Example]
    valid_set: list[Example]
    workers: Workers = ALONE

    @property
    def pad(self) -> int:
        return self.tokenizer.pad_token_id

    @property
    def steps_per_epoch(self) -> int:
        rows, batch_size = len(self.train_set), self.hp["batch_size"]
        return math.ceil(rows / batch_size)

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.hp["n_epochs"]

    @property
    def highest_rate(self) -> float:
        """The learning rate after warm-up: what the reader chose, times the base's scale."""
        return self.hp["learning_rate"] * self.base.learning_rate_scale

    def learning_rate(self, step: int) -> float:
        return self.highest_rate * rate_factor(step, self.total_steps)

    @property
    def weights(self) -> list[torch.Tensor]:
        """The adapter's weights, which are trained."""
        return self.optimizer.param_groups[0]["params"]

    @cached_property
    def fingerprint(self) -> str:
        """What tells this training from one on other rows, or with other settings."""
        settings = [self.base.id, self.seed, sorted(self.hp.items())]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for examples in (self.train_set, self.valid_set):
            digest.update(len(examples).to_bytes(8))
            for example in examples:
                digest.update(len(example.ids).to_bytes(8))
                digest.update(array("q", example.ids).tobytes() + bytes(example.trained))
        return digest.hexdigest()

    def loss_of(self, examples: list[Example]) -> float | None:
        """Return the mean loss of the trained tokens, or None without examples."""
        return evaluate(self.model, examples, self.pad, self.plan, self.workers)

    def batch(self, step: int) -> list[Example]:
        """Return the examples of a step, counted from 1; the order follows from seed and epoch."""
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        generator = torch.Generator().manual_seed(self.seed * 1009 + epoch)
        order = torch.randperm(len(self.train_set), generator=generator).tolist()
        size = self.hp["batch_size"]
        start = position * size
        return [self.train_set[i] for i in order[start : start + size]]

    def start_step(self, step: int) -> None:
        """Set what follows from the step: learning rate and dropout."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        # Dropout follows from the step, so a resumed job draws the same.
        seed = self.seed * 1_000_003 + step
        # What PEFT draws of it is another for each worker's rows.
        torch.manual_seed(seed + self.workers.rank)
        if self.dropout is not None:
            self.dropout.start_step(seed, self.model.device, self.computes_in)

    @cached_property
    def heap(self) -> Heap:
        """This process's memory, of which a plan for a GPU says nothing."""
        return Heap(self.plan.needed if self.plan.device == CPU else sys.maxsize)

    @property
    def computes_in(self) -> torch.dtype:
        """The type of activations and products."""
        in_float32 = self.plan.weights in (memory.FLOAT32, memory.STORED_BFLOAT16)
        return torch.float32 if in_float32 else torch.bfloat16


def build(
    base: Base,
    train_rows: list[dict[str, Any]],
    valid_rows: list[dict[str, Any]],
    hp: dict[str, Any],
    *,
    seed: int,
    level: int = 0,
    workers: Workers = ALONE,
) -> Generator[Planned, None, Run]:
    """Return model, adapter, optimizer, examples and plan, as they are before the first step.

    The plan is told before the weights are read: the caller ends this where it does not fit.
    """
    tokenizer = tokenizer_of(base)
    train_set = encode_all(tokenizer, train_rows, hp["max_tokens"])
    valid_set = encode_all(tokenizer, valid_rows, hp["max_tokens"])
    lengths = [len(example.ids) for example in train_set + valid_set]
    here = workers.weakest(device.here(for_this_process=True))
    plan = memory.choose(
        shape_of(base),
        lengths,
        hp,
        here,
        level=level,
        workers=workers.world,
        sharded=workers.sharded,
    )
    yield Planned(plan, max(lengths))
    model, _ = load(base, plan.weights, shards=workers.world if workers.sharded else 1)
    tuned = with_adapter(model, hp, seed)
    checkpoint_layers(tuned, plan.checkpointed)
    dropout = None
    if fast.enabled():
        longest = max(len(example.ids) for example in train_set)
        dropout = speed_up(tuned, hp["lora_dropout"], longest)
    tuned.train()
    weights = [p for p in tuned.parameters() if p.requires_grad]
    # `start_step` sets the learning rate.
    optimizer = AdamW(weights, weight_decay=0.0, fused=True)
    return Run(
        base=base,
        hp=hp,
        seed=seed,
        plan=plan,
        model=tuned,
        tokenizer=tokenizer,
        optimizer=optimizer,
        dropout=dropout,
        train_set=train_set,
        valid_set=valid_set,
        workers=workers,
    )


def with_adapter(model: Any, hp: dict[str, Any], seed: int) -> Any:
    """Return the model with a fresh adapter, whose first weights follow from the seed."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=hp["lora_rank"],
        lora_alpha=hp["lora_alpha"],
        lora_dropout=hp["lora_dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    # Adapter and optimizer are float32, whatever the base's type.
    return get_peft_model(model, config)


def rate_factor(step: int, total: int) -> float:
    """Return the factor of the learning rate at `step` of `total`, counted from 1."""
    warm_up = max(1, round(WARM_UP * total))
    if step <= warm_up:
        return step / warm_up
    steps_after, all_after = step - warm_up, max(1, total - warm_up)
    return 1 - (1 - FINAL_RATE) * steps_after / all_after

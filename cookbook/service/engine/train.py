"""LoRA training of one job: rows in, a standard PEFT adapter folder out. Knows torch, neither HTTP nor SQL.

    for event in train(base, train_rows, valid_rows, hyperparameters, folder=…, seed=…): ...

The loop is written out rather than taken from `transformers.Trainer` for two reasons: it must go on from any step after
a crash or a pause with the same result (order, dropout and optimizer all follow from seed and step, and the state file
is plain safetensors, never pickle), and on a tiny model the trainer's fixed cost a step is as large as the step. For the
same reason the LoRA layers themselves train by `lora.py`.

Loss is taken on the assistant's tokens alone, their closing `<|im_end|>` included. Every linear layer of the body gets
an adapter. The rate warms up over the first 5 % of the steps and then falls linearly to a tenth.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from cookbook import disk
from cookbook.bases import Base
from cookbook.errors import DataError, Diverged
from cookbook.service.engine.fast import lora
from cookbook.service.engine.load import load
from cookbook.service.events import Checkpoint, Finished, Started, Step

WARM_UP, FINAL_RATE = 0.05, 0.1
SAVE_EVERY = 30.0  # seconds between two states to resume from, at most
STATE = "state.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW remembers of each weight


@dataclass(frozen=True)
class Example:
    """One conversation as the model sees it: token ids, and for each whether it is trained on."""

    ids: list[int]
    trained: list[bool]


def encode(tokenizer, messages: list[dict], max_tokens: int) -> Example:
    """Lay out with the base's own chat template, cut at `max_tokens`, mark the assistant's tokens.

    The template is rendered message by message, so it must be prefix-stable, as every ChatML template is.
    """
    ids: list[int] = []
    trained: list[bool] = []
    done = ""
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(
            messages[:i], tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer.apply_chat_template(messages[: i + 1], tokenize=False)
        answer = whole[len(prompt) :]
        head = tokenizer(prompt[len(done) :], add_special_tokens=False)["input_ids"]
        body = tokenizer(answer.rstrip("\n"), add_special_tokens=False)["input_ids"]
        tail = tokenizer(answer[len(answer.rstrip("\n")) :], add_special_tokens=False)["input_ids"]
        ids += head + body + tail
        trained += [False] * len(head) + [True] * len(body) + [False] * len(tail)
        done = whole
    return Example(ids[:max_tokens], trained[:max_tokens])


def encode_all(tokenizer, rows: list[dict], max_tokens: int) -> list[Example]:
    """Every row encoded.

    Raises:
        DataError: naming the rows of which no token would be trained.
    """
    examples = [encode(tokenizer, row["messages"], max_tokens) for row in rows]
    empty = [i + 1 for i, e in enumerate(examples) if not any(e.trained[1:])]
    if empty:
        numbers = ", ".join(map(str, empty[:10])) + (" …" if len(empty) > 10 else "")
        raise DataError(
            zh=f"这些行没有一个 token 会被训练：{numbers}。max_tokens = {max_tokens} 在回答之前就截断了，请调大它或缩短提问",
            en=f"no token of these rows would be trained: {numbers}. max_tokens = {max_tokens} cuts them off before the "
            "answer: raise it or shorten the prompt",
        )
    return examples


def collate(examples: list[Example], pad: int, device) -> tuple[Tensor, Tensor]:
    """(ids, labels), both (rows, longest); label -100 where nothing is trained.

    Padding is on the right, where causal attention never looks, so no attention mask is needed.
    """
    width = max(len(e.ids) for e in examples)
    ids = torch.full((len(examples), width), pad)
    labels = torch.full((len(examples), width), -100)
    for i, e in enumerate(examples):
        ids[i, : len(e.ids)] = torch.tensor(e.ids)
        labels[i, : len(e.ids)] = torch.where(torch.tensor(e.trained), ids[i, : len(e.ids)], -100)
    return ids.to(device), labels.to(device)


def loss_sum(model, ids: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Summed cross-entropy over the trained tokens, and their number; logits are made at those positions alone."""
    body = model.get_base_model()
    hidden = body.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = labels[:, 1:]
    kept = wanted != -100
    logits = body.lm_head(hidden[kept]).float()
    return F.cross_entropy(logits, wanted[kept], reduction="sum"), int(kept.sum())


@torch.no_grad()
def evaluate(
    model, examples: list[Example], pad: int, device, batch_size: int = 16
) -> float | None:
    """Mean loss a trained token over `examples`; None if there are none."""
    if not examples:
        return None
    model.eval()
    ordered = sorted(examples, key=lambda e: len(e.ids))
    parts = [
        loss_sum(model, *collate(ordered[i : i + batch_size], pad, device))
        for i in range(0, len(ordered), batch_size)
    ]
    model.train()
    return float(sum(p[0] for p in parts)) / sum(p[1] for p in parts)


def train(
    base: Base,
    train_rows: list[dict],
    valid_rows: list[dict],
    hp: dict,
    *,
    folder: Path,
    seed: int = 42,
) -> Iterator[Started | Step | Checkpoint | Finished]:
    """Train, yielding what happened; go on from `folder`'s saved state if there is one.

    Args:
        hp: the seven hyperparameters of guide §3.
        folder: of this job; adapters go to `step_<N>/`, the state to resume from to `state.safetensors`.

    Raises:
        ModelError, DataError, Diverged.
    """
    model, tokenizer = load(base)
    device = model.device
    pad = tokenizer.pad_token_id
    train_set = encode_all(tokenizer, train_rows, hp["max_tokens"])
    valid_set = encode_all(tokenizer, valid_rows, hp["max_tokens"])
    torch.manual_seed(seed)
    # Adapter and optimizer stay float32 whatever the base's type.
    model = get_peft_model(
        model,
        LoraConfig(
            r=hp["lora_rank"],
            lora_alpha=hp["lora_alpha"],
            lora_dropout=hp["lora_dropout"],
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    lora.quicken(model)
    model.train()
    adapter = [p for p in model.parameters() if p.requires_grad]
    rate = hp["learning_rate"] * base.learning_rate_scale
    per_epoch = math.ceil(len(train_set) / hp["batch_size"])
    total = per_epoch * hp["n_epochs"]
    optimizer = torch.optim.AdamW(adapter, lr=rate, weight_decay=0.0, fused=True)

    folder.mkdir(parents=True, exist_ok=True)
    done, seen, trained_tokens = _restore(model, optimizer, folder / STATE)
    trained_share = sum(sum(e.trained) for e in train_set) / sum(len(e.ids) for e in train_set)
    if not done:
        yield Started(
            total_steps=total,
            train_rows=len(train_set),
            valid_rows=len(valid_set),
            trained_share=trained_share,
            adapter_parameters=sum(p.numel() for p in adapter),
            parameters=sum(p.numel() for p in model.parameters() if not p.requires_grad),
            learning_rate_used=rate,
            valid_loss=evaluate(model, valid_set, pad, device),
        )
    started = saved_at = time.monotonic()
    done_before, seen_before = done, seen
    for step in range(done + 1, total + 1):
        torch.manual_seed(
            seed * 1_000_003 + step
        )  # dropout follows from the step, so a resumed job draws the same
        batch = _batch(train_set, hp["batch_size"], seed, step, per_epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate * _schedule(step, total)
        total_loss, n = loss_sum(model, *collate(batch, pad, device))
        if not torch.isfinite(total_loss):
            raise Diverged(
                zh=f"第 {step} 步的 loss 已经不是数字：学习速率 {hp['learning_rate']:g} 太大（实际用了 {rate:g}）。除以 10 再试",
                en=f"at step {step} the loss is no longer a number: the learning rate {hp['learning_rate']:g} is too high "
                f"({rate:g} was really used). Try a tenth of it",
            )
        (total_loss / n).backward()
        torch.nn.utils.clip_grad_norm_(adapter, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen += sum(len(e.ids) for e in batch)
        trained_tokens += n
        epoch_ends = step % per_epoch == 0
        valid_loss = evaluate(model, valid_set, pad, device) if epoch_ends else None
        clock = time.monotonic() - started
        train_loss = float(total_loss.detach()) / n
        save_state = lambda: _save_state(
            model, optimizer, folder / STATE, step, seen, trained_tokens
        )
        try:
            yield Step(
                step=step,
                total_steps=total,
                epoch=step / per_epoch,
                train_loss=train_loss,
                valid_loss=valid_loss,
                learning_rate=rate * _schedule(step, total),
                tokens=seen,
                tokens_per_second=(seen - seen_before) / clock,
                seconds_left=clock / (step - done_before) * (total - step),
            )
            if epoch_ends:
                saved = _save_adapter(model, tokenizer, base, folder / f"step_{step}")
                if step < total:
                    yield Checkpoint(step, step // per_epoch, saved, train_loss, valid_loss)
        except GeneratorExit:  # the caller stops here, for now or for good
            save_state()
            raise
        # Saved after the caller has written the step down, never before: no event can be lost. Not after the last
        # step: a job that dies while it finishes goes back a little and finishes again.
        if step < total and (epoch_ends or time.monotonic() - saved_at > SAVE_EVERY):
            save_state()
            saved_at = time.monotonic()
    update_norm, difference = _prove(model, train_set[0], pad, device)
    yield Finished(total, saved, train_loss, valid_loss, trained_tokens, update_norm, difference)


def _batch(
    examples: list[Example], size: int, seed: int, step: int, per_epoch: int
) -> list[Example]:
    epoch, position = divmod(step - 1, per_epoch)
    generator = torch.Generator().manual_seed(seed * 1009 + epoch)
    order = torch.randperm(len(examples), generator=generator).tolist()
    return [examples[i] for i in order[position * size : (position + 1) * size]]


def _schedule(step: int, total: int) -> float:
    """Factor of the learning rate at `step` of `total`, counted from 1."""
    warm_up = max(1, round(WARM_UP * total))
    if step <= warm_up:
        return step / warm_up
    return 1 - (1 - FINAL_RATE) * (step - warm_up) / max(1, total - warm_up)


def _save_adapter(model, tokenizer, base: Base, folder: Path) -> Path:
    """A PEFT folder, written beside and moved into place, so that it is whole or absent."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    config = part / "adapter_config.json"
    # The base's public name, not its folder on this machine.
    settings = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": base.id}
    config.write_text(json.dumps(settings, indent=2, default=sorted) + "\n", encoding="utf-8")
    disk.settle(part, folder)
    return folder


def _save_state(model, optimizer, path: Path, step: int, seen: int, trained_tokens: int) -> None:
    tensors = {
        f"adapter.{name}": value.contiguous()
        for name, value in get_peft_model_state_dict(model).items()
    }
    for i, p in enumerate(optimizer.param_groups[0]["params"]):
        for name in MOMENTS:
            tensors[f"optimizer.{i}.{name}"] = optimizer.state[p][name]
    part = path.with_suffix(".part")
    save_file(
        tensors,
        part,
        metadata={"step": str(step), "seen": str(seen), "trained_tokens": str(trained_tokens)},
    )
    disk.settle(part, path)


def _restore(model, optimizer, path: Path) -> tuple[int, int, int]:
    """Put adapter and optimizer back; (steps done, tokens seen, tokens trained), zeros if nothing was saved."""
    if not path.exists():
        return 0, 0, 0
    tensors = load_file(path)
    set_peft_model_state_dict(
        model, {k[8:]: v for k, v in tensors.items() if k.startswith("adapter.")}
    )
    for i, p in enumerate(optimizer.param_groups[0]["params"]):
        optimizer.state[p] = {
            name: tensors[f"optimizer.{i}.{name}"].to(p.device) for name in MOMENTS
        }
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    return int(facts["step"]), int(facts["seen"]), int(facts["trained_tokens"])


@torch.no_grad()
def _prove(model, example: Example, pad: int, device) -> tuple[float, float]:
    """(norm of the weight updates, largest difference of a logit at the first trained position)."""
    model.eval()
    ids, labels = collate([example], pad, device)
    position = int((labels[0] != -100).nonzero()[0]) - 1
    tuned = model(input_ids=ids).logits[0, position]
    with model.disable_adapter():
        plain = model(input_ids=ids).logits[0, position]
    updates = [
        float((m.lora_B["default"].weight.float() @ m.lora_A["default"].weight.float()).norm())
        * m.scaling["default"]
        for m in model.modules()
        if hasattr(m, "lora_A")
    ]
    return math.hypot(*updates), float((tuned - plain).float().abs().max())

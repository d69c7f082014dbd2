"""Whatever the memory plan, a step is the whole batch's step: the same loss, the same gradients."""

import dataclasses
import random
import statistics

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support import SMALL
from torch.nn import functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM

from cookbook.memory import MemoryPlan
from cookbook.params import Hyperparameters
from cookbook.service.engine import run as engine_run
from cookbook.service.engine.evaluate import evaluate
from cookbook.service.engine.examples import Example
from cookbook.service.engine.fast.dropout import Dropout
from cookbook.service.engine.fast.lora import plain_layers
from cookbook.service.engine.fast.train import speed_up
from cookbook.service.engine.loss import HeadLoss
from cookbook.service.engine.step import checkpoint_layers, gradients, micro_batches
from cookbook.service.engine.stored import store
from cookbook.service.engine.train import train
from cookbook.service.events import Step

WHOLE = MemoryPlan(
    needed=0,
    free=0,
    device="cpu",
    weights="float32",
    micro_tokens=10_000,
    micro_batch=8,
    checkpointed=0,
    layers=2,
    loss_chunk=10_000,
)
PLANS = {
    "a row at a time": {"micro_tokens": 1},
    "groups of like length": {"micro_tokens": 40},
    "a layer is computed again": {"checkpointed": 1},
    "all layers are computed again": {"checkpointed": 2},
    "loss of a token at a time": {"loss_chunk": 1},
    "everything": {"micro_tokens": 40, "checkpointed": 2, "loss_chunk": 3},
}


def plan(**values):
    return dataclasses.replace(WHOLE, **values)


def batch(lengths=(5, 30, 12, 3, 12, 18)):
    """Rows of unequal length, of which different shares are trained."""
    draw = random.Random(0)
    examples = []
    for number, length in enumerate(lengths):
        ids = [draw.randrange(50) for _ in range(length)]
        asked = length - 1 - number % 3 if length < 10 else number
        examples.append(Example(ids, [place >= asked for place in range(length)]))
    return examples


def model_of(settings, share=0.3, fast=True):
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SMALL, vocab_size=50))
    config = LoraConfig(r=4, lora_dropout=share, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config).train()
    for name, weight in model.named_parameters():
        # B begins at zero, where much would look alike.
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    checkpoint_layers(model, settings.checkpointed)
    dropout = speed_up(model, share, 30) if fast else None
    return model, dropout


def learned(settings, examples=None, **values):
    """Return the summed loss of a step and its gradients, all in one line of numbers."""
    model, dropout = model_of(settings, **values)
    torch.manual_seed(7)
    if dropout is not None:
        dropout.start_step(7, torch.device("cpu"), torch.float32)
    loss, trained = gradients(model, examples or batch(), settings, 0, dropout)
    found = [weight.grad.flatten() for weight in model.parameters() if weight.requires_grad]
    return loss / trained, torch.cat(found)


@pytest.mark.parametrize("values", PLANS.values(), ids=PLANS)
def test_no_plan_changes_loss_or_gradients(values):
    """With dropout on."""
    loss, found = learned(plan(**values))
    expected_loss, expected = learned(WHOLE)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_dropout_changes_the_step_at_all():
    assert learned(WHOLE)[0] != learned(WHOLE, share=0.0)[0]


def test_checkpointing_changes_nothing_on_the_plain_path():
    """There PEFT draws the dropout."""
    loss, found = learned(plan(checkpointed=2), fast=False)
    expected_loss, expected = learned(WHOLE, fast=False)
    assert loss == expected_loss
    torch.testing.assert_close(found, expected)


def test_fast_and_plain_path_agree():
    (loss, found), (plain_loss, plain) = (
        learned(WHOLE, share=0.0, fast=fast) for fast in (True, False)
    )
    assert loss == pytest.approx(plain_loss, rel=1e-6)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_mean_over_tokens_and_no_mean_of_means():
    examples = batch()
    model, _ = model_of(WHOLE, share=0.0, fast=False)
    total, count = 0.0, 0
    for example in examples:
        ids = torch.tensor([example.ids])
        logits = model(input_ids=ids).logits[0, :-1].detach()
        targets = ids[0, 1:]
        trained = torch.tensor(example.trained[1:])
        total += float(F.cross_entropy(logits[trained], targets[trained], reduction="sum"))
        count += int(trained.sum())
    for values in PLANS.values():
        assert learned(plan(**values), share=0.0)[0] == pytest.approx(total / count, rel=1e-5)
        measured = evaluate(model, examples, 0, plan(**values))
        assert measured == pytest.approx(total / count, rel=1e-5)


def test_groups_are_of_like_length_and_hold_every_row_once():
    examples = batch()
    groups = micro_batches(examples, 40)
    assert sorted(place for group in groups for place in group) == list(range(len(examples)))
    for group in groups:
        lengths = [len(examples[place].ids) for place in group]
        assert len(group) * max(lengths) <= 40 or len(group) == 1
    assert groups == [[1], [5, 2], [4, 0, 3]]
    assert micro_batches(examples, 1) == [[1], [5], [2], [4], [0], [3]]


class SameDropout(torch.nn.Module):
    """In PEFT's layer: drops what our layer of this number drops."""

    def __init__(self, dropout, number):
        super().__init__()
        self.dropout, self.number, self.p = dropout, number, dropout.share

    def forward(self, x):
        mask = self.dropout.cut(self.number).mask(x)
        return x * mask.to(x.dtype) / (1 - self.p)


def of_rounded_weights(dtype, seed, fast, share=0.3):
    """Return the gradients of a step of a base whose weights bfloat16 can hold, in this type.

    The plain path drops the same values as the fast one.
    """
    model, _ = model_of(WHOLE, share=share, fast=False)
    for weight in model.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.bfloat16().to(dtype)
    if fast:
        dropout = speed_up(model, share, 30)
    else:
        layers = plain_layers(model)
        dropout = Dropout(share, 30 * SMALL["intermediate_size"], len(layers))
        for number, layer in enumerate(layers):
            layer.lora_dropout["default"] = SameDropout(dropout, number)
    dropout.start_step(seed, torch.device("cpu"), dtype)
    gradients(model, batch(), plan(micro_tokens=40), 0, dropout)
    grads = [weight.grad for weight in model.parameters() if weight.requires_grad]
    assert all(grad.dtype == torch.float32 for grad in grads)
    return torch.cat([grad.flatten() for grad in grads])


def test_with_the_same_dropout_the_fast_path_is_the_plain_one():
    fast, plain = (of_rounded_weights(torch.float32, 7, fast) for fast in (True, False))
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-5)


def test_bfloat16_is_about_as_near_to_float32_as_the_plain_path_is():
    """In the middle of 12 draws: a single one says little, so small is this model.

    Here 8 % off against 6 %; at the size of a real base both are 2.6 % off.
    """
    errors = {True: [], False: []}
    for seed in range(12):
        expected = of_rounded_weights(torch.float32, seed, fast=False)
        for fast, own in errors.items():
            found = of_rounded_weights(torch.bfloat16, seed, fast)
            own.append(float((found - expected).norm() / expected.norm()))
    ours, plain = (statistics.median(own) for own in errors.values())
    assert ours < 2 * plain
    assert ours < 0.15


def test_weights_stored_in_bfloat16_train_as_the_same_weights_in_float32():
    """Of one model with weights that bfloat16 can hold."""
    found = []
    for stored in (True, False):
        model, _ = model_of(WHOLE, fast=False)
        base = model.get_base_model()
        for name, weight in base.named_parameters():
            if "lora" not in name:
                weight.data = weight.data.bfloat16()
        if stored:
            store(base)
            assert base.lm_head.weight.dtype == torch.bfloat16
        else:
            base.float()
        dropout = speed_up(model, 0.3, 30)
        dropout.start_step(7, torch.device("cpu"), torch.float32)
        loss, _ = gradients(model, batch(), plan(**PLANS["everything"]), 0, dropout)
        grads = [weight.grad.flatten() for weight in model.parameters() if weight.requires_grad]
        found.append((loss, torch.cat(grads)))
    (loss, gradient), (expected_loss, expected) = found
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("learns", [True, False])
def test_the_gradient_of_the_head_is_that_of_autograd(learns):
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(7, 5), torch.randn(11, 5), torch.randn(11)
    targets = torch.randint(11, (7,))
    ours, theirs = (hidden.clone().requires_grad_(learns) for _ in range(2))
    loss = HeadLoss.apply(ours, weight, bias, targets, 3, learns)
    expected = F.cross_entropy(F.linear(theirs, weight, bias), targets, reduction="sum")
    torch.testing.assert_close(loss, expected)
    if learns:
        (loss / 7).backward()
        (expected / 7).backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


def trained_by(monkeypatch, small_base, rows, folder, **values):
    """Train under a plan with these values and return its steps."""
    chosen = engine_run.memory.choose

    def choose(*args, **kwargs):
        return dataclasses.replace(chosen(*args, **kwargs), **values)

    monkeypatch.setattr(engine_run.memory, "choose", choose)
    hp = Hyperparameters(n_epochs=2, batch_size=4, lora_dropout=0.3).to_dict()
    yield from train(small_base, rows, [], hp, folder=folder)
    monkeypatch.setattr(engine_run.memory, "choose", chosen)


def losses(events):
    return [event.train_loss for event in events if isinstance(event, Step)]


@pytest.fixture
def rows(row):
    return [row(assistant="答案" * (i + 1)) for i in range(10)]


@pytest.mark.parametrize("again", [{}, {"micro_tokens": 1, "checkpointed": 2, "loss_chunk": 2}])
def test_a_job_goes_on_under_another_plan_as_under_its_own(
    monkeypatch, small_base, rows, tmp_path, again
):
    """Within rounding; under its own plan to the last bit."""
    whole = losses(trained_by(monkeypatch, small_base, rows, tmp_path / "whole"))
    first = trained_by(monkeypatch, small_base, rows, tmp_path / "job")
    seen = [next(event for event in first if isinstance(event, Step)) for _ in range(2)]
    first.close()
    rest = losses(trained_by(monkeypatch, small_base, rows, tmp_path / "job", **again))
    found = losses(seen) + rest
    assert found == (pytest.approx(whole, rel=1e-4) if again else whole)

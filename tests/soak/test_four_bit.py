"""A base in 4 bit trains, on a CPU too, and its adapter serves the base as it was published.

`make soak` installs bitsandbytes apart from all else, and runs this file with it.
"""

import dataclasses

import pytest
import torch
from peft import PeftModel
from random_base import SMALL, write

from cookbook import memory
from cookbook.bases import Base
from cookbook.memory import BFLOAT16, NF4
from cookbook.params import Hyperparameters
from cookbook.service.engine import four_bit
from cookbook.service.engine.load import load
from cookbook.service.engine.train import train
from cookbook.service.events import Finished, Step

pytest.importorskip("bitsandbytes")

HP = Hyperparameters(n_epochs=2, batch_size=4, lora_rank=4, lora_alpha=8, learning_rate=1e-3)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return Base("small", str(write(SMALL, tmp_path_factory.mktemp("base") / "small")))


def trained(base, rows, weights, folder, monkeypatch):
    """Return the losses of a training whose plan says these weights, and the adapter's folder."""
    choose = memory.choose

    def plan(*args, **options):
        return dataclasses.replace(choose(*args, **options), weights=weights)

    monkeypatch.setattr(memory, "choose", plan)
    losses, adapter = [], None
    for event in train(base, rows, rows[:2], HP.to_dict(), folder=folder, seed=1):
        if isinstance(event, Step):
            losses.append(event.train_loss)
        if isinstance(event, Finished):
            adapter = event.folder
    monkeypatch.setattr(memory, "choose", choose)
    return losses, adapter


@pytest.mark.parametrize("fast", ["1", "0"])
def test_a_base_in_4_bit_learns_what_the_whole_one_learns(base, row, tmp_path, monkeypatch, fast):
    monkeypatch.setenv("COOKBOOK_FAST", fast)
    rows = [row(user=f"第 {number} 个问题") for number in range(8)]
    whole, _ = trained(base, rows, BFLOAT16, tmp_path / "whole", monkeypatch)
    losses, adapter = trained(base, rows, NF4, tmp_path / "nf4", monkeypatch)
    assert losses[-1] < losses[0]
    assert losses == pytest.approx(whole, rel=0.01)
    model, tokenizer = load(base)
    ids = tokenizer("你好", return_tensors="pt").input_ids
    before = model(ids).logits
    after = PeftModel.from_pretrained(model, adapter)(ids).logits
    assert after.isfinite().all() and not torch.equal(before, after)


def test_only_the_matrices_of_the_body_are_in_4_bit_and_can_be_read_back(base):
    model, _ = load(base, NF4)
    whole, _ = load(base, BFLOAT16)
    assert not four_bit.is_quantized(model.lm_head)
    for layer, original in zip(model.model.layers, whole.model.layers, strict=True):
        found = four_bit.matrix(layer.mlp.up_proj).float()
        expected = original.mlp.up_proj.weight.float()
        assert found.shape == expected.shape
        # 16 values for each block of 64 weights.
        assert (found - expected).norm() < 0.15 * expected.norm()
    # An answer must leave the weights in the layout that training reads.
    model(torch.tensor([[1, 2, 3]]))
    assert torch.equal(four_bit.matrix(layer.mlp.up_proj).float(), found)

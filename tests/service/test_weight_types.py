"""Weights of every type can be trained on; those stored in bfloat16 are computed in float32."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support import SMALL
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from cookbook import memory
from cookbook.machine import machine
from cookbook.memory import BFLOAT16, FLOAT32, STORED_BFLOAT16
from cookbook.service.engine import device, stored
from cookbook.service.engine.adapters import Adapters
from cookbook.service.engine.fast import decode
from cookbook.service.engine.load import load
from cookbook.service.engine.loss import HeadLoss
from cookbook.service.engine.run import with_adapter
from cookbook.service.engine.weights import weight_bytes

IDS = torch.arange(1, 25).view(2, 12)
HP = {"lora_rank": 2, "lora_alpha": 4, "lora_dropout": 0.0}


def exact_and_stored():
    """Return a float32 model and one that stores its weights, which bfloat16 holds exactly."""
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(Qwen2ForCausalLM(Qwen2Config(vocab_size=50, **SMALL)).bfloat16())
    exact, kept = models
    stored.store(kept)
    return exact.float(), kept


def gradients(model):
    tuned = with_adapter(model, HP, seed=1).train()
    for name, weight in tuned.named_parameters():
        # PEFT rounds a first A to the base's type; B begins at zero, and A's gradient with it.
        if "lora_" in name:
            nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(2))
    loss = tuned(input_ids=IDS, labels=IDS).loss
    loss.backward()
    return loss, {n: p.grad for n, p in tuned.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("weights_at_once", [2**24, 70])
def test_stored_weights_give_the_loss_and_gradients_of_float32(monkeypatch, weights_at_once):
    monkeypatch.setattr(stored, "SLICE", weights_at_once)
    exact, kept = exact_and_stored()
    assert kept.lm_head.weight.dtype == torch.bfloat16
    assert kept.model.norm.weight.dtype == torch.float32
    (loss, expected), (other, found) = gradients(exact), gradients(kept)
    torch.testing.assert_close(other, loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_no_float32_copy_of_a_stored_matrix_waits_for_the_backward_pass():
    _, kept = exact_and_stored()
    layer = kept.model.layers[0].mlp.down_proj
    kept_for_backward = []
    hooks = torch.autograd.graph.saved_tensors_hooks
    with hooks(lambda tensor: kept_for_backward.append(tensor) or tensor, lambda tensor: tensor):
        layer(torch.randn(3, layer.in_features, requires_grad=True))
    assert [tensor.dtype for tensor in kept_for_backward] == [torch.bfloat16]


def test_the_loss_of_a_stored_head_is_that_of_its_float32_copy():
    torch.manual_seed(0)
    head = torch.randn(50, 8).bfloat16()
    hidden, targets = torch.randn(5, 8, requires_grad=True), torch.arange(5)
    found = []
    for weight in (head, head.float()):
        loss = HeadLoss.apply(hidden, weight, None, targets, 2, True)
        found.append((loss, torch.autograd.grad(loss, hidden)[0]))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("weights", [FLOAT32, BFLOAT16, STORED_BFLOAT16])
def test_a_base_is_loaded_in_the_type_that_was_asked_for(small_base, weights):
    model, _ = load(small_base, weights)
    in_float32 = weights == FLOAT32
    assert model.lm_head.weight.dtype == (torch.float32 if in_float32 else torch.bfloat16)
    assert stored.is_stored(model) == (weights == STORED_BFLOAT16)
    sizes = sum(p.numel() * p.element_size() for p in model.parameters())
    # Norms and biases, which a stored model keeps in float32, are counted as the rest.
    assert weight_bytes(model, weights) == pytest.approx(sizes, rel=0.05)
    assert model(IDS).logits.isfinite().all()


def test_a_machine_that_does_not_compute_in_bfloat16_stores_what_float32_has_no_room_for(
    small_base, monkeypatch
):
    monkeypatch.setattr(memory.weights, "SMALL", 1000)
    monkeypatch.setitem(memory.RUNTIME, "cpu", 0)
    monkeypatch.setattr(machine, "computes_in_bfloat16", lambda: False)
    model, _ = load(small_base)
    assert model.dtype == torch.float32
    room = int(2.5 * weight_bytes(model, STORED_BFLOAT16) * 0.6)
    full = device.here()
    monkeypatch.setattr(device, "here", lambda: replace(full, free=room))
    model, _ = load(small_base)
    assert stored.is_stored(model)


def test_a_stored_base_answers_with_its_adapters_in_float32(small_base, tmp_path):
    model, _ = load(small_base, STORED_BFLOAT16)
    tuned = with_adapter(model, HP, seed=1)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.1)
    expected = tuned(IDS).logits
    tuned.save_pretrained(tmp_path)
    model, _ = load(small_base, STORED_BFLOAT16)
    adapters = Adapters(model)
    adapter = adapters.load(tmp_path)
    adapters.use([adapter, adapter])
    torch.testing.assert_close(model(IDS).logits, expected, atol=1e-4, rtol=1e-4)
    # The written-out step reads matrices as they are kept.
    assert not decode.applies(model)


def test_rows_that_are_padded_on_the_right_need_no_attention_mask(small_base, monkeypatch):
    model, _ = load(small_base)
    masks = []
    attend = F.scaled_dot_product_attention

    def watched(*args, attn_mask=None, **options):
        masks.append(attn_mask)
        return attend(*args, attn_mask=attn_mask, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    model.model(input_ids=IDS, use_cache=False)
    # With a mask a GPU's flash attention would not be taken.
    assert masks == [None] * len(model.model.layers)

"""The LoRA layer in one step of autograd says and learns what PEFT's layer does."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support import SMALL
from transformers import Qwen2Config, Qwen2ForCausalLM

from cookbook.service.engine.fast import lora

SIZES = SMALL | {"vocab_size": 50}


def tuned(dropout=0.0, dtype=torch.float32):
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SIZES)).to(dtype)
    config = LoraConfig(
        r=4, lora_alpha=16, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config).train()
    for name, p in model.named_parameters():
        if "lora_B" in name or "bias" in name:  # B begins at zero, where much would look alike
            torch.nn.init.normal_(p, std=0.1)
    return model


def learned(model):
    ids = torch.arange(24).view(2, 12)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss, {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def test_loss_and_gradients_are_those_of_peft():
    theirs, ours = tuned(), tuned()
    lora.patch_lora_layers(ours)
    (loss, gradients), (other, found) = learned(theirs), learned(ours)
    torch.testing.assert_close(loss, other)
    assert gradients.keys() == found.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


@pytest.mark.parametrize("kept", [True, False])
def test_its_gradients_are_those_of_its_own_arithmetic(kept):
    torch.manual_seed(0)
    shapes = {"x": (2, 3, 5), "w": (4, 5), "bias": (4,), "a": (2, 5), "b": (4, 2)}
    x, w, bias, a, b = (
        torch.randn(s, dtype=torch.float64, requires_grad=n in "xab") for n, s in shapes.items()
    )
    mask = (torch.rand(2, 3, 5) < 0.5).double() if kept else None

    def run(x, a, b):
        return lora.LoraFunction.apply(x, w, bias, a, b, 1.5, mask)

    assert torch.autograd.gradcheck(run, (x, a, b))
    dropped = x if mask is None else x * mask
    torch.testing.assert_close(run(x, a, b), x @ w.T + bias + 1.5 * dropped @ a.T @ b.T)


def test_dropout_drops_its_share_and_follows_the_seed():
    x = torch.ones(300, 1001)
    torch.manual_seed(1)
    one = lora.dropout_mask(x, 0.2)
    assert set(one.unique().tolist()) == {0.0, 1.0} and one.mean() == pytest.approx(0.8, abs=0.005)
    assert not torch.equal(lora.dropout_mask(x, 0.2), one)
    torch.manual_seed(1)
    assert torch.equal(lora.dropout_mask(x, 0.2), one)
    assert one.mean(0).std() == pytest.approx(
        (0.2 * 0.8 / 300) ** 0.5, rel=0.15
    )  # no column is favoured


def test_with_dropout_the_output_is_right_on_average():
    torch.manual_seed(0)
    layer = next(m for m in tuned(0.5).modules() if hasattr(m, "lora_A"))
    x = torch.randn(1, 4, 32)
    want = layer.eval()(x)
    layer.train()
    mean = torch.stack([lora.forward(layer, x) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, want, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_plain_is_left_to_peft(dtype):
    ids = torch.arange(12).view(1, 12)
    theirs, ours = tuned(dtype=dtype), tuned(dtype=dtype)
    lora.patch_lora_layers(ours)
    with theirs.disable_adapter(), ours.disable_adapter():
        without = ours(input_ids=ids).logits
        assert torch.equal(without, theirs(input_ids=ids).logits)
    assert not torch.equal(ours(input_ids=ids).logits, without)
    assert torch.equal(ours.eval()(input_ids=ids).logits, theirs.eval()(input_ids=ids).logits)

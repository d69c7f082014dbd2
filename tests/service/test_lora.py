"""The fast paths of training say and learn what PEFT's and transformers' layers do."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support import SMALL
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from cookbook.service.engine.fast import attention
from cookbook.service.engine.fast.dropout import Dropout
from cookbook.service.engine.fast.gated import GatedFunction, is_gated
from cookbook.service.engine.fast.lora import Arithmetic, FastLora, LoraFunction
from cookbook.service.engine.fast.norm import NormFunction, is_rms_norm
from cookbook.service.engine.fast.train import speed_up

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
    speed_up(ours, 0.0, 12)
    (loss, gradients), (other, found) = learned(theirs), learned(ours)
    torch.testing.assert_close(loss, other)
    assert gradients.keys() == found.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def numbers(shapes, learned):
    """Return random tensors of these shapes; those whose names are given learn."""
    torch.manual_seed(0)
    made = {}
    for name, shape in shapes.items():
        made[name] = torch.randn(shape, dtype=torch.float64, requires_grad=name in learned)
    return made


def arithmetic(weight, bias, share):
    """Return what a layer with these weights computes for two rows, and what it keeps of them."""
    out, width = weight.shape
    base = torch.nn.Linear(width, out, dtype=torch.float64)
    base.weight.data, base.bias.data = weight, bias
    cut, mask = None, 1.0
    if share:
        dropout = drawn(share, values=100, rows=(0, 3))
        cut = dropout.cut(0)
        mask = cut.mask(torch.empty(2, 3, width)).double()
    return Arithmetic(base.requires_grad_(False), 1.5, cut), mask


def drawn(share, values, rows, layers=1, seed=1, dtype=torch.float64):
    dropout = Dropout(share, values, layers)
    dropout.start_step(seed, torch.device("cpu"), dtype)
    dropout.choose_rows(rows)
    return dropout


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_its_gradients_are_those_of_its_own_arithmetic(share):
    shapes = {"x": (2, 3, 5), "w": (4, 5), "bias": (4,), "a": (2, 5), "b": (4, 2)}
    x, w, bias, a, b = numbers(shapes, "xab").values()
    its, mask = arithmetic(w, bias, share)

    def run(x, a, b):
        return LoraFunction.apply(x, a, b, its)

    assert torch.autograd.gradcheck(run, (x, a, b))
    torch.testing.assert_close(run(x, a, b), x @ w.T + bias + 1.5 * (x * mask) @ a.T @ b.T)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_gradients_of_a_gated_block_are_those_of_its_own_arithmetic(share):
    shapes = {"gate": (2, 3, 5), "up": (2, 3, 5), "w": (4, 5), "bias": (4,)}
    shapes |= {"a": (2, 5), "b": (4, 2)}
    gate, up, w, bias, a, b = numbers(shapes, ("gate", "up", "a", "b")).values()
    its, mask = arithmetic(w, bias, share)

    def run(gate, up, a, b):
        return GatedFunction.apply(gate, up, a, b, its)

    assert torch.autograd.gradcheck(run, (gate, up, a, b))
    x = torch.nn.functional.silu(gate) * up
    expected = x @ w.T + bias + 1.5 * (x * mask) @ a.T @ b.T
    torch.testing.assert_close(run(gate, up, a, b), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_norm_gives_the_same_bits_and_nearly_the_same_gradient(dtype):
    model = tuned(dtype=dtype)
    norm = next(module for module in model.modules() if is_rms_norm(module))
    torch.nn.init.normal_(norm.weight)
    x, grad = torch.randn(2, 2, 3, 32, dtype=dtype)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    out = NormFunction.apply(ours, norm.weight, norm.variance_epsilon)
    expected = type(norm).forward(norm, theirs)
    assert torch.equal(out, expected)
    out.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("tokens", [1, 50, attention.SHORT + 1])
def test_attention_of_short_rows_is_that_of_torch(tokens, monkeypatch):
    """As near to what float32 gives as torch's own; longer rows are torch's."""
    calls = []
    short = attention.ShortAttention.apply
    monkeypatch.setattr(attention.ShortAttention, "apply", lambda *a: calls.append(a) or short(*a))
    torch.manual_seed(0)
    heads = [torch.randn(3, count, tokens, 16) for count in (6, 2, 2)]
    # Scores as large as a real base's, which bfloat16 cannot hold to a quarter.
    heads[0] *= 10
    grad = torch.randn(3, tokens, 6, 16)
    module = SimpleNamespace(training=True, num_key_value_groups=3, is_causal=True)

    def learned(attend, dtype):
        inputs = [each.bfloat16().to(dtype).requires_grad_() for each in heads]
        out, _ = attend(module, *inputs, None, scaling=0.25)
        out.backward(grad.to(dtype))
        return [out, *(each.grad for each in inputs)]

    exact = learned(sdpa_attention_forward, torch.float32)
    torchs = learned(sdpa_attention_forward, torch.bfloat16)
    ours = learned(attention.attend, torch.bfloat16)
    assert bool(calls) == (tokens <= attention.SHORT)
    for expected, theirs, found in zip(exact, torchs, ours, strict=True):
        error, allowed = ((each.float() - expected).norm() for each in (found, theirs))
        assert error <= 1.5 * allowed + 0.005 * expected.norm()


def test_blocks_and_norms_of_a_decoder_are_recognized():
    """Of each layer one block and two norms, and the last norm."""
    modules = list(tuned().modules())
    assert sum(map(is_gated, modules)) == 2
    assert sum(map(is_rms_norm, modules)) == 5


def test_dropout_drops_its_share_and_follows_seed_row_and_layer():
    x = torch.ones(1, 300, 1001)
    values = x.numel()

    def mask(seed=1, row=0, layer=0):
        dropout = drawn(0.2, values, [row], layers=2, seed=seed, dtype=torch.float32)
        return dropout.cut(layer).mask(x)

    one = mask()
    assert set(one.unique().tolist()) == {0.0, 1.0} and one.mean() == pytest.approx(0.8, abs=0.005)
    assert torch.equal(mask(), one)
    for other in (mask(seed=2), mask(row=1), mask(layer=1)):
        # As like as two draws are: both keep 64 %, both drop 4 %.
        assert (other == one).float().mean() == pytest.approx(0.68, abs=0.01)
    # No column is favoured.
    assert one[0].mean(0).std() == pytest.approx((0.2 * 0.8 / 300) ** 0.5, rel=0.15)


def test_the_dropout_of_a_row_depends_on_no_other_row_and_on_no_padding():
    together = drawn(0.5, 200, (4, 1, 2)).cut(0).mask(torch.empty(3, 10, 20))
    for place, row in ((0, 4), (1, 1), (2, 2)):
        alone = drawn(0.5, 200, [row]).cut(0).mask(torch.empty(1, 7, 20))
        assert torch.equal(together[place, :7], alone[0])


def test_with_dropout_the_output_is_right_on_average():
    torch.manual_seed(0)
    layer = next(m for m in tuned(0.5).modules() if hasattr(m, "lora_A"))
    x = torch.randn(1, 4, 32)
    expected = layer.eval()(x)
    layer.train()
    outputs = []
    for step in range(40):
        dropout = drawn(0.5, 128, [0], layers=100, seed=step, dtype=torch.float32)
        outputs += [FastLora(layer, dropout, number)(x) for number in range(100)]
    mean = torch.stack(outputs).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_plain_is_left_to_peft(dtype):
    ids = torch.arange(12).view(1, 12)
    theirs, ours = tuned(dtype=dtype), tuned(dtype=dtype)
    speed_up(ours, 0.0, 12)
    # Attention has a test of its own.
    ours.get_base_model().set_attn_implementation("sdpa")
    with theirs.disable_adapter(), ours.disable_adapter():
        without = ours(input_ids=ids).logits
        assert torch.equal(without, theirs(input_ids=ids).logits)
    assert not torch.equal(ours(input_ids=ids).logits, without)
    assert torch.equal(ours.eval()(input_ids=ids).logits, theirs.eval()(input_ids=ids).logits)

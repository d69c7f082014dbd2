"""The written-out step of a Qwen2 model gives the logits of the plain path."""

import pytest
import torch
from support import SMALL
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from cookbook.service.engine.adapters import Adapters
from cookbook.service.engine.batch import stepper
from cookbook.service.engine.fast import decode, packed

SIZES = SMALL | {"vocab_size": 50, "attn_implementation": "sdpa"}
MODELS = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "tied": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True)),
    "another": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
}


@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_a_step_gives_the_logits_of_the_whole_text(name, fast, monkeypatch):
    monkeypatch.setenv("COOKBOOK_FAST", fast)
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    for bias in (p for n, p in model.named_parameters() if "bias" in n):
        torch.nn.init.normal_(bias)
    step = stepper(model, Adapters(model))
    assert isinstance(step, decode.Qwen2Step) == (fast == "1" and name != "another")
    ids, mask = torch.randint(50, (3, 9)), torch.ones(3, 9, dtype=torch.long)
    mask[1, :4] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    model(
        input_ids=ids[:, :6],
        attention_mask=mask[:, :6],
        position_ids=positions[:, :6],
        past_key_values=cache,
    )
    for at in range(6, 9):
        found = step(ids[:, at], positions[:, at], mask[:, : at + 1], cache)
        whole = model(
            input_ids=ids[:, : at + 1],
            attention_mask=mask[:, : at + 1],
            position_ids=positions[:, : at + 1],
        )
        torch.testing.assert_close(found, whole.logits[:, -1], atol=1e-4, rtol=1e-4)
    assert cache.get_seq_length() == 9


@torch.inference_mode()
def test_joined_projections_take_no_memory_of_their_own():
    model = MODELS["qwen2"]().eval()
    decode.Qwen2Step(model, Adapters(model))
    first = model.model.layers[0].self_attn
    assert (
        first.k_proj.weight.data_ptr() - first.q_proj.weight.data_ptr()
        == 4 * first.q_proj.weight.numel()
    )


@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_packed_weights_give_the_logits_of_plain_ones(tied):
    torch.manual_seed(0)
    config = Qwen2Config(**SIZES, tie_word_embeddings=tied)
    model = Qwen2ForCausalLM(config).eval().bfloat16()
    if not packed.applies(model.lm_head):
        pytest.skip("this machine does not compute in bfloat16")
    ids = torch.randint(50, (3, 9))
    plain = model(input_ids=ids).logits
    step = stepper(model, Adapters(model))
    # The prompt is read by the model itself, with the packed weights.
    cache = DynamicCache(config=config)
    read = model(input_ids=ids[:, :8], past_key_values=cache)
    torch.testing.assert_close(read.logits, plain[:, :8])
    found = step(ids[:, 8], torch.full((3,), 8), torch.ones(3, 9), cache)
    torch.testing.assert_close(found, plain[:, 8], atol=0.02, rtol=0.02)


@torch.inference_mode()
def test_packed_weights_take_the_place_of_plain_ones():
    model = Qwen2ForCausalLM(Qwen2Config(**SIZES)).eval().bfloat16()
    if not packed.applies(model.lm_head):
        pytest.skip("this machine does not compute in bfloat16")
    decode.Qwen2Step(model, Adapters(model))
    left = {name.rpartition(".")[0] for name, _ in model.named_parameters() if "weight" in name}
    assert not [name for name in left if "proj" in name or "lm_head" in name]

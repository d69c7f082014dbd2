"""Adapters side by side say what PEFT says of each alone."""

import os
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support import SMALL
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from cookbook.errors import ModelError
from cookbook.service.engine.adapters import Adapters, adapter_files
from cookbook.service.engine.batch import stepper

SIZES = SMALL | {"vocab_size": 50}
RANKS = (2, 8, 4, 3, 5, 2)
ON_FEWER_LAYERS = {
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "one-layer": {"target_modules": ["model.layers.1.mlp.down_proj"]},
    "rslora": {"target_modules": ["o_proj", "up_proj"], "use_rslora": True},
}


def base(kind="qwen2", **sizes):
    torch.manual_seed(0)
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**SIZES | sizes)).eval()
    return Qwen2ForCausalLM(Qwen2Config(**SIZES | sizes)).eval()


def write_adapter(kind, folder, rank, alpha, **settings):
    """Let PEFT write an adapter that says something."""
    usual = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = get_peft_model(base(kind), LoraConfig(r=rank, lora_alpha=alpha, **usual | settings))
    for name, p in model.named_parameters():
        if "lora_B" in name:  # it begins at zero, where all are alike
            torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """PEFT's own folders, for either kind of model."""
    found = {}
    for kind in ("qwen2", "llama"):
        for i, rank in enumerate(RANKS):
            found[kind, i] = tmp_path_factory.mktemp("adapters") / f"{kind}{i}"
            write_adapter(kind, found[kind, i], rank, 3 + i)
        for name, settings in ON_FEWER_LAYERS.items():
            found[kind, name] = tmp_path_factory.mktemp("adapters") / f"{kind}-{name}"
            write_adapter(kind, found[kind, name], 4, 16, **settings)
    return found


def alone(kind, folder, ids):
    """The logits after each row, as PEFT has them."""
    model = PeftModel.from_pretrained(base(kind), folder) if folder else base(kind)
    return model(input_ids=ids).logits[:, -1]


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@torch.inference_mode()
def test_each_row_has_its_own_adapter_in_the_prompt_and_in_each_token(folders, kind):
    model = base(kind)
    adapters = Adapters(model)
    step = stepper(model, adapters)
    names = [*range(len(RANKS)), *ON_FEWER_LAYERS]
    loaded = {i: adapters.load(folders[kind, i]) for i in names} | {None: None}
    # More than stay side by side, in changing company, the base alone among them.
    companies = [[0, None, 1, 0], [None, None], [2, 1], [5, 4, 3, 2, 1, 0], [3]]
    # Alone, together without a layer that all leave out, and beside one that has them all.
    companies += [["attention"], ["rslora"], ["one-layer", "attention", None]]
    companies += [["attention", 0, "one-layer", None, "rslora"]]
    for company in companies:
        ids = torch.randint(50, (len(company), 7))
        mask = torch.ones_like(ids)
        cache = DynamicCache(config=model.config)
        adapters.use([loaded[i] for i in company])
        prompt = model(input_ids=ids[:, :6], past_key_values=cache).logits[:, -1]
        token = step(ids[:, 6], torch.full((len(company),), 6), mask, cache)
        for row, i in enumerate(company):
            folder = None if i is None else folders[kind, i]
            for found, length in ((prompt, 6), (token, 7)):
                want = alone(kind, folder, ids[row : row + 1, :length])[0]
                torch.testing.assert_close(found[row], want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sizes", [{"hidden_size": 16}, {"num_hidden_layers": 3}])
def test_an_adapter_of_another_base_is_refused(folders, sizes):
    with pytest.raises(ModelError, match="COOKBOOK_BASE_MODEL"):
        Adapters(base(**sizes)).load(folders["qwen2", 0])


def test_a_layer_that_no_adapter_has_costs_nothing(folders):
    model = base()
    adapters = Adapters(model)
    partial, full = adapters.load(folders["qwen2", "attention"]), adapters.load(folders["qwen2", 0])
    mlp = model.model.layers[0].mlp
    x, out = torch.zeros(1, 32), torch.zeros(1, 128)
    adapters.use([partial])
    assert adapters.add(out, x, mlp.gate_proj, mlp.up_proj) is out
    adapters.use([full])
    assert adapters.add(out, x, mlp.gate_proj, mlp.up_proj) is not out


@pytest.mark.parametrize("part", ["q_proj", "layers.1."])
def test_a_layer_that_the_settings_name_must_be_there(folders, tmp_path, part):
    shutil.copytree(folders["qwen2", "attention"], tmp_path / "a")
    weights = load_file(tmp_path / "a" / "adapter_model.safetensors")
    fewer = {name: weight for name, weight in weights.items() if part not in name}
    save_file(fewer, tmp_path / "a" / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="COOKBOOK_BASE_MODEL"):
        Adapters(base()).load(tmp_path / "a")


def test_folders_that_share_their_files_are_one_adapter(folders, tmp_path):
    first = folders["qwen2", 0]
    linked, copied = tmp_path / "linked", tmp_path / "copied"
    shutil.copytree(first, linked, copy_function=os.link)
    shutil.copytree(first, copied)
    assert adapter_files(linked) == adapter_files(first)
    assert adapter_files(copied) != adapter_files(first)
    # Written anew, or gone.
    (linked / "adapter_config.json").unlink()
    assert adapter_files(linked) == (linked,)
    shutil.copy(first / "adapter_config.json", linked)
    assert adapter_files(linked) != adapter_files(first)

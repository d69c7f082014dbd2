"""Base models other than the tiny one: any Qwen2.5-style checkpoint, else a clear sentence."""

import json
import queue
import shutil
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import write_base
from tiny_base.cut_vocabulary import make_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config

from cookbook import tokens
from cookbook.bases import Base, installed
from cookbook.errors import BaseAway, MemoryShort, ModelError, OutOfMemory
from cookbook.params import Hyperparameters
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine.generate import Engine
from cookbook.service.engine.load import load, tokenizer_of
from cookbook.service.engine.train import train
from cookbook.service.events import Finished


@pytest.fixture(scope="module")
def full_base(tmp_path_factory):
    """A checkpoint of another size with Qwen2.5's whole vocabulary, as a reader's own might be."""
    folder = tmp_path_factory.mktemp("base") / "Full-Vocabulary-Instruct"
    sizes = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
    }
    more = {"num_key_value_heads": 1, "max_position_embeddings": 256, "tie_word_embeddings": False}
    return write_base(folder, make_tokenizer(None), **sizes, **more)


def test_a_folder_becomes_the_first_base_and_the_tiny_one_stays(full_base, monkeypatch):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(full_base))
    assert [b.id for b in installed()] == ["Full-Vocabulary-Instruct", "cookbook/tiny-zh"]
    assert installed()[0].learning_rate_scale == 1


def test_it_has_qwens_whole_vocabulary(full_base):
    _, tokenizer = load(Base("full", str(full_base)))
    assert len(tokenizer) == 151_646
    text = "降维打击，鑫淼 🙂 Ωmega 12345"
    assert len(tokenizer(text)["input_ids"]) == tokens.count(text)


def test_it_is_tuned_and_the_adapter_answers(full_base, row, tmp_path):
    base = Base("full", str(full_base))
    hp = Hyperparameters(n_epochs=1, batch_size=2, lora_rank=2, lora_alpha=4).to_dict()
    *_, done = train(
        base, [row(user=f"问题{i}") for i in range(4)], [row()], hp, folder=tmp_path / "job"
    )
    assert isinstance(done, Finished) and done.update_norm > 0
    engine, pieces = Engine(), queue.Queue()
    engine.start()
    messages = [{"role": "user", "content": "你好"}]
    engine.submit(ChatRequest(base, done.folder, messages, max_tokens=4, temperature=0), pieces.put)
    while not (piece := pieces.get(timeout=60)).finish_reason:
        assert not piece.error


@pytest.mark.parametrize(
    "more, remedy",
    [({}, "pip install -U transformers"), ({"auto_map": {"AutoModel": "x"}}, "自带代码")],
)
def test_a_type_that_transformers_does_not_know_is_named(tmp_path, small_base, more, remedy):
    folder = shutil.copytree(small_base.source, tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "superllm"} | more
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"superllm.*{remedy}|{remedy}.*superllm"):
        tokenizer_of(Base("mine", str(folder)))


def test_where_the_hub_cannot_be_reached_the_remedies_are_named():
    with pytest.raises(BaseAway, match="HF_ENDPOINT") as caught:
        load(Base("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"))
    assert "本地文件夹" in str(caught.value)


def test_what_does_not_fit_into_memory_is_refused_before_loading(full_base, monkeypatch):
    free = psutil.virtual_memory()._replace(available=200 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MemoryShort, match=r"约需 0\.\d GB，现在空闲 0\.2 GB"):
        load(Base("full", str(full_base)))
    # More than the machine has: waiting would be in vain.
    small = free._replace(total=300 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    with pytest.raises(OutOfMemory, match=r"一共 0\.3 GB"):
        load(Base("full", str(full_base)))


def test_a_base_without_a_chat_template_is_refused(small_base, tmp_path):
    model, tokenizer = load(small_base)
    tokenizer.chat_template = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="chat template") as caught:
        load(Base("x", str(tmp_path)))
    assert type(caught.value) is ModelError


@pytest.mark.parametrize(
    "spoilt, content",
    [
        ("config.json", None),
        ("config.json", b"{}"),
        ("config.json", b"\xa5" * 99),
        ("model.safetensors", None),
        ("model.safetensors", b"\xa5" * 99),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xa5" * 99),
    ],
)
def test_a_folder_that_is_no_whole_base_is_refused_for_good(small_base, tmp_path, spoilt, content):
    shutil.copytree(small_base.source, tmp_path / "base")
    file = tmp_path / "base" / spoilt
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(Base("x", str(tmp_path / "base")))
    assert type(caught.value) is ModelError


def test_a_base_that_is_not_there_is_explained(tmp_path):
    with pytest.raises(BaseAway, match="HF_ENDPOINT"):
        load(Base("x", str(tmp_path / "nowhere")))


def test_weights_that_are_not_all_there_are_refused(small_base, tmp_path):
    shutil.copytree(small_base.source, tmp_path / "base")
    file = tmp_path / "base" / "model.safetensors"
    weights = load_file(file)
    weights.pop("model.norm.weight")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"缺 model\.norm\.weight"):
        load(Base("x", str(tmp_path / "base")))


def test_a_tokenizer_of_another_model_is_refused(full_base, small_base, tmp_path):
    shutil.copytree(small_base.source, tmp_path / "base")
    for file in Path(full_base).glob("*token*"):
        shutil.copy(file, tmp_path / "base")
    with pytest.raises(ModelError, match="分词器和权重不是一套"):
        tokenizer_of(Base("x", str(tmp_path / "base")))


def test_a_decoder_that_is_built_in_another_way_is_refused(small_base, tmp_path):
    shutil.copytree(small_base.source, tmp_path / "base")
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 64}
    vocabulary = Qwen2Config.from_pretrained(small_base.source).vocab_size
    GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **sizes)).save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match=r"gpt2.*Qwen2\.5"):
        load(Base("x", str(tmp_path / "base")))

"""What is wrong with an export is said in one sentence, and nothing is left behind."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import SMALL, write_base
from transformers import AutoTokenizer

from cookbook.__main__ import main
from cookbook.errors import ArgumentError, BaseAway, ModelError
from cookbook.exports import export, gguf_file, take_home
from cookbook.imports import import_model
from cookbook.paths import DATA, Home
from cookbook.service.store import Store, TunedModel

NAME = "ft:LoRA/cookbook/tiny-zh:local:kefu:abcdefghijklmnopqrst"
FORMS = ("peft", "merged", "gguf", "ollama")


@pytest.fixture
def kept(tmp_path):
    """A data folder with one model, as an import leaves it; `kept.folder` is its adapter."""
    kept = Home(tmp_path / "home")
    kept.models.mkdir(parents=True)
    add_model(kept, NAME, "adapter")
    return kept


def add_model(kept, name, folder, base="cookbook/tiny-zh"):
    """Write an adapter on two layers of the tiny base, and list it."""
    path = kept.models / folder
    path.mkdir()
    width = json.loads((DATA / "models/tiny-zh/config.json").read_text())["hidden_size"]
    layer = "base_model.model.model.layers.0.self_attn.{}_proj.lora_{}.weight"
    tensors = {}
    for part in ("q", "o"):
        tensors[layer.format(part, "A")] = torch.ones(2, width)
        tensors[layer.format(part, "B")] = torch.ones(width, 2)
    save_file(tensors, path / "adapter_model.safetensors")
    targets = [f"layers.0.self_attn.{part}_proj" for part in ("q", "o")]
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": targets}
    write_config(path, config | {"base_model_name_or_path": f"local:{base}"})
    model = TunedModel(0, name, f"ftjob-{folder}", base, 1_800_000_000, 1, folder, {})
    assert Store(kept.database).add_found_model(model)
    return path


def write_config(path, config):
    (path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def refused(kept, tmp_path, form="merged", name="kefu", error=ModelError, match=""):
    """Assert that an export fails with this sentence, of one line, and leaves nothing."""
    (tmp_path / "out").mkdir(exist_ok=True)
    with pytest.raises(error, match=match) as caught:
        export(name, tmp_path / "out" / "mine", form, home=kept.folder)
    assert list((tmp_path / "out").iterdir()) == []
    return str(caught.value)


def test_a_model_that_was_not_trained_here_is_exported_and_its_card_says_so(kept, tmp_path):
    for form in FORMS:
        done = export("kefu", tmp_path / form, form, home=kept.folder)
        card = (tmp_path / form / "README.md").read_text(encoding="utf-8")
        assert "README.md" in done.files and "不知道：模型是在别处训练的" in card
        assert str(done).startswith(f"✔ {NAME}")


def test_a_model_that_went_to_another_service_is_the_same_there(kept, tmp_path):
    there = Home(tmp_path / "there")
    export("kefu", tmp_path / "kefu", home=kept.folder, zip=True)
    model = import_model(tmp_path / "kefu.zip", home=there.folder).model
    for name, folder in ((NAME, kept.folder), (model, there.folder)):
        export(name, tmp_path / folder.name / "merged", "merged", home=folder)
    files = [tmp_path / name / "merged" / "model.safetensors" for name in ("home", "there")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_there_already_is_never_written_over(kept, tmp_path):
    for name in ("folder", "file.zip"):
        path = tmp_path / name
        path.mkdir() if name == "folder" else path.write_text("mine")
        with pytest.raises(ArgumentError, match="已经存在，不会覆盖"):
            export("kefu", path, home=kept.folder, zip=name != "folder")
    with pytest.raises(ArgumentError, match="没有文件夹"):
        export("kefu", tmp_path / "a" / "b", home=kept.folder)
    assert list((tmp_path / "folder").iterdir()) == []
    assert (tmp_path / "file.zip").read_text() == "mine"


@pytest.mark.parametrize("zip", [False, True])
def test_what_comes_to_be_there_meanwhile_is_not_written_over_either(
    kept, tmp_path, monkeypatch, zip
):
    target = tmp_path / ("mine.zip" if zip else "mine")
    run = take_home.Writing.run

    def slowly(job):
        notes = run(job)
        target.mkdir()
        (target / "theirs").write_text("theirs")
        return notes

    monkeypatch.setattr(take_home.Writing, "run", slowly)
    with pytest.raises(ArgumentError, match="已经存在，不会覆盖"):
        export("kefu", target, home=kept.folder, zip=zip)
    assert (target / "theirs").read_text() == "theirs"
    assert sorted(tmp_path.iterdir()) == [kept.folder, target]


def test_a_place_where_nothing_can_be_made_is_a_sentence(kept, tmp_path):
    for name in ("x" * 250, "x" * 300):
        with pytest.raises(ArgumentError, match="建不了 x+（.+）：换一个地方或名字") as caught:
            export("kefu", tmp_path / name, home=kept.folder)
        assert "COOKBOOK_HOME" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [kept.folder]


def test_a_type_of_ggufs_is_not_dropped_silently(kept, tmp_path):
    for form in ("peft", "merged"):
        with pytest.raises(ArgumentError, match=f"{form} 用不上：去掉 --type"):
            export("kefu", tmp_path / "mine", form, type="q8_0", home=kept.folder)


def test_the_commands_name_a_folder_that_a_shell_finds(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    done = export("kefu", "~/mine", "merged", home=kept.folder)
    assert done.folder == tmp_path / "mine" and "~" not in str(done)


def test_no_path_that_a_tool_has_written_is_handed_on(kept, tmp_path):
    path = kept.models / "adapter"
    config = json.loads((path / "adapter_config.json").read_text())
    write_config(path, config | {"base_model_name_or_path": "/home/anna/base"})
    settings = {"name_or_path": "/home/anna/base", "model_max_length": 512}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    export("kefu", tmp_path / "mine", home=kept.folder)
    for file in (tmp_path / "mine").iterdir():
        assert b"anna" not in file.read_bytes(), file
    left = json.loads((tmp_path / "mine" / "tokenizer_config.json").read_text())
    assert left == {"model_max_length": 512}


def test_a_name_that_no_model_has_lists_those_there_are(kept, tmp_path):
    said = refused(kept, tmp_path, name="kef", error=ArgumentError, match="没有模型 kef")
    assert NAME in said
    other = NAME.replace("abcdef", "bbbbbb")
    add_model(kept, other, "second")
    said = refused(kept, tmp_path, error=ArgumentError, match="有 2 个模型")
    assert NAME in said and other in said
    with pytest.raises(ArgumentError, match="还没有模型"):
        export("kefu", tmp_path / "x", home=tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_adapter_is_named(kept, tmp_path, form):
    weights = kept.models / "adapter" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    refused(kept, tmp_path, form, match="adapter_model.safetensors 损坏了")
    weights.unlink()
    refused(kept, tmp_path, form, match="缺 adapter_model.safetensors")
    weights.write_bytes(whole)
    (kept.models / "adapter" / "adapter_config.json").write_text("{")
    refused(kept, tmp_path, form, match="adapter_config.json 损坏了")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": 3}, "r"),
        ({"lora_alpha": 10**400}, "lora_alpha"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"target_parameters": ["x"]}, "target_parameters"),
        ({"peft_type": "IA3"}, "peft_type"),
    ],
)
def test_an_adapter_that_computes_something_else_is_not_merged(kept, tmp_path, change, match):
    path = kept.models / "adapter"
    config = json.loads((path / "adapter_config.json").read_text()) | change
    write_config(path, config)
    refused(kept, tmp_path, match=f"不能合并的部分.*{match}")
    export("kefu", tmp_path / "as-it-is", home=kept.folder)


def test_weights_that_are_not_numbers_are_not_merged(kept, tmp_path):
    weights = kept.models / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, weights)
    refused(kept, tmp_path, match="NaN")


def test_an_adapter_of_another_base_is_named_with_its_layer(kept, tmp_path, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    small = write_base(tmp_path / "small", tokenizer)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(small))
    name = NAME.replace("kefu", "other")
    add_model(kept, name, "other", base="small")
    refused(kept, tmp_path, name="other", match=r"o_proj.*\[256, 256\].*\[32, 32\]")


def test_a_base_that_is_away_is_asked_for(kept, tmp_path):
    path = add_model(kept, NAME.replace("kefu", "far"), "far", base="Qwen/Qwen2.5-7B-Instruct")
    refused(kept, tmp_path, name="far", error=BaseAway, match="COOKBOOK_BASE_MODEL")
    config = json.loads((path / "adapter_config.json").read_text())
    # The name of a hub's model is not marked as local.
    write_config(path, config | {"base_model_name_or_path": "Qwen/Qwen2.5-7B-Instruct"})
    refused(kept, tmp_path, name="far", error=BaseAway, match="pull Qwen/Qwen2.5-7B-Instruct")
    done = export("far", tmp_path / "far", home=kept.folder)
    card = (tmp_path / "far" / "README.md").read_text(encoding="utf-8")
    assert 'base_model: "Qwen/Qwen2.5-7B-Instruct"' in card and "`Apache-2.0`" in card
    assert "vllm serve Qwen/Qwen2.5-7B-Instruct" in str(done)


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("config.json", {"model_type": "mistral"}, "model_type = 'mistral'"),
        ("config.json", {"hidden_act": "gelu"}, "hidden_act"),
        ("config.json", {"use_sliding_window": True}, "use_sliding_window"),
        ("config.json", {"rope_parameters": {"rope_type": "yarn"}}, "rope_type = 'yarn'"),
        ("tokenizer.json", {"decoder": {"type": "Replace"}}, "sentencepiece"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
        ("tokenizer.json", {"pre_tokenizer": 5}, "tokenizer.json"),
        ("tokenizer.json", {"added_tokens": [5]}, "tokenizer.json"),
        ("config.json", {"vocab_size": None}, "vocab_size = None"),
        ("config.json", {"rms_norm_eps": "1e-6"}, "rms_norm_eps = '1e-6'"),
    ],
)
def test_a_base_that_llama_cpp_may_read_in_another_way_is_not_written(
    tmp_path, file, change, match
):
    folder = tmp_path / "base"
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    write_base(folder, tokenizer, **SMALL)
    found = json.loads((folder / file).read_text(encoding="utf-8")) | change
    (folder / file).write_text(json.dumps(found), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with pytest.raises(ModelError, match="convert_hf_to_gguf") as caught:
        gguf_file.check(folder, config, "small")
    assert match in str(caught.value)


def test_settings_of_a_tokenizer_that_cannot_be_read_are_not_left_out(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    write_base(tmp_path / "base", tokenizer, **SMALL)
    (tmp_path / "base" / "tokenizer_config.json").write_text('{"eos_token": }')
    config = json.loads((tmp_path / "base" / "config.json").read_text(encoding="utf-8"))
    with pytest.raises(ModelError, match=r"tokenizer_config\.json"):
        gguf_file.check(tmp_path / "base", config, "small")


def test_without_the_package_gguf_the_command_that_installs_it_is_named(
    kept, tmp_path, monkeypatch
):
    monkeypatch.setattr(gguf_file, "PACKAGE", "not_there_at_all")
    refused(kept, tmp_path, "gguf", match="pip install gguf")


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
from cookbook.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
@pytest.mark.parametrize("form", ["merged", "gguf"])
def test_a_disk_that_becomes_full_midway_leaves_nothing(kept, tmp_path, form):
    out = tmp_path / "out"
    out.mkdir()
    words = ["export", "kefu", str(out / "mine"), "--as", form, "--home", str(kept.folder)]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 1 and list(out.iterdir()) == []
    assert "磁盘空间不够，没有导出" in ended.stderr and "Traceback" not in ended.stderr


def test_the_command_prints_what_runs_the_model(kept, tmp_path, capsys):
    words = ["kefu", str(tmp_path / "mine"), "--as", "ollama", "--home", str(kept.folder)]
    assert main(["export", *words]) == 0
    said = capsys.readouterr().out
    assert f"ollama create kefu -f {tmp_path}/mine/Modelfile" in said
    assert f"lms import --copy {tmp_path}/mine/kefu-f16.gguf" in said
    assert main(["export", *words]) == 1
    assert "已经存在" in capsys.readouterr().err

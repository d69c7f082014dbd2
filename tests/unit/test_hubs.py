"""Names, caches and checkpoints of base models, without network."""

import json
import struct

import pytest

from cookbook import base_files, bases, chosen_base, connect
from cookbook.errors import ArgumentError, BaseAway, ModelError
from cookbook.hubs import cache, names, progress, ready

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
SINGLE = base_files.SINGLE
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))


def weights(content=b"\0" * 8):
    """Return a file of weights whose header announces eight bytes."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + content


def write(folder, **changed):
    """Write a checkpoint of a chat model; a test overrides one file, and None leaves it out."""
    settings = {"chat_template": "{{ x }}<|im_end|>", "eos_token": "<|im_end|>"}
    files = {
        "config.json": '{"model_type": "qwen2"}',
        "tokenizer.json": "{}",
        "tokenizer_config.json": json.dumps(settings),
        "model.safetensors": weights(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files | changed).items():
        if content is not None:
            content = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(content)
    return folder


def snapshot():
    """Return the folder of a version in Hugging Face's cache, which `refs/main` names."""
    root = cache.huggingface_folder(MODEL)
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    return root / "snapshots" / COMMIT


@pytest.mark.parametrize(
    "given, hub, revision",
    [
        (MODEL, None, None),
        (f"  '{MODEL}/' ", None, None),
        ("Ｑｗｅｎ／Ｑｗｅｎ２．５－０．５Ｂ－Ｉｎｓｔｒｕｃｔ", None, None),
        (f"https://huggingface.co/{MODEL}", "huggingface", None),
        (f"https://hf-mirror.com/{MODEL}/tree/v1?x=1", "huggingface", "v1"),
        (f"huggingface.co/{MODEL}/blob/main/config.json", "huggingface", "main"),
        (f"https://www.modelscope.cn/models/{MODEL}/files", "modelscope", None),
    ],
)
def test_a_name_is_read_as_people_type_and_paste_it(given, hub, revision):
    assert names.read(given) == names.Name(MODEL, hub, revision)


@pytest.mark.parametrize(
    "given, remedy",
    [
        ("Qwen2.5-0.5B-Instruct", MODEL),
        ("Qwen / Qwen2.5-0.5B-Instruct", MODEL),
        ("通义千问", "组织/名字"),
        ("https://huggingface.co/datasets/a/b", "datasets"),
        ("https://huggingface.co/Qwen", "没有模型名"),
        ("../../etc/passwd", "组织/名字"),
    ],
)
def test_what_is_not_a_name_is_refused_with_one_that_is(given, remedy):
    with pytest.raises(ArgumentError, match=remedy.replace(".", r"\.")):
        names.read(given, bases.known_names())


@pytest.mark.parametrize("place", [snapshot, lambda: cache.modelscope_folder(MODEL)])
def test_a_base_is_found_in_the_cache_of_each_hub_and_keeps_its_name(place, monkeypatch):
    folder = write(place())
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", MODEL)
    base = bases.installed()[0]
    assert (base.source, base.is_missing) == (str(folder), False)
    assert base.reference == base.id == MODEL
    assert ready.fault(MODEL) is None


def test_a_whole_copy_is_preferred_to_half_a_one():
    write(snapshot(), **{"model.safetensors": weights(b"")})
    whole = write(cache.modelscope_folder(MODEL))
    assert cache.find(MODEL).folder == whole


@pytest.mark.parametrize("setting", [MODEL, f"https://huggingface.co/{MODEL}"])
def test_connect_names_the_command_for_a_base_that_is_not_there(setting, monkeypatch):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", setting)
    with pytest.raises(BaseAway, match=f"python -m cookbook pull {MODEL}$"):
        connect()


@pytest.mark.parametrize(
    "name, content",
    [
        ("model.safetensors", None),
        ("model.safetensors", weights(b"\0" * 7)),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        ("tokenizer.json", None),
    ],
)
def test_connect_says_what_half_a_download_lacks(name, content, monkeypatch):
    write(snapshot(), **{name: content})
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", MODEL)
    with pytest.raises(BaseAway, match=f"{name}.*断点.*python -m cookbook pull"):
        connect()


@pytest.mark.parametrize("around", ["{}", '"{}"', "'{}'", " {} ", '" {} "'])
def test_quotes_and_spaces_around_a_folder_are_not_part_of_it(around, tmp_path, monkeypatch):
    folder = write(tmp_path / "模型 1")
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", around.format(folder))
    assert bases.chosen() == bases.installed()[0].source == str(folder.resolve())
    assert ready.fault(around.format(folder).strip(" '\"")) is None


@pytest.mark.parametrize("setting", ["", "  ", '""'])
def test_an_empty_setting_chooses_no_base(setting, monkeypatch):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", setting)
    assert bases.chosen() is None and bases.installed()[0].is_shipped
    chosen_base.check()


@pytest.mark.parametrize(
    "name, content, message",
    [("q4.gguf", "GGUF", "GGUF 文件.*原版"), ("model.zip", "PK", "是文件，不是文件夹")],
)
def test_a_file_is_not_taken_for_a_folder(name, content, message, tmp_path, monkeypatch):
    (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(tmp_path / name))
    with pytest.raises(ModelError, match=message):
        connect()


def test_a_folder_that_is_typed_wrong_is_said_beside_the_command(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", "models/Tiny")
    with pytest.raises(BaseAway, match="没有文件夹 models/Tiny.*python -m cookbook pull"):
        connect()


WHOLE = {"config.json": '{"model_type": "qwen2"}'}
BROKEN = {
    "a page": ({"config.json": "<html>"}, r"config\.json 损坏"),
    "a list": ({"config.json": "[1]"}, r"config\.json 损坏"),
    "sizes of 0": ({"config.json": '{"model_type": "x", "num_attention_heads": 0}'}, "损坏"),
    "no template": ({"tokenizer_config.json": "{}"}, "没有对话模板"),
}


@pytest.mark.parametrize("files, message", BROKEN.values(), ids=BROKEN)
def test_connect_refuses_a_folder_that_no_chat_can_use(files, message, tmp_path, monkeypatch):
    folder = write(tmp_path / "mine", **WHOLE | files)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(folder))
    with pytest.raises(ModelError, match=message) as caught:
        connect()
    assert not isinstance(caught.value, BaseAway) and "mine-Instruct" not in str(caught.value)


def test_a_folder_that_cannot_be_read_is_said_with_the_reason(tmp_path, monkeypatch):
    folder = write(tmp_path / "mine", **WHOLE)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(folder))

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(chosen_base.base_files, "check_folder", refuse)
    with pytest.raises(BaseAway, match="mine：.*(权限|读)"):
        chosen_base.check()


def test_connect_says_that_a_clone_lacks_its_weights(tmp_path, monkeypatch):
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    write(tmp_path / "clone", **{"config.json": '{"model_type": "qwen2"}'}, **{SINGLE: pointer})
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(tmp_path / "clone"))
    with pytest.raises(ModelError, match="git lfs pull"):
        connect()


def test_every_part_of_the_weights_must_be_there(tmp_path):
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    parts = {"model-1-of-2.safetensors": weights(), "model.safetensors": None}
    folder = write(tmp_path / "x", **{base_files.INDEX: json.dumps(index)}, **parts)
    assert base_files.unfinished(folder) == ["model-2-of-2.safetensors"]


AWQ = {"model_type": "qwen2", "quantization_config": {"quant_method": "awq"}}
BASE = {
    "chat_template": "{{ x }}<|im_end|>",
    "eos_token": "<|endoftext|>",
    "added_tokens_decoder": {"7": {"content": "<|endoftext|>"}},
}


@pytest.mark.parametrize(
    "name, content, remedy",
    [
        ("tokenizer_config.json", {}, "没有对话模板.*X-Instruct"),
        ("tokenizer_config.json", BASE, "结束回答.*X-Instruct"),
        ("config.json", AWQ, "量化.*AWQ"),
        ("config.json", [], "config.json 损坏"),
    ],
)
def test_what_is_not_a_chat_model_is_seen_in_its_small_files(tmp_path, name, content, remedy):
    folder = write(tmp_path / "x", **{name: json.dumps(content)})
    with pytest.raises(ModelError, match=remedy):
        base_files.check_chat(folder, "Qwen/X")


def test_one_of_several_ends_of_an_answer_is_enough(tmp_path):
    settings = BASE | {"added_tokens_decoder": {"8": {"content": "<|im_end|>"}}}
    generation = {"eos_token_id": [7, 8]}
    folder = write(
        tmp_path / "x",
        **{"tokenizer_config.json": json.dumps(settings)},
        **{"generation_config.json": json.dumps(generation)},
    )
    base_files.check_chat(folder, "Qwen/X")


def test_the_speed_is_that_of_the_last_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    meter = progress.Meter(1000 * 2**20)
    assert meter.at(0, 0, "a").bytes_per_second is None
    # What was there already does not count.
    assert meter.at(100 * 2**20, 0, "a").bytes_per_second is None
    for _ in range(20):
        now[0] += 1
        received = int((now[0] - 100) * 10 * 2**20)
        last = meter.at(100 * 2**20 + received, received, "a")
    assert last.bytes_per_second == pytest.approx(10 * 2**20)
    assert progress.described(last) == "30%, 300 MB / 1000 MB, 10 MB/s，还要约 1.2 分钟"

"""What is wrong with a base's folder is found before anything of it is loaded."""

import json

import pytest

from cookbook import base_files
from cookbook.bases import Base
from cookbook.errors import ModelError
from cookbook.shapes import Shape

CONFIG = {"model_type": "qwen2", "vocab_size": 8, "hidden_size": 4}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def shard(size=64):
    header = {"__metadata__": {}, "w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def index(*names):
    weights = {f"layer.{number}": name for number, name in enumerate(names)}
    return json.dumps({"weight_map": weights}).encode()


def write(folder, **files):
    """Write a folder that is a whole base but for `files`; None leaves one out."""
    usual = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": shard(),
        "tokenizer.json": b'{"model": {}}\n',
    }
    for name, content in (usual | files).items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder


def check(folder, name="My-Base"):
    base_files.check_folder(Base(name, str(folder)), folder)


def test_whole_folders_pass(tmp_path):
    check(write(tmp_path / "one"))
    parts = {"model.safetensors": None, "a.safetensors": shard(), "b.safetensors": shard()}
    names = index("a.safetensors", "b.safetensors")
    check(write(tmp_path / "two", **parts, **{base_files.INDEX: names}))


HALF = {
    "a shard is missing": (
        {base_files.INDEX: index("model.safetensors", "model-2.safetensors")},
        r"没有下载完：缺 model-2.*（1/2）",
    ),
    "a shard is short": ({"model.safetensors": shard()[:-9]}, r"没有下载完：缺 model\.safetensors"),
    "its header is short": ({"model.safetensors": shard()[:20]}, "没有下载完"),
    "only a download": ({"model.safetensors": None, "x.incomplete": b"1"}, "没有下载完"),
    "a pointer": ({"model.safetensors": POINTER}, "git lfs pull"),
    "a pointer for config": ({"config.json": POINTER}, "git lfs pull"),
    "a pointer for the index": ({base_files.INDEX: POINTER}, "git lfs pull"),
    "no weights": ({"model.safetensors": None}, "没有权重文件"),
    "damaged weights": ({"model.safetensors": b"\xa5" * 99}, "损坏"),
    "more than its header says": ({"model.safetensors": shard() + b"1"}, "损坏"),
    "a pointer for the tokenizer": ({"tokenizer.json": POINTER}, "git lfs pull"),
    "no tokenizer": ({"tokenizer.json": None}, "没有分词器"),
    "a page for the tokenizer": ({"tokenizer.json": b"<html></html>"}, r"tokenizer\.json 损坏"),
    "a list of settings": ({"generation_config.json": b"[]"}, r"generation_config\.json 损坏"),
    "embeddings": ({"modules.json": b"[]"}, "向量模型"),
    "a size of 0": ({"config.json": json.dumps(CONFIG | {"hidden_size": 0}).encode()}, "损坏"),
    "a size in words": (
        {"config.json": json.dumps(CONFIG | {"hidden_size": "4"}).encode()},
        "损坏",
    ),
    "a kind in no words": (
        {"config.json": json.dumps(CONFIG | {"model_type": [1]}).encode()},
        "损坏",
    ),
    "an empty file": ({"model.safetensors": b""}, "损坏"),
    "a damaged index": ({base_files.INDEX: b"{}"}, r"index\.json 损坏"),
    "pickles": ({"model.safetensors": None, "pytorch_model.bin": b"1"}, "pickle.*safetensors"),
    "gguf": ({"model.safetensors": None, "q4.gguf": b"GGUF"}, "GGUF.*原版"),
    "gguf alone": (
        {"config.json": None, "model.safetensors": None, "q4.gguf": b"GGUF"},
        "GGUF.*原版",
    ),
    "an adapter": ({"config.json": None, "adapter_config.json": b"{}"}, "LoRA 适配器"),
    "a folder too high": (
        {"config.json": None, "snapshots/abc/config.json": b"{}"},
        r"模型在它下面的 snapshots.abc",
    ),
    "no config": ({"config.json": None}, r"没有 config\.json"),
    "half a config": ({"config.json": b'{"model_type": "qw'}, r"config\.json 损坏"),
    "a config of another kind": ({"config.json": b"[1]"}, r"config\.json 损坏"),
    "an empty config": ({"config.json": b"{}"}, r"config\.json 损坏"),
}


@pytest.mark.parametrize("files, message", HALF.values(), ids=HALF)
def test_a_folder_that_is_not_whole_is_refused_with_its_remedy(tmp_path, files, message):
    with pytest.raises(ModelError, match=message) as caught:
        check(write(tmp_path, **files))
    assert type(caught.value) is ModelError and "\n" not in str(caught.value)


WHOLE = CONFIG | {
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
IMPOSSIBLE = [
    {"head_dim": 0},
    {"head_dim": -64},
    {"head_dim": "64"},
    {"head_dim": 2**40},
    {"hidden_size": True},
    {"hidden_size": 5},
    {"intermediate_size": 8.0},
    {"num_hidden_layers": 10**6},
    {"num_hidden_layers": None},
    {"num_attention_heads": 4, "num_key_value_heads": 3},
    {"num_experts": "8"},
    {"num_experts_per_tok": [2]},
    {"tie_word_embeddings": "false"},
    {"layer_types": 3},
    {"layer_types": ["full_attention"]},
    {"max_position_embeddings": "many"},
]


@pytest.mark.parametrize("changed", IMPOSSIBLE, ids=str)
def test_sizes_that_cannot_be_are_named_before_download_and_loading(tmp_path, changed):
    config = WHOLE | changed
    write(tmp_path, **{"config.json": json.dumps(config).encode()})
    entry = next(iter(changed))
    for refuse in (check, lambda folder: base_files.check_chat(folder, "My-Base")):
        with pytest.raises(ModelError, match=f"config.json 损坏.*{entry}") as caught:
            refuse(tmp_path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    # No memory is planned by them.
    assert Shape.of(config) is None


@pytest.mark.parametrize(
    "changed", [{}, {"num_experts": 0}, {"num_experts": None}, {"head_dim": None}, {"head_dim": 8}]
)
def test_sizes_that_say_nothing_unusual_are_taken(changed):
    base_files.check_kind("x", WHOLE | changed)
    assert Shape.of(WHOLE | changed).head_dim == (changed.get("head_dim") or 2)


@pytest.mark.parametrize("changed", [{"num_experts": 8}, {"n_routed_experts": 64}])
def test_a_mixture_of_experts_has_no_plan_and_is_refused_everywhere(tmp_path, changed):
    write(tmp_path, **{"config.json": json.dumps(WHOLE | changed).encode()})
    assert Shape.of(WHOLE | changed) is None
    for refuse in (check, lambda folder: base_files.check_chat(folder, "My-Base")):
        with pytest.raises(ModelError, match="MoE"):
            refuse(tmp_path)


@pytest.mark.parametrize(
    "name, method, instead",
    [
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "gptq", "换成 Qwen/Qwen2.5-7B-Instruct，"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "awq", "换成 Qwen/Qwen2.5-7B-Instruct，"),
        ("unsloth/Qwen2.5-7B-Instruct-bnb-4bit", "bitsandbytes", "Qwen2.5-7B-Instruct，"),
        ("My-Base", "fp8", "换成没有量化的原版"),
    ],
)
def test_of_a_quantized_base_the_plain_one_is_named(name, method, instead):
    config = CONFIG | {"quantization_config": {"quant_method": method}}
    with pytest.raises(ModelError, match=instead) as caught:
        base_files.check_kind(name, config)
    assert method.upper() in str(caught.value)


@pytest.mark.parametrize(
    "more, kind",
    [
        ({"is_encoder_decoder": True}, "编码器-解码器"),
        ({"vision_config": {}}, "多模态"),
        ({"num_local_experts": 8}, "MoE"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "线性注意力"),
        ({"layer_types": ["mamba"]}, "非注意力层"),
        ({"final_logit_softcapping": 30.0}, "logits"),
        ({"architectures": ["Qwen2ForSequenceClassification"]}, "不生成文本.*Classification"),
    ],
)
def test_a_kind_of_model_that_is_not_trained_here_is_named_with_what_is(more, kind):
    with pytest.raises(ModelError, match=f"{kind}.*Qwen2.5"):
        base_files.check_kind("x", CONFIG | more)


@pytest.mark.parametrize("value", ["awq", {"quant_method": None}, [1]])
def test_a_quantization_that_cannot_be_read_is_refused_too(value):
    with pytest.raises(ModelError, match="量化"):
        base_files.check_kind("x", CONFIG | {"quantization_config": value})


def test_plain_decoders_of_other_families_are_taken():
    plain = {"layer_types": ["full_attention", "sliding_attention"], "num_experts": 0}
    base_files.check_kind("x", CONFIG | plain | {"logit_scale": 1.0})


CHAT = {"chat_template.jinja": None, "tokenizer_config.json": b"{}"}
BROKEN_TEMPLATE = "{% for m in messages %}\n{{ m.content + eos_token }}\n{% endif %}"


def named(*templates):
    entries = [{"name": name, "template": text} for name, text in templates]
    return {"tokenizer_config.json": json.dumps({"chat_template": entries}).encode()}


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template.jinja": BROKEN_TEMPLATE.encode()},
        {"tokenizer_config.json": json.dumps({"chat_template": BROKEN_TEMPLATE}).encode()},
        named(("tool_use", "{{ eos_token }}"), ("default", BROKEN_TEMPLATE)),
    ],
)
def test_a_syntax_error_in_a_chat_template_is_found_with_its_line(tmp_path, files):
    write(tmp_path, **CHAT | files)
    with pytest.raises(ModelError, match="My-Base 的对话模板.*语法错误.*第 3 行.*endif") as caught:
        base_files.check_chat(tmp_path, "My-Base")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{% generation %}{{ eos_token }}{% endgeneration %}",
        "{% for m in messages %}{% break %}{% endfor %}{{ eos_token }}",
        "{{ eos_token }}{{ 'a' * 10**10 * 10**10 }}{{ raise_exception('no') }}",
    ],
)
def test_a_template_that_can_be_read_passes_and_nothing_of_it_is_run(tmp_path, text):
    base_files.check_chat(write(tmp_path, **CHAT | {"chat_template.jinja": text.encode()}), "x")


@pytest.mark.parametrize("text", ["{{ " + "(" * 9999 + "}}", "{# " + "x" * 10**6 + " #}"])
def test_a_template_that_is_too_deep_or_too_long_is_refused(tmp_path, text):
    content = f"{{{{ eos_token }}}}{text}".encode()
    write(tmp_path, **CHAT | {"chat_template.jinja": content})
    with pytest.raises(ModelError, match="对话模板"):
        base_files.check_chat(tmp_path, "x")

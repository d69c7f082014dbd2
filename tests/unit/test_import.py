"""An adapter from elsewhere becomes a model, or one sentence says why not and nothing is left."""

import io
import json
import math
import stat
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from cookbook import adapter_settings, bases
from cookbook.adapter_settings import WEIGHTS
from cookbook.errors import AdapterError, ArgumentError, DiskFull, ServiceError
from cookbook.exports.facts import Facts
from cookbook.imports import fit, import_model, settings
from cookbook.imports.weights import read_header
from cookbook.paths import Home
from cookbook.service import status
from cookbook.service.recovery import find_models, unexplained
from cookbook.service.store import Store

BASE = bases.installed()[0]
SHAPES = dict(fit.linear_layers(BASE))
Q = "model.layers.0.self_attn.q_proj"
OUT = SHAPES[Q][0]
TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": BASE.id,
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
}


def on(*ends):
    """Return the layers of the base whose names end so."""
    return [name for name in SHAPES if name.endswith(ends)]


def tensors(layers, rank=2, dtype="F32", value=0.25, shapes=SHAPES):
    """Return A and B of these layers, by PEFT's names, as (type, shape, bytes)."""
    found = {}
    for layer in layers:
        out, width = shapes[layer]
        for part, shape in (("A", (rank, width)), ("B", (out, rank))):
            filled = np.full(shape, 0x3E80 if dtype == "BF16" else value, TYPES[dtype])
            found[f"base_model.model.{layer}.lora_{part}.weight"] = (dtype, shape, filled.tobytes())
    return found


def safetensors(found):
    """Return a file of weights."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, content) in found.items():
        places = [at, at + len(content)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": places}
        at += len(content)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(part for *_, part in found.values())


def write(folder, weights=None, **config):
    """Write a PEFT folder on q_proj and v_proj; a test changes what matters to it."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: value for name, value in (CONFIG | config).items() if value is not ...}
    (folder / "adapter_config.json").write_text(json.dumps(found))
    if weights is None:
        weights = tensors(on("q_proj", "v_proj"))
    content = weights if isinstance(weights, bytes) else safetensors(weights)
    (folder / WEIGHTS).write_bytes(content)
    return folder


def zipped(path, folder, prefix="", **more):
    """Write a zip of a folder, with more entries by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def take(source, home, **options):
    return import_model(source, home=home.folder, **options)


def refused(source, home, **options):
    """Return why nothing is imported, having looked that nothing is left."""
    with pytest.raises(AdapterError) as error:
        take(source, home, **options)
    assert list(home.models.glob("*")) == [] if home.models.exists() else True
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


# What is taken


@pytest.mark.parametrize("dtype", TYPES)
def test_an_adapter_becomes_a_model_with_a_record_and_a_name_of_its_own(home, tmp_path, dtype):
    source = write(tmp_path / "orders", tensors(on("q_proj", "v_proj"), dtype=dtype))
    found = take(source, home)
    assert found.model.startswith(f"ft:LoRA/{BASE.id}:local:orders:")
    assert (found.layers, found.of_layers, found.rank) == (8, 28, 2)
    model = Store(home.database).model(found.model)
    folder = home.model_folder(model.folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"adapter_config.json", WEIGHTS, "README.md", "cookbook-model.json"}
    assert (folder / WEIGHTS).read_bytes() == (source / WEIGHTS).read_bytes()
    kept = json.loads((folder / "adapter_config.json").read_text())
    assert kept["base_model_name_or_path"] == BASE.reference
    assert kept["target_modules"] == ["q_proj", "v_proj"]


@pytest.mark.parametrize("prefix", ["", "out/"])
def test_a_zip_of_one_folder_is_taken_as_the_folder_is(home, tmp_path, prefix):
    source = write(tmp_path / "out")
    archive = zipped(tmp_path / "colleague.zip", source, prefix, **{"__MACOSX/._out": b"x"})
    found = take(archive, home, name="theirs")
    assert ":local:theirs:" in found.model
    assert take(source, home).model == found.model


def test_what_other_tools_leave_beside_it_is_named_and_never_opened(home, tmp_path):
    source = write(tmp_path / "saves")
    for name in ("optimizer.pt", "training_args.bin", "adapter_model.bin", "trainer_state.json"):
        (source / name).write_bytes(b"\x80cos\nsystem\n")
        (source / name).chmod(0)
    write(source / "checkpoint-500")
    (source / "README.md").write_text("# mine")
    found = take(source, home)
    left = ("adapter_model.bin", "checkpoint-500/", "optimizer.pt", "trainer_state.json")
    assert found.left_out == (*left, "training_args.bin")
    assert all(name in repr(found) for name in found.left_out)
    model = Store(home.database).model(found.model)
    assert (home.model_folder(model.folder) / "README.md").read_text() == "# mine"


@pytest.mark.parametrize("path", ["/home/anna/base", "C:\\anna\\base"])
def test_a_card_with_a_folder_of_another_machine_is_not_taken(home, tmp_path, path):
    source = write(tmp_path / "saves", base_model_name_or_path=path)
    (source / "README.md").write_text(f"---\nbase_model: {path}\n---\n# Model Card")
    found = take(source, home, base=BASE.id)
    assert found.left_out == ("README.md",)
    model = Store(home.database).model(found.model)
    for file in home.model_folder(model.folder).iterdir():
        assert b"anna" not in file.read_bytes()


def test_a_folder_one_level_down_is_found_and_of_several_none_is_chosen(home, tmp_path):
    write(tmp_path / "a" / "checkpoint-1")
    assert take(tmp_path / "a", home).layers == 8
    write(tmp_path / "a" / "checkpoint-2", tensors(on("q_proj", "v_proj"), value=0.5))
    with pytest.raises(AdapterError, match="checkpoint-1, checkpoint-2"):
        take(tmp_path / "a", home)


def test_the_same_adapter_is_not_added_again_and_a_name_is_never_used_twice(home, tmp_path):
    first = take(write(tmp_path / "a"), home)
    again = take(write(tmp_path / "b"), home)
    assert again.was_there and again.model == first.model and first.model in repr(again)
    # Other weights, or another scale, are another model.
    second = take(write(tmp_path / "a", tensors(on("q_proj", "v_proj"), value=0.5)), home)
    third = take(write(tmp_path / "c", use_rslora=True), home, name="a")
    names = {first.model, second.model, third.model}
    assert len(names) == 3 and len(list(home.models.iterdir())) == 3


@pytest.mark.parametrize(
    "targets, layers, more",
    [
        ("all-linear", list(SHAPES), {}),
        (r".*\.layers\.[01]\..*(q|k)_proj", None, {}),
        (r"^(?!.*visual).*(?:q_proj|v_proj).*$", on("q_proj", "v_proj"), {}),
        (["q_proj"], ["model.layers.1.self_attn.q_proj"], {"layers_to_transform": [1]}),
        (["q_proj"], [Q], {"layers_to_transform": 0, "layers_pattern": "layers"}),
        (["q_proj", "o_proj"], on("q_proj"), {"exclude_modules": ["o_proj"]}),
        (["model.layers.3.mlp.up_proj"], ["model.layers.3.mlp.up_proj"], {}),
        (sorted(SHAPES), list(SHAPES), {}),
    ],
)
def test_layers_are_named_in_every_way_that_peft_knows(home, tmp_path, targets, layers, more):
    if layers is None:
        layers = [name for name in on("q_proj", "k_proj") if ".0." in name or ".1." in name]
    source = write(tmp_path / "a", tensors(layers), target_modules=targets, **more)
    found = take(source, home)
    assert found.layers == len(layers)
    folder = home.model_folder(Store(home.database).model(found.model).folder)
    # What is kept has no pattern, and names the same layers.
    kept = json.loads((folder / "adapter_config.json").read_text())
    assert isinstance(kept["target_modules"], list)
    assert adapter_settings.required(kept, SHAPES) == set(layers)


def test_names_with_the_adapters_own_in_them_become_those_that_peft_reads(home, tmp_path):
    named = tensors(on("q_proj", "v_proj"))
    odd = {name.replace(".weight", ".default.weight"): value for name, value in named.items()}
    found = take(write(tmp_path / "a", odd), home)
    folder = home.model_folder(Store(home.database).model(found.model).folder)
    with (folder / WEIGHTS).open("rb") as file:
        header = read_header(file, (folder / WEIGHTS).stat().st_size)
    assert set(header.weights) == set(named)
    # The same weights under PEFT's own names are no other model.
    backwards = dict(reversed(named.items()))
    assert take(write(tmp_path / "b", named), home).was_there
    assert take(write(tmp_path / "c", backwards), home).was_there


def test_settings_that_nobody_here_knows_are_named(home, tmp_path):
    found = take(write(tmp_path / "a", use_tomorrow=True, revision="main"), home)
    assert found.unknown == ("use_tomorrow",) and "use_tomorrow" in repr(found)


def test_what_an_export_tells_is_kept_and_no_owner_or_job_of_elsewhere(home, tmp_path):
    facts = Facts("ft:LoRA/x:anna:poems:abc", BASE.id, title="poems", step=7, train_rows=32)
    source = write(tmp_path / "a")
    told = facts.to_dict() | {"owner": "anna", "shared": True, "job": "ftjob-x"}
    (source / "cookbook-model.json").write_text(json.dumps(told))
    found = take(source, home)
    model = Store(home.database).model(found.model)
    assert ":local:poems:" in model.id and (model.step, model.owner, model.shared) == (
        7,
        "local",
        0,
    )
    record = json.loads((home.model_folder(model.folder) / "cookbook-model.json").read_text())
    assert record["train_rows"] == 32 and record["job"] == "" and "anna" not in json.dumps(record)


# Which base


def test_the_base_is_known_by_its_shapes_where_its_name_is_another(home, tmp_path):
    for told in ("/data/models/Qwen", "unsloth/tiny-zh-bnb-4bit", "", None):
        found = take(write(tmp_path / "a", base_model_name_or_path=told), home)
        assert found.base == BASE.id
        assert (told in repr(found)) if told else found.told_base == ""


def test_of_two_bases_that_fit_the_reader_says_which(home, tmp_path, monkeypatch):
    import shutil

    twin = shutil.copytree(BASE.source, tmp_path / "Twin-Instruct")
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(twin))
    told = refused(write(tmp_path / "a", base_model_name_or_path="x/other"), home)
    assert BASE.id in told and "Twin-Instruct" in told and "--base" in told
    # Quantized by somebody else, it still ends in the name of its original.
    source = write(tmp_path / "a", base_model_name_or_path="u/twin-instruct-unsloth-bnb-4bit")
    assert take(source, home).base == twin.name
    assert take(write(tmp_path / "b", r=2), home, base=BASE.id).base == BASE.id


def test_a_base_that_is_not_installed_is_named_with_what_to_do(home, tmp_path):
    with pytest.raises(ArgumentError, match=BASE.id):
        take(write(tmp_path / "a"), home, base="Qwen/Qwen9")
    shapes = {Q: (OUT + 64, SHAPES[Q][1])}
    source = write(
        tmp_path / "a", tensors([Q], shapes=shapes), base_model_name_or_path="Qwen/Qwen9"
    )
    told = refused(source, home)
    assert "Qwen/Qwen9" in told and "COOKBOOK_BASE_MODEL" in told and Q in told


def other_width(layers):
    shapes = {layer: (out, width + 64) for layer, (out, width) in SHAPES.items()}
    return tensors(layers, shapes=shapes)


def deeper(layers):
    more = [layer.replace("layers.3", "layers.9") for layer in layers if "layers.3" in layer]
    shapes = SHAPES | {layer: SHAPES[layer.replace("layers.9", "layers.3")] for layer in more}
    return tensors([*layers, *more], shapes=shapes)


def shallower(layers):
    return tensors([layer for layer in layers if "layers.3" not in layer])


@pytest.mark.parametrize(
    "change, named",
    [
        (other_width, f"{Q} 要 {OUT}×{SHAPES[Q][1]}，适配器是 {OUT}×{SHAPES[Q][1] + 64}"),
        (deeper, "model.layers.9.self_attn.q_proj"),
        (shallower, "model.layers.3.self_attn.q_proj"),
    ],
)
@pytest.mark.parametrize("whole_names", [False, True])
def test_an_adapter_of_another_base_names_the_layer(home, tmp_path, change, named, whole_names):
    weights = change(on("q_proj", "v_proj"))
    targets = ["q_proj", "v_proj"]
    if whole_names:
        # As PEFT writes "all-linear".
        targets = sorted(
            {name.split(".lora_")[0].removeprefix("base_model.model.") for name in weights}
        )
    told = refused(write(tmp_path / "a", weights, target_modules=targets), home)
    assert named in told and BASE.id in told


def test_weights_that_the_settings_do_not_name_are_not_dropped(home, tmp_path):
    told = refused(write(tmp_path / "a", target_modules=["q_proj"]), home)
    assert "v_proj" in told and "target_modules" in told


# What is refused


SETTINGS = {
    "peft_type": "IA3",
    "task_type": "SEQ_CLS",
    "use_dora": True,
    "modules_to_save": ["lm_head"],
    "rank_pattern": {"q_proj": 4},
    "alpha_pattern": {"q_proj": 4},
    "lora_bias": True,
    "bias": "all",
    "init_lora_weights": "pissa_niter_4",
    "r": 0,
    "lora_alpha": math.nan,
    "target_modules": None,
    "layers_to_transform": ["x"],
    "exclude_modules": [1],
    "layer_replication": [[0, 2]],
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_mean_something_else_are_refused_by_name(home, tmp_path, name):
    told = refused(write(tmp_path / "a", **{name: SETTINGS[name]}), home)
    shown = "IA3" if name == "peft_type" else name
    assert shown in told


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_settings_that_are_damaged_are_refused(home, tmp_path, content):
    source = write(tmp_path / "a")
    (source / "adapter_config.json").write_bytes(content)
    assert "adapter_config.json" in refused(source, home)


@pytest.mark.parametrize("pattern", ["(", "(.*.*.*.*.*.*.*.*)*x"])
def test_a_pattern_that_never_ends_holds_nobody_up(home, tmp_path, monkeypatch, pattern):
    monkeypatch.setattr(settings, "_PATTERN_SECONDS", 1.0)
    assert "target_modules" in refused(write(tmp_path / "a", target_modules=pattern), home)


@pytest.mark.parametrize(
    "dtype, bits",
    [
        ("F32", b"\x00\x00\xc0\x7f"),
        ("F32", b"\x00\x00\x80\xff"),
        ("F16", b"\x00\x7c"),
        ("F16", b"\x01\xfe"),
        ("BF16", b"\x80\x7f"),
        ("BF16", b"\xc0\xff"),
    ],
)
def test_a_weight_that_is_no_number_is_found_wherever_it_is(home, tmp_path, dtype, bits):
    weights = tensors(on("q_proj", "v_proj"), dtype=dtype)
    name = list(weights)[-1]
    kind, shape, content = weights[name]
    weights[name] = (kind, shape, content[: -len(bits)] + bits)
    told = refused(write(tmp_path / "a", weights), home)
    assert name in told and "NaN" in told


def with_tensor(name, shape=(2, 4), dtype="F32"):
    size = math.prod(shape) * (4 if dtype == "F32" else 1)
    return tensors(on("q_proj", "v_proj")) | {name: (dtype, shape, bytes(size))}


LM_HEAD = "base_model.model.lm_head.lora_A.weight"
EMBEDDING = "base_model.model.model.embed_tokens.lora_embedding_A"
ODD = {
    "head": (with_tensor(LM_HEAD), "lm_head"),
    "embedding": (with_tensor(EMBEDDING), "embed"),
    "vocabulary": (with_tensor("base_model.model.model.embed_tokens.weight"), "embed"),
    "dora": (with_tensor(f"base_model.model.{Q}.lora_magnitude_vector", (64,)), "magnitude"),
    "mlx": (with_tensor("model.layers.0.self_attn.q_proj.lora_a"), "MLX"),
    "one-side": (with_tensor(f"base_model.model.{on('o_proj')[0]}.lora_A.weight"), "lora_B"),
    "integers": (
        with_tensor(f"base_model.model.{on('o_proj')[0]}.lora_A.weight", dtype="I8"),
        "I8",
    ),
    "rank": (tensors(on("q_proj", "v_proj"), rank=3), "r 是 2"),
    "empty": (safetensors({}), "没有权重"),
    "cut": (safetensors(tensors(on("q_proj", "v_proj")))[:-10], "少 10 字节"),
    "longer": (safetensors(tensors(on("q_proj", "v_proj"))) + b"x", "长 1 字节"),
    "pickle": (b"PK\x03\x04" + bytes(200), "pickle"),
    "old-pickle": (b"\x80\x02ctorch" + bytes(200), "pickle"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "noise": (b"\xa5" * 500, "safetensors"),
    "header": (struct.pack("<Q", 8) + b'{"a": 1}', "文件头"),
    "nothing": (b"", "safetensors"),
}


@pytest.mark.parametrize("name", ODD)
def test_weights_that_are_not_plain_lora_are_refused_by_name(home, tmp_path, name):
    weights, told = ODD[name]
    assert told in refused(write(tmp_path / "a", weights), home)


def test_places_in_the_file_must_follow_one_another(home, tmp_path):
    content = safetensors(tensors([Q]))
    length = int.from_bytes(content[:8], "little")
    # B is said to be where A is.
    header = json.loads(content[8 : 8 + length])
    names = [name for name in header if "lora" in name]
    size = header[names[1]]["data_offsets"][1] - header[names[1]]["data_offsets"][0]
    header[names[1]]["data_offsets"] = [0, size]
    text = json.dumps(header).encode()
    odd = struct.pack("<Q", len(text)) + text + content[8 + length :]
    assert "位置" in refused(write(tmp_path / "a", odd), home)


def files_of(*names):
    def make(folder):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"x")

    return make


@pytest.mark.parametrize(
    "names, told",
    [
        ((), "adapter_config.json"),
        (("adapter_config.json",), WEIGHTS),
        (("adapter_config.json", "adapter_model.bin"), "safe_serialization=True"),
        (("model.pt",), "pickle"),
        (("config.json", "model.safetensors"), "整个模型"),
        (("model-f16.gguf",), "GGUF"),
        (("adapter_config.json", "adapters.safetensors"), "MLX"),
    ],
)
def test_a_folder_that_is_no_adapter_is_told_what_it_is(home, tmp_path, names, told):
    files_of(*names)(tmp_path / "a")
    assert told in refused(tmp_path / "a", home)
    assert told in refused(zipped(tmp_path / "a.zip", tmp_path / "a", "a/"), home)


def test_a_path_that_is_neither_folder_nor_zip_says_so(home, tmp_path):
    assert "gone" in refused(tmp_path / "gone", home)
    (tmp_path / "a.tar").write_bytes(b"x" * 600)
    assert "tar" in refused(tmp_path / "a.tar", home)
    zipped(tmp_path / "adapter_model.bin", write(tmp_path / "a"))
    assert "pickle" in refused(tmp_path / "adapter_model.bin", home)
    assert "adapter_config.json" in refused(tmp_path / "a" / WEIGHTS, home)


def test_a_name_that_cannot_be_one_is_refused(home, tmp_path):
    with pytest.raises(ArgumentError, match="--name"):
        take(write(tmp_path / "a"), home, name="a:b/c")
    assert not home.models.exists()


# Zips


@pytest.mark.parametrize(
    "name", ["../out.txt", "a/../../out.txt", "/etc/out.txt", "C:/out.txt", "..\\out.txt", "a\\b"]
)
def test_a_zip_with_a_path_outside_it_is_refused_by_that_name(home, tmp_path, name):
    source = write(tmp_path / "a")
    archive = zipped(tmp_path / "a.zip", source, **{name: b"x"})
    told = refused(archive, home)
    assert name.replace("\\", "\\")[-3:] in told and "文件夹之外" in told
    assert not list(tmp_path.rglob("out.txt"))


def test_a_link_in_a_zip_is_refused(home, tmp_path):
    archive = zipped(tmp_path / "a.zip", write(tmp_path / "a"))
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("README.md")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    assert "README.md" in refused(archive, home)


def test_a_name_that_is_twice_in_a_zip_is_not_believed(home, tmp_path):
    archive = zipped(tmp_path / "a.zip", write(tmp_path / "a"))
    with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("adapter_config.json", "{}")
    assert "adapter_config.json" in refused(archive, home)


def test_a_zip_that_grows_is_never_unpacked(home, tmp_path):
    source = write(tmp_path / "a")
    weights = (source / WEIGHTS).read_bytes()
    # A gigabyte of zeros behind the weights, in a megabyte.
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source / "adapter_config.json", "adapter_config.json")
        with archive.open(WEIGHTS, "w", force_zip64=True) as file:
            file.write(weights)
            for _ in range(64):
                file.write(bytes(2**20))
    assert "比文件头说的长" in refused(tmp_path / "a.zip", home)
    # Settings and card of as many zeros.
    for name in ("adapter_config.json", "README.md"):
        other = write(tmp_path / "b")
        (other / name).write_bytes(bytes(2 * 2**20))
        archive = zipped(tmp_path / "b.zip", other)
        if name == "README.md":
            (other / "adapter_config.json").write_text(json.dumps(CONFIG))
            assert name in take(zipped(tmp_path / "b.zip", other), home).left_out
        else:
            assert name in refused(archive, home)


def test_a_zip_that_says_less_than_it_holds_is_refused(home, tmp_path):
    archive = zipped(tmp_path / "a.zip", write(tmp_path / "a"))
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        size = file.getinfo(WEIGHTS).file_size
    # Every place where the size is written.
    less = content.replace(struct.pack("<I", size), struct.pack("<I", size - 4))
    assert less != content
    archive.write_bytes(less)
    assert "少 4 字节" in refused(archive, home)


def test_sizes_that_no_adapter_of_the_base_has_are_refused(home, tmp_path):
    rank = 10**6
    shapes = {Q: SHAPES[Q]}
    header = {}
    at = 0
    for part, shape in (("A", [rank, shapes[Q][1]]), ("B", [shapes[Q][0], rank])):
        size = math.prod(shape) * 4
        name = f"base_model.model.{Q}.lora_{part}.weight"
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    source = write(tmp_path / "a", r=rank, target_modules=[Q])
    with (source / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        # Takes no room: the file has a hole.
        file.truncate(8 + len(text) + at)
    assert f"r 是 {rank}" in refused(source, home)


@pytest.mark.parametrize("change", ["crc", "cut", "password"])
def test_a_damaged_or_locked_zip_is_refused(home, tmp_path, change):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(write(tmp_path / "a").iterdir()):
            file.write(path, path.name)
    content = bytearray(archive.read_bytes())
    if change == "crc":
        content[len(content) // 2] ^= 0x01
    elif change == "cut":
        content = content[: len(content) // 2]
    else:
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.find(mark)
            while at >= 0:
                content[at + place] |= 1
                at = content.find(mark, at + 1)
    archive.write_bytes(content)
    assert "a.zip" in refused(archive, home)


# What happens meanwhile, and afterwards


def test_a_full_disk_leaves_nothing_behind(home, tmp_path):
    source = write(tmp_path / "a", tensors(on("q_proj", "v_proj"), rank=64), r=64)
    # The kernel stops each file at a size, as a full disk would.
    program = (
        "import resource, sys\n"
        "from cookbook.__main__ import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({128 * 1024},) * 2)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    Store(home.database)
    command = [sys.executable, "-c", program, "import", str(source), "--home", str(home.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "磁盘" in done.stderr or "disk" in done.stderr
    assert list(home.models.iterdir()) == []
    assert take(source, home).rank == 64


def test_a_model_larger_than_the_disk_is_not_begun(home, tmp_path, monkeypatch):
    monkeypatch.setattr("cookbook.hubs.room.free", lambda path: 10**6)
    with pytest.raises(DiskFull, match="没有导入"):
        take(write(tmp_path / "a"), home)
    assert list(home.models.iterdir()) == []


def test_what_a_killed_import_has_left_goes_with_the_next_one(home, tmp_path):
    left = home.models / "imported-abcdefghijklmnopqrst.part"
    other = home.models / "imported-copy.part"
    for folder in (left, other):
        folder.mkdir(parents=True)
    take(write(tmp_path / "a"), home)
    assert not left.exists() and other.exists()


def test_an_imported_model_outlives_its_database_and_no_copy_takes_its_name(home, tmp_path):
    import shutil

    found = take(write(tmp_path / "a"), home)
    before = Store(home.database).model(found.model)
    for path in home.folder.glob("service.db*"):
        path.unlink()
    store = Store(home.database)
    copy = shutil.copytree(home.model_folder(before.folder), home.models / ("imported-" + "a" * 20))
    lines = find_models(store, home)
    after = store.model(found.model)
    assert after.folder == before.folder and vars(after) == vars(before) | {"number": after.number}
    assert len(store.models()) == 1 and any(found.model in line for line in lines)
    assert unexplained(store, home) == [f"models/{copy.name}"]
    assert copy.name in status.kept(store, home.folder)[0]
    # Said once, and the status tells of no job.
    assert not any(found.model in line for line in find_models(store, home))
    assert status.jobs(store) == []


def test_a_source_that_cannot_be_read_is_a_sentence(home, tmp_path, monkeypatch):
    source = write(tmp_path / "a")

    def denied(*_):
        raise PermissionError(13, "Permission denied", str(source / WEIGHTS))

    # Root may read everything.
    monkeypatch.setattr("cookbook.imports.source._Folder.open", denied)
    assert "a" in refused(source, home)


def test_a_service_of_another_version_is_not_written_under(home, tmp_path, monkeypatch):
    address = {"version": "0.0.1"}
    monkeypatch.setattr("cookbook.connection.running", lambda folder: address)
    with pytest.raises(ServiceError, match="stop"):
        take(write(tmp_path / "a"), home)


def test_in_a_room_it_is_said_that_the_model_is_not_there(home, tmp_path, monkeypatch):
    source = write(tmp_path / "a")
    assert take(source, home).notes == ()
    monkeypatch.setenv("COOKBOOK_SERVICE", "http://192.168.1.5:8765")
    monkeypatch.setenv("COOKBOOK_KEY", "sk-cookbook-room")
    [note] = take(source, home).notes
    assert "课堂里没有" in note and str(home.folder) in note


def test_the_command_prints_the_name_and_the_reason(home, tmp_path, capsys):
    from cookbook.__main__ import main

    source = str(write(tmp_path / "a"))
    assert main(["import", source, "--home", str(home.folder), "--name", "mine"]) == 0
    assert ":local:mine:" in capsys.readouterr().out
    assert main(["import", source, "--home", str(home.folder)]) == 0
    assert ":local:mine:" in capsys.readouterr().out
    assert main(["import", str(tmp_path / "gone"), "--home", str(home.folder)]) == 1
    assert "gone" in capsys.readouterr().err


def test_a_header_is_read_from_any_stream_and_no_further():
    content = safetensors(tensors([Q]))
    file = io.BytesIO(content)
    header = read_header(file, len(content))
    assert header.size == len(content)
    parts = [part for _, part in header.numbers(file)]
    assert header.content + b"".join(parts) == content

"""Write a base, with an adapter merged into it, as one GGUF file: the format of llama.cpp.

    check(config, base_id)                                  whether it can be written here
    write(base, lora, path, kind="q8_0", name="my-task")    the file, a tensor at a time in memory

Matrices are merged in float32 and rounded once, to float16 or to 8 bits in blocks of 32 (`q8_0`);
norms and biases are float32, as in every GGUF. The kinds of models are those that were compared
with llama.cpp, answer by answer (`tests/service/test_exports.py`). The package `gguf` is of the
llama.cpp project; it is in the extra `export`.
"""

import errno
import json
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook.errors import ModelError
from cookbook.exports import rotary, vocabulary
from cookbook.exports.adapter import Lora
from cookbook.exports.merge import Show, Weights, ignore, tensor_of
from cookbook.exports.vocabulary import UnknownTokenizer, Vocabulary

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor

KINDS = ("qwen2", "qwen3", "llama")
"""Model types of config.json; llama.cpp calls their architectures by the same names."""

_SIZES = (
    "vocab_size",
    "max_position_embeddings",
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "num_attention_heads",
    "rms_norm_eps",
)
"""Numbers of config.json that a file must have."""

TYPES = ("f16", "q8_0")
BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
"""Bytes of a weight. A block of q8_0 is 32 weights of 8 bits and their scale in 16."""
BLOCK = 32

PACKAGE = "gguf"
INSTALL = "pip install gguf"
CONVERTER = "convert_hf_to_gguf.py"


def check(folder: Path, config: dict[str, Any], base_id: str) -> Vocabulary:
    """Refuse a base that cannot be written as GGUF here; return its vocabulary.

    Raises:
        ModelError: naming what is not known, and what to do instead.
    """
    reason = _fault(config)
    if reason is None:
        try:
            return vocabulary.read(folder, config["vocab_size"])
        except UnknownTokenizer as error:
            reason = f"tokenizer: {error}"
        # A file that is damaged has anything in the place of anything.
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            reason = "tokenizer.json"
    raise ModelError(
        zh=f"{base_id} 不能在这里写成 GGUF（{reason}）：用 --as merged 导出，再用 llama.cpp 的 "
        f"{CONVERTER} 转换",
        en=f"{base_id} cannot be written as GGUF here ({reason}): export it with --as merged, then "
        f"convert it with llama.cpp's {CONVERTER}",
    )


def check_installed() -> None:
    """Refuse where the package that writes GGUF is not installed.

    Raises:
        ModelError: with the command that installs it.
    """
    if find_spec(PACKAGE) is None:
        raise ModelError(
            zh=f"写 GGUF 要用 gguf 包，还没有安装：运行 {INSTALL}",
            en=f"GGUF is written with the package gguf, which is not installed: run {INSTALL}",
        )


def size_of(base: Weights, kind: str) -> int:
    """Return about how many bytes a file takes."""
    size = 0.0
    for tensor in base.tensors.values():
        size += math.prod(tensor.shape) * BYTES[_type_of(tensor.shape, kind)]
    return round(size) + 16 * 2**20  # the vocabulary


def _fault(config: dict[str, Any]) -> str | None:
    """Return what in a config.json is not known to be the same in llama.cpp."""
    kind = config.get("model_type")
    if kind not in KINDS:
        return f"model_type = {kind!r:.40}"
    usual = {
        "hidden_act": "silu",
        "use_sliding_window": False,
        "mlp_bias": False,
        "partial_rotary_factor": 1.0,
    }
    # Qwen2's biases go without saying, and are written.
    if kind != "qwen2":
        usual["attention_bias"] = False
    for name in _SIZES:
        # True is a number to Python.
        if isinstance(config.get(name), bool) or not isinstance(config.get(name), int | float):
            return f"{name} = {config.get(name)!r:.40}"
    for name, value in usual.items():
        if config.get(name, value) not in (value, None):
            return f"{name} = {config[name]!r:.40}"
    scaling = rotary.settings(config).get("rope_type", "default")
    # llama.cpp reads Llama 3's factors as a tensor; others were not compared.
    if scaling != "default" and (kind, scaling) != ("llama", "llama3"):
        return f"rope_type = {scaling!r:.40}"
    return None


def write(
    base: Weights,
    lora: Lora | None,
    path: Path,
    *,
    kind: str,
    name: str,
    licence: str | None = None,
    words: Vocabulary | None = None,
    show: Show = ignore,
) -> None:
    """Write the file.

    Args:
        lora: the adapter to merge; None for the base alone.
        kind: the type of the matrices, one of `BYTES`.
        name: of the model, as programs list it.
        licence: of the base.
        words: what `check` has returned.
    """
    import gguf

    config = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    words = words or vocabulary.read(base.folder, config["vocab_size"])
    writer = gguf.GGUFWriter(path, config["model_type"])
    try:
        writer.add_name(name)
        if licence:
            writer.add_license(licence)
        _add_sizes(writer, config)
        _add_vocabulary(writer, words)
        writer.add_file_type(_FILE_TYPES[kind])
        end = _write_tensors(writer, base, lora, config, kind, show)
    finally:
        writer.close()
    # numpy closes its own handle of the file without looking for an error.
    if path.stat().st_size < end:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
"""As `gguf.LlamaFileType` numbers them."""


def _add_sizes(writer: "GGUFWriter", config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head_dim = rotary.head_dim(config)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(rotary.theta(config))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _add_vocabulary(writer: "GGUFWriter", words: Vocabulary) -> None:
    # Byte-level BPE as GPT-2's, each with its own cut into words before it.
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.kinds)
    writer.add_token_merges(words.merges)
    for number, add in (
        (words.bos, writer.add_bos_token_id),
        (words.eos, writer.add_eos_token_id),
        (words.eot, writer.add_eot_token_id),
        (words.pad, writer.add_pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(words.adds_bos)
    if words.template:
        writer.add_chat_template(words.template)


def _write_tensors(
    writer: "GGUFWriter",
    base: Weights,
    lora: Lora | None,
    config: dict[str, Any],
    kind: str,
    show: Show,
) -> int:
    """Write every tensor under llama.cpp's name, their sizes first; return the file's size."""
    import gguf
    import numpy as np

    names = _names(base, config)
    types = {}
    for own, name in names.items():
        shape = base.tensors[own].shape
        types[own] = _type_of(shape, kind)
        count = math.prod(shape)
        number = gguf.GGMLQuantizationType[types[own].upper()]
        size = round(count * BYTES[types[own]])
        # Shapes are told in weights, hence a type of numbers, not of bytes.
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, number)
    factors = rotary.factors(config)
    if factors is not None:
        size, number = factors.numel() * 4, gguf.GGMLQuantizationType.F32
        shape = tuple(factors.shape)
        writer.add_tensor_info("rope_freqs.weight", shape, np.dtype(np.float32), size, number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for own in names:
        tensor = tensor_of(base, lora, own)
        if config["model_type"] == "llama":
            tensor = rotary.as_llama_cpp_rotates(own, tensor, config)
        writer.write_tensor_data(_values(tensor, types[own], own))
        show(round(tensor.numel() * BYTES[types[own]]))
    if factors is not None:
        writer.write_tensor_data(factors.numpy())
    return writer.fout[0].tell() if writer.fout else 0


def _names(base: Weights, config: dict[str, Any]) -> dict[str, str]:
    """Return llama.cpp's name for each tensor of the base.

    Raises:
        ModelError: it has none.
    """
    import gguf

    architecture = gguf.MODEL_ARCH[config["model_type"].upper()]
    known = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    found = {}
    for own in base.tensors:
        # A tied head is the embedding once more; frequencies follow from the settings.
        is_tied = bool(config.get("tie_word_embeddings")) and own == "lm_head.weight"
        if is_tied or own.endswith(".rotary_emb.inv_freq"):
            continue
        name = known.get_name(own, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ModelError(
                zh=f"基础模型里有 llama.cpp 不认识的权重 {own}：用 --as merged 导出",
                en=f"the base has weights that llama.cpp does not know ({own}): "
                "export it with --as merged",
            )
        found[own] = name
    return found


def _type_of(shape: tuple[int, ...], kind: str) -> str:
    if len(shape) == 1:
        return "f32"
    # A row of blocks, or as llama.cpp's own converter does without them.
    return "f16" if kind == "q8_0" and shape[-1] % BLOCK else kind


def _values(tensor: "Tensor", kind: str, name: str) -> Any:
    """Return the tensor as numpy has it, in this type."""
    import gguf
    import numpy as np

    number = gguf.GGMLQuantizationType[kind.upper()]
    values = gguf.quantize(tensor.float().numpy(), number)
    if kind == "f16" and not np.isfinite(values).all():
        raise ModelError(
            zh=f"权重 {name} 超出了 float16 能存的范围：用 --as merged 导出",
            en=f"the weights {name} are beyond what float16 holds: export it with --as merged",
        )
    return values

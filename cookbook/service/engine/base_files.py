"""Check a base's folder before anything of it is loaded: files that are whole, of a usable model.

    check(base, folder)      raise ModelError with what is wrong and the remedy

Only names, sizes and headers are read, so it takes milliseconds however large the weights are. What
a file says inside is left to those who load it. Needs no torch.
"""

import json
import re
from pathlib import Path
from typing import Any

from cookbook import shapes
from cookbook.bases import Base
from cookbook.errors import ModelError

INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs"
"""How a file begins that Git left out: a pointer to what `git lfs pull` fetches."""
UNFINISHED = ("*.incomplete", "*.part", "*.aria2", "*.crdownload", "._____temp")
"""What programs call a download that has not ended."""
SUPPORTED = ("Qwen2.5", "Qwen3", "Llama", "Mistral")
JSON_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
"""Small files that a library reads with the model, and stumbles over where one is damaged."""
TOKENIZERS = (["tokenizer.json"], ["vocab.json", "merges.txt"], ["tokenizer.model"])
"""Sets of files of which one makes a tokenizer; as in `hubs/checkpoint.py`."""


def check(base: Base, folder: Path) -> None:
    """Refuse a folder from which no base can be loaded.

    Raises:
        ModelError: naming the file, what is wrong with it, and the remedy.
    """
    config = _config(base, folder)
    check_config(base, config)
    if (folder / "modules.json").is_file():
        raise unusable(base, "向量模型（embedding）", "an embedding model")
    _check_weights(base, folder)
    for name in JSON_FILES:
        _check_json(base, folder / name)
    _check_tokenizer(base, folder)


def _config(base: Base, folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise _no_config(base, folder)
    if _is_pointer(path):
        raise _pointer(base, path)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not config.get("model_type") or not _has_sizes(config):
        raise _damaged(base, "config.json")
    return config


def _has_sizes(config: dict[str, Any]) -> bool:
    """Return whether the sizes in a config.json can be sizes, and agree."""
    given = [config[name] for name in shapes.SIZES if name in config]
    if not all(shapes.is_size(value) for value in given):
        return False
    kinds = config.get("layer_types")
    return not isinstance(kinds, list) or len(kinds) == config.get("num_hidden_layers")


def _damaged(base: Base, name: str) -> ModelError:
    return ModelError(
        zh=f"基础模型 {base.id} 的 {name} 损坏或不完整：重新下载这个文件",
        en=f"the {name} of the base model {base.id} is damaged or not complete: download it again",
    )


def _check_json(base: Base, path: Path) -> None:
    """Refuse a file that is there but cannot be a JSON object, by its ends: it may be long."""
    if not path.is_file():
        return
    if _is_pointer(path):
        raise _pointer(base, path)
    with path.open("rb") as file:
        first = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
        file.seek(max(0, path.stat().st_size - 64))
        last = file.read().rstrip()[-1:]
    if (first, last) != (b"{", b"}"):
        raise _damaged(base, path.name)


def _check_tokenizer(base: Base, folder: Path) -> None:
    """Refuse a folder without a tokenizer: transformers makes up an empty one."""
    if any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        return
    raise ModelError(
        zh=f"基础模型 {base.id} 没有分词器（tokenizer.json）：{_again(base)[0]}",
        en=f"the base model {base.id} has no tokenizer (tokenizer.json): {_again(base)[1]}",
    )


def _no_config(base: Base, folder: Path) -> ModelError:
    """Return the error for a folder without config.json, by what is there instead."""
    if (folder / "adapter_config.json").is_file():
        return ModelError(
            zh=f"{base.id} 是 LoRA 适配器，不是基础模型：把 COOKBOOK_BASE_MODEL 设成"
            "训练它的那个基础模型",
            en=f"{base.id} is a LoRA adapter, not a base model: set COOKBOOK_BASE_MODEL to the "
            "base model that it was trained on",
        )
    # A hub's cache keeps the files in a folder for each revision.
    below = sorted(folder.glob("*/config.json")) + sorted(folder.glob("snapshots/*/config.json"))
    if below:
        inner = below[0].parent.relative_to(folder)
        return ModelError(
            zh=f"文件夹 {base.id} 里没有 config.json，模型在它下面的 {inner}："
            "把 COOKBOOK_BASE_MODEL 设成那个文件夹",
            en=f"the folder {base.id} has no config.json, the model is in {inner} below it: "
            "set COOKBOOK_BASE_MODEL to that folder",
        )
    if any(folder.glob("*.gguf")):
        return _only_gguf(base)
    return ModelError(
        zh=f"文件夹 {base.id} 里没有 config.json，不是完整的模型：重新下载，"
        "或检查 COOKBOOK_BASE_MODEL",
        en=f"the folder {base.id} has no config.json, so it is not a whole model: download it "
        "again, or check COOKBOOK_BASE_MODEL",
    )


def check_config(base: Base, config: dict[str, Any]) -> None:
    """Refuse a kind of model that is not trained here.

    Args:
        config: its config.json.

    Raises:
        ModelError: it is quantized, or not a plain decoder.
    """
    quantization = config.get("quantization_config")
    if quantization:
        method = "?"
        if isinstance(quantization, dict):
            method = str(quantization.get("quant_method") or "?").upper()
        plain = re.sub(r"(?i)-(GPTQ|AWQ|FP8|bnb|MLX|\d+-?bit|Int\d)[\w-]*$", "", base.id)
        instead_zh, instead_en = "没有量化的原版", "the original, which is not quantized"
        if plain != base.id:
            instead_zh, instead_en = f" {plain}", plain
        raise ModelError(
            zh=f"基础模型 {base.id} 已经量化过（{method}），不能在它上面训练：换成{instead_zh}，"
            "显存不够时服务会自己用 4 bit 加载",
            en=f"the base model {base.id} is quantized ({method}) and cannot be trained on: choose "
            f"{instead_en}; where a GPU's memory is short, the service itself loads it in 4 bit",
        )
    kind = _unusable_kind(config)
    if kind:
        raise unusable(base, *kind)


def unusable(base: Base, zh: str, en: str) -> ModelError:
    """Return the error for a kind of model that is not trained here; `zh` and `en` name it."""
    return ModelError(
        zh=f"基础模型 {base.id} 是{zh}，这里不能微调：换成 {'、'.join(SUPPORTED)} 这样的"
        "纯文本对话模型（Instruct 版）",
        en=f"the base model {base.id} is {en}, which cannot be tuned here: choose a text-only "
        f"chat model such as {', '.join(SUPPORTED)} (an Instruct version)",
    )


def _unusable_kind(config: dict[str, Any]) -> tuple[str, str] | None:
    """Return what a model is instead of a plain decoder, zh and en; None where it is one."""
    if config.get("is_encoder_decoder"):
        return "编码器-解码器模型", "an encoder-decoder"
    if "vision_config" in config or "audio_config" in config:
        return "多模态模型（图像或声音）", "a model of images or sound"
    built = config.get("architectures")
    if isinstance(built, list) and built and not any(_generates(name) for name in built):
        return (
            f"不生成文本的模型（{built[0]}）",
            f"a model that does not generate text ({built[0]})",
        )
    # `num_experts` is 0 in some plain decoders.
    if any("expert" in name and value for name, value in config.items()):
        return "混合专家模型（MoE）", "a mixture of experts"
    layer_types = {str(kind) for kind in config.get("layer_types") or ()}
    if not all(kind.endswith("_attention") for kind in layer_types - {"linear_attention"}):
        return "含有非注意力层的模型", "a model with layers other than attention"
    if "linear_attention" in layer_types:
        return "含线性注意力的模型", "a model with linear attention"
    # The loss takes the head's output as it is; these models change it afterwards.
    changed = ("final_logit_softcapping", "logits_scaling", "logit_scale")
    if any(config.get(name) not in (None, 1, 1.0) for name in changed):
        return "对 logits 另有缩放的模型", "a model that scales its logits"
    return None


def _generates(architecture: Any) -> bool:
    return str(architecture).endswith(("ForCausalLM", "LMHeadModel"))


def _check_weights(base: Base, folder: Path) -> None:
    index = folder / INDEX
    shards = sorted(folder.glob("*.safetensors"))
    if index.is_file():
        shards = [folder / name for name in _indexed(base, index)]
    elif not shards:
        raise _no_weights(base, folder)
    for shard in shards:
        _check_shard(base, shard, shards)


def _indexed(base: Base, index: Path) -> list[str]:
    """Return the names of the shards that an index lists."""
    if _is_pointer(index):
        raise _pointer(base, index)
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        # A name with a folder in it would lead out of this one.
        return sorted(Path(name).name for name in names)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(
            zh=f"基础模型 {base.id} 的 {INDEX} 损坏了：重新下载这个文件",
            en=f"the {INDEX} of the base model {base.id} is damaged: download it again",
        ) from error


def _no_weights(base: Base, folder: Path) -> ModelError:
    if _unfinished(folder):
        return _half(base, "model.safetensors")
    if any(folder.glob("*.gguf")):
        return _only_gguf(base)
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
        return ModelError(
            zh=f"基础模型 {base.id} 只有 .bin 权重（pickle，打开时可能运行任意代码），这里不读："
            "换成带 .safetensors 的版本",
            en=f"the base model {base.id} has only .bin weights, which are pickles and may run any "
            "code when opened: choose a version with .safetensors",
        )
    return ModelError(
        zh=f"基础模型 {base.id} 没有权重文件（.safetensors）：{_again(base)[0]}",
        en=f"the base model {base.id} has no weights (.safetensors): {_again(base)[1]}",
    )


def _only_gguf(base: Base) -> ModelError:
    return ModelError(
        zh=f"基础模型 {base.id} 是 GGUF 文件（llama.cpp 的格式），不能训练："
        "换成它的原版，文件是 .safetensors",
        en=f"the base model {base.id} is a GGUF file, llama.cpp's format, which cannot be trained: "
        "choose its original, with .safetensors files",
    )


def _check_shard(base: Base, shard: Path, shards: list[Path]) -> None:
    """Refuse a file of weights that is missing, a pointer, or shorter than its header says."""
    if not shard.is_file():
        there = sum(one.is_file() for one in shards)
        raise _half(base, shard.name, f"{there}/{len(shards)}")
    if _is_pointer(shard):
        raise _pointer(base, shard)
    size = shard.stat().st_size
    expected = _expected_size(shard)
    if expected is None:
        raise ModelError(
            zh=f"基础模型 {base.id} 的 {shard.name} 损坏了，不是 safetensors 文件："
            f"{_again(base)[0]}",
            en=f"{shard.name} of the base model {base.id} is damaged and not a safetensors file: "
            f"{_again(base)[1]}",
        )
    if size < expected:
        raise _half(base, shard.name, f"{size:,}/{expected:,} B")
    if size > expected:
        raise _damaged(base, shard.name)


def _expected_size(shard: Path) -> int | None:
    """Return the bytes that a safetensors file must have by its header; None if it has none."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # The format allows no longer header.
        if not 2 <= length <= 100_000_000:
            return None
        header = file.read(length)
    # The header itself is cut off.
    if len(header) < length:
        return 8 + length if header.startswith(b"{") else None
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
        return 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _half(base: Base, name: str, how_much: str = "") -> ModelError:
    much_zh = f"（{how_much}）" if how_much else ""
    much_en = f" ({how_much})" if how_much else ""
    again = _again(base)[1]
    return ModelError(
        zh=f"基础模型 {base.id} 没有下载完：缺 {name}{much_zh}。{_again(base)[0]}",
        en=f"the base model {base.id} was not downloaded completely: {name} is missing or too short"
        f"{much_en}. {again[0].upper()}{again[1:]}",
    )


def _again(base: Base) -> tuple[str, str]:
    """Return how to get the weights again, zh and en; a download goes on where it stopped."""
    if base.on_hub:
        command = f"python -m cookbook pull {base.id}"
        return f"运行 {command} 接着下载", f"run {command} to go on with the download"
    return "重新下载，会接着下", "download it again; most tools go on where they stopped"


def _unfinished(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in UNFINISHED)


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def _pointer(base: Base, path: Path) -> ModelError:
    return ModelError(
        zh=f"基础模型 {base.id} 的 {path.name} 只是 Git LFS 的指针，内容没有下载："
        "在那个文件夹里运行 git lfs pull",
        en=f"{path.name} of the base model {base.id} is only a Git LFS pointer, its content is not "
        "there: run git lfs pull in that folder",
    )

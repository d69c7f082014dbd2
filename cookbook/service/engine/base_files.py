"""Check a base's folder before anything of it is loaded: files that are whole, of a usable model.

    check(base, folder)      raise ModelError with what is wrong and the remedy

Only names, sizes and headers are read, so it takes milliseconds however large the weights are. What
a file says inside is left to those who load it. Needs no torch.
"""

import json
import re
from pathlib import Path
from typing import Any

from cookbook.bases import Base
from cookbook.errors import ModelError

INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs"
"""How a file begins that Git left out: a pointer to what `git lfs pull` fetches."""
UNFINISHED = ("*.incomplete", "*.part", "*.aria2", "*.crdownload", "._____temp")
"""What programs call a download that has not ended."""
SUPPORTED = "Qwen2.5, Qwen3, Llama, Mistral"


def check(base: Base, folder: Path) -> None:
    """Refuse a folder from which no base can be loaded.

    Raises:
        ModelError: naming the file, what is wrong with it, and the remedy.
    """
    config = _config(base, folder)
    check_config(base, config)
    _check_weights(base, folder)


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
    if not isinstance(config, dict) or not config.get("model_type"):
        raise ModelError(
            zh=f"基础模型 {base.id} 的 config.json 损坏或不完整：重新下载这个文件",
            en=f"the config.json of the base model {base.id} is damaged or not complete: "
            "download it again",
        )
    return config


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
        method = str(dict(quantization).get("quant_method", "")).upper() or "?"
        plain = re.sub(r"(?i)-(GPTQ|AWQ|FP8|bnb|MLX|\d+-?bit|Int\d)[\w-]*$", "", base.id)
        instead_zh = plain if plain != base.id else "没有量化的原版"
        instead_en = plain if plain != base.id else "the original, which is not quantized"
        raise ModelError(
            zh=f"基础模型 {base.id} 已经量化过（{method}），不能在它上面训练：换成 {instead_zh}，"
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
        zh=f"基础模型 {base.id} 是{zh}，这里不能微调：换成 {SUPPORTED} 这样的"
        "纯文本对话模型（Instruct 版）",
        en=f"the base model {base.id} is {en}, which cannot be tuned here: choose a text-only "
        f"chat model such as {SUPPORTED} (an Instruct version)",
    )


def _unusable_kind(config: dict[str, Any]) -> tuple[str, str] | None:
    """Return what a model is instead of a plain decoder, zh and en; None where it is one."""
    if config.get("is_encoder_decoder"):
        return "编码器-解码器模型", "an encoder-decoder"
    if "vision_config" in config or "audio_config" in config:
        return "多模态模型（图像或声音）", "a model of images or sound"
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
        raise _half(base, shard.name, f"{size / 2**30:.2f}/{expected / 2**30:.2f} GB")


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
    return ModelError(
        zh=f"基础模型 {base.id} 没有下载完：缺 {name}{much_zh}。{_again(base)[0]}",
        en=f"the base model {base.id} was not downloaded completely: {name} is missing or too short"
        f"{much_en}. {_again(base)[1]}",
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

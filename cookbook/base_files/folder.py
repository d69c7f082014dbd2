"""Check a base's folder before anything of it is loaded: files that are whole, of a usable model.

    check_folder(base, folder)      raise ModelError with what is wrong and the remedy

What a file says inside is left to those who load it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook.adapter_settings import CONFIG
from cookbook.base_files.files import INDEX, SINGLE, has_tokenizer, is_pointer, size_by_header
from cookbook.base_files.kind import check_kind, check_sound, unusable
from cookbook.errors import ModelError
from cookbook.hubs.names import pull_command

if TYPE_CHECKING:
    from cookbook.bases import Base

UNFINISHED = ("*.incomplete", "*.part", "*.aria2", "*.crdownload", "._____temp")
"""What programs call a download that has not ended."""
JSON_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
"""Small files that a library reads with the model, and stumbles over where one is damaged."""


def check_folder(base: "Base", folder: Path) -> None:
    """Refuse a folder from which no base can be loaded.

    Raises:
        ModelError: naming the file, what is wrong with it, and the remedy.
    """
    config = _config(base, folder)
    check_kind(base.id, config)
    if (folder / "modules.json").is_file():
        raise unusable(base.id, "向量模型（embedding）", "an embedding model")
    _check_weights(base, folder)
    for name in JSON_FILES:
        _check_json(base, folder / name)
    _check_tokenizer(base, folder)


def _config(base: "Base", folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise _no_config(base, folder)
    if is_pointer(path):
        raise _pointer(base, path)
    # A file that the system does not let be read is not damaged.
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    config: dict[str, Any] = found if isinstance(found, dict) else {}
    check_sound(base.id, config)
    return config


def _damaged(base: "Base", name: str) -> ModelError:
    return ModelError(
        zh=f"基础模型 {base.id} 的 {name} 损坏或不完整：重新下载这个文件",
        en=f"the {name} of the base model {base.id} is damaged or not complete: download it again",
    )


def _check_json(base: "Base", path: Path) -> None:
    """Refuse a file that is there but cannot be a JSON object, by its ends: it may be long."""
    if not path.is_file():
        return
    if is_pointer(path):
        raise _pointer(base, path)
    with path.open("rb") as file:
        first = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
        file.seek(max(0, path.stat().st_size - 64))
        last = file.read().rstrip()[-1:]
    if (first, last) != (b"{", b"}"):
        raise _damaged(base, path.name)


def _check_tokenizer(base: "Base", folder: Path) -> None:
    """Refuse a folder without a tokenizer: transformers makes up an empty one."""
    if has_tokenizer(folder):
        return
    raise ModelError(
        zh=f"基础模型 {base.id} 没有分词器（tokenizer.json）：{_again(base)[0]}",
        en=f"the base model {base.id} has no tokenizer (tokenizer.json): {_again(base)[1]}",
    )


def _no_config(base: "Base", folder: Path) -> ModelError:
    """Return the error for a folder without config.json, by what is there instead."""
    if (folder / CONFIG).is_file():
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


def _check_weights(base: "Base", folder: Path) -> None:
    index = folder / INDEX
    shards = sorted(folder.glob("*.safetensors"))
    if index.is_file():
        shards = [folder / name for name in _indexed(base, index)]
    elif not shards:
        raise _no_weights(base, folder)
    for shard in shards:
        _check_shard(base, shard, shards)


def _indexed(base: "Base", index: Path) -> list[str]:
    """Return the names of the shards that an index lists."""
    if is_pointer(index):
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


def _no_weights(base: "Base", folder: Path) -> ModelError:
    if _unfinished(folder):
        return _half(base, SINGLE)
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


def _only_gguf(base: "Base") -> ModelError:
    return ModelError(
        zh=f"基础模型 {base.id} 是 GGUF 文件（llama.cpp 的格式），不能训练："
        "换成它的原版，文件是 .safetensors",
        en=f"the base model {base.id} is a GGUF file, llama.cpp's format, which cannot be trained: "
        "choose its original, with .safetensors files",
    )


def _check_shard(base: "Base", shard: Path, shards: list[Path]) -> None:
    """Refuse a file of weights that is missing, a pointer, or shorter than its header says."""
    if not shard.is_file():
        there = sum(one.is_file() for one in shards)
        raise _half(base, shard.name, f"{there}/{len(shards)}")
    if is_pointer(shard):
        raise _pointer(base, shard)
    size = shard.stat().st_size
    expected = size_by_header(shard)
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


def _half(base: "Base", name: str, how_much: str = "") -> ModelError:
    much_zh = f"（{how_much}）" if how_much else ""
    much_en = f" ({how_much})" if how_much else ""
    again = _again(base)[1]
    return ModelError(
        zh=f"基础模型 {base.id} 没有下载完：缺 {name}{much_zh}。{_again(base)[0]}",
        en=f"the base model {base.id} was not downloaded completely: {name} is missing or too short"
        f"{much_en}. {again[0].upper()}{again[1:]}",
    )


def _again(base: "Base") -> tuple[str, str]:
    """Return how to get the weights again, zh and en; a download goes on where it stopped."""
    if base.on_hub:
        command = pull_command(base.id)
        return f"运行 {command} 接着下载", f"run {command} to go on with the download"
    return "重新下载，会接着下", "download it again; most tools go on where they stopped"


def _unfinished(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in UNFINISHED)


def _pointer(base: "Base", path: Path) -> ModelError:
    return ModelError(
        zh=f"基础模型 {base.id} 的 {path.name} 只是 Git LFS 的指针，内容没有下载："
        "在那个文件夹里运行 git lfs pull",
        en=f"{path.name} of the base model {base.id} is only a Git LFS pointer, its content is not "
        "there: run git lfs pull in that folder",
    )

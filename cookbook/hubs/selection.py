"""Choose the files of a listing that a base needs, or say why it cannot be one.

Weights in safetensors, configuration, tokenizer and chat template; nothing pickled, nothing of
other programs, nothing in folders.
"""

import re
from typing import TYPE_CHECKING

from cookbook.errors import ModelError
from cookbook.hubs import checkpoint
from cookbook.hubs.hub import Listing, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Collection

ADAPTER = "adapter_config.json"

_SMALL = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    checkpoint.INDEX,
}
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_LARGEST_SMALL = 200 * 2**20  # bytes: no tokenizer is larger


def needed(listing: Listing) -> list[RemoteFile]:
    """Return the files to fetch, the small ones first: they show whether it is a chat model.

    Raises:
        ModelError: it has no weights that can be used.
    """
    small = [file for file in listing.files if file.name in _SMALL and file.size < _LARGEST_SMALL]
    weights = _weights(listing.files)
    names = {file.name for file in listing.files}
    if not weights or "config.json" not in names:
        raise _no_weights(listing.model, names)
    # The small ones need none: what is wrong with them shows when they are read.
    unchecked = [file.name for file in weights if file.sha256 is None]
    if unchecked:
        raise ModelError(
            zh=f"{listing.model} 的 {unchecked[0]} 没有校验和，不能确认下载完整：换一个来源",
            en=f"{listing.model}: the hub tells no checksum of {unchecked[0]}, so a download "
            "cannot be verified. Use another source",
        )
    return [*small, *weights]


def _weights(files: "Collection[RemoteFile]") -> list[RemoteFile]:
    """Return one file of weights or its parts, not both, as some repositories have them."""
    by_name = {file.name: file for file in files}
    # The index comes from the same tool as its parts.
    if checkpoint.INDEX in by_name:
        return [by_name[name] for name in sorted(by_name) if _SHARD.fullmatch(name)]
    return [by_name[checkpoint.SINGLE]] if checkpoint.SINGLE in by_name else []


def _no_weights(model: str, names: set[str]) -> ModelError:
    # What the repository is made for shows in the endings.
    endings = {name.rpartition(".")[2] for name in names}
    plain = checkpoint.without_format(model)
    other_zh = other_en = ""
    if plain != model:
        other_zh, other_en = f" {plain}", f", probably {plain}"
    if "gguf" in endings:
        return ModelError(
            zh=f"{model} 是 GGUF 格式，给 llama.cpp 用的，不能训练：换成原版模型{other_zh}",
            en=f"{model} is in GGUF, the format of llama.cpp, and cannot be trained: choose the "
            f"original model{other_en}",
        )
    if endings & {"bin", "pt", "pth"}:
        return ModelError(
            zh=f"{model} 只有 pickle 格式的权重（.bin），加载它可能运行任意代码：换一个有 "
            "safetensors 的模型",
            en=f"{model} has its weights as pickle (.bin) alone, which may run any code when "
            "loaded: choose a model with safetensors",
        )
    return ModelError(
        zh=f"{model} 里没有能用的模型权重（config.json 和 model.safetensors）：换一个模型",
        en=f"{model} holds no weights that can be used (config.json and model.safetensors): "
        "choose another model",
    )


def adapter_of(model: str, base: str | None) -> ModelError:
    """Return the error for a LoRA adapter that was taken for a base."""
    base_zh = f"它的基础模型是 {base}：下载那一个" if base else "写它的基础模型的名字"
    base_en = f"its base model is {base}: pull that one" if base else "write the name of its base"
    return ModelError(
        zh=f"{model} 是 LoRA 适配器，不是完整的模型。{base_zh}",
        en=f"{model} is a LoRA adapter, not a whole model; {base_en}",
    )

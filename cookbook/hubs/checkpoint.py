"""Look at the files of a checkpoint, without torch: is it all there, and is it a chat model?

    unfinished(folder)      the files that are missing, cut off or only stand-ins
    check_chat(folder, name)        raise where it cannot be a chat model

What only loading can show is the engine's work.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from cookbook.errors import ModelError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
# How the name of a converted or quantized model ends.
_FORMAT = re.compile(r"-(GGUF|AWQ|(GPTQ-)?Int\d|GPTQ|FP8|MLX|(bnb-)?\dbit)$", re.IGNORECASE)
# One of these sets makes a tokenizer.
_TOKENIZERS = (["tokenizer.json"], ["vocab.json", "merges.txt"], ["tokenizer.model"])
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def unfinished(folder: Path) -> list[str]:
    """Return the names of the files that a checkpoint lacks, or has only a part of."""
    lacking = [name for name in ["config.json", *_shards(folder)] if not is_whole(folder / name)]
    tokenizers = [all((folder / name).is_file() for name in names) for names in _TOKENIZERS]
    if not any(tokenizers):
        lacking.append("tokenizer.json")
    return lacking


def _shards(folder: Path) -> list[str]:
    """Return the files that the weights are in."""
    index = _read(folder / INDEX)
    if index is None:
        return [SINGLE]
    names = index.get("weight_map")
    # An index that cannot be read is itself what is missing.
    return sorted({str(name) for name in names.values()}) if isinstance(names, dict) else [INDEX]


def is_whole(path: Path) -> bool:
    """Return whether the file is there; of weights, whether it is as long as its header says.

    A repository that was cloned without Git LFS has short texts in place of the weights.
    """
    try:
        status = path.stat()
    except OSError:
        return False
    if path.suffix != ".safetensors":
        return status.st_size > 0
    return _has_all_weights(path, status.st_size, status.st_mtime_ns)


# A job that waits is looked at several times a second.
@lru_cache(maxsize=512)
def _has_all_weights(path: Path, size: int, modified: int) -> bool:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size, _LONGEST_HEADER):
                return False
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        ends = [entry["data_offsets"][1] for entry in header.values()]
        return 8 + length + max(ends, default=0) == size
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def check_chat(folder: Path, name: str) -> None:
    """Raise ModelError where the small files show that it is not a chat model, or not a usable one.

    Args:
        folder: has config.json and the tokenizer's files; weights are not needed.
        name: the model's name, for the sentence.
    """
    config = _read(folder / "config.json") or {}
    quantization = config.get("quantization_config")
    if isinstance(quantization, dict):
        method = quantization.get("quant_method") or "?"
        plain = without_format(name)
        raise ModelError(
            zh=f"{name} 是量化过的模型（{method}），不能在这里训练：换成原版{_named(plain, name)}",
            en=f"{name} is a quantized model ({method}), which cannot be trained here: "
            f"choose the original{_named(plain, name)}",
        )
    settings = _read(folder / "tokenizer_config.json") or {}
    template = _template(folder, settings)
    if template is None or not _ends_turns(folder, template, settings, config):
        named_zh, named_en = _instruct(name)
        raise ModelError(
            zh=f"{name} 不是对话模型（{_reason(template)[0]}）：换成 Instruct 版本{named_zh}",
            en=f"{name} is not a chat model ({_reason(template)[1]}): choose its Instruct version"
            f"{named_en}",
        )


def without_format(name: str) -> str:
    """Return the name of the model that a converted or quantized one was probably made from."""
    return _FORMAT.sub("", name)


def _named(plain: str, name: str) -> str:
    return "" if plain == name else f" {plain}"


def _instruct(name: str) -> tuple[str, str]:
    """Return how the chat version of a model on a hub is mostly named, zh and en."""
    # Of a folder nobody knows, and some chat models have just lost their template.
    if "/" not in name or name.lower().endswith(("-instruct", "-chat")):
        return "", ""
    return f"，多半叫 {name}-Instruct", f", mostly named {name}-Instruct"


def _reason(template: str | None) -> tuple[str, str]:
    if template is None:
        return "没有对话模板", "it has no chat template"
    return "没有学过在哪里结束回答", "it was not trained to end an answer"


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """Return all chat templates of a tokenizer as one text; None where it has none."""
    texts = []
    for name in _TEMPLATES:
        path = folder / name
        if path.is_file():
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
    own = settings.get("chat_template")
    if own:
        # A list holds one template for each purpose.
        texts.append(own if isinstance(own, str) else json.dumps(own, ensure_ascii=False))
    return "\n".join(texts) or None


def _ends_turns(
    folder: Path, template: str, settings: dict[str, Any], config: dict[str, Any]
) -> bool:
    """Return whether the template ends a turn with a token at which the model stops.

    The bases of Qwen2.5 carry a chat template, too, but stop at another token than it writes. Where
    the tokens are not known, the template is believed.
    """
    if "eos_token" in template:
        return True
    generation = _read(folder / "generation_config.json") or {}
    texts = {str(number): _content(token) for number, token in _added(settings).items()}
    stops = [_content(settings.get("eos_token"))]
    for ids in (generation.get("eos_token_id"), config.get("eos_token_id")):
        for number in ids if isinstance(ids, list) else [ids]:
            if number is not None:
                stops.append(texts.get(str(number)))
    # One whose text is not known may be the one in the template.
    return any(stop is None or stop in template for stop in stops)


def _added(settings: dict[str, Any]) -> dict[str, Any]:
    added = settings.get("added_tokens_decoder")
    return added if isinstance(added, dict) else {}


def _content(token: Any) -> str | None:
    """Return the text of a token, which is written alone or with its properties."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _read(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None where there is no file, an empty one where it holds no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

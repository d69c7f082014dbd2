"""Tell from a base's small files whether it is a chat model, before its weights are fetched.

    check_chat(folder, name)      raise ModelError where it is not one, or is quantized

What only loading can show is the engine's work.
"""

import json
from pathlib import Path
from typing import Any

from cookbook.base_files.files import read_json
from cookbook.base_files.kind import check_kind, check_sound
from cookbook.errors import ModelError

_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def check_chat(folder: Path, name: str) -> None:
    """Raise ModelError where the small files show that it is not a chat model that can be used.

    Args:
        folder: has config.json and the tokenizer's files; weights are not needed.
        name: the model's name, for the sentence.
    """
    config = read_json(folder / "config.json") or {}
    check_sound(name, config)
    check_kind(name, config)
    settings = read_json(folder / "tokenizer_config.json") or {}
    template = _template(folder, settings)
    if template is None or not _ends_turns(folder, template, settings, config):
        named_zh, named_en = _instruct(name)
        raise ModelError(
            zh=f"{name} 不是对话模型（{_reason(template)[0]}）：换成 Instruct 版本{named_zh}",
            en=f"{name} is not a chat model ({_reason(template)[1]}): choose its Instruct version"
            f"{named_en}",
        )
    used = _used(folder, settings)
    if used:
        from cookbook.base_files import template as jinja

        jinja.check_syntax(name, used)


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


def _used(folder: Path, settings: dict[str, Any]) -> str | None:
    """Return the template that a conversation is laid out with; None where it is not known."""
    path = folder / _TEMPLATES[0]
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    own = settings.get("chat_template")
    # One for each purpose.
    for one in own if isinstance(own, list) else []:
        if isinstance(one, dict) and one.get("name") == "default":
            own = one.get("template")
    return own if isinstance(own, str) else None


def _ends_turns(
    folder: Path, template: str, settings: dict[str, Any], config: dict[str, Any]
) -> bool:
    """Return whether the template ends a turn with a token at which the model stops.

    The bases of Qwen2.5 carry a chat template, too, but stop at another token than it writes. Where
    the tokens are not known, the template is believed.
    """
    if "eos_token" in template:
        return True
    generation = read_json(folder / "generation_config.json") or {}
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

"""Entries that keep a conversation under one key: OpenAI, ShareGPT, UltraChat and others."""

from collections.abc import Mapping

from cookbook.data import json_text
from cookbook.data.shapes import lists, pair
from cookbook.data.shapes.lists import TURNS
from cookbook.data.shapes.shape import (
    Converted,
    Options,
    Refused,
    Shape,
    folded,
    is_empty,
    keys_in,
    words,
)

MESSAGES = Shape("messages", "OpenAI 的 messages 格式", "OpenAI messages")
SHAREGPT = Shape("sharegpt", "ShareGPT 格式", "ShareGPT")

# Where an entry keeps its conversation. The first of them that is a list of turns is used.
CONVERSATION_KEYS = words(
    "messages conversations conversation items dialog dialogue dialogs turns chat_messages "
    "interactions chat talk data 对话 消息"
)
# Known by name alone, whatever they hold; `items` or `data` may be anything.
_BY_NAME = ("messages", "conversations", "conversation")


def conversation_key(entry: Mapping) -> str | None:
    """Return the key of an entry's conversation; None where it has none."""
    names = folded(entry)
    for name in CONVERSATION_KEYS:
        key = names.get(name)
        if key is not None and lists.kind_of(_opened(entry[key])):
            return key
    return next(iter(keys_in(names, _BY_NAME)), None)


def shape_of(entry: Mapping) -> Shape | None:
    """Return the shape of an entry that keeps a conversation; None for any other."""
    key = conversation_key(entry)
    if key is None:
        return None
    turns = _opened(entry[key])
    kind = lists.kind_of(turns)
    if key == "messages" and (kind is None or _is_of_openai(turns)):
        return MESSAGES
    return SHAREGPT if kind in (None, TURNS) else kind


def _is_of_openai(turns: object) -> bool:
    """Return whether turns have a role; one odd turn among them is a fault, not another shape."""
    if not isinstance(turns, list | tuple):
        return False
    objects = [turn for turn in turns[: lists.LOOKED_AT] if isinstance(turn, dict)]
    if any("from" in turn or "value" in turn for turn in objects):
        return False
    return any("role" in turn for turn in objects)


def convert(entry: object, options: Options) -> Converted:
    """Return the messages of an entry that keeps a conversation."""
    assert isinstance(entry, dict)
    key = conversation_key(entry)
    assert key is not None
    turns = _opened(entry[key])
    if not isinstance(turns, list | tuple):
        raise Refused(
            zh=f"{key} 不是数组",
            en=f"{key} is not an array",
            fix=("写成消息的数组", "write an array of messages"),
            code="messages-missing",
            key=key,
        )
    # What is wrong with single turns is for the rules to say.
    result = lists.of_list(turns, options)
    result.key = key
    result.leave(entry, {key})
    _refuse_answer_beside(entry, key, result)
    lists.add_system(result, entry, options)
    return result


def _refuse_answer_beside(entry: Mapping, key: str, result: Converted) -> None:
    """Refuse an entry that ends with a question and has an answer somewhere else."""
    last = result.messages[-1] if result.messages else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return
    others = [answer for answer in keys_in(folded(entry), pair.ANSWERS) if answer != key]
    beside = [answer for answer in others if not is_empty(entry[answer])]
    # It may be what the last question was answered with, or what another model said.
    if beside:
        other = beside[0]
        raise Refused(
            zh=f"{key} 以提问结尾，旁边还有 {other}，说不准是不是回答",
            en=f"{key} ends with a question; {other} may be its answer",
            fix=(
                f"把 {other} 写成 {key} 的最后一条，或删去",
                f"add {other} to {key} as its last message, or remove it",
            ),
            key=other,
        )


def _opened(value: object) -> object:
    """Return a list that a table's cell holds as JSON text; any other value as it is."""
    found = json_text.list_in(value)
    return value if found is None else found

"""Lists of turns: who says what, pairs of question and answer, or texts that take turns."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from cookbook.data.report.names import MAX_NAME
from cookbook.data.shapes import pair, roles
from cookbook.data.shapes.shape import (
    Converted,
    Options,
    Refused,
    Shape,
    folded,
    is_empty,
    keys_in,
    only_text,
    words,
)

TURNS = Shape("turns", "消息的列表（外面没有 messages）", "bare list of messages")
STRINGS = Shape("strings", "一问一答交替的文字列表", "list of alternating texts")
PAIRS = Shape("pairs", "一对一对的问答列表", "list of question–answer pairs")

ROLE_KEYS = words("role from speaker sender_type sender author 角色 说话人")
TEXT_KEYS = words("content value text message msg utterance mes 内容")
SYSTEM_KEYS = words(
    "system system_prompt systemprompt system_message bot_setting meta_instruction "
    "systeminstruction system_instruction 系统 系统提示 系统提示词"
)
CALL_KEYS = ("tool_calls", "function_call")

# What some write before the texts of a list.
_MARKS = {"user": "问：", "assistant": "答："}

LOOKED_AT = 3  # items of a list that tell what it is a list of


def kind_of(items: object) -> Shape | None:
    """Return what a list is a list of: turns, pairs, strings; None for anything else."""
    if not isinstance(items, list | tuple):
        return None
    kinds = [_kind_of_item(item) for item in items[:LOOKED_AT]]
    known = [kind for kind in kinds if kind is not None]
    # Texts mean something only all together; of the others one is enough to know the list.
    are_texts = len(known) == len(kinds) and len(items) > 1
    if STRINGS in known and not are_texts:
        return None
    return known[0] if len(set(known)) == 1 else None


def _kind_of_item(item: object) -> Shape | None:
    if isinstance(item, str):
        return STRINGS
    if isinstance(item, list | tuple):
        are_texts = all(isinstance(text, str) for text in item)
        return PAIRS if are_texts and len(item) == 2 else None
    if not isinstance(item, dict):
        return None
    if is_turn(item) or _by_role(item):
        return TURNS
    return PAIRS if pair.shape_of(item) else None


def is_turn(item: Mapping) -> bool:
    """Return whether an object says who speaks and what."""
    names = folded(item)
    has_text = any(key in names for key in TEXT_KEYS)
    has_calls = any(key in names for key in CALL_KEYS)
    return _speaker_key(item, names) is not None and (has_text or has_calls)


def _speaker_key(item: Mapping, names: Mapping[str, str]) -> str | None:
    for name in ROLE_KEYS:
        if name in names and isinstance(item[names[name]], str):
            return names[name]
    key = names.get("is_user")
    return key if key is not None and isinstance(item[key], bool) else None


def _by_role(item: Mapping) -> str | None:
    """Return the key of a turn that is `{"user": "…"}`; None for any other object."""
    if len(item) != 1:
        return None
    (key,) = item
    is_role = isinstance(key, str) and roles.known(key) is not None
    return key if is_role and isinstance(item[key], str) else None


def convert(items: object, options: Options) -> Converted:
    """Return the messages of an entry that is itself a list."""
    assert isinstance(items, list | tuple)
    result = of_list(items, options)
    add_system(result, {}, options)
    return result


def of_list(items: Sequence, options: Options) -> Converted:
    """Return the messages of a list of turns, pairs or texts."""
    kind = kind_of(items)
    if kind is STRINGS:
        return _of_strings(items)
    if kind is PAIRS:
        return _of_pairs(items, options)
    result = Converted([])
    for index, turn in enumerate(items):
        # What is no message stays as it is: the rules report it.
        message = _message(turn, index, options, result) if isinstance(turn, dict) else turn
        result.messages.append(message)
    _drop_empty_system(result)
    for name, role in suggested_roles(result.messages).items():
        result.unknown_roles.setdefault(name, role)
    return result


def _drop_empty_system(result: Converted) -> None:
    first = result.messages[0] if result.messages else None
    if not isinstance(first, dict) or first.get("role") != "system":
        return
    if isinstance(first.get("content"), str) and is_empty(first["content"]):
        result.messages.pop(0)
        result.messages_before -= 1
        result.note("not-used", "空的 system", "an empty system message")


def _of_strings(texts: Sequence) -> Converted:
    result = Converted(_alternating(texts))
    # Some write who speaks before each text.
    if all(map(_is_marked, result.messages)):
        for message in result.messages:
            mark = _MARKS[message["role"]]
            message["content"] = message["content"].removeprefix(mark)
        marks = _MARKS.values()
        result.note("separators", "、".join(marks), ", ".join(marks))
    return result


def _is_marked(message: Mapping) -> bool:
    content = message["content"]
    return isinstance(content, str) and content.startswith(_MARKS[message["role"]])


def _alternating(texts: Sequence) -> list:
    speakers = cycle(("user", "assistant"))
    return [{"role": role, "content": text} for role, text in zip(speakers, texts, strict=False)]


def _of_pairs(items: Sequence, options: Options) -> Converted:
    result = Converted([])
    for index, item in enumerate(items):
        if isinstance(item, list | tuple) and len(item) == 2:
            result.messages += _alternating(item)
        elif isinstance(item, dict) and pair.shape_of(item):
            converted = pair.convert(item)
            # A system message stands beside the first question; later it would cut the talk.
            if index == 0:
                add_system(converted, item, options)
            result.messages += converted.messages
            result.add(converted)
        else:
            raise Refused(
                zh=f"第 {index + 1} 组不是一问一答",
                en=f"item {index + 1} is not a question with an answer",
            )
    return result


def _message(turn: dict, index: int, options: Options, result: Converted) -> dict:
    role_itself = _by_role(turn)
    if role_itself is not None:
        turn = {"role": role_itself, "content": turn[role_itself]}
    names = folded(turn)
    # Whatever is missing stays missing: the rules say so.
    message = {}
    used = set()
    role_key = _speaker_key(turn, names) or names.get("role") or names.get("from")
    if role_key is not None:
        used.add(role_key)
        message["role"] = _role(turn[role_key], index, options, result)
    if any(not is_empty(turn.get(key)) for key in CALL_KEYS):
        _refuse_tools(index, next(key for key in CALL_KEYS if key in turn))
    text_key = next((names[key] for key in TEXT_KEYS if key in names), None)
    if text_key is not None:
        used.add(text_key)
        message["content"] = turn[text_key]
    for name in pair.WEIGHTS:
        if name in names:
            used.add(names[name])
            message[name] = turn[names[name]]
    result.leave(turn, used)
    return message


def _role(name: object, index: int, options: Options, result: Converted) -> object:
    """Return the role of a name; the name itself where nobody knows it."""
    if isinstance(name, bool):  # is_user
        return "user" if name else "assistant"
    if not isinstance(name, str):
        return name
    if name not in options.roles and roles.is_tool(name):
        _refuse_tools(index, name)
    role = options.role_of(name)
    if role is None:
        return name
    if name != role:
        code = "role-case" if name.strip().casefold() == role else "role"
        change = f"{name[:MAX_NAME]} → {role}"
        result.note(code, change, change)
    return role


def _refuse_tools(index: int, key: str) -> None:
    raise Refused(
        zh="有工具调用或工具的结果",
        en="has tool calls or tool results",
        code="tool-calls",
        key=key,
        index=index,
    )


def suggested_roles(messages: Sequence[object]) -> dict[str, str]:
    """Return each unknown role with the one that its place suggests: the other side's."""
    suggested: dict[str, str] = {}
    objects = [m if isinstance(m, dict) else {} for m in messages]
    taken = [message.get("role") for message in objects]
    other = {"user": "assistant", "assistant": "user"}
    previous = "assistant"  # so that the first who speaks asks
    for index, role in enumerate(taken):
        if not isinstance(role, str) or role == "system":
            continue
        if role in other:
            previous = role
            continue
        # Who speaks next is the other side; at the end, who spoke before.
        after = taken[index + 1] if index + 1 < len(taken) else None
        known_after = isinstance(after, str) and after in other
        previous = other[after] if known_after else other[previous]  # type: ignore[index]
        suggested.setdefault(role, previous)
    return suggested


def finished(result: Converted, entry: Mapping, used: set[str], options: Options) -> Converted:
    """Return the row of an entry with questions, with what else the entry says.

    Args:
        used: its keys whose values are in the row.
    """
    names = folded(entry)
    # Another spelling of the question that is empty says nothing.
    for name in (*pair.QUESTIONS, *pair.ANSWERS):
        if name in names and is_empty(entry[names[name]]):
            used.add(names[name])
    result.leave(entry, used)
    add_system(result, entry, options)
    return result


def add_system(result: Converted, entry: Mapping, options: Options) -> None:
    """Put a system message in front: the conversation's own, the entry's, or the one asked for."""
    names = folded(entry)
    beside = keys_in(names, SYSTEM_KEYS)
    for key in beside:
        if is_empty(entry[key]):
            result.unused.pop(key, None)
    filled = [key for key in beside if not is_empty(entry[key])]

    # Within the conversation it is nearest to what was meant; beside it, to the entry.
    objects = [message for message in result.messages if isinstance(message, dict)]
    own = [message for message in objects if message.get("role") == "system"]
    text: object = options.system
    if filled:
        text = _system_text(entry[filled[0]])
        if not own or own[0].get("content") == text:
            result.unused.pop(filled[0], None)
    if text and not own:
        result.messages.insert(0, {"role": "system", "content": text})
        result.messages_before += 1


def _system_text(value: object) -> object:
    """Return the text of a system message as vendors write it: a text, its parts, an object."""
    if isinstance(value, dict):
        value = value.get("parts", value.get("text", value))
    return only_text(value)

"""Conversations written as one text, with a mark before each turn: Belle, Baize, Moss, HH-RLHF.

Only marks that no text has by chance are read, and only where the turns alternate from the first
character on.
"""

import re
from collections.abc import Mapping

from cookbook.data.shapes import lists, pair
from cookbook.data.shapes.shape import Converted, Options, Refused, Shape, folded, keys_in

TRANSCRIPT = Shape("transcript", "整段写成文字的多轮对话", "conversation in one text")
MOSS = Shape("moss", "Moss 格式", "Moss")

# A mark stands at the beginning of a line.
_MARKS = re.compile(r"^(?:(Human|User|人类|用户)|(Assistant|AI|助手))[:：]", re.MULTILINE)
_BAIZE = re.compile(r"\[\|(?:(Human)|(AI))\|\]")
_MOSS = re.compile(r"\[(?:(Human)|(MOSS))\]: ")
_MOSS_ENDS = re.compile(r"<eo[hamcrt]>")
# What Moss writes before a text, by its key.
_MOSS_BEFORE = re.compile(r"^\s*<\|[A-Za-z ]{1,20}\|>:\s*")

_LONGEST_PREFACE = 400  # characters: Baize begins with a sentence on who talks
_KEYS = (
    "plain_text",
    "input",
    "instruction",
    "prompt",
    "conversation",
    "conversations",
    "dialogue",
    "dialog",
)


def marks_of(text: object) -> "re.Pattern[str] | None":
    """Return the marks that a text uses; None where it is no conversation."""
    if not isinstance(text, str):
        return None
    head = text[:_LONGEST_PREFACE]
    for marks in (_BAIZE, _MOSS):
        found = marks.search(head)
        if found and found[1]:
            return marks
    # Other marks are usual words: both must be there, and the first at the very beginning.
    found = _MARKS.match(text.lstrip()[:20])
    if found and found[1] and any(match[2] for match in _MARKS.finditer(text)):
        return _MARKS
    return None


def text_key(entry: Mapping) -> str | None:
    """Return the key of an entry whose text is a whole conversation."""
    names = folded(entry)
    keys = keys_in(names, _KEYS)
    return next((key for key in keys if marks_of(entry[key])), None)


def turns_of(text: str) -> list:
    """Return the messages of a conversation written as one text.

    Raises:
        Refused: its turns do not alternate.
    """
    marks = marks_of(text)
    assert marks is not None
    found = list(marks.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    messages = []
    for match, end in zip(found, ends, strict=True):
        content = text[match.end() : end]
        if marks is _MOSS:
            content = _MOSS_ENDS.sub("", content)
        role = "user" if match[1] else "assistant"
        messages.append({"role": role, "content": content.strip()})
    _drop_open_turn(messages)
    roles = [message["role"] for message in messages]
    if any(role == after for role, after in zip(roles, roles[1:], strict=False)):
        raise Refused(
            zh="文字里的对话不是一问一答轮流的",
            en="the turns in the text do not alternate",
            fix=("拆成 messages", "split it into messages"),
        )
    return messages


def _drop_open_turn(messages: list) -> None:
    # Belle ends with `Assistant:`, Baize with `[|Human|]`: the turn that would come next.
    if messages and not messages[-1]["content"]:
        messages.pop()


def convert(entry: object, options: Options) -> Converted:
    """Return the messages of an entry that writes a conversation as one text."""
    assert isinstance(entry, dict)
    key = text_key(entry)
    assert key is not None
    result = Converted(turns_of(entry[key]))
    used = {key}
    names = folded(entry)
    has_answer = bool(keys_in(names, pair.ANSWERS))
    # Belle: the talk is the question, and the answer stands beside it.
    if has_answer and result.messages[-1]["role"] == "user":
        answer = pair.answer_key(entry)
        used.add(answer)
        result.messages.append(pair.answer(entry, answer, result))
    return lists.finished(result, entry, used, options)


def is_moss(entry: Mapping) -> bool:
    """Return whether an entry is one of Moss: `{"chat": {"turn_1": {"Human": …, "MOSS": …}}}`."""
    chat = entry.get("chat")
    return isinstance(chat, dict) and isinstance(chat.get("turn_1"), dict)


def convert_moss(entry: object, options: Options) -> Converted:
    """Return the messages of an entry of Moss."""
    assert isinstance(entry, dict)
    result = Converted([])
    for index, turn in enumerate(entry["chat"].values()):
        turn = turn if isinstance(turn, dict) else {}
        used = _moss_text(turn.get("Commands"))
        if used not in ("", "None"):
            raise Refused(
                zh="有工具调用", en="has tool calls", code="tool-calls", index=2 * index + 1
            )
        question, answer = _moss_text(turn.get("Human")), _moss_text(turn.get("MOSS"))
        result.messages.append({"role": "user", "content": question})
        result.messages.append({"role": "assistant", "content": answer})
        thoughts = _moss_text(turn.get("Inner Thoughts"))
        if thoughts not in ("", "None"):
            result.unused["inner_thoughts"] = thoughts
    result.leave(entry, {"chat", "num_turns"})
    lists.add_system(result, entry, options)
    return result


def _moss_text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return _MOSS_ENDS.sub("", _MOSS_BEFORE.sub("", value)).strip()

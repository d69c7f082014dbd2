"""The rules of one message: its role and its content. `row_rules.py` has those of a row."""

import json
from collections.abc import Mapping, Sequence
from functools import partial

from cookbook.data.report import Report
from cookbook.data.report.excerpt import around, value, visible, written
from cookbook.data.report.names import MAX_NAME
from cookbook.data.rows import ROLES
from cookbook.data.shapes import lists, roles
from cookbook.data.shapes.shape import is_empty
from cookbook.errors import DataError
from cookbook.i18n import spaced

MAX_ROLES = 5  # named in one call

Remedy = tuple[str, str]  # in Chinese and English

# What JSON calls a value, in Chinese and English.
_TYPES = {
    dict: ("对象", "an object"),
    list: ("数组", "an array"),
    str: ("字符串", "a string"),
    bool: ("布尔值", "a boolean"),
    int: ("数字", "a number"),
    float: ("数字", "a number"),
    type(None): ("空值 null", "null"),
}

_TEXT_TYPES = (None, "text", "input_text", "output_text")
_MEDIA = ("image", "audio", "video", "file")


def type_of(content: object) -> tuple[str, str]:
    """Return what JSON calls a value, in Chinese and English."""
    # Rows in memory may hold what JSON has no name for.
    name = type(content).__name__
    return _TYPES.get(type(content), (name, name))


def has_text(content: str) -> bool:
    """Return whether there is anything to read: a character that prints and is not white space."""
    return any(c.isprintable() and not c.isspace() for c in content)


# Roles


def is_of_tools(message: Mapping) -> bool:
    """Return whether a message calls a tool, or is a tool's result."""
    return call_key(message) is not None or roles.is_tool(message.get("role"))


def call_key(message: Mapping) -> str | None:
    """Return the key under which a message calls a tool."""
    for key in lists.CALL_KEYS:
        # Some write an empty list into every message.
        if not is_empty(message.get(key)):
            return key
    return None


def usual_role(role: object) -> str | None:
    """Return system, user or assistant if the role is that, in whatever case; else None."""
    if not isinstance(role, str) or len(role) > MAX_NAME:
        return None
    lowered = role.strip().casefold()
    return lowered if lowered in ROLES else None


def checked_roles(asked: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the argument `roles`, which must map names to the three known roles.

    Raises:
        DataError: it names another role.
    """
    for name, role in (asked or {}).items():
        if role not in ROLES:
            raise DataError(
                zh=f"roles= 里 {name!r} 要对应 system、user 或 assistant",
                en=f"roles= must map {name!r} to system, user or assistant",
            )
    return asked or {}


def role_calls(messages: Sequence[object]) -> Remedy:
    """Return the remedy for the roles of these messages: the call that reads them."""
    names: dict[str, str] = {}
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role in ROLES or roles.is_tool(role):
            continue
        if len(names) < MAX_ROLES:
            names[role[:MAX_NAME]] = usual_role(role) or roles.known(role) or ""
    suggested = lists.suggested_roles(messages)
    listed = []
    for name, role in names.items():
        # What nobody knows the place suggests: people take turns.
        meant = role or suggested.get(name, "…")
        listed.append(f"{_quoted(name)}: {_quoted(meant)}")
    call = f"data.clean(path, roles={{{', '.join(listed)}}})"
    return (
        f"对应到 system、user 或 assistant：{call}",
        f"map it to system, user or assistant: {call}",
    )


def _quoted(text: str) -> str:
    return json.dumps(visible(text), ensure_ascii=False)


def check_role(
    report: Report, line: int, index: int, message: Mapping, remedy: Remedy | None
) -> str | None:
    """Return the role, if it is clear whose turn it is.

    Args:
        remedy: for the unknown roles of the row.
    """
    if "role" not in message:
        report.add(line, "role-missing", zh="没有 role", en="no role", index=index)
        return None
    role = message["role"]
    if isinstance(role, str) and role in ROLES:
        return role
    name = written(role)[:60]
    zh, en = f"role 是 {name}", f"role is {name}"
    usual = usual_role(role)
    if usual:
        zh, en = f"{zh}，要写成 {usual}", f"{en}; write {usual}"
        remedy = ("用 data.clean(path) 改成小写", "write it in lower case: data.clean(path)")
    report.add(
        line,
        "role-unknown",
        zh=zh,
        en=en,
        index=index,
        excerpt=partial(value, role, '"role": '),
        fix=remedy if isinstance(role, str) else None,
        at=("role", 0),
    )
    return usual


# Contents


def joined(content: object) -> str | None:
    """Return the text of a content in parts; None if there is more in it than text."""
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str) or not _is_text_part(part):
            return None
        texts.append(text)
    return "\n".join(texts) if texts else None


def _is_text_part(part: object) -> bool:
    if not isinstance(part, dict):
        return True
    kind = part.get("type")
    return (kind is None or kind in _TEXT_TYPES) and not _has_media(part)


def _has_media(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    names = [name for name in (*part, kind) if isinstance(name, str)]
    return any(media in name for name in names for media in _MEDIA)


def check_content(report: Report, line: int, index: int, content: object) -> None:
    """Report a content that is not a text to read."""
    if not isinstance(content, str):
        _report_type(report, line, index, content)
        return
    # JSON can escape half of a pair of surrogates, which no tokenizer takes.
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as error:
        report.add(
            line,
            "encoding",
            zh="content 里有半个字符（孤立的代理项）",
            en="content has half a character (a lone surrogate)",
            index=index,
            excerpt=partial(around, content, error.start, error.end),
            fix=("删去它，或换成完整的字符", "remove it, or write the whole character"),
            at=("content", error.start),
        )
        return
    if not has_text(content):
        report.add(
            line,
            "content-empty",
            zh="content 是空的",
            en="content is empty",
            index=index,
            excerpt=('"content": "', visible(content[:10]), '"'),
            at=("content", 0),
        )


def _report_type(report: Report, line: int, index: int, content: object) -> None:
    zh, en = type_of(content)
    zh, en = f"content 是{spaced(zh)}", f"content is {en}"
    remedy: Remedy | None = None
    if content is None:
        remedy = ("写上内容，或删去这条消息", "write the content, or drop the message")
    elif isinstance(content, list) and any(map(_has_media, content)):
        zh, en = "content 里有图片或音视频", "content has images, audio or video"
        remedy = (
            "这里只训练文字：去掉它们，或删去这一条",
            "only text is trained here: remove them, or drop the row",
        )
    elif isinstance(content, list | dict) and joined(content) is not None:
        n = len(content) if isinstance(content, list) else 1
        zh, en = f"content 是分段写的文字，共 {n} 段", f"content is a list of text parts ({n})"
        remedy = ("用 data.clean(path) 接成一段", "join them: data.clean(path)")
    report.add(
        line,
        "content-type",
        zh=zh,
        en=en,
        index=index,
        excerpt=partial(value, content, '"content": '),
        fix=remedy,
        at=("content", 0),
    )

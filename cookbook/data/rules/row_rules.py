"""The rules of one row: a line's JSON, the row, its messages, their order. Guide §2.1 and §4.

Every function adds what is wrong to a `Report`; one problem never hides another that can be judged
without it. Rules that take several rows are in `corpus.py`.
"""

from collections.abc import Sequence
from functools import partial

from cookbook.data import json_text
from cookbook.data.report import Report
from cookbook.data.report.columns import WHOLE_TEXT
from cookbook.data.report.excerpt import Excerpt, around, value
from cookbook.data.report.names import MAX_NAME, joined
from cookbook.data.rows import ROLES
from cookbook.data.rules import key_rules, message_rules
from cookbook.data.rules.message_rules import has_text, type_of
from cookbook.data.sensitive import find_secrets
from cookbook.i18n import spaced

__all__ = ["ROLES", "as_object", "check_row", "check_secrets", "has_text"]


_REPAIR = 'data.clean(path, fix=["json"])'


def report_not_json(
    report: Report, line: int, text: str, error: json_text.NotJson, *, is_repairable: bool = False
) -> None:
    """Report why a text is not JSON, with the remedy that fits."""
    fix = error.fix
    if is_repairable:
        zh, en = fix or ("改成 JSON 的写法", "write it as JSON")
        fix = f"{zh}；或用 {_REPAIR} 改好", f"{en}, or run {_REPAIR}"
    code = "duplicate-key" if isinstance(error, json_text.DuplicateKey) else "json"
    report.add(
        line,
        code,
        zh=error.zh,
        en=error.en,
        excerpt=partial(around, text, error.start, error.end),
        fix=fix,
        at=(WHOLE_TEXT, error.start),
    )


def as_object(report: Report, line: int, row: object) -> dict | None:
    """Return a row if it is a JSON object, a dict; else None, and a problem in `report`."""
    if isinstance(row, dict):
        return row
    zh, en = type_of(row)
    report.add(
        line,
        "not-object",
        zh=f"是{spaced(zh)}，不是 JSON 对象",
        en=f"is {en}, not an object",
        excerpt=partial(value, row),
        at=(WHOLE_TEXT, 0),
    )
    return None


def check_row(report: Report, line: int, row: dict) -> bool:
    """Return whether a row can be trained on; what is wrong with it goes into `report`."""
    # Warnings, such as a key too many, do not keep a row from training.
    errors_before = report.errors
    messages = row.get("messages")
    calls_tools = False
    if isinstance(messages, list) and messages:
        calls_tools = _check_messages(report, line, row)
    else:
        _report_no_messages(report, line, row)
    # Without messages the other keys are not what is too much.
    if row.get("messages") is not None:
        key_rules.check_keys(report, line, None, row, {"messages"}, tools_reported=calls_tools)
    return report.errors == errors_before


def check_secrets(report: Report, line: int, index: int | None, text: str) -> None:
    """Report keys, phone numbers and the like in one text."""
    for secret in find_secrets(text):
        # Cutting takes time: of a flood of secrets most are only counted.
        if not report.keeps(line, "secret"):
            report.add(line, "secret", zh="", en="", index=index)
            continue
        key = WHOLE_TEXT if index is None else "content"
        excerpt = around(text, secret.start, secret.end)
        masked = excerpt[1]
        report.add(
            line,
            "secret",
            zh=f"像是{secret.zh}：{masked}",
            en=f"looks like {secret.en}: {masked}",
            index=index,
            excerpt=excerpt,
            at=(key, secret.start),
        )


def _report_no_messages(report: Report, line: int, row: dict) -> None:
    messages = row.get("messages")
    if messages is None:
        first_keys = list(row)[:5]
        keys = joined(str(key)[:MAX_NAME] for key in first_keys)
        excerpt = partial(around, keys, 0, 60)
        report.add(
            line,
            "messages-missing",
            zh="没有 messages 数组",
            en="no messages array",
            excerpt=excerpt,
            at=(WHOLE_TEXT, 0),
        )
    elif not isinstance(messages, list):
        _report_other_messages(report, line, messages)
    else:
        empty = ('"messages": ', "[]", "")
        report.add(
            line,
            "messages-empty",
            zh="messages 是空的",
            en="messages is empty",
            excerpt=empty,
        )


def _report_other_messages(report: Report, line: int, messages: object) -> None:
    zh, en = type_of(messages)
    zh, en = f"messages 是{spaced(zh)}，要写成数组", f"messages is {en}, not an array"
    remedy = None
    if json_text.list_in(messages) is not None:
        zh = "messages 是一段字符串，里面才是 JSON 数组（编码了两次）"
        en = "messages is a string that holds the array: it was encoded twice"
        remedy = ("用 data.clean(path) 解开", "decode it: data.clean(path)")
    report.add(
        line,
        "messages-missing",
        zh=zh,
        en=en,
        excerpt=partial(value, messages, '"messages": '),
        fix=remedy,
        at=("messages", 0),
    )


def _check_messages(report: Report, line: int, row: dict) -> bool:
    """Return whether tools are called, which is reported for the row."""
    messages = row["messages"]
    # Of one row's tool calls one is enough.
    of_tools = [isinstance(m, dict) and message_rules.is_of_tools(m) for m in messages]
    if any(of_tools):
        first = of_tools.index(True)
        key_rules.report_tools(report, line, first, messages[first])

    remedy: message_rules.Remedy | None = None
    roles: list[str | None] = []
    for index, message in enumerate(messages):
        if of_tools[index]:
            roles.append(None)
            continue
        if remedy is None and _has_other_role(message):
            remedy = message_rules.role_calls(messages)
        roles.append(_check_message(report, line, index, message, remedy))

    # Without a role that is known, nobody can say whose turn it is.
    known = [role for role in roles if role is not None]
    if len(known) == len(roles):
        _check_order(report, line, known)
    if any(of_tools):
        return True
    key_rules.check_weights(report, line, row, roles)
    return False


def _has_other_role(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") not in ROLES


def _check_message(
    report: Report, line: int, index: int, message: object, remedy: message_rules.Remedy | None
) -> str | None:
    """Return the role of a message if it is known, so that the order can be judged."""
    if not isinstance(message, dict):
        zh, en = type_of(message)
        report.add(
            line,
            "message-not-object",
            zh=f"消息是{spaced(zh)}",
            en=f"the message is {en}",
            index=index,
            excerpt=partial(value, message),
        )
        return None
    role = message_rules.check_role(report, line, index, message, remedy)
    if "content" in message:
        message_rules.check_content(report, line, index, message["content"])
    else:
        report.add(line, "content-missing", zh="没有 content", en="no content", index=index)
    key_rules.check_keys(report, line, index, message, {"role", "content"})
    return role


def _check_order(report: Report, line: int, roles: Sequence[str]) -> None:
    """Report a wrong order; right is system first and once, then user and assistant in turns."""
    for i, role in enumerate(roles):
        if role == "system" and i > 0:
            report.add(
                line,
                "system-position",
                zh="system 不在最前面",
                en="system does not come first",
                index=i,
                excerpt=_roles_around(roles, i),
            )

    if "assistant" not in roles:
        report.add(
            line,
            "no-assistant",
            zh="没有 assistant 的回答，没有可学的内容",
            en="no assistant answer: nothing to learn",
            excerpt=("", " ".join(roles[:6]), ""),
        )

    # A system message in the wrong place does not take a turn.
    turns = [(i, role) for i, role in enumerate(roles) if role != "system"]
    if turns:
        _check_turns(report, line, roles, turns)


def _check_turns(
    report: Report, line: int, roles: Sequence[str], turns: Sequence[tuple[int, str]]
) -> None:
    # Each turn is (its place among all roles, its role).
    first, role = turns[0]
    # An answer to nothing cannot be learned.
    if role != "user":
        report.add(
            line,
            "first-not-user",
            zh=f"第一条（system 之后）是 {role}",
            en=f"the first message after system is {role}",
            index=first,
            excerpt=_roles_around(roles, first),
        )

    for (_, previous), (i, role) in zip(turns, turns[1:], strict=False):
        if role == previous:
            report.add(
                line,
                "alternation",
                zh=f"连续两条 {role}",
                en=f"two {role} messages in a row",
                index=i,
                excerpt=_roles_around(roles, i),
            )

    last, role = turns[-1]
    # Where nobody answers at all, that has been said.
    if role == "user" and "assistant" in roles:
        report.add(
            line,
            "alternation",
            zh="最后一条是 user，没有回答",
            en="the last message is user, without an answer",
            index=last,
            excerpt=_roles_around(roles, last),
        )


def _roles_around(roles: Sequence[str], i: int) -> Excerpt:
    before = " ".join(roles[max(0, i - 3) : i])
    after = " ".join(roles[i + 1 : i + 3])
    return f"{before} ", roles[i], f" {after}"

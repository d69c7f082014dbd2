"""The rules of one row: a line's JSON, the row, its messages, their order. Guide §2.1 and §4.

Every function adds what is wrong to a `Report`; one problem never hides another that can be judged
without it. Rules that take several rows are in `corpus.py`.
"""

from collections.abc import Mapping, Sequence, Set
from functools import partial

from cookbook.data import json_text
from cookbook.data.columns import WHOLE_TEXT
from cookbook.data.excerpt import Excerpt, around, value, visible, written
from cookbook.data.report import Report
from cookbook.data.sensitive import find_secrets
from cookbook.i18n import tr

ROLES = ("system", "user", "assistant")

MAX_KEYS_NAMED = 10  # of the keys that should not be there
MAX_KEY_LENGTH = 40  # characters of a key that are shown

# What JSON calls a value, in Chinese and English.
_TYPES = {
    dict: ("对象", "an object"),
    list: ("数组", "an array"),
    str: ("字符串", "a string"),
    bool: ("布尔值", "a boolean"),
    int: ("数字", "a number"),
    float: ("数字", "a number"),
    type(None): ("null", "null"),
}


def parse_row(report: Report, line: int, text: str) -> dict | None:
    """Return the JSON object of a line; None, and a problem in `report`, if it is not one."""
    try:
        row = json_text.parse(text)
    except json_text.NotJson as error:
        report_not_json(report, line, text, error)
        return None
    return as_object(report, line, row)


def report_not_json(report: Report, line: int, text: str, error: json_text.NotJson) -> None:
    """Report why a text is not JSON, with the remedy that fits."""
    code = "duplicate-key" if isinstance(error, json_text.DuplicateKey) else "json"
    report.add(
        line,
        code,
        zh=error.zh,
        en=error.en,
        excerpt=partial(around, text, error.start, error.end),
        fix=error.fix,
        at=(WHOLE_TEXT, error.start),
    )


def as_object(report: Report, line: int, row: object) -> dict | None:
    """Return a row if it is a JSON object, a dict; else None, and a problem in `report`."""
    if isinstance(row, dict):
        return row
    zh, en = _type_of(row)
    report.add(
        line,
        "not-object",
        zh=f"是{zh}，不是 JSON 对象",
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
    if isinstance(messages, list) and messages:
        known_roles = [_check_message(report, line, i, m) for i, m in enumerate(messages)]
        # Without a role that is known, nobody can say whose turn it is.
        if all(known_roles):
            _check_order(report, line, [message["role"] for message in messages])
    else:
        _report_no_messages(report, line, row)
    _check_keys(report, line, None, row, {"messages"})
    return report.errors == errors_before


def has_text(content: str) -> bool:
    """Return whether there is anything to read: a character that prints and is not white space."""
    return any(c.isprintable() and not c.isspace() for c in content)


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


def _type_of(content: object) -> tuple[str, str]:
    # Rows in memory may hold what JSON has no name for.
    name = type(content).__name__
    return _TYPES.get(type(content), (name, name))


def _report_no_messages(report: Report, line: int, row: dict) -> None:
    messages = row.get("messages")
    if messages is None:
        first_keys = list(row)[:5]
        keys = tr("、", ", ").join(str(key)[:MAX_KEY_LENGTH] for key in first_keys)
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
        zh, en = _type_of(messages)
        report.add(
            line,
            "messages-missing",
            zh=f"messages 是{zh}，要写成数组",
            en=f"messages is {en}, not an array",
            excerpt=partial(value, messages, '"messages": '),
        )
    else:
        empty = ('"messages": ', "[]", "")
        report.add(
            line,
            "messages-empty",
            zh="messages 是空的",
            en="messages is empty",
            excerpt=empty,
        )


def _check_message(report: Report, line: int, index: int, message: object) -> bool:
    """Return whether the message has a known role, so that the order can be judged."""
    if not isinstance(message, dict):
        zh, en = _type_of(message)
        report.add(
            line,
            "message-not-object",
            zh=f"消息是{zh}",
            en=f"the message is {en}",
            index=index,
            excerpt=partial(value, message),
        )
        return False
    known = _check_role(report, line, index, message)
    if "content" in message:
        _check_content(report, line, index, message["content"])
    else:
        report.add(line, "content-missing", zh="没有 content", en="no content", index=index)
    _check_keys(report, line, index, message, {"role", "content"})
    return known


def _check_role(report: Report, line: int, index: int, message: dict) -> bool:
    if "role" not in message:
        report.add(line, "role-missing", zh="没有 role", en="no role", index=index)
        return False
    role = message["role"]
    if isinstance(role, str) and role in ROLES:
        return True
    name = written(role)[:60]
    report.add(
        line,
        "role-unknown",
        zh=f"role 是 {name}",
        en=f"role is {name}",
        index=index,
        excerpt=partial(value, role, '"role": '),
    )
    return False


def _check_content(report: Report, line: int, index: int, content: object) -> None:
    if not isinstance(content, str):
        zh, en = _type_of(content)
        report.add(
            line,
            "content-type",
            zh=f"content 是{zh}",
            en=f"content is {en}",
            index=index,
            excerpt=partial(value, content, '"content": '),
        )
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
            at=("content", error.start),
        )
        return
    if not has_text(content):
        excerpt = ('"content": "', visible(content[:10]), '"')
        report.add(
            line,
            "content-empty",
            zh="content 是空的",
            en="content is empty",
            index=index,
            excerpt=excerpt,
        )


def _check_keys(
    report: Report, line: int, index: int | None, json_object: Mapping, needed: Set[str]
) -> None:
    extra = json_object.keys() - needed
    if not extra:
        return
    keys = sorted(map(str, extra))
    names = tr("、", ", ").join(key[:MAX_KEY_LENGTH] for key in keys[:MAX_KEYS_NAMED])
    if len(keys) > MAX_KEYS_NAMED:
        names += " …"
    report.add(
        line,
        "extra-key",
        zh=f"多了键 {names}",
        en=f"extra keys: {names}",
        index=index,
        excerpt=partial(around, names, 0, len(names)),
        at=(keys[0], 0),
    )


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

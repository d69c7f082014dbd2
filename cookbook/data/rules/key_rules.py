"""The rules of keys: those that a row does not need, and those that change what is learned.

Most further keys are numbers and labels. A weight, the thinking or a tool means something in
training, and is named in words.
"""

from collections.abc import Mapping, Sequence, Set
from functools import partial

from cookbook.data.report import Report, counted
from cookbook.data.report.excerpt import around, written
from cookbook.data.report.names import MAX_NAME, named
from cookbook.data.rules import message_rules, weights
from cookbook.data.shapes import lists, unused
from cookbook.data.shapes.shape import is_empty

THINKING = unused.MEANING["reasoning_content"]
TOOLS = unused.MEANING["tools"]


def thinks(message: Mapping) -> bool:
    """Return whether a message has its thinking under a key of its own."""
    return thinking_key(message) is not None


def thinking_key(message: Mapping) -> str | None:
    """Return the key under which a message, or a row, has thinking."""
    for key, content in message.items():
        meaning = unused.meaning_of(key, content) if isinstance(key, str) else None
        if meaning is THINKING and not is_empty(content):
            return key
    return None


def is_of_tools(key: str) -> bool:
    """Return whether a key describes tools."""
    return unused.MEANING.get(key.casefold()) is TOOLS


def check_keys(
    report: Report,
    line: int,
    index: int | None,
    json_object: Mapping,
    needed: Set[str],
    *,
    tools_reported: bool = False,
) -> None:
    """Report the keys of a row, or of a message, that are not needed."""
    extra: dict[str, object] = {}
    for name in json_object.keys() - needed:
        # A weight is judged with the row, see `check_weights`.
        is_weight = index is not None and name in weights.KEYS
        # Tools are described for the calls that were reported already.
        is_known = tools_reported and is_of_tools(str(name))
        if not is_weight and not is_known:
            extra[str(name)] = json_object[name]
    # Thinking is more than a key too many: it has a code of its own.
    key = thinking_key(extra)
    if key is not None:
        del extra[key]
        _report_thinking(report, line, index, key)
    if extra:
        beside = index is None and system_beside(json_object) is not None
        _report_extra(report, line, index, dict(sorted(extra.items())), beside=beside)


def system_beside(row: Mapping) -> str | None:
    """Return the key of a system message that stands beside messages that have none."""
    messages = row.get("messages")
    if not isinstance(messages, list):
        return None
    if any(isinstance(m, dict) and m.get("role") == "system" for m in messages):
        return None
    for name in lists.SYSTEM_KEYS:
        text = row.get(name)
        if isinstance(text, str) and not is_empty(text):
            return name
    return None


def _report_extra(
    report: Report, line: int, index: int | None, extra: Mapping, *, beside: bool = False
) -> None:
    # Finding the words takes time: of a flood of keys most are only counted.
    if not report.keeps(line, "extra-key"):
        report.add(line, "extra-key", zh="", en="", index=index)
        return
    # An id can go and nobody misses it; of a score or a context people should know.
    plain = unused.metadata(extra)
    meaning = unused.in_words(extra)
    parts_zh, parts_en = [], []
    if plain:
        names = named(plain)
        parts_zh.append(f"多了键 {names}")
        parts_en.append(f"extra keys: {names}")
    if meaning:
        parts_zh.append(f"{meaning}不参与训练")
        parts_en.append(f"not used in training: {meaning}")
    first = next(iter(extra))[:MAX_NAME]
    remedy = None
    if meaning:
        remedy = (
            "平台用不上；data.clean(path) 会去掉，并写明去掉了什么",
            "the platform does not use it; data.clean(path) removes it and says so",
        )
    if beside:
        remedy = (
            "系统提示词要写在 messages 里；data.clean(path) 会放到最前面",
            "the system message belongs in messages: data.clean(path) puts it there",
        )
    report.add(
        line,
        "extra-key",
        zh="，".join(parts_zh),
        en="; ".join(parts_en),
        index=index,
        excerpt=partial(around, first, 0, len(first)),
        fix=remedy,
        at=(first, 0),
    )


def _report_thinking(report: Report, line: int, index: int | None, key: str) -> None:
    report.add(
        line,
        "thinking",
        zh=f"{key} 是思考过程，不参与训练",
        en=f"{key} is thinking; it is not used in training",
        index=index,
        excerpt=("", f'"{key}"', ": …"),
        fix=(
            "要学就写进 content 的 <think> 里；不学就用 data.clean(path) 去掉",
            "to learn it, put it into content inside <think>; to remove it: data.clean(path)",
        ),
        at=(key, 0),
    )


def report_tools(report: Report, line: int, index: int, message: Mapping) -> None:
    """Report a message that calls a tool, or is the result of one."""
    key = message_rules.call_key(message)
    if key is not None:
        zh, en = f"有工具调用（{key}）", f"has a tool call ({key})"
    else:
        role = written(message.get("role"))[:MAX_NAME]
        zh, en = f"有工具的消息（role 是 {role}）", f"has a tool message (role {role})"
    key = key or "role"
    report.add(
        line,
        "tool-calls",
        zh=zh,
        en=en,
        index=index,
        excerpt=("", f'"{key}"', ": …"),
        at=(key, 0),
    )


def check_weights(report: Report, line: int, row: Mapping, roles: Sequence[str | None]) -> None:
    """Report answers that are not to be learned, and weights that nobody can follow."""
    messages = row["messages"]
    answers = [i for i, role in enumerate(roles) if role == "assistant"]
    # A weight of the row is one of all its answers.
    row_off = weights.is_off(row, weights.ROW_KEYS)
    off = answers if row_off else [i for i in answers if weights.is_off(messages[i])]
    if off and len(off) == len(answers):
        report.add(
            line,
            "no-assistant",
            zh="回答都标了不学（权重是 0），没有可学的内容",
            en="every answer has weight 0: nothing to learn",
            index=None if row_off else off[0],
            excerpt=_weight_excerpt(row if row_off else messages[off[0]]),
            fix=("至少留一个要学的回答", "leave at least one answer to learn"),
        )
    elif off:
        _report_off(report, line, off, messages[off[0]])
    for i in answers:
        key = weights.beyond(messages[i])
        # One of a row is enough: whoever writes fractions writes them everywhere.
        if key is not None:
            _report_beyond(report, line, i, key, messages[i][key])
            return


def _report_off(report: Report, line: int, off: Sequence[int], message: Mapping) -> None:
    key = weights.key_of(message)
    n = len(off)
    removal = 'data.clean(path, weights="drop")'
    # Only this spelling is followed in training.
    if key == "weight":
        zh = f"{n} 个回答的 weight 是 0：内嵌服务只读不学，SiliconCloud 怎样处理没有公布"
        en = (
            f"weight 0 on {counted(n, 'answer')}: read but not learned by the embedded service, "
            "not documented by SiliconCloud"
        )
        remedy = (
            f"要留着就不用改；连同提问去掉：{removal}",
            f"leave it, or remove the questions too: {removal}",
        )
    else:
        zh = f'{n} 个回答标了不学（{key}），这里只认 "weight": 0，会照样学'
        en = f'{counted(n, "answer")} marked by {key}: only "weight": 0 is known, so it is learned'
        remedy = (
            f'data.clean(path) 会写成 "weight": 0；连同提问去掉：{removal}',
            f'data.clean(path) writes "weight": 0; to remove the questions too: {removal}',
        )
    report.add(
        line,
        "weight",
        zh=zh,
        en=en,
        index=off[0],
        excerpt=_weight_excerpt(message),
        fix=remedy,
        at=(key, 0),
    )


def _report_beyond(report: Report, line: int, index: int, key: str, weight: object) -> None:
    shown = written(weight)[:20]
    report.add(
        line,
        "weight",
        zh=f"{key} 是 {shown}，只认 0 和 1，会当作 1",
        en=f"{key} is {shown}; only 0 and 1 are supported, so it counts as 1",
        index=index,
        excerpt=("", f'"{key}"', f": {shown}"),
        fix=("改成 0 或 1", "write 0 or 1"),
        at=(key, 0),
    )


def _weight_excerpt(marked: Mapping) -> tuple[str, str, str]:
    key = weights.key_of(marked)
    weight = written(marked[key])[:20]
    return "", f'"{key}"', f": {weight}"

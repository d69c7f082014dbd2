"""The rules of keys: those that a row does not need, and those that change what is learned.

Most further keys are numbers and labels. A weight, the thinking or a tool means something in
training, and is named in words.
"""

from collections.abc import Mapping, Sequence, Set
from functools import partial

from cookbook.data.report import Report
from cookbook.data.report.excerpt import around, written
from cookbook.data.report.names import MAX_NAME, named
from cookbook.data.rules import weights
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
        meaning = unused.MEANING.get(key.casefold()) if isinstance(key, str) else None
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
    extra = {str(key): json_object[key] for key in json_object.keys() - needed}
    if tools_reported:
        extra = {key: extra[key] for key in extra if not is_of_tools(key)}
    if index is not None:
        # A weight is judged with the row, see `check_weights`.
        extra = {key: content for key, content in extra.items() if key not in weights.KEYS}
    key = thinking_key(extra)
    if key is not None:
        del extra[key]
        _report_thinking(report, line, index, key)
    if extra:
        _report_extra(report, line, index, dict(sorted(extra.items())))


def _report_extra(report: Report, line: int, index: int | None, extra: Mapping) -> None:
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
            "平台用不上；data.clean 会去掉，并写明去掉了什么",
            "the platform has no use for it; data.clean removes it and says so",
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
        en=f"{key} is thinking, which is not used in training",
        index=index,
        excerpt=("", f'"{key}"', ": …"),
        fix=(
            "要学就写进 content 的 <think> 里；不要就用 data.clean 去掉",
            "write it into content, in <think>, to learn it; data.clean removes it",
        ),
        at=(key, 0),
    )


def report_tools(report: Report, line: int, index: int, message: Mapping) -> None:
    """Report a message that calls a tool, or is the result of one."""
    key = next((key for key in lists.CALL_KEYS if not is_empty(message.get(key))), None)
    if key is not None:
        zh, en = f"有工具调用（{key}）", f"has a tool call ({key})"
    else:
        role = written(message.get("role"))[:MAX_NAME]
        zh, en = f"有工具的消息（role 是 {role}）", f"has a message of a tool (role {role})"
    key = key or "role"
    excerpt = ("", f'"{key}"', ": …")
    report.add(line, "tool-calls", zh=zh, en=en, index=index, excerpt=excerpt, at=(key, 0))


def check_weights(report: Report, line: int, row: Mapping, roles: Sequence[str | None]) -> None:
    """Report answers that are not to be learned, and weights that nobody can follow."""
    messages = row["messages"]
    answers = [i for i, role in enumerate(roles) if role == "assistant"]
    row_off = weights.is_off(row, weights.ROW_KEYS)
    off = [i for i in answers if row_off or weights.is_off(messages[i])]
    if off and len(off) == len(answers):
        report.add(
            line,
            "no-assistant",
            zh="回答都标了不学（权重是 0），没有可学的内容",
            en="every answer has the weight 0: nothing to learn",
            index=None if row_off else off[0],
            excerpt=_weight_excerpt(row if row_off else messages[off[0]]),
            fix=("留下至少一个要学的回答", "leave one answer at least that is to be learned"),
        )
    elif off:
        _report_off(report, line, off, messages[off[0]])
    for i in answers:
        key = weights.beyond(messages[i])
        if key is not None:
            _report_beyond(report, line, i, key, messages[i][key])
            return


def _report_off(report: Report, line: int, off: Sequence[int], message: Mapping) -> None:
    key = weights.key_of(message)
    n = len(off)
    removal = 'data.clean(path, weights="drop")'
    if key == "weight":
        zh = f"{n} 个回答的 weight 是 0：内嵌服务只读不学，SiliconCloud 怎样处理没有公布"
        en = (
            f"{n} answers of weight 0: the embedded service reads and does not learn them; what "
            "SiliconCloud does is not published"
        )
        remedy = (
            f"要留着就不用改；{removal} 会连同提问去掉",
            f"nothing, to keep them; {removal} removes them with their questions",
        )
    else:
        zh = f'{n} 个回答标了不学（{key}），这里只认 "weight": 0，会照样学'
        en = f'{n} answers have {key} against learning; only "weight": 0 is known here'
        remedy = (
            f'data.clean 会写成 "weight": 0；{removal} 会连同提问去掉',
            f'data.clean writes "weight": 0; {removal} removes them with their questions',
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
        en=f"{key} is {shown}; only 0 and 1 are known, so it counts as 1",
        index=index,
        excerpt=("", f'"{key}"', f": {shown}"),
        fix=("改成 0 或 1", "write 0 or 1"),
        at=(key, 0),
    )


def _weight_excerpt(marked: Mapping) -> tuple[str, str, str]:
    key = weights.key_of(marked)
    return "", f'"{key}"', f": {written(marked[key])[:20]}"

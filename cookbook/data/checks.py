"""Check a training file: every rule of guide §2.1 and §4 and of the platform's newer pages, all problems at once.

`check` never raises for what stands in a file; `load` raises `DataError` with the report. One bad line never hides
another. At most `MAX_BYTES` of a file are read.

The order of work: bytes -> lines -> one row -> its messages -> what the rows say together -> tokens.
"""

import codecs
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cookbook import tokens
from cookbook.data.report import Report, around
from cookbook.data.secrets import find_secrets
from cookbook.errors import DataError, say

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 1000
ADVISED_ROWS = 100
ROLES = ("system", "user", "assistant")


def check(
    source: str | Path | Sequence[dict],
    *,
    validation: str | Path | Sequence[dict] | None = None,
    max_tokens: int | None = 4096,
) -> Report:
    """All problems of a training file, or of rows already in memory. Never raises for what the data says.

    Args:
        validation: a file or rows of the other side: rows that stand in both are reported too.
        max_tokens: rows longer than this are reported; None leaves the tokens uncounted, which is faster.
    """
    if isinstance(source, str | Path):
        report = _check_path(Path(source), max_tokens)
    else:
        report = Report(say("内存中的数据", "rows in memory"))
        lines = enumerate((json.dumps(row, ensure_ascii=False, default=repr) for row in source), 1)
        _check_lines(report, lines, max_tokens)
    if validation is not None:
        held = validation if not isinstance(validation, str | Path) else check(validation, max_tokens=None).rows
        _check_overlap(report, held)
        _sort(report)
    return report


def check_bytes(content: bytes, name: str, *, max_tokens: int | None = 4096, size: int | None = None) -> Report:
    """The same for a file's content; `name` is what the reader called the file, `size` its bytes if more than given."""
    report = Report(name)
    if not name.endswith(".jsonl"):
        report.add(None, "file-suffix", f"文件名 {name} 不以 .jsonl 结尾", f"the name {name} does not end in .jsonl")
    size = max(len(content), size or 0)
    if size > MAX_BYTES:
        found = f"{size / 2**20:.2f} MB"
        report.add(None, "file-size", f"文件 {found}，上限 10 MB", f"the file has {found}, the limit is 10 MB")
        return report
    if content.startswith(codecs.BOM_UTF8):
        content = content[3:]
        report.add(1, "bom", "文件以 BOM 开头", "the file begins with a byte-order mark")
    other = _other_encoding(content)
    if other:
        line, name_of = other
        report.add(
            line, "encoding", f"文件像是 {name_of} 编码，不是 UTF-8", f"the file looks like {name_of}, not UTF-8"
        )
        return report
    _check_lines(report, _decoded(report, content), max_tokens)
    return report


def load(path: str | Path, *, max_tokens: int | None = 4096) -> list[dict]:
    """The rows of a file.

    Raises:
        DataError: if the file has any error; its `report` lists them all.
    """
    report = check(path, max_tokens=max_tokens)
    if not report.ok:
        raise DataError(report)
    return report.rows


def read_bytes(path: Path) -> tuple[bytes, int]:
    """(at most `MAX_BYTES` + 1 bytes of the file, its size).

    Raises:
        OSError: it is no file, or may not be read.
    """
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_size


def _check_path(path: Path, max_tokens: int | None) -> Report:
    try:
        content, size = read_bytes(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        report = Report(path.name, readable=False)
        reason = getattr(error, "strerror", None) or str(error)
        report.add(None, "file-unreadable", f"读不了 {path.name}：{reason}", f"cannot read {path.name}: {reason}")
        return report
    return check_bytes(content, path.name, max_tokens=max_tokens, size=size)


# bytes and lines


def _other_encoding(content: bytes) -> tuple[int, str] | None:
    """(first offending line, name) if the whole is not UTF-8 but reads as another encoding that people use."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return 1, "UTF-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        try:
            content.decode("gb18030")
        except UnicodeDecodeError:
            return None
        return line, "GBK"
    return (1, "UTF-16") if b"\0" in content[:4] else None


def _decoded(report: Report, content: bytes) -> Iterator[tuple[int, str]]:
    """(number, text) of every line that is UTF-8; the others are reported."""
    for number, line in enumerate(io.BytesIO(content), 1):
        try:
            yield number, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            report.lines += 1
            zh, en = f"第 {error.start + 1} 个字节起不是 UTF-8", f"not UTF-8 from byte {error.start + 1} of the line on"
            good, bad = line[: error.start].decode("utf-8"), line[error.start : error.end].hex(" ")
            report.add(number, "encoding", zh, en, excerpt=(around(good, len(good), len(good))[0], bad, ""))


def _check_lines(report: Report, lines: Iterable[tuple[int, str]], max_tokens: int | None) -> None:
    kept: list[tuple[int, dict]] = []
    blank = None
    for number, line in lines:
        if not line.strip():
            blank = blank or number
            continue
        if blank:  # an empty end of the file is no blank line
            report.add(blank, "blank-line", "空行", "blank line")
            blank = None
        report.lines += 1
        row = parse_line(report, number, line)
        if row is not None and check_row(report, number, row):
            kept.append((number, row))
        else:
            _check_secrets(report, number, None, line)
    _check_file(report)
    judge(report, kept, max_tokens)


def judge(report: Report, kept: list[tuple[int, dict]], max_tokens: int | None) -> None:
    """What the rows that can be trained on say together, each with its line number."""
    report.rows = [row for _, row in kept]
    _check_repeats(report, kept)
    _check_style(report, kept)
    if max_tokens is not None:
        _check_tokens(report, kept, max_tokens)
    _sort(report)


def _sort(report: Report) -> None:
    report.problems.sort(key=lambda p: (p.line is not None, p.line or 0))


# one line


# What Python's parser says, for readers of Chinese.
_JSON_REASONS = {
    "Expecting property name": "键要用英文双引号括起来，最后一项后面不能有逗号",
    "Expecting value": "这里缺一个值，或者用了单引号",
    "Expecting ',' delimiter": "这里缺逗号或右括号，可能断成了半行",
    "Expecting ':' delimiter": "键的后面缺冒号",
    "Extra data": "这一行里不止一个 JSON 对象",
    "Unterminated string": "字符串没有收尾的引号，可能断成了半行",
    "Invalid control character": "字符串里有控制字符，换行要写成 \\n",
    "Invalid \\": "反斜杠的写法不对，要写成 \\\\",
}


_KINDS = {
    dict: ("对象", "an object"), list: ("数组", "an array"), str: ("字符串", "a string"), bool: ("布尔值", "a boolean"),
    int: ("数字", "a number"), float: ("数字", "a number"), type(None): ("null", "null"),
}  # fmt: skip


def _kind(value: object) -> tuple[str, str]:
    """What JSON calls it, in Chinese and English."""
    return _KINDS.get(type(value), (type(value).__name__,) * 2)


class _DuplicateKey(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DuplicateKey(next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1))
    return found


def _no_constant(name: str):
    raise ValueError(say(f"{name} 不是 JSON 的值", f"{name} is no JSON value"))


def parse_line(report: Report, number: int, line: str) -> dict | None:
    """The JSON object of a line; None, and a problem in `report`, if it is none."""
    try:
        row = json.loads(line, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except _DuplicateKey as error:
        key = str(error)
        at = [m.span() for m in re.finditer(re.escape(json.dumps(key, ensure_ascii=False)), line)]
        excerpt = around(line, *at[-1]) if at else None
        report.add(
            number, "duplicate-key", f"键 {key!r} 出现了两次", f"the key {key!r} is given twice", excerpt=excerpt
        )
        return None
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        position = min(getattr(error, "pos", 0), len(line))
        excerpt = around(line, position, position + 1)
        zh = next((zh for en, zh in _JSON_REASONS.items() if reason.startswith(en)), reason)
        report.add(number, "json", f"不是合法的 JSON：{zh}", f"not JSON: {reason}", excerpt=excerpt)
        return None
    if not isinstance(row, dict):
        zh, en = _kind(row)
        excerpt = around(line, 0, len(line))
        report.add(number, "not-object", f"是{zh}，不是 JSON 对象", f"is {en}, not an object", excerpt=excerpt)
        return None
    return row


def check_row(report: Report, number: int, row: dict) -> bool:
    """Whether the row can be trained on; what is wrong with it goes into `report`."""
    before = report.errors
    messages = row.get("messages")
    if not isinstance(messages, list):
        zh, en = _kind(messages)
        zh, en = f"messages 是{zh}，要写成数组", f"messages is {en}, not an array"
        excerpt = ('"messages": ', *around(repr(messages), 0, 40)[1:])
        if messages is None:
            zh, en = "没有 messages 数组", "no messages array"
            excerpt = around("、".join(map(str, list(row)[:5])), 0, 60)
        report.add(number, "messages-missing", zh, en, excerpt=excerpt)
    elif not messages:
        report.add(number, "messages-empty", "messages 是空的", "messages is empty", excerpt=('"messages": ', "[]", ""))
    elif all([_check_message(report, number, i, m) for i, m in enumerate(messages)]):
        _check_order(report, number, messages)
    for key in sorted(set(row) - {"messages"}):
        _extra_key(report, number, None, key)
    return report.errors == before


def _check_message(report: Report, number: int, i: int, message: object) -> bool:
    """Whether the message has a known role, so that the order can be judged."""
    if not isinstance(message, dict):
        zh, en = _kind(message)
        excerpt = around(repr(message), 0, 40)
        report.add(number, "message-not-object", f"消息是{zh}", f"the message is {en}", index=i, excerpt=excerpt)
        return False
    role, content = message.get("role"), message.get("content")
    if "role" not in message:
        report.add(number, "role-missing", "没有 role", "no role", index=i)
    elif role not in ROLES:
        excerpt = ('"role": ', *around(repr(role), 0, 40)[1:])
        report.add(number, "role-unknown", f"role 是 {role!r:.60}", f"role is {role!r:.60}", index=i, excerpt=excerpt)
    if "content" not in message:
        report.add(number, "content-missing", "没有 content", "no content", index=i)
    elif not isinstance(content, str):
        zh, en = _kind(content)
        excerpt = ('"content": ', *around(repr(content), 0, 40)[1:])
        report.add(number, "content-type", f"content 是{zh}", f"content is {en}", index=i, excerpt=excerpt)
    elif not content.strip():
        excerpt = ('"content": "', content[:10].replace("\n", "\\n"), '"')
        report.add(number, "content-empty", "content 是空的", "content is empty", index=i, excerpt=excerpt)
    else:
        try:
            content.encode("utf-8")
        except UnicodeEncodeError as error:
            zh, en = "content 里有半个字符（孤立的代理项）", "content holds half a character (a lone surrogate)"
            report.add(number, "encoding", zh, en, index=i, excerpt=around(content, error.start, error.end))
    for key in sorted(set(message) - {"role", "content"}):
        _extra_key(report, number, i, key)
    return role in ROLES


def _check_secrets(report: Report, number: int, index: int | None, text: str) -> None:
    for (zh, en), start, end in find_secrets(text):
        excerpt = around(text, start, end)
        zh, en = f"像是{zh}：{excerpt[1]}", f"looks like {en}: {excerpt[1]}"
        report.add(number, "secret", zh, en, index=index, excerpt=excerpt)


def _extra_key(report: Report, number: int, index: int | None, key: str) -> None:
    report.add(
        number, "extra-key", f"多了键 {key!r:.60}", f"extra key {key!r:.60}", index=index, excerpt=("", key[:40], "")
    )


def _check_order(report: Report, number: int, messages: list[dict]) -> None:
    roles = [m["role"] for m in messages]
    shown = lambda i: (" ".join(roles[max(0, i - 3) : i]) + " ", roles[i], " " + " ".join(roles[i + 1 : i + 3]))
    for i, role in enumerate(roles):
        if role == "system" and i > 0:
            zh, en = "system 不在最前面", "system does not come first"
            report.add(number, "system-position", zh, en, index=i, excerpt=shown(i))
    turns = [(i, role) for i, role in enumerate(roles) if role != "system"]
    if "assistant" not in roles:
        zh, en = "没有 assistant 的回答，没有可学的内容", "no assistant answer: nothing to learn"
        report.add(number, "no-assistant", zh, en, excerpt=("", " ".join(roles[:6]), ""))
    if turns and turns[0][1] != "user":
        first, role = turns[0]
        zh, en = f"第一条（system 之后）是 {role}", f"the first message after system is {role}"
        report.add(number, "first-not-user", zh, en, index=first, excerpt=shown(first))
    for (_, a), (i, b) in zip(turns, turns[1:], strict=False):
        if a == b:
            zh, en = f"连续两条 {b}", f"two {b} messages in a row"
            report.add(number, "alternation", zh, en, index=i, excerpt=shown(i))
    if turns and turns[-1][1] == "user" and "assistant" in roles:
        zh, en = "最后一条是 user，没有回答", "the last message is user, without an answer"
        last = turns[-1][0]
        report.add(number, "alternation", zh, en, index=last, excerpt=shown(last))


# what the rows say together


def row_key(messages: list[dict]) -> tuple[tuple[str, str], ...]:
    return tuple((m["role"], m["content"]) for m in messages)


def _check_repeats(report: Report, kept: list[tuple[int, dict]]) -> None:
    from cookbook.data.similar import Index

    seen: dict[tuple, int] = {}
    answers: dict[tuple, tuple[int, str]] = {}
    near = Index()
    for number, row in kept:
        messages = row["messages"]
        whole = row_key(messages)
        first = seen.setdefault(whole, number)
        if first != number:
            report.add(number, "duplicate-row", f"与第 {first} 行完全相同", f"the same as line {first}")
            continue
        alike = near.add(number, row)
        if alike is not None:
            zh, en = f"与第 {alike} 行几乎相同", f"nearly the same as line {alike}"
            report.add(number, "near-duplicate", zh, en, excerpt=_answer_excerpt(messages))
            continue
        answer = messages[-1]["content"]
        line, other = answers.setdefault(whole[:-1], (number, answer))
        if other != answer:
            zh, en = f"与第 {line} 行问题相同，回答不同", f"the same question as line {line}, another answer"
            report.add(number, "conflict", zh, en, index=len(messages) - 1, excerpt=_answer_excerpt(messages))


def _answer_excerpt(messages: list[dict]) -> tuple[str, str, str]:
    question, answer = messages[-2]["content"], messages[-1]["content"]
    return around(question, len(question), len(question))[0] + " → ", around(answer, 0, len(answer))[1], ""


def _check_overlap(report: Report, held: Sequence[dict]) -> None:
    from cookbook.data.similar import Index

    rows, near = set(), Index()
    for i, row in enumerate(report.rows, 1):
        rows.add(row_key(row["messages"]))
        near.add(i, row)
    for i, row in enumerate(held, 1):
        where = say(f"验证集第 {i} 条", f"row {i} of the validation rows")
        if row_key(row["messages"]) in rows:
            zh, en = f"{where}也在训练集里", f"{where} is in the training rows too"
            report.add(None, "duplicate-row", zh, en, excerpt=_answer_excerpt(row["messages"]))
        elif near.find(row) is not None:
            zh, en = f"{where}与训练集里的一条几乎相同", f"{where} is nearly the same as a training row"
            report.add(None, "near-duplicate", zh, en, excerpt=_answer_excerpt(row["messages"]))


_HAN = re.compile("[\u4e00-\u9fff]")
_LATIN = re.compile("[A-Za-z]")
UNIFORM = 0.95  # a habit that this share of the answers keeps is the file's habit
FEW = 20  # with fewer answers there is no habit to speak of


def _check_style(report: Report, kept: list[tuple[int, dict]]) -> None:
    systems: Counter[str] = Counter()
    answers: list[tuple[int, int, str]] = []
    for number, row in kept:
        messages = row["messages"]
        systems[messages[0]["content"] if messages[0]["role"] == "system" else ""] += 1
        _check_repeated_input(report, number, messages)
        for i, message in enumerate(messages):
            _check_secrets(report, number, i, message["content"])
            if message["role"] == "assistant":
                answers.append((number, i, message["content"].strip()))
    if len(systems) > 1:
        common = systems.most_common(1)[0][1]
        zh = f"有 {len(systems)} 种系统提示词，最常见的一种占 {common} 行"
        report.add(
            None, "system-varies", zh, f"{len(systems)} different system prompts, the commonest in {common} rows"
        )
    if len(answers) < FEW:
        return
    lengths = sorted(len(a) for _, _, a in answers)
    median, low, high = (lengths[int(q * (len(lengths) - 1))] for q in (0.5, 0.05, 0.95))
    habits = [
        (lambda a: "sentence" if a[-1] in "。！？!?.…”」』）)" else "open", "结尾的标点", "the punctuation at its end", -1),
        (lambda a: "han" if len(_HAN.findall(a[:400])) >= len(_LATIN.findall(a[:400])) / 2 else "latin", "的语言", "its language", 0),
    ]  # fmt: skip
    if high <= 4 * low:  # lengths are alike: one that is far off stands out
        habits.append((lambda a: "like" if median / 6 <= len(a) <= median * 6 else "far", "的长度", "its length", 0))
    found: dict[tuple[int, int], list[tuple[str, str, int]]] = {}
    for habit, zh, en, end in habits:
        kinds = [habit(a) for _, _, a in answers]
        usual, n = Counter(kinds).most_common(1)[0]
        if UNIFORM * len(answers) <= n < len(answers):
            for (number, i, _), kind in zip(answers, kinds, strict=True):
                if kind != usual:
                    found.setdefault((number, i), []).append((zh, en, end))
    texts = {(number, i): a for number, i, a in answers}
    for (number, i), reasons in found.items():
        answer = texts[number, i]
        excerpt = around(answer, len(answer) - 1, len(answer)) if reasons[0][2] else around(answer, 0, len(answer))
        zh = f"回答{'、'.join(r[0] for r in reasons)}与其他回答不同"
        en = f"the answer differs from the others in {' and '.join(r[1] for r in reasons)}"
        report.add(number, "answer-style", zh, en, index=i, excerpt=excerpt)


def _check_repeated_input(report: Report, number: int, messages: list[dict]) -> None:
    for i, (ask, reply) in enumerate(zip(messages, messages[1:], strict=False)):
        word = ask["content"].strip()
        at = reply["content"].find(word) if ask["role"] == "user" and 1 < len(word) <= 6 else -1
        if at >= 0:
            zh, en = f"回答里出现了输入的词“{word}”", f"the answer contains the input {word!r}"
            excerpt = around(reply["content"], at, at + len(word))
            report.add(number, "answer-repeats-input", zh, en, index=i + 1, excerpt=excerpt)


def _check_tokens(report: Report, kept: list[tuple[int, dict]], max_tokens: int) -> None:
    per_message = tokens.count_each([row["messages"] for _, row in kept])
    totals = [sum(counts) for counts in per_message]
    for (number, row), counts, total in zip(kept, per_message, totals, strict=True):
        if total <= max_tokens:
            continue
        roles = [m["role"] for m in row["messages"]]
        before = sum(counts[: len(counts) - len(roles) + roles.index("assistant")]) + tokens.GENERATION_PROMPT
        if before >= max_tokens:
            zh = f"回答之前已有 {before} 个 token，max_tokens = {max_tokens}，这一行一个 token 也学不到"
            en = (
                f"{before} tokens come before the answer and max_tokens is {max_tokens}: nothing of this row is learned"
            )
            report.add(number, "too-long", zh, en, severity="error")
        else:
            zh = f"{total} 个 token，超过 max_tokens = {max_tokens}：内嵌服务截掉多出的部分，平台怎样处理没有公布"
            en = f"{total} tokens, more than max_tokens = {max_tokens}: the embedded service cuts the rest off, what the platform does is not published"
            report.add(number, "too-long", zh, en)
    if totals:
        ordered = sorted(totals)
        report.stats |= {"tokens": sum(totals), "median_tokens": ordered[len(ordered) // 2], "max_tokens": ordered[-1]}


def _check_file(report: Report) -> None:
    if report.lines == 0:
        report.add(None, "file-empty", "没有数据", "no rows")
    if report.lines > MAX_ROWS:
        zh, en = f"{report.lines} 行，上限 {MAX_ROWS} 行", f"{report.lines} rows, the limit is {MAX_ROWS}"
        report.add(None, "row-count", zh, en)
    elif 0 < report.lines < ADVISED_ROWS:
        zh, en = f"只有 {report.lines} 行，建议 100–1000 行", f"only {report.lines} rows; 100–1000 are advised"
        report.add(None, "row-count-low", zh, en)

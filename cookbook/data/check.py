"""Check a training file: every rule of guide §2.1 and §4 and of the platform's newer pages, all problems at once.

`check` never raises for what stands in a file; `load` raises `DataError` with the report. One bad line never hides
another. At most `MAX_BYTES` of a file are read.

Here: bytes -> lines -> one row -> its messages. What the rows say together is judged in `judging.py`.
"""

import codecs
import errno
import io
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from cookbook.data import corpus as judging
from cookbook.data.fast import lines as plain
from cookbook.data.report import Report, around, place, visible
from cookbook.errors import ArgumentError, DataError
from cookbook.i18n import tr

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 1000
ADVISED_ROWS = 100
BUFFER = 256 * 1024  # bytes read at once: a line of 10 KB is not put together from pieces
ROLES = ("system", "user", "assistant")


def check(
    source: str | Path | Sequence[dict],
    *,
    validation: str | Path | Sequence[dict] | None = None,
    max_tokens: int | None = 4096,
) -> Report:
    """All problems of a training file, or of rows already in memory. Never raises for what the data says.

    Args:
        validation: a file or rows of the other side: their errors, and rows that stand in both, are reported too.
        max_tokens: rows longer than this are reported; None leaves the tokens uncounted, which is faster.
    """
    report = _check_source(source, max_tokens)
    if validation is not None:
        held = _check_source(validation, None)
        for p in held.problems:
            if p.severity == "error":
                zh, en = f"验证集{place(p)}：{p.message}", f"validation, {place(p)}: {p.message}"
                report.add(None, p.code, zh, en, excerpt=p.excerpt)
        judging.overlap(report, held)
        report.sort()
    return report


def check_bytes(content: bytes, name: str, *, max_tokens: int | None = 4096) -> Report:
    """The same for a file's content; `name` is what the reader called the file."""
    return _check_file(io.BytesIO(content), len(content), name, max_tokens)


def _check_file(file: BinaryIO, size: int, name: str, max_tokens: int | None) -> Report:
    report = Report(visible(name))
    if not name.endswith(".jsonl"):
        zh, en = f"文件名 {name} 不以 .jsonl 结尾", f"the name {name} does not end in .jsonl"
        report.add(None, "file-suffix", zh, en)
    if size > MAX_BYTES:
        found = f"{size / 2**20:.2f} MB"
        report.add(
            None,
            "file-size",
            f"文件 {found}，上限 10 MB",
            f"the file has {found}, the limit is 10 MB",
        )
        return report
    head = file.read(1000)
    bom = head.startswith(codecs.BOM_UTF8)
    if bom:
        report.add(1, "bom", "文件以 BOM 开头", "the file begins with a byte-order mark")
    if _is_utf16(head[3:] if bom else head):
        report.add(
            1,
            "encoding",
            "文件像是 UTF-16 编码，不是 UTF-8",
            "the file looks like UTF-16, not UTF-8",
        )
        return report
    file.seek(3 if bom else 0)
    kept = []
    for number, found in _read(report, file):
        if isinstance(found, str):
            found = _looked_at_closely(report, number, found)
        else:
            report.lines += 1
        if found is not None:
            kept.append((number, found))
    return _judged(report, kept, max_tokens)


def _looked_at_closely(report: Report, number: int, line: str) -> dict | None:
    """The row of a line; None if it cannot be trained on, and everything that is wrong with it in `report`."""
    if not line.strip():
        report.add(number, "blank-line", "空行", "blank line")
        return None
    report.lines += 1
    row = parse_line(report, number, line)
    if row is not None and check_row(report, number, row):
        return row
    judging.secrets(report, number, None, line)
    return None


def load(source: str | Path | Sequence[dict], *, max_tokens: int | None = 4096) -> list[dict]:
    """The rows of a file, or the rows given, if there is no error in them.

    Raises:
        DataError: there is an error; `report` lists them all.
    """
    report = check(source, max_tokens=max_tokens)
    if not report.ok:
        raise DataError(report=report)
    return report.rows


@contextmanager
def open_bounded(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """(the file, its size in bytes). Of what has no size before it is read, a pipe, at most `MAX_BYTES` + 1 are there.

    Raises:
        OSError: it is no file, may not be read, or no file can have that name.
    """
    try:
        file = path.open("rb", buffering=BUFFER)
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from error
    with file:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_size:
            yield file, found.st_size
        else:
            content = file.read(MAX_BYTES + 1)
            yield io.BytesIO(content), len(content)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Lines, whatever ends them: JSON text holds no bare line end, so each of \\n, \\r\\n and \\r ends one."""
    for line in file:
        line = line.removesuffix(b"\n")
        if b"\r" in line:
            yield from line.removesuffix(b"\r").split(b"\r")
        else:
            yield line


def _check_source(source: str | Path | Sequence[dict], max_tokens: int | None) -> Report:
    if not isinstance(source, str | os.PathLike):
        report = Report(tr("内存中的数据", "rows in memory"))
        kept = []
        for number, row in enumerate(source, 1):
            report.lines += 1
            if is_object(report, number, row) and check_row(report, number, row):
                kept.append((number, row))
        return _judged(report, kept, max_tokens)
    path = Path(source)
    try:
        with open_bounded(path) as (file, size):
            return _check_file(file, size, path.name, max_tokens)
    except OSError as error:
        report = Report(visible(path.name), readable=False)
        reason = error.strerror or str(error)
        report.add(
            None,
            "file-unreadable",
            f"读不了 {path.name}：{reason}",
            f"cannot read {path.name}: {reason}",
        )
        return report


def _judged(report: Report, kept: list[tuple[int, dict]], max_tokens: int | None) -> Report:
    count_rows(report, report.lines)
    judging.judge(report, kept, max_tokens)
    report.sort()
    return report


def count_rows(report: Report, rows: int) -> None:
    """Report too many rows, too few, or none."""
    if rows == 0:
        report.add(None, "file-empty", "没有数据", "no rows")
    elif rows > MAX_ROWS:
        report.add(
            None,
            "row-count",
            f"{rows} 行，上限 {MAX_ROWS} 行",
            f"{rows} rows, the limit is {MAX_ROWS}",
        )
    elif rows < ADVISED_ROWS:
        report.add(
            None,
            "row-count-low",
            f"只有 {rows} 行，建议 100–1000 行",
            f"only {rows} rows; 100–1000 are advised",
        )


def _is_utf16(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    even, odd = (
        head[::2],
        head[1::2],
    )  # JSON is mostly ASCII: every second byte is 0, the others are not
    return (
        len(odd) > 1
        and (even.count(0) == 0) != (odd.count(0) == 0)
        and 3 * head.count(0) > len(odd)
    )


def _read(report: Report, file: BinaryIO) -> Iterator[tuple[int, dict | str]]:
    """(number, row) of every usual line, (number, text) of every other that can be read. What is not UTF-8 is reported;
    GBK is read all the same, so that its other problems are found too."""
    gbk = []
    for number, line in enumerate(lines_of(file), 1):
        try:
            yield number, plain.parse(line) or line.decode("utf-8")
            continue
        except UnicodeDecodeError as error:
            start, end = error.start, error.end
        try:
            text = line.decode("gb18030")
        except UnicodeDecodeError:
            report.lines += 1
            zh, en = (
                f"第 {start + 1} 个字节起不是 UTF-8",
                f"not UTF-8 from byte {start + 1} of the line on",
            )
            good, bad = line[:start].decode("utf-8"), line[start:end].hex(" ")
            report.add(
                number, "encoding", zh, en, excerpt=(around(good, len(good), len(good))[0], bad, "")
            )
        else:
            gbk.append(number)
            yield number, text
    if gbk:
        zh, en = (
            f"从这里起有 {len(gbk)} 行不是 UTF-8，像是 GBK",
            f"{len(gbk)} lines from here on are not UTF-8 but look like GBK",
        )
        report.add(gbk[0], "encoding", zh, en)


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
    raise ArgumentError(zh=f"{name} 不是 JSON 的值", en=f"{name} is no JSON value")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _no_constant(text)


def parse_line(report: Report, number: int, line: str) -> dict | None:
    """The JSON object of a line; None, and a problem in `report`, if it is none."""
    try:
        row = json.loads(
            line, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
    except _DuplicateKey as error:
        key = str(error)
        quoted = json.dumps(key, ensure_ascii=False)
        at = line.rfind(quoted)
        excerpt = partial(around, line, at, at + len(quoted)) if at >= 0 else None
        zh, en = f"键 {key!r:.60} 出现了两次", f"the key {key!r:.60} is given twice"
        report.add(number, "duplicate-key", zh, en, excerpt=excerpt)
        return None
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        position = min(getattr(error, "pos", 0), len(line))
        excerpt = partial(around, line, position, position + 1)
        zh = next((zh for en, zh in _JSON_REASONS.items() if reason.startswith(en)), reason)
        report.add(number, "json", f"不是合法的 JSON：{zh}", f"not JSON: {reason}", excerpt=excerpt)
        return None
    return row if is_object(report, number, row) else None


def is_object(report: Report, number: int, row: object) -> bool:
    if not isinstance(row, dict):
        zh, en = _kind(row)
        report.add(
            number,
            "not-object",
            f"是{zh}，不是 JSON 对象",
            f"is {en}, not an object",
            excerpt=_value(row),
        )
    return isinstance(row, dict)


def check_row(report: Report, number: int, row: dict) -> bool:
    """Whether the row can be trained on; what is wrong with it goes into `report`."""
    before = report.errors
    messages = row.get("messages")
    if messages is None:
        keys = "、".join(str(key)[:40] for key in list(row)[:5])
        excerpt = partial(around, keys, 0, 60)
        report.add(
            number, "messages-missing", "没有 messages 数组", "no messages array", excerpt=excerpt
        )
    elif not isinstance(messages, list):
        zh, en = _kind(messages)
        zh, en = f"messages 是{zh}，要写成数组", f"messages is {en}, not an array"
        report.add(number, "messages-missing", zh, en, excerpt=_value(messages, '"messages": '))
    elif not messages:
        report.add(
            number,
            "messages-empty",
            "messages 是空的",
            "messages is empty",
            excerpt=('"messages": ', "[]", ""),
        )
    elif all([_check_message(report, number, i, m) for i, m in enumerate(messages)]):
        _check_order(report, number, [m["role"] for m in messages])
    _check_keys(report, number, None, row, {"messages"})
    return report.errors == before


def _check_message(report: Report, number: int, i: int, message: object) -> bool:
    """Whether the message has a known role, so that the order can be judged."""
    if not isinstance(message, dict):
        zh, en = _kind(message)
        excerpt = _value(message)
        report.add(
            number,
            "message-not-object",
            f"消息是{zh}",
            f"the message is {en}",
            index=i,
            excerpt=excerpt,
        )
        return False
    role = message.get("role")
    known = isinstance(role, str) and role in ROLES
    if "role" not in message:
        report.add(number, "role-missing", "没有 role", "no role", index=i)
    elif not known:
        zh, en = f"role 是 {role!r:.60}", f"role is {role!r:.60}"
        report.add(number, "role-unknown", zh, en, index=i, excerpt=_value(role, '"role": '))
    if "content" not in message:
        report.add(number, "content-missing", "没有 content", "no content", index=i)
    else:
        _check_content(report, number, i, message["content"])
    _check_keys(report, number, i, message, {"role", "content"})
    return known


def _check_content(report: Report, number: int, i: int, content: object) -> None:
    if not isinstance(content, str):
        zh, en = _kind(content)
        excerpt = _value(content, '"content": ')
        report.add(
            number, "content-type", f"content 是{zh}", f"content is {en}", index=i, excerpt=excerpt
        )
        return
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as error:
        zh, en = (
            "content 里有半个字符（孤立的代理项）",
            "content holds half a character (a lone surrogate)",
        )
        excerpt = partial(around, content, error.start, error.end)
        report.add(number, "encoding", zh, en, index=i, excerpt=excerpt)
        return
    if not plain.has_text(content):
        excerpt = ('"content": "', visible(content[:10]), '"')
        report.add(
            number, "content-empty", "content 是空的", "content is empty", index=i, excerpt=excerpt
        )


def _check_keys(
    report: Report, number: int, index: int | None, found: dict, wanted: set[str]
) -> None:
    extra = sorted(map(str, found.keys() - wanted))
    if extra:
        names = "、".join(key[:40] for key in extra[:10]) + (" …" if len(extra) > 10 else "")
        excerpt = partial(around, names, 0, len(names))
        report.add(
            number,
            "extra-key",
            f"多了键 {names}",
            f"extra keys: {names}",
            index=index,
            excerpt=excerpt,
        )


def _value(value: object, before: str = ""):
    """An excerpt that shows the beginning of a value."""
    text = value if isinstance(value, str) else repr(value)[:80]
    return lambda: (before, *around(text, 0, min(len(text), 40))[1:])


def _check_order(report: Report, number: int, roles: list[str]) -> None:
    def shown(i: int) -> tuple[str, str, str]:
        return (
            " ".join(roles[max(0, i - 3) : i]) + " ",
            roles[i],
            " " + " ".join(roles[i + 1 : i + 3]),
        )

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

"""Read a training file: bytes -> lines -> rows.

    rows(content)         all of it, for content that was checked before
    open_bounded(path)    a file and its size
    lines(file)           the bytes of each line
    decode(line)          its text
    parse(text)           its JSON value, or the reason why there is none

`check` and `clean` take the steps one by one and report what goes wrong; nothing is reported here,
and whether a row can be trained on is judged in `rules.py`. Files are only read, never changed.
"""

import codecs
import errno
import io
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

from cookbook.errors import ArgumentError

MAX_BYTES = 10 * 1024 * 1024  # guide §2.1
BUFFER = 256 * 1024  # bytes read at once: a line of 10 KB is not put together from pieces


def rows(content: bytes) -> list[dict]:
    """Return the rows of a file that `check_bytes` found free of errors; they are not checked
    again.

    Raises:
        ValueError: a line is not JSON in UTF-8, so the content was never checked.
    """
    file = io.BytesIO(content.removeprefix(codecs.BOM_UTF8))
    texts = (line.decode("utf-8") for line in lines(file))
    return [json.loads(text) for text in texts if text.strip()]


@contextmanager
def open_bounded(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file and yield it with its size in bytes.

    What has no size before it is read, such as a pipe, is read here: `MAX_BYTES` + 1 bytes at most.

    Raises:
        OSError: it is not a file, may not be read, or no file can have that name.
    """
    try:
        file = path.open("rb", buffering=BUFFER)
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from error
    with file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size:
            yield file, status.st_size
        else:
            content = file.read(MAX_BYTES + 1)
            yield io.BytesIO(content), len(content)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines without their ends.

    Each of \\n, \\r\\n and \\r ends a line: within JSON text they are always written as escapes.
    """
    for line in file:
        line = line.removesuffix(b"\n")
        if b"\r" in line:
            yield from line.removesuffix(b"\r").split(b"\r")
        else:
            yield line


def is_utf16(head: bytes) -> bool:
    """Return whether the beginning of a file looks like UTF-16, with a byte-order mark or without."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    # JSON is mostly ASCII: in UTF-16 one byte of each pair is mostly 0, and the other is not.
    zeros_even, zeros_odd = head[::2].count(0), head[1::2].count(0)
    pairs = len(head) // 2
    on_one_side = (zeros_even == 0) != (zeros_odd == 0)
    return pairs > 1 and on_one_side and 3 * (zeros_even + zeros_odd) > pairs


def decode(line: bytes) -> tuple[str, str]:
    """Return the text of a line, and its encoding: `utf-8`, or `gb18030`, which includes GBK.

    Raises:
        UnicodeDecodeError: it is neither; the error has the place where UTF-8 ends.
    """
    try:
        return line.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        try:
            return line.decode("gb18030"), "gb18030"
        except UnicodeDecodeError:
            raise error from None


class NotJson(Exception):
    """A text is not one JSON value; `start` and `end` are the place.

    Never leaves `cookbook.data`: it becomes a problem in a report.
    """

    def __init__(self, *, zh: str, en: str, start: int, end: int):
        super().__init__(en)
        self.zh, self.en = zh, en
        self.start, self.end = start, end


class DuplicateKey(NotJson):
    """An object has a key twice; `start` is -1 where it is not found in the text.

    JSON allows it, but readers differ in which of the two values they keep.
    """


# What Python's parser says, in Chinese.
_REASONS = {
    "Expecting property name": "键要用英文双引号括起来，最后一项后面不能有逗号",
    "Expecting value": "这里缺一个值，或者用了单引号",
    "Expecting ',' delimiter": "这里缺逗号或右括号，可能断成了半行",
    "Expecting ':' delimiter": "键的后面缺冒号",
    "Extra data": "这一行里不止一个 JSON 对象",
    "Unterminated string": "字符串没有收尾的引号，可能断成了半行",
    "Invalid control character": "字符串里有控制字符，换行要写成 \\n",
    "Invalid \\": "反斜杠的写法不对，要写成 \\\\",
}


def parse(text: str) -> object:
    """Return the JSON value of a line.

    Stricter than `json.loads`: no key twice, no NaN, no number beyond what a float holds.

    Raises:
        DuplicateKey: an object has a key twice.
        NotJson: it is not JSON.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object_of,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
        )
    except _RepeatedKey as error:
        raise _duplicate_key(text, str(error)) from None
    except json.JSONDecodeError as error:
        raise _not_json(text, error.msg, error.pos) from None
    except (ValueError, RecursionError) as error:  # a huge integer, brackets nested too deep
        raise _not_json(text, str(error), 0) from None


def _not_json(text: str, reason: str, position: int) -> NotJson:
    in_chinese = [zh for start, zh in _REASONS.items() if reason.startswith(start)]
    zh = in_chinese[0] if in_chinese else reason
    start = min(position, len(text))
    return NotJson(
        zh=f"不是合法的 JSON：{zh}", en=f"not JSON: {reason}", start=start, end=start + 1
    )


class _RepeatedKey(ValueError):
    pass


def _duplicate_key(text: str, key: str) -> DuplicateKey:
    quoted = json.dumps(key, ensure_ascii=False)
    start = text.rfind(quoted)  # -1 if the key is written with escapes
    zh, en = f"键 {key!r:.60} 出现了两次", f"the key {key!r:.60} appears twice"
    return DuplicateKey(zh=zh, en=en, start=start, end=start + len(quoted))


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _RepeatedKey(next(key for key, n in counts.items() if n > 1))
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ArgumentError(zh=f"{name} 不是 JSON 的值", en=f"{name} is not a JSON value")


def _finite_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)

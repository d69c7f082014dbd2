"""Read a training file: bytes -> lines -> rows.

    reading(source)       everything that a file or a list holds, entry by entry, with its place
    rows(content)         all of it, for content that was checked before
    open_bounded(path)    a file and its size
    lines(file)           the bytes of each line
    decode(line)          its text

`check` takes the steps one by one, since it is to be fast; all others begin with `reading`. What a
text means as JSON is in `json_text.py`, whether a row can be trained on in `rules.py`. Files are
only read, never changed.
"""

import codecs
import errno
import io
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from cookbook.data import json_text
from cookbook.data.changes import Change, change_of
from cookbook.data.entry import Entry, Place
from cookbook.data.excerpt import around, visible
from cookbook.data.report import Report
from cookbook.errors import DataError
from cookbook.i18n import tr

MAX_SOURCE_BYTES = 100 * 1024 * 1024  # of an export: most of it may not be kept
MAX_BYTES = 10 * 1024 * 1024  # guide §2.1
BUFFER = 256 * 1024  # bytes read at once: a line of 10 KB is not put together from pieces


Source = str | Path | Sequence
Layout = Literal["lines", "array", "objects", "table", "memory"]


@dataclass
class Reading:
    """What a source holds.

    Attributes:
        name: of the file, safe to show.
        layout: one JSON value a line, one array, values over several lines, a table, or a list.
        encoding: as Python names it.
        entries: the values, in their order.
        count: how many there are, those included that could not be read.
        changes: what was changed to read them: encoding, line ends, commas at line ends …
        left: what could not be read, by the number of the entry. Its `places` has every entry.
        unread: the numbers of the entries in `left`.
    """

    name: str
    layout: Layout
    left: Report
    encoding: str = "utf-8"
    path: Path | None = None
    entries: list[Entry] = field(default_factory=list)
    count: int = 0
    changes: list[Change] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)


def reading(source: Source, *, encoding: str | None = None, sheet: str | None = None) -> Reading:
    """Return what a source holds: a path, or objects in memory.

    Args:
        encoding: of the file; None finds out.
        sheet: of a workbook with several.

    Raises:
        DataError: the file cannot be read, is no text, or is not in `encoding`.
    """
    if not isinstance(source, str | os.PathLike):
        return _of_memory(source)
    path = Path(source)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
        text = content.decode(encoding) if encoding else decode(content)[0]
    except (OSError, LookupError, ValueError) as error:
        raise DataError(
            zh=f"读不了 {path.name}：{error}。编码可用 encoding= 指定",
            en=f"cannot read {path.name}: {error}. Give its encoding with encoding=",
        ) from error
    result = Reading(visible(path.name), "lines", Report(visible(path.name)), path=path)
    _read_lines(result, text)
    result.left.places = {entry.number: entry.place for entry in result.entries}
    return result


def of_text(text: str, name: str) -> Reading:
    """Return what a text holds; `name` is that of its file."""
    result = Reading(visible(name), "lines", Report(visible(name)))
    _read_lines(result, text)
    result.left.places = {entry.number: entry.place for entry in result.entries}
    return result


def _of_memory(source: Sequence) -> Reading:
    name = tr("内存中的数据", "rows in memory")
    entries = [Entry(i, Place(i), value) for i, value in enumerate(source, 1)]
    return Reading(name, "memory", Report(name), entries=entries, count=len(entries))


def _read_lines(result: Reading, text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        place = Place(number)
        if not line.strip():
            result.changes.append(change_of(place, "blank-line"))
            continue
        result.count += 1
        try:
            value = json_text.parse(line)
        except json_text.NotJson as error:
            excerpt = around(line, error.start, error.end)
            result.left.add(result.count, "json", zh=error.zh, en=error.en, excerpt=excerpt)
            result.unread.append(result.count)
            continue
        result.entries.append(Entry(result.count, place, value, line))


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

    Each of \\n, \\r\\n and \\r ends a line: JSON text has them only as escapes.
    """
    for line in file:
        line = line.removesuffix(b"\n")
        # Opened as bytes, a file is cut at \n alone.
        if b"\r" in line:
            yield from line.removesuffix(b"\r").split(b"\r")
        else:
            yield line


def is_utf16(head: bytes) -> bool:
    """Return whether the beginning of a file looks like UTF-16, with a BOM or without."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    # JSON is mostly ASCII: in UTF-16 one byte of each pair is mostly 0, and the other is not.
    zeros_even = head[::2].count(0)
    zeros_odd = head[1::2].count(0)
    pairs = len(head) // 2
    on_one_side = (zeros_even == 0) != (zeros_odd == 0)
    often = 3 * (zeros_even + zeros_odd) > pairs
    return pairs > 1 and on_one_side and often


def decode(line: bytes) -> tuple[str, str]:
    """Return the text of a line, and its encoding: `utf-8`, or `gb18030`, which includes GBK.

    Raises:
        UnicodeDecodeError: it is neither; the error has the place where UTF-8 ends.
    """
    try:
        return line.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        # UTF-8 first: text in GBK is hardly ever UTF-8 by chance, the other way round it often is.
        try:
            return line.decode("gb18030"), "gb18030"
        except UnicodeDecodeError:
            raise error from None

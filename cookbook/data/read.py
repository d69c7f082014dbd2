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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cookbook.data import encodings, entries, file_kind, json_text, layout, rules
from cookbook.data.changes import Change, change_of
from cookbook.data.columns import WHOLE_TEXT, columns
from cookbook.data.entry import Entry, Place
from cookbook.data.excerpt import around, visible
from cookbook.data.layout import Layout
from cookbook.data.report import Report
from cookbook.errors import DataError
from cookbook.i18n import tr

MAX_SOURCE_BYTES = 100 * 1024 * 1024  # of an export: most of it may not be kept
MAX_BYTES = 10 * 1024 * 1024  # guide §2.1
MAX_ENTRIES = 1_000_000  # each takes memory, however short it is
MAX_UNREAD = 100_000  # entries that are not JSON: with more, the file is something else
BUFFER = 256 * 1024  # bytes read at once: a line of 10 KB is not put together from pieces
HEAD = 64 * 1024  # bytes from which the kind of a file is known

Source = str | os.PathLike | Iterable


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
        unread_texts: their texts, by number.
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
    unread_texts: dict[int, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._places: dict[int, Place] = {}
        self._texts: dict[int, str | None] = {}
        if not self.left.places:
            self.left.places = self._places

    def add(self, place: Place, value: object, text: str | None = None) -> None:
        """Add an entry."""
        self.entries.append(Entry(self._next_number(place), place, value, text))

    def take(self, place: Place, text: str, *, is_cut: bool = False) -> None:
        """Add an entry: its value, or the reason why its text has none."""
        try:
            value = json_text.parse(text)
        except json_text.NotJson as error:
            self.refuse(place, text, error, is_cut=is_cut)
        else:
            self.add(place, value, text)

    def refuse(
        self, place: Place, text: str, error: json_text.NotJson, *, is_cut: bool = False
    ) -> None:
        """Add an entry that is not JSON to `left`; `is_cut` says that the file ends within it."""
        number = self._next_number(place)
        self.unread.append(number)
        self.unread_texts[number] = text
        if len(self.unread) > MAX_UNREAD:
            first = self.left.problems[0]
            raise DataError(
                zh=f"{self.name} 里不是 JSON 的数据超过 {MAX_UNREAD} 条，"
                f"第一条在第 {first.line} 行：{first.message}",
                en=f"{self.name} has more than {MAX_UNREAD} entries that are not JSON, "
                f"the first on line {first.line}: {first.message}",
            )
        if is_cut:
            error = json_text.cut(number, error)
        rules.report_not_json(self.left, number, text, error)

    def move(self, number: int, place: Place) -> None:
        """Note that an entry begins elsewhere."""
        self._places[number] = place

    def text_of(self, number: int) -> str | None:
        """Return the source text of an entry; None where there is none."""
        if number in self.unread_texts:
            return self.unread_texts[number]
        if len(self._texts) != len(self.entries):
            self._texts = {entry.number: entry.text for entry in self.entries}
        return self._texts.get(number)

    def fill_columns(self) -> None:
        """Give all problems in `left` their line and column, as far as they can be found."""
        self.left.problems = columns(self.left.problems, self.text_of, self.left.places)

    def _next_number(self, place: Place) -> int:
        self.count += 1
        if self.count > MAX_ENTRIES:
            raise DataError(
                zh=f"{self.name} 里的数据超过 {MAX_ENTRIES} 条，请先拆成几个文件",
                en=f"{self.name} has more than {MAX_ENTRIES} entries: split it into several files",
            )
        self._places[self.count] = place
        return self.count


def reading(source: Source, *, encoding: str | None = None, sheet: str | None = None) -> Reading:
    """Return what a source holds: a path, or objects in memory.

    Args:
        source: a path; a list of objects, or anything that yields them; a DataFrame.
        encoding: of the file; None finds out.
        sheet: of a workbook with several.

    Raises:
        DataError: the file cannot be read, is no text, is not in `encoding`, or nobody can know
            which of its lists has the rows.
    """
    if not isinstance(source, str | os.PathLike):
        return _of_memory(source)
    path = Path(source)
    return of_content(_content(path), path, encoding=encoding, sheet=sheet)


def of_content(
    content: bytes, path: Path, *, encoding: str | None = None, sheet: str | None = None
) -> Reading:
    """Return what the content of a file holds; arguments and errors are those of `reading`."""
    kind = file_kind.look(content[:HEAD], path.name)
    if kind is not None and not kind.is_table:
        name = visible(path.name)
        raise DataError(
            zh=f"{name} 是{kind.title_zh}，不是文本：{kind.fix_zh}",
            en=f"{name} is {kind.title_en}, not text: {kind.fix_en}",
        )
    if kind is not None:
        return _of_table(content, path, encoding, sheet)
    result = Reading(visible(path.name), "lines", Report(visible(path.name)), path=path)
    decoded = decoded_of(result, content, encoding)
    text = _with_usual_marks(result, decoded.text)
    if layout.is_table(text, path.suffix):
        return _of_table(content, path, encoding, sheet)
    entries.read(result, text)
    _refuse_bad_bytes(result, decoded.bad)
    result.fill_columns()
    return result


def _content(path: Path) -> bytes:
    # One byte more than the limit is enough to see that a file is too large.
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        zh, en = reason(error)
        name = visible(path.name)
        raise DataError(zh=f"读不了 {name}：{zh}", en=f"cannot read {name}: {en}") from error
    if len(content) > MAX_SOURCE_BYTES:
        name, limit = visible(path.name), MAX_SOURCE_BYTES // 2**20
        raise DataError(
            zh=f"{name} 超过 {limit} MB，请先拆成几个文件",
            en=f"{name} has more than {limit} MB: split it into several files",
        )
    return content


# Why a file cannot be opened, in Chinese and English.
_REASONS = {
    errno.ENOENT: ("没有这个文件", "there is no such file"),
    errno.ENOTDIR: ("没有这个文件", "there is no such file"),
    errno.EISDIR: ("这是一个文件夹", "it is a folder"),
    errno.EACCES: ("没有读取的权限", "no permission to read it"),
    errno.EPERM: ("没有读取的权限", "no permission to read it"),
    errno.EINVAL: ("文件名里有不能用的字符", "no file can have that name"),
    errno.ENAMETOOLONG: ("文件名太长", "the name is too long"),
}


def reason(error: Exception) -> tuple[str, str]:
    """Return why a file cannot be read, in Chinese and English."""
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    unknown = (f"系统报告错误 {number}", f"the system reports error {number}")
    return _REASONS.get(number or 0, unknown)


def _of_table(content: bytes, path: Path, encoding: str | None, sheet: str | None) -> Reading:
    from cookbook.data import tables

    return tables.read(content, path, encoding=encoding, sheet=sheet)


def decoded_of(result: Reading, content: bytes, encoding: str | None) -> encodings.Decoded:
    """Return the text, and note in the result what its encoding is.

    Raises:
        DataError: it is not in `encoding`, or nobody can know its encoding.
    """
    if encoding:
        named = encodings.named(encoding)
        decoded = encodings.decode(content, named)
        _refuse_wrong(result.name, content, decoded, named)
    else:
        decoded = encodings.decode(content)
    found = decoded.encoding
    if found is None and decoded.bad:
        raise DataError(
            zh=f"看不出 {result.name} 的编码：用 encoding= 指定，例如 "
            'encoding="gb18030"（GBK）、encoding="big5"',
            en=f"cannot tell the encoding of {result.name}: name it, as "
            'encoding="gb18030" (GBK) or encoding="big5"',
        )
    used = found or encodings.UTF_8
    result.encoding = used.name
    if used.name != "utf-8":
        result.changes.append(change_of(None, "encoding", f"({used.title})"))
    elif content.startswith(codecs.BOM_UTF8):
        result.changes.append(change_of(None, "bom"))
    title = decoded.other.title if decoded.other else ""
    for line in decoded.other_lines:
        result.changes.append(change_of(Place(line), "encoding", f"({title})"))
    return decoded


def _refuse_wrong(
    name: str, content: bytes, decoded: encodings.Decoded, named: encodings.Encoding
) -> None:
    # Text in UTF-8 is often valid in another encoding, which would make nonsense of it.
    found = encodings.UTF_8
    if named.name != found.name and not content.isascii():
        guessed = encodings.detect(content)
        is_other = guessed is not None and guessed.name == found.name
    else:
        is_other = False
    if decoded.bad or is_other:
        where = decoded.bad[0].line if decoded.bad else 1
        raise DataError(
            zh=f"{name} 不是 {named.title} 编码（第 {where} 行）：去掉 encoding= 会自动判断",
            en=f"{name} is not in {named.title} (line {where}): without encoding= it is found out",
        )


def _with_usual_marks(result: Reading, text: str) -> str:
    """Return the text with \\n at line ends and without byte-order marks."""
    if "\r" in text:
        pairs = text.count("\r\n")
        other_ends = pairs + text.count("\r") - pairs
        result.changes.append(change_of(None, "line-ends", _times(other_ends)))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.removeprefix("\ufeff")
    # Files that were put together have one at the beginning of each part.
    if "\n\ufeff" in text:
        result.changes.append(change_of(None, "bom", _times(text.count("\n\ufeff"))))
        text = text.replace("\n\ufeff", "\n")
    return text


def _times(count: int) -> str:
    return f"× {count}" if count > 1 else ""


def _refuse_bad_bytes(result: Reading, bad: list[encodings.BadBytes]) -> None:
    """Move entries with bytes that are in no encoding to `left`."""
    if not bad:
        return
    by_line = {each.line: each for each in bad}
    kept = []
    for entry in result.entries:
        text = entry.text or ""
        lines = range(entry.place.line, entry.place.line + text.count("\n") + 1)
        # A long entry or many bad lines: the shorter of the two is walked through.
        number = next((line for line in lines if line in by_line), None)
        if number is None:
            kept.append(entry)
            continue
        found = by_line[number]
        at = max(text.find("\ufffd"), 0)
        result.unread.append(entry.number)
        result.unread_texts[entry.number] = text
        result.left.add(
            entry.number,
            "encoding",
            zh=f"第 {found.start + 1} 个字节起不是 UTF-8",
            en=f"not UTF-8 from byte {found.start + 1} of the line on",
            excerpt=around(text, at, at + 1),
            at=(WHOLE_TEXT, at),
        )
    result.entries = kept
    result.unread.sort()


def _of_memory(source: Any) -> Reading:
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a DataFrame of pandas
        from cookbook.data import tables

        return tables.of_frame(source)
    name = tr("内存中的数据", "rows in memory")
    result = Reading(name, "memory", Report(name))
    for value in _objects(source):
        # Rows of other libraries look like dicts, and are no dicts.
        plain = dict(value) if isinstance(value, Mapping) else value
        result.add(Place(result.count + 1), plain)
    return result


def _objects(source: Any) -> Iterable:
    """Return the rows of whatever holds them in memory.

    Raises:
        DataError: it holds none, or several lists of rows.
    """
    if hasattr(source, "to_pylist"):  # a table of pyarrow
        return source.to_pylist()
    if hasattr(source, "to_dicts"):  # a DataFrame of polars
        return source.to_dicts()
    if isinstance(source, Mapping):
        return _objects_of_mapping(source)
    if isinstance(source, bytes | bytearray) or not isinstance(source, Iterable):
        kind = type(source).__name__
        raise DataError(
            zh=f"给的是 {kind}：请给文件路径，或由字典组成的列表",
            en=f"this is a {kind}: give a path, or a list of dicts",
        )
    return source


def _objects_of_mapping(source: Mapping) -> Iterable:
    # The splits of a data set by name, or one row that was given without its list.
    splits = [key for key, value in source.items() if not isinstance(value, str | list | Mapping)]
    if len(splits) == len(source) == 1:
        return _objects(source[splits[0]])
    if splits and len(splits) == len(source):
        names = "、".join(str(key)[:40] for key in splits[:10])
        raise DataError(
            zh=f"有几组数据：{names}，请取其中一组，例如 dataset[{splits[0]!r}]",
            en=f"there are several splits: {names}. Give one, as dataset[{splits[0]!r}]",
        )
    return [source]


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

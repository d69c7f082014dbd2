"""Read a training file: bytes -> lines -> rows.

    reading(source)       everything that a file or a list holds, entry by entry, with its place
    rows(content)         all of it, for content that was checked before
    open_bounded(path)    a file and its size
    lines(file)           the bytes of each line

`check` takes the steps one by one, since it is to be fast; all others begin with `reading`. What a
text means as JSON is in `json_text/`, whether a row can be trained on in `rules/`. Files are only
read, never changed.
"""

import codecs
import errno
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from cookbook.data import encodings, file_kind
from cookbook.data.chats import texts
from cookbook.data.entry import Place
from cookbook.data.reading import MAX_ENTRIES as MAX_ENTRIES
from cookbook.data.reading import Reading as Reading
from cookbook.data.reading import entries, layout, memory
from cookbook.data.report import calls
from cookbook.data.report.changes import change_of
from cookbook.data.report.columns import WHOLE_TEXT
from cookbook.data.report.excerpt import around, shortened, visible
from cookbook.errors import DataError
from cookbook.i18n import spaced, tr

MAX_SOURCE_BYTES = 100 * 1024 * 1024  # of an export: most of it may not be kept
MAX_BYTES = 10 * 1024 * 1024  # guide §2.1
BUFFER = 256 * 1024  # bytes read at once: a line of 10 KB is not put together from pieces
MAX_NAME = 80  # characters of a file name that are shown

Source = str | os.PathLike | Iterable


def reading(
    source: Source,
    *,
    encoding: str | None = None,
    sheet: str | int | None = None,
    repairs: bool = False,
) -> Reading:
    """Return what a source holds: a path, or objects in memory.

    Args:
        source: a path; a list of objects, or anything that yields them; a DataFrame.
        encoding: of the file; None finds out.
        sheet: of a workbook with several.
        repairs: whether what is nearly JSON is read as what it means, see `json_text.repaired`.

    Raises:
        DataError: the file cannot be read, is no text, is not in `encoding`, or nobody can know
            which of its lists has the rows.
    """
    if not isinstance(source, str | os.PathLike):
        return memory.read(source)
    path = Path(source)
    return of_content(content_of(path), path, encoding=encoding, sheet=sheet, repairs=repairs)


def of_content(
    content: bytes,
    path: Path,
    *,
    encoding: str | None = None,
    sheet: str | int | None = None,
    repairs: bool = False,
) -> Reading:
    """Return what the content of a file holds; arguments and errors are those of `reading`."""
    kind = file_kind.look(content, path.name)
    if kind is not None:
        _refuse_not_text(kind, path)
        return _of_table(content, path, encoding, sheet)
    result = Reading.empty(name_of(path), "lines", path)
    result.repairs = repairs
    decoded = decoded_of(result, content, encoding)
    text = _with_usual_marks(result, decoded.text)
    if layout.is_table(text, path.suffix) or texts.is_chat(text):
        return _of_table(content, path, encoding, sheet)
    entries.read(result, text)
    _refuse_bad_bytes(result, decoded.bad)
    chats = _chats_of(result)
    if chats is not None:
        return chats
    result.fill_columns()
    return result


def _chats_of(result: Reading) -> Reading | None:
    """Return the messages of the chats that Telegram exported; None for anything else."""
    values = [entry.value for entry in result.entries]
    if not values or result.unread or not all(map(texts.is_telegram, values)):
        return None
    from cookbook.data import tables

    rows = (
        (entry.place, row)
        for entry in result.entries
        for row in texts.telegram(cast("Mapping", entry.value))
    )
    return tables.of_messages(result.name, result.path, rows)


def name_of(path: Path) -> str:
    """Return the name of a file, safe and short enough to be shown."""
    return visible(shortened(path.name or str(path), MAX_NAME))


def _refuse_not_text(kind: file_kind.FileKind, path: Path) -> None:
    if kind.is_table:
        return
    name, source = name_of(path), calls.in_source(path)
    raise DataError(
        zh=f"{name} 是{spaced(kind.title_zh)}，不是训练文件：{calls.filled(kind.fix_zh, source)}",
        en=f"{name} is {kind.title_en}, not a training file: {calls.filled(kind.fix_en, source)}",
    )


def content_of(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DataError: it cannot be opened, or is too large.
    """
    # One byte more than the limit is enough to see that a file is too large.
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        zh, en = reason(error, path)
        name = name_of(path)
        raise DataError(zh=f"读不了 {name}：{zh}", en=f"cannot read {name}: {en}") from error
    if len(content) > MAX_SOURCE_BYTES:
        # To split an archive would be of no use.
        kind = file_kind.look(content, path.name)
        if kind is not None:
            _refuse_not_text(kind, path)
        name, limit = name_of(path), MAX_SOURCE_BYTES // 2**20
        raise DataError(
            zh=f"{name} 超过 {limit} MB，请先拆成几个文件",
            en=f"{name} is larger than {limit} MB: split it into several files",
        )
    return content


# Why a file cannot be read or written, in Chinese and English.
_REASONS = {
    errno.ENOENT: ("没有这个文件", "there is no such file"),
    errno.ENOTDIR: ("没有这个文件", "there is no such file"),
    errno.EISDIR: ("这是一个文件夹，要写里面的文件", "it is a folder: name a file in it"),
    errno.EEXIST: ("它的文件夹是一个文件", "its folder is a file"),
    errno.EACCES: ("没有权限", "permission denied"),
    errno.EPERM: ("没有权限", "permission denied"),
    errno.EROFS: ("这个位置是只读的", "the location is read-only"),
    errno.ENOSPC: ("磁盘满了", "the disk is full"),
    errno.EINVAL: ("文件名里有不能用的字符", "no file can have that name"),
    errno.ENAMETOOLONG: ("文件名太长", "the name is too long"),
}


def reason(error: Exception, path: Path | None = None) -> tuple[str, str]:
    """Return why a file cannot be read or written, in Chinese and English."""
    typed = "" if path is None else path.as_posix()
    # A path drops one of the two slashes.
    if typed.startswith(("http:/", "https:/")):
        return "这是网址：先下载，再写本地的路径", "it is a URL: download it, and give the path"
    if typed.startswith("~"):
        return "路径里的 ~ 不会展开：写完整的路径", "~ is not expanded: write the whole path"
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    unknown = (f"系统报告错误 {number}", f"the system reports error {number}")
    return _REASONS.get(number or 0, unknown)


def _of_table(content: bytes, path: Path, encoding: str | None, sheet: str | int | None) -> Reading:
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
    if found is None:
        raise DataError(
            zh=f"看不出 {result.name} 的编码：用 encoding= 指定，例如 "
            'encoding="gb18030"（GBK）、encoding="big5"',
            en=f"cannot determine the encoding of {result.name}: name it, for example "
            'encoding="gb18030" (GBK) or encoding="big5"',
        )
    result.encoding = found.name
    if found.name != "utf-8":
        result.changes.append(
            change_of(None, "encoding", tr(f"（原来是 {found.title}）", f"(was {found.title})"))
        )
    elif content.startswith(codecs.BOM_UTF8):
        result.changes.append(change_of(None, "bom"))
    title = decoded.other.title if decoded.other else ""
    was = tr(f"（原来是 {title}）", f"(was {title})")
    for line in decoded.other_lines:
        result.changes.append(change_of(Place(line), "encoding", was))
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
            zh=f"{name} 不是 {named.title} 编码（第 {where} 行起）：去掉 encoding=，会自动判断",
            en=f"{name} is not {named.title} (from line {where}): leave encoding= out to detect it",
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
            en=f"not UTF-8 from byte {found.start + 1} of the line",
            excerpt=around(text, at, at + 1),
            at=(WHOLE_TEXT, at),
        )
    result.entries = kept
    result.unread.sort()


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

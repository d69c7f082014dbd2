"""Find out which kind of table a file is, and read it."""

import codecs
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data import encodings, file_kind, table_size
from cookbook.data.changes import change_of
from cookbook.data.read import MAX_SOURCE_BYTES, reading
from cookbook.data.tables import csv_text, frame, parquet, workbook
from cookbook.data.tables.table import Table, table_of
from cookbook.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

JSON_BEGINS = ('{"', "[{", "{\n", "[\n", "{ ", "[ ", "{\r", "[\r")
HEAD = 64 * 1024  # bytes that say what a file is
GBK = encodings.Encoding("gb18030", "GBK")
NAME = 60  # characters of a file's name that a message shows


def of(
    source: "pd.DataFrame | str | Path | Sequence[Mapping]",
    *,
    sheet: str | int | None = None,
    encoding: str | None = None,
    wanted: Collection[str] = (),
) -> Table:
    """Return the table in a file, a DataFrame, or dicts in memory; see `read`.

    Raises:
        DataError: a file cannot be opened, is too large, or is not a table.
    """
    if isinstance(source, str | os.PathLike):
        return read_path(Path(source), sheet=sheet, encoding=encoding, wanted=wanted)
    if not isinstance(source, Sequence):
        return frame.of_frame(source)
    table = Table(**vars(reading(source)))
    table.left.places = {entry.number: entry.place for entry in table.entries}
    for entry in table.entries:
        keys = entry.value if isinstance(entry.value, dict) else ()
        for key in keys:
            table.columns.setdefault(str(key), len(table.columns))
    return table


def read_path(
    path: Path,
    *,
    sheet: str | int | None = None,
    encoding: str | None = None,
    wanted: Collection[str] = (),
) -> Table:
    """Return what a table in a file holds; see `read`.

    Raises:
        DataError: the file cannot be opened, is too large, or is not a table.
    """
    content = _content(path)
    return read(content, path, sheet=sheet, encoding=encoding, wanted=wanted)


def text_of(path: Path, encoding: str | None = None) -> str:
    """Return the text of a file.

    Raises:
        DataError: it cannot be opened, is too large, or is not text in `encoding`.
    """
    content = _content(path)
    kind = file_kind.look(content[:HEAD], path.name)
    if kind is not None or len(content) > MAX_SOURCE_BYTES:
        read(content, path, encoding=encoding)  # which says so
    return _decode(content, encoding)[0]


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than the limit is enough to see that a file is too large.
            content = file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise DataError(
            zh=f"打不开 {path.name:.{NAME}}：检查路径和权限",
            en=f"cannot open {path.name:.{NAME}}: check the path and its permissions",
        ) from error
    return content


def read(
    content: bytes,
    path: Path,
    *,
    sheet: str | int | None = None,
    encoding: str | None = None,
    wanted: Collection[str] = (),
) -> Table:
    """Return what a table holds: a workbook, a Parquet file, or text in columns.

    Args:
        sheet: of a workbook, by name or by number from 1; None for the only one that is filled in
            or has the columns that are wanted.
        encoding: of a text; None finds out.
        wanted: columns that the heading has for sure, where they are known.

    Raises:
        DataError: it is too large, or not a table; `sheet` or `encoding` does not fit.
    """
    if len(content) > MAX_SOURCE_BYTES:
        limit = MAX_SOURCE_BYTES // 2**20
        raise DataError(
            zh=f"{path.name:.{NAME}} 超过 {limit} MB，请先拆成几个文件",
            en=f"{path.name:.{NAME}} has more than {limit} MB: split it into several files",
        )
    try:
        return _read(content, path, sheet, encoding, wanted)
    except DataError as error:
        # Where there are many files, the message must say which one.
        if path.name[:NAME] in error.zh:
            raise
        name = path.name[:NAME]
        raise DataError(zh=f"{name}：{error.zh}", en=f"{name}: {error.en}") from error


def _read(
    content: bytes,
    path: Path,
    sheet: str | int | None,
    encoding: str | None,
    wanted: Collection[str],
) -> Table:
    kind = file_kind.look(content[:HEAD], path.name)
    if content.startswith(b"PAR1"):
        _refuse_sheet(sheet)
        return parquet.read(content, path)
    if content.startswith(b"PK") and (kind is None or kind.is_table):
        return table_of(workbook.grid_of(content, sheet, wanted), path, wanted)
    if kind is not None:
        raise DataError(
            zh=f"这是{kind.title_zh}，不是表格：{kind.fix_zh}",
            en=f"this is {kind.title_en}, not a table: {kind.fix_en}",
        )
    _refuse_sheet(sheet)
    text, used = _decode(content, encoding)
    if not text.strip():
        raise DataError(zh="文件是空的", en="the file is empty")
    if text.lstrip()[:2] in JSON_BEGINS:
        raise DataError(
            zh="里面是 JSON，不是表格：用 data.from_messages(path)",
            en="this is JSON, not a table: use data.from_messages(path)",
        )
    table_size.of_csv(text)
    table = table_of(csv_text.grid_of(text, path.suffix.lower()), path, wanted)
    table.encoding = used.name
    if used.name != "utf-8":
        table.changes.insert(0, change_of(None, "encoding", f"({used.title})"))
    return table


def _refuse_sheet(sheet: str | int | None) -> None:
    if sheet is not None:
        raise DataError(
            zh="只有 Excel 工作簿才有工作表：去掉 sheet=",
            en="only a workbook has sheets: leave sheet= out",
        )


def _decode(content: bytes, encoding: str | None) -> tuple[str, encodings.Encoding]:
    """Return the text, without a byte-order mark, and its encoding."""
    if encoding is not None:
        try:
            text = content.decode(encoding)
        except (LookupError, ValueError) as error:
            raise DataError(
                zh=f"按编码 {encoding!r:.40} 读不了：换一个 encoding=，或去掉它",
                en=f"the text is not in {encoding!r:.40}: give another encoding=, or none",
            ) from error
        name = codecs.lookup(encoding).name
        return text.removeprefix("\ufeff"), encodings.Encoding(name, encoding)
    found = _found(content)
    try:
        if found:
            return content[found.bom_bytes :].decode(found.name).removeprefix("\ufeff"), found
    except ValueError:
        pass  # said below
    raise DataError(
        zh="认不出它的编码：用 encoding= 指定，或另存为 UTF-8",
        en="its encoding is not known: give it with encoding=, or save the file as UTF-8",
    )


def _found(content: bytes) -> encodings.Encoding | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        found = encodings.detect(content)
        return GBK if found == encodings.UTF_8 else found
    # Plain English in UTF-16 is UTF-8 with a NUL after each letter.
    return encodings.detect(content) if b"\0" in content else encodings.UTF_8

"""Find out which kind of table a file is, and read it."""

import os
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data import encodings, file_kind
from cookbook.data.chats import texts
from cookbook.data.entry import Place
from cookbook.data.reading.read import Reading, content_of, decoded_of, reading
from cookbook.data.report import calls
from cookbook.data.tables import csv_text, parquet, table_size, workbook
from cookbook.data.tables.table import Grid, Table, table_of
from cookbook.errors import DataError
from cookbook.i18n import spaced

if TYPE_CHECKING:
    import pandas as pd

JSON_BEGINS = ('{"', "[{", "{\n", "[\n", "{ ", "[ ", "{\r", "[\r")
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
    return as_table(reading(source))


def as_table(found: Reading) -> Table:
    """Return a reading as a table: its columns are the keys of its objects."""
    if isinstance(found, Table):
        return found
    values = {each.name: getattr(found, each.name) for each in fields(found)}
    table = Table(**values)
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
    content = content_of(path)
    return read(content, path, sheet=sheet, encoding=encoding, wanted=wanted)


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
        DataError: it becomes too large, or is not a table; `sheet` or `encoding` does not fit.
    """
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
    source = calls.in_source(path)
    kind = file_kind.look(content, path.name)
    if kind is not None and kind.name == "parquet":
        _refuse_sheet(sheet)
        return parquet.read(content, path)
    if kind is not None and kind.is_table:
        return table_of(workbook.grid_of(content, sheet, wanted, source), path, wanted)
    if kind is not None:
        fix_zh, fix_en = calls.filled(kind.fix_zh, source), calls.filled(kind.fix_en, source)
        raise DataError(
            zh=f"这是{spaced(kind.title_zh)}，读不了：{fix_zh}",
            en=f"this is {kind.title_en}, which cannot be read: {fix_en}",
        )
    _refuse_sheet(sheet)
    decoded, found = _decoded(content, path, encoding)
    text = decoded.text
    if not text.strip():
        raise DataError(zh="文件是空的", en="the file is empty")
    chat = _chat_of(text, path, found)
    if chat is not None:
        _refuse_bad_messages(chat, decoded.bad)
        return chat
    if text.lstrip()[:2] in JSON_BEGINS:
        raise DataError(
            zh=f"里面是 JSON，不是表格：用 data.from_messages({source})",
            en=f"this is JSON, not a table: use data.from_messages({source})",
        )
    table_size.of_csv(text)
    grid = csv_text.grid_of(text, path.suffix.lower())
    _refuse_bad_bytes(grid, decoded.bad)
    grid.changes[:0] = found.changes
    table = table_of(grid, path, wanted)
    table.encoding = found.encoding
    return table


def _chat_of(text: str, path: Path, found: Reading) -> Table | None:
    """Return the messages of a chat in text; None where it is none."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return None
    rows = texts.rows(text.replace("\r\n", "\n").replace("\r", "\n"))
    if not rows:
        return None
    places = [Place(line) for line, _ in rows]
    table = of_messages(found.name, path, zip(places, (row for _, row in rows), strict=True))
    table.changes, table.encoding = found.changes, found.encoding
    return table


def of_messages(name: str, path: Path | None, rows: Iterable[tuple[Place, dict]]) -> Table:
    """Return the messages of a chat as a table."""
    table = Table.empty(name, "table", path)
    table.is_chat = True
    for place, row in rows:
        table.add(place, row)
        for key in row:
            table.columns.setdefault(key, len(table.columns))
    return table


def _refuse_sheet(sheet: str | int | None) -> None:
    if sheet is not None:
        raise DataError(
            zh="只有 Excel 工作簿才有工作表：去掉 sheet=",
            en="only Excel workbooks have sheets: leave sheet= out",
        )


def _decoded(content: bytes, path: Path, encoding: str | None) -> tuple[encodings.Decoded, Reading]:
    """Return the text, and a reading that says what its encoding is."""
    found = Reading.empty(path.name, "table")
    return decoded_of(found, content, encoding), found


def _refuse_bad_bytes(grid: Grid, bad: list[encodings.BadBytes]) -> None:
    """Mark the rows that have bytes that are in no encoding."""
    begins = [row.line for row in grid.rows]
    for found in bad:
        index = bisect_right(begins, found.line) - 1
        if index >= 0:
            grid.rows[index].fault = _unsure(found)


def _refuse_bad_messages(chat: Table, bad: list[encodings.BadBytes]) -> None:
    """Move the messages that have such bytes to `left`."""
    begins = [entry.place.line for entry in chat.entries]
    refused: dict[int, encodings.BadBytes] = {}
    for found in bad:
        refused.setdefault(bisect_right(begins, found.line) - 1, found)
    kept = []
    chat.left.places = {entry.number: entry.place for entry in chat.entries}
    for index, entry in enumerate(chat.entries):
        if index not in refused:
            kept.append(entry)
            continue
        chat.unread.append(entry.number)
        zh, en = _unsure(refused[index])
        chat.left.add(entry.number, "encoding", zh=zh, en=en)
    chat.entries = kept


def _unsure(bad: encodings.BadBytes) -> tuple[str, str]:
    line, byte = bad.line, bad.start + 1  # a row, or a message, may have several lines
    return (
        f"第 {line} 行第 {byte} 个字节起不是这个文件的编码，读不准",
        f"not in the encoding of the file from byte {byte} of line {line} on",
    )

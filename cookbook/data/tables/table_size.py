"""Refuse a table that would fill the memory or never end, before it is read.

    of_workbook(content)    an .xlsx file, which is a ZIP archive of XML; returns its outlines
    of_csv(text)            a .csv file

A workbook of a few kilobytes can unpack to gigabytes, name a cell in the last of a million rows, or
use one long text in every cell. So it is read once, in pieces, and what it will become is counted:
this takes time that grows with `MAX_UNPACKED` at most, and little is kept: what a sheet says beside
its cells. What is broken is left to those who read the table, who say so.
"""

import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

from cookbook.data.tables.names import number_of
from cookbook.errors import DataError

MAX_UNPACKED = 200 * 1024 * 1024  # bytes of all parts of a workbook; characters of its cells
MAX_CELLS = 10_000_000  # the last row times the widest
MAX_COLUMNS = 16_384  # Excel's own limit
MAX_MERGED = 100_000  # ranges of merged cells
MAX_PARTS = 10_000  # files in the archive
PIECE = 64 * 1024  # bytes read at once
MAX_HEADING = 131_072  # characters of the heading of a .csv file
BEYOND = 10**9  # more than every limit

# What zipfile raises for an archive that is broken, or has a password: ValueError is a part whose
# place is before the beginning.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
    struct.error,
)
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that Excel writes
TRUE = ("1", "true")
_PLACE = re.compile(r"([A-Za-z]{1,3})([0-9].{0,20})")  # B12


@dataclass
class Outline:
    """What a sheet says beside the values of its cells.

    Attributes:
        merged: ranges of merged cells, as `A3:A5`.
        uncalculated: cells with a formula that has no value yet, as `B12`.
        hidden_rows, hidden_columns: by number, from 1; filters hide rows, too.
    """

    merged: list[str] = field(default_factory=list)
    uncalculated: set[str] = field(default_factory=set)
    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[int] = field(default_factory=list)


def of_workbook(content: bytes) -> dict[str, Outline]:
    """Look at a workbook before it is read, and return the outline of each part of its archive.

    Raises:
        DataError: it is too large.
    """
    outlines: dict[str, Outline] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_archive(archive)
            texts = _SharedTexts()
            for part in archive.infolist():
                with archive.open(part) as file:
                    outlines[part.filename] = _Part(texts).read(file)
            texts.check()
    except DataError:
        raise
    except _BROKEN:
        return {}
    return outlines


def of_csv(text: str) -> None:
    """Look at a table before it is read.

    Raises:
        DataError: it is too large.
    """
    heading, _, _ = text[: MAX_HEADING + 1].partition("\n")
    if len(heading) > MAX_HEADING:
        raise too_large("表头", "its heading")
    columns = 1 + max(heading.count(delimiter) for delimiter in ",;\t|")
    lines = text.count("\n") + text.count("\r") + 1
    if columns > MAX_COLUMNS:
        raise DataError(
            zh=f"表格太大：{columns} 列，最多 {MAX_COLUMNS} 列。只留问题和回答两列再试",
            en=f"the table has {columns} columns, at most {MAX_COLUMNS} are read: keep those of "
            "questions and answers",
        )
    if lines * columns > MAX_CELLS:
        raise too_large("单元格", "its cells")


def _check_archive(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    # Of a part no more is read than the size that it declares.
    unpacked = sum(part.file_size for part in parts)
    # Other methods than these two unpack as much at once as they like.
    unusual = any(part.compress_type not in _PLAIN for part in parts)
    if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED or unusual:
        raise too_large("内容", "its content")


def too_large(zh: str, en: str) -> DataError:
    """Return the error that says what of a table is too large."""
    megabytes = MAX_UNPACKED // 2**20
    return DataError(
        zh=f"表格太大（{zh}）：展开后最多 {megabytes} MB、{MAX_CELLS:,} 格。"
        "把需要的行和列另存成一个文件再试",
        en=f"the table is too large ({en}): at most {megabytes} MB unpacked and {MAX_CELLS:,} "
        "cells. Save the rows and columns that you need as a file of their own",
    )


class _SharedTexts:
    """The texts of a workbook that cells name by their number."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.uses: Counter[int] = Counter()

    def check(self) -> None:
        characters = 0
        for number, times in self.uses.items():
            if number < len(self.lengths):
                characters += times * self.lengths[number]
        if characters > MAX_UNPACKED:
            raise too_large("文字", "its texts")


class _Part:
    """One file of a workbook, read piece by piece; sheets and texts are known by their elements."""

    def __init__(self, texts: _SharedTexts):
        self._texts = texts
        self._outline = Outline()
        self._name = self._type = ""  # of the cell
        self._has_formula = self._has_value = self._in_value = False
        self._cells = 0
        self._row = self._column = 0  # of the cell that is read
        self._last_row = self._last_column = 0
        self._inside = ""  # "text" within a shared text, "value" within a cell that names one
        self._names_text = False
        self._value = ""
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self, file: IO[bytes]) -> Outline:
        try:
            while piece := file.read(PIECE):
                self._parser.Parse(piece, False)
        except expat.ExpatError:
            # A picture; or broken, and then openpyxl gets no further than this.
            return self._outline
        return self._outline

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        tag = element.rpartition(":")[2]
        if tag == "row":
            self._row = _whole(attributes.get("r")) or self._row + 1
            self._column = 0
            if attributes.get("hidden") in TRUE:
                self._outline.hidden_rows.append(self._row)
        elif tag == "c":
            self._start_cell(attributes)
        elif tag == "f":
            self._has_formula = True
        elif tag == "v" and self._names_text:
            self._inside = "value"
        elif tag == "si":
            self._inside = "text"
            self._texts.lengths.append(0)
        else:
            self._start_other(tag, attributes)
        # A formula may give an empty text: that is a value, too.
        is_text = tag == "v" and self._type == "str"
        self._has_value = self._has_value or tag == "is" or is_text
        self._in_value = tag == "v"
        if tag in ("row", "c"):
            self._check()

    def _start_other(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "mergeCell":
            self._outline.merged.append(attributes.get("ref", ""))
            if len(self._outline.merged) > MAX_MERGED:
                raise too_large("合并的单元格", "its merged cells")
        elif tag == "col" and attributes.get("hidden") in TRUE:
            # To the last column of all, where everything on the right is hidden.
            last = min(_whole(attributes.get("max")), MAX_COLUMNS)
            first = max(1, _whole(attributes.get("min")))
            # Ranges may overlap, as often as somebody likes.
            if len(self._outline.hidden_columns) < MAX_COLUMNS:
                self._outline.hidden_columns += range(first, last + 1)

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self._cells += 1
        self._column += 1
        place = _PLACE.fullmatch(attributes.get("r", ""))
        if place:
            self._column = number_of(place[1].upper())
            self._last_row = max(self._last_row, _whole(place[2]))
        self._type = attributes.get("t", "")
        self._names_text = self._type == "s"
        self._value = ""
        self._name = attributes.get("r", "").upper()
        self._has_formula = self._has_value = False

    def _check(self) -> None:
        self._last_row = max(self._last_row, self._row)
        self._last_column = max(self._last_column, self._column)
        cells = max(self._cells, self._last_row * max(1, self._last_column))
        if self._last_column > MAX_COLUMNS or cells > MAX_CELLS:
            raise too_large("单元格", "its cells")

    def _characters(self, text: str) -> None:
        self._has_value = self._has_value or self._in_value
        if self._inside == "text":
            self._texts.lengths[-1] += len(text)
        elif self._inside == "value":
            self._value = (self._value + text)[:20]

    def _end(self, element: str) -> None:
        tag = element.rpartition(":")[2]
        if tag == "v" and self._inside == "value":
            self._texts.uses[_whole(self._value)] += 1
        if tag in ("v", "si", "c"):
            self._inside = ""
            self._in_value = False
        if tag == "c" and self._has_formula and not self._has_value:
            self._outline.uncalculated.add(self._name)

    def _refuse_doctype(self, *_: object) -> None:
        # No workbook has one, and its entities can grow without end.
        raise too_large("DOCTYPE", "a DOCTYPE")


def _whole(text: str | None) -> int:
    """Return a whole number as Python reads it; 0 where there is none."""
    try:
        return min(abs(int(text or 0)), BEYOND)
    except ValueError:
        return 0

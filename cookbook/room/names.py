"""Names of the people of a room: tidied, checked, numbered, or read from a file.

    tidy("Li Lei")          "Li-Lei"
    check("Li-Lei")         raise ArgumentError where it cannot be a name
    numbered(30)            p01 … p30
    read(Path("a.csv"))     the names of a column, as they are written there
    tidied(names)           all of them tidied, each once

A name is a part of model identifiers and of addresses, so it has letters and digits of any script,
and `_ . -`. What is changed is for the caller to say. Knows no keys and no store.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.errors import ArgumentError, DataError
from cookbook.i18n import spaced
from cookbook.terminal import printable

if TYPE_CHECKING:
    from cookbook.data.tables.table import Grid, GridRow

MOST = 200  # people in a room
LONGEST = 40  # characters of a name
SHOWN = 5  # names that a message lists

_RESERVED = ("local", "leader")
_SIGNS = "_.-"
_INVISIBLE = "\u115f\u1160\u3164\uffa0"  # letters of Hangul that show nothing
_DOTS = "·•・‧"  # between the parts of a name, as in 阿依古丽·买买提

_USUAL = 0.9  # of a list of names in GBK are characters of GB2312

# What a column of names is headed, in lower case
_HEADINGS = ("name", "names", "姓名", "名字", "学员", "学生", "student", "people", "person")


@dataclass(frozen=True)
class Name:
    """A name as it is used, and as it was written."""

    tidy: str
    written: str

    @property
    def is_changed(self) -> bool:
        """Return whether it is not used as it was written."""
        return self.tidy != self.written


def tidy(text: str) -> str:
    """Return a name as a room uses it.

    Raises:
        ArgumentError: it is empty, too long, reserved, or has other characters.
    """
    # Full-width letters and composed accents are the same name as the usual ones.
    normal = unicodedata.normalize("NFKC", text)
    for dot in _DOTS:
        normal = normal.replace(dot, " ")
    name = "-".join(normal.split()).strip(_SIGNS)
    check(name, text)
    return name


def check(name: str, written: str | None = None) -> None:
    """Raise ArgumentError for what `tidy` would not return, naming it as it was `written`."""
    shown = printable((written or name)[: LONGEST + 1])
    if not name:
        raise ArgumentError(
            zh=f"名字 {shown!r} 是空的：至少写一个字母、汉字或数字",
            en=f"the name {shown!r} is empty: use at least one letter or digit",
        )
    if len(name) > LONGEST:
        raise ArgumentError(
            zh=f"名字 {shown}… 有 {len(name)} 个字，最多 {LONGEST} 个：写短一些",
            en=f"the name {shown}… has {len(name)} characters, at most {LONGEST} are allowed: "
            "write a shorter one",
        )
    if name.lower() in _RESERVED:
        raise ArgumentError(
            zh=f"名字 {name} 是组织者专用的：换一个",
            en=f"the name {name} is reserved for the leader: choose another one",
        )
    for character in name:
        if not _is_allowed(character):
            sign = f"U+{ord(character):04X}" if _is_hidden(character) else printable(character)
            raise ArgumentError(
                zh=f"名字 {shown} 里不能有 {sign}：只用文字、数字和 _ . -",
                en=f"the name {shown} cannot contain {sign}: use only letters, digits and _ . -",
            )


def _is_allowed(character: str) -> bool:
    # Two people whose names look the same could be taken for each other.
    if _is_hidden(character):
        return False
    if character in _SIGNS or character.isalnum():
        return True
    # Vowels of Devanagari and Thai, for example, are marks beside a letter.
    return unicodedata.category(character) in ("Mn", "Mc")


def _is_hidden(character: str) -> bool:
    """Return whether nothing is seen of it, or no more than how the character before it looks."""
    code = ord(character)
    is_selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F
    is_joiner = code == 0x034F or unicodedata.category(character) == "Cf"
    return character in _INVISIBLE or is_selector or is_joiner


def tidied(texts: Iterable[str]) -> list[Name]:
    """Return the names as a room uses them.

    Raises:
        ArgumentError: one cannot be used, or two are the same whatever their case.
    """
    found: dict[str, Name] = {}
    for text in texts:
        name = Name(tidy(text), text)
        former = found.setdefault(name.tidy.casefold(), name)
        if former is not name:
            raise ArgumentError(
                zh=f"名字重复：{printable(former.written)} 和 {printable(text)} 会是同一个人，"
                "给其中一个加上字母或数字",
                en=f"duplicate name: {printable(former.written)} and {printable(text)} would be "
                "the same person; add a letter or a digit to one of them",
            )
    return list(found.values())


def numbered(count: int) -> list[str]:
    """Return so many names for people that the leader does not know yet.

    Raises:
        ArgumentError: there cannot be so many.
    """
    if not 1 <= count <= MOST:
        raise ArgumentError(
            zh=f"--people {count}：一个课堂 1 到 {MOST} 人",
            en=f"--people {count}: a room has 1 to {MOST} people",
        )
    # The same number has the same name however many there are.
    return [f"p{number:02}" for number in range(1, count + 1)]


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that are written nearly like this one, the nearest first."""
    by_folded = {other.casefold(): other for other in known}
    found = difflib.get_close_matches(name.casefold(), list(by_folded), n=3, cutoff=0.5)
    return [by_folded[folded] for folded in found]


# Files


def read(path: Path) -> list[str]:
    """Return the names in a table: of its column `name` or `姓名`, or of its only column.

    Raises:
        DataError: the file cannot be read, has no names, or does not say which column has them.
    """
    rows = _filled_rows(_grid_of(path), path)
    if not rows:
        raise _fault(path, zh="里没有名字：每行写一个", en="has no names: write one on each line")
    column, has_heading = _column_of(rows, path)
    names = []
    for row in rows[has_heading:]:
        cell = row.cells[column].strip() if column < len(row.cells) else ""
        # Whoever is in the list without a name must not be left out in silence.
        if not cell:
            raise _fault(
                path,
                zh=f"第 {row.line} 行没有名字：补上，或删掉这一行",
                en=f"has no name in line {row.line}: fill it in, or remove the line",
            )
        names.append(cell)
    if not names:
        raise _fault(
            path,
            zh="的姓名一列是空的：每行写一个",
            en="has a heading but no names: write one on each line",
        )
    if len(names) > MOST:
        count = len(names)
        raise _fault(
            path,
            zh=f"有 {count} 个名字，一个课堂最多 {MOST} 人：分成几个课堂",
            en=f"has {count} names, a room has at most {MOST} people: make several rooms",
        )
    return names


def _grid_of(path: Path) -> "Grid":
    from cookbook.data import encodings, file_kind
    from cookbook.data.reading.read import content_of
    from cookbook.data.tables import csv_text, workbook

    content = content_of(path)
    kind = file_kind.look(content, path.name)
    if kind is not None and kind.is_table and kind.name != "parquet":
        return workbook.grid_of(content, None)
    if kind is not None:
        raise _fault(
            path,
            zh=f"是{spaced(kind.title_zh)}，不是名单：写成 .csv，每行一个名字",
            en=f"is {kind.title_en}, not a list of names: write a .csv with one name a line",
        )
    decoded = encodings.decode(content)
    text: str | None = decoded.text
    if decoded.encoding is None or decoded.bad:
        text = _in_gbk(content)
    if text is None:
        raise _fault(
            path,
            zh="的编码无法识别：另存为 UTF-8 的 .csv",
            en="is in an unknown encoding: save it as .csv in UTF-8",
        )
    return csv_text.grid_of(text, path.suffix.lower())


def _in_gbk(content: bytes) -> str | None:
    """Return the text of a short list as Excel writes it in China; None if it is none.

    A few names are too few for `encodings` to be sure. Those of another encoding would have rare
    characters here, and names have few.
    """
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return None
    usual = text.encode("gb2312", "ignore").decode("gb2312")
    return text if len(usual) >= _USUAL * len(text) else None


def _filled_rows(grid: "Grid", path: Path) -> "list[GridRow]":
    rows = []
    for row in grid.rows:
        if row.fault:
            zh, en = row.fault
            raise _fault(path, zh=f"第 {row.line} 行：{zh}", en=f"line {row.line}: {en}")
        if not row.is_blank:
            rows.append(row)
    return rows


def _column_of(rows: "list[GridRow]", path: Path) -> tuple[int, bool]:
    """Return the column that has the names, and whether the first row is a heading."""
    first = [cell.strip().casefold() for cell in rows[0].cells]
    headed = [column for column, cell in enumerate(first) if cell in _HEADINGS]
    if len(headed) == 1:
        return headed[0], True
    used = {column for row in rows for column, cell in enumerate(row.cells) if cell.strip()}
    if not headed and len(used) == 1:
        return min(used), False
    raise _fault(
        path,
        zh=f"有 {len(used)} 列，不知道哪一列是名字：把那一列（只此一列）的表头写成“姓名”",
        en=f"has {len(used)} columns and does not say which has the names: head only that "
        "column with name",
    )


def _fault(path: Path, *, zh: str, en: str) -> DataError:
    name = printable(path.name[:80])
    return DataError(zh=f"{name} {zh}", en=f"{name} {en}")

"""A grid of texts, and the table that it becomes once its heading is known.

Readers of files make a `Grid`; `table_of` finds the heading and makes each row an entry, a dict of
heading → text. Rows that do not fit the heading go to `left`, never shifted.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cookbook.data.entry import Entry, Place
from cookbook.data.reading.read import MAX_ENTRIES, Reading
from cookbook.data.report import Report
from cookbook.data.report.changes import Change, change_of
from cookbook.data.report.excerpt import value as shown
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import MAX_NAME, MAX_NAMED, named
from cookbook.data.tables import heading, table_size
from cookbook.data.tables.names import letters
from cookbook.i18n import tr

_DELETE = ("删去这一行", "delete the row")
_COMPLETE = ("补上缺的格，或删去这一行", "fill in the cells that are missing, or delete the row")

Fault = tuple[str, str]  # why something cannot be read, in Chinese and English


@dataclass
class GridRow:
    """A row of a grid.

    Attributes:
        line: of the text file, or the row of the sheet.
        number: of the row as a spreadsheet shows it; the line, except where a cell has line breaks.
        fault: why the whole row cannot be read.
        cell_faults: why single cells cannot be read, by column from 0.
    """

    line: int
    number: int
    cells: list[str]
    fault: Fault | None = None
    cell_faults: dict[int, Fault] = field(default_factory=dict)

    @property
    def is_blank(self) -> bool:
        """Whether nobody filled in anything."""
        if self.fault or self.cell_faults:
            return False
        return not any(map(str.strip, self.cells))


@dataclass
class Grid:
    """The rows of a table before its heading is known.

    Attributes:
        sheet: of the workbook; None where the file is the table.
        has_places: each cell has its own place, so that no row can be shifted: a workbook.
        heading_ends: the last row of a heading that is merged over several, by its first.
    """

    rows: list[GridRow] = field(default_factory=list)
    sheet: str | None = None
    has_places: bool = False
    heading_ends: dict[int, int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


@dataclass
class Table(Reading):
    """What a table holds.

    Attributes:
        columns: the number of each column, from 0, by its name in the entries.
        repeated: the columns, by letter, of each name that the heading has several times.
        row_shown: the row of each entry as a spreadsheet shows it, by the number of the entry.
        sheet: of the workbook; None where there are no others.
        is_chat: the messages of a chat in text or JSON.
    """

    columns: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, list[str]] = field(default_factory=dict)
    row_shown: dict[int, int] = field(default_factory=dict)
    sheet: str | None = None
    is_chat: bool = False

    @property
    def called(self) -> str:
        """The source and the sheet, as they are written into a call."""
        source = self.left.source
        return f'{source}, sheet="{visible(self.sheet[:MAX_NAME])}"' if self.sheet else source

    @property
    def names(self) -> list[str]:
        """The names of the columns as the heading has them, each once."""
        letters_of = {letter for found in self.repeated.values() for letter in found}
        once = [name for name, at in self.columns.items() if letters(at) not in letters_of]
        return [*once, *self.repeated]

    def cell(self, number: int, column: str | int) -> str | None:
        """Return the name of an entry's cell, as `B12` or `Sheet2!B12`; None for data in memory."""
        if isinstance(column, str):
            column = self.columns.get(column, -1)
        if number not in self.row_shown or column < 0:
            return None
        name = f"{letters(column)}{self.row_shown[number]}"
        if not self.sheet:
            return name
        sheet = visible(self.sheet[:MAX_NAME])
        return f"{sheet}!{name}"


def table_of(grid: Grid, path: Path, wanted: Collection[str] = ()) -> Table:
    """Return the entries of a grid.

    Args:
        wanted: the columns that the heading has for sure, where they are known.
    """
    table = Table.empty(path.name, "table", path)
    table.sheet = grid.sheet
    table.changes = grid.changes
    rows = _without_end(grid.rows)
    at = heading.find(rows, wanted)
    if at is None:
        _report_rows(table, grid, rows, 0, wanted)
        return table
    last = _end_of_heading(grid, rows, at)
    _note_titles(table, rows[:at])
    names = _name_columns(table, rows, at, last)
    body = _without_headings(table, rows[last + 1 :], names)
    _report_rows(table, grid, body, len(names), wanted)
    return table


def _without_end(rows: list[GridRow]) -> list[GridRow]:
    """Return the rows without blank ones at the end, which no program shows."""
    end = len(rows)
    while end and rows[end - 1].is_blank:
        end -= 1
    return rows[:end]


def _end_of_heading(grid: Grid, rows: list[GridRow], at: int) -> int:
    """Return the index of the last row of the heading; it may be merged over several, or be given
    in two languages."""
    last_line = grid.heading_ends.get(rows[at].line, rows[at].line)
    last = at
    for row in rows[at + 1 :]:
        if row.line > last_line:
            break
        last += 1
    return last


def _note_titles(table: Table, rows: list[GridRow]) -> None:
    for row in rows:
        if not row.is_blank:
            cells = [cell.strip() for cell in row.cells]
            text = " ".join(cell for cell in cells if cell)
            place = Place(row.line, sheet=table.sheet)
            table.changes.append(change_of(place, "title-row", visible(text[:MAX_NAME])))


def _name_columns(table: Table, rows: list[GridRow], at: int, last: int) -> list[str]:
    """Return the name of each column; one without a name, or with that of another, is known by its
    letter, too."""
    written = _lowest(rows[at : last + 1])
    stripped = [heading.stripped(name) for name in written]
    # A comma too many at the end of each row makes a column that nobody meant.
    body = rows[last + 1 :]
    while stripped and not stripped[-1]:
        if _is_used(body, len(stripped) - 1):
            break
        stripped.pop()
    counts = Counter(name for name in stripped if name)
    names = []
    for column, name in enumerate(stripped):
        if written[column] != name:
            detail = f"{written[column]!r:.60} → {name:.40}"
            place = Place(rows[last].line, sheet=table.sheet)
            table.changes.append(change_of(place, "heading", detail))
        if counts[name] > 1:
            table.repeated.setdefault(name, []).append(letters(column))
        unique = name
        if counts[name] != 1:
            unique = f"{name} [{letters(column)}]".strip()
        table.columns[unique] = column
        names.append(unique)
    for name, columns in table.repeated.items():
        place = Place(rows[last].line, sheet=table.sheet)
        detail = f"{name:.40}: {named(columns)}"
        table.changes.append(change_of(place, "repeated-column", detail))
    return names


def _lowest(rows: list[GridRow]) -> list[str]:
    """Return the names of a heading of several rows: in each column the lowest that there is."""
    width = max(len(row.cells) for row in rows)
    names = [""] * width
    for row in rows:
        for column, cell in enumerate(row.cells):
            if cell.strip():
                names[column] = cell
    return names


def _is_used(rows: list[GridRow], column: int) -> bool:
    for row in rows:
        if column in row.cell_faults:
            return True
        if len(row.cells) > column and row.cells[column].strip():
            return True
    return False


def _without_headings(table: Table, rows: list[GridRow], names: list[str]) -> list[GridRow]:
    """Return the rows that are not the heading again: in another language, or file after file."""
    kept = []
    are_known = heading.is_known(names)
    for index, row in enumerate(rows):
        texts = [heading.stripped(cell) for cell in row.cells]
        # In two languages, one below the other.
        is_translated = index == 0 and are_known and heading.is_known(texts)
        if texts[: len(names)] == names or is_translated:
            place = Place(row.line, sheet=table.sheet)
            table.changes.append(change_of(place, "title-row", named(texts)))
        else:
            kept.append(row)
    return kept


def _report_rows(
    table: Table, grid: Grid, rows: list[GridRow], width: int, wanted: Collection[str]
) -> None:
    """Make each row an entry, or report why it cannot be one."""
    used = _used(table, wanted)
    places: dict[int, Place] = {}
    table.left.places = places
    for first, last in _blank_runs(rows):
        _note_blank(table, first.line, last.line)
    for row in rows:
        if row.is_blank:
            continue
        table.count += 1
        if table.count > MAX_ENTRIES:
            raise table_size.too_large("行", "its rows")
        number = table.count
        places[number] = Place(row.line, sheet=grid.sheet)
        table.row_shown[number] = row.number
        if _report_row(table, grid, row, number, width, used):
            table.unread.append(number)
            continue
        cells = row.cells + [""] * (width - len(row.cells))
        value = {name: cells[column] for name, column in table.columns.items()}
        table.entries.append(Entry(number, places[number], value))


def _used(table: Table, wanted: Collection[str]) -> set[int]:
    """Return the columns that matter; all of them, where nobody knows."""
    columns = list(table.columns)
    used = [name for asked in wanted for name in heading.matching(columns, asked)]
    questions, answers = heading.questions_and_answers(columns)
    if len(wanted) < 2 and len(questions) == len(answers) == 1:
        used += questions + answers
    return {table.columns[name] for name in used or columns}


def _report_row(
    table: Table, grid: Grid, row: GridRow, number: int, width: int, used: set[int]
) -> bool:
    """Return whether a row cannot be read; `left` says why then."""
    left = table.left
    if row.fault:
        zh, en = row.fault
        left.add(number, "table-row", zh=zh, en=en)
    faults = {column: row.cell_faults[column] for column in row.cell_faults if column in used}
    for column, (zh, en) in faults.items():
        cell = table.cell(number, column)
        zh, en = f"{cell} {zh}", f"{cell} {en}"
        left.add(number, "table-cell", zh=zh, en=en, cell=cell)
    if row.fault or faults:
        return True
    if heading.is_sum(row.cells):
        zh, en = "是合计，不是问答", "is a row of totals, not a question and answer"
        left.add(number, "table-row", zh=zh, en=en, fix=_DELETE)
        return True
    # In a workbook each cell has its own place; text in columns has only the order of its cells.
    if grid.has_places or _fits(table, row, width):
        return False
    _report_ragged(left, row, number, width)
    return True


def _fits(table: Table, row: GridRow, width: int) -> bool:
    if len(row.cells) >= width:
        return not any(cell.strip() for cell in row.cells[width:])
    # A comma at the end of the heading alone takes nothing from the row.
    missing = list(table.columns)[len(row.cells) :]
    return all(name.startswith("[") for name in missing)


def _report_ragged(left: Report, row: GridRow, number: int, width: int) -> None:
    count = len(row.cells)
    zh = f"这一行有 {count} 格，表头有 {width} 列"
    en = f"this row has {count} cells, the header has {width}"
    if count > width:
        zh += "：多半是内容里的分隔符没有加引号"
        en += ": probably a separator inside a text without quotes"
    fix = None if count > width else _COMPLETE
    first = [cell[:MAX_NAME] for cell in row.cells[:MAX_NAMED]]
    text = " | ".join(first)
    left.add(number, "table-row", zh=zh, en=en, excerpt=shown(text), fix=fix)


def _blank_runs(rows: list[GridRow]) -> Iterator[tuple[GridRow, GridRow]]:
    """Yield the first and the last of blank rows that follow each other."""
    first = None
    last = None
    for row in rows:
        if row.is_blank:
            first, last = first or row, row
        elif first and last:
            yield first, last
            first = None


def _note_blank(table: Table, first: int, last: int) -> None:
    place = Place(first, sheet=table.sheet)
    # One change for all of them: a sheet may have thousands.
    run = ""
    if last > first:
        run = tr(f"第 {first}–{last} 行", f"lines {first}–{last}")
    table.changes.append(change_of(place, "blank-line", run))

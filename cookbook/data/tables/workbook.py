"""Read a sheet of an .xlsx workbook: each cell as Excel shows it.

openpyxl reads values and formats; merged cells, hidden rows and formulas without a value come from
`table_size.of_workbook`, which has looked at every part before.
"""

import io
import re
import warnings
from collections.abc import Collection, Iterator
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

from cookbook.data.entry import Place
from cookbook.data.report import calls
from cookbook.data.report.changes import change_of
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import named
from cookbook.data.tables import date_format, heading, number_format, table_size
from cookbook.data.tables.names import letters
from cookbook.data.tables.table import Fault, Grid, GridRow
from cookbook.data.tables.table_size import Outline
from cookbook.errors import DataError
from cookbook.i18n import tr

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.cell.read_only import ReadOnlyCell
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

ROWS_SEARCHED = 100  # of a sheet, to see whether it has anything, and the columns that are wanted
MAX_CHANGES = 5_000  # cells listed for each kind of change
GENERAL_SHOWS = 10**11  # larger whole numbers are shown with an exponent

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how a workbook writes a control character

_UNCALCULATED: Fault = (
    "这一格是公式，还没有算过：用 Excel 打开并保存一次",
    "is a formula that was never calculated: open the file in Excel and save it once",
)


def grid_of(
    content: bytes,
    sheet: str | int | None,
    wanted: Collection[str] = (),
    source: str = calls.UNKNOWN,
) -> Grid:
    """Return the rows of a sheet.

    Args:
        sheet: its name, or its number from 1; None for the only one that is filled in, or has the
            columns that are wanted.
        source: what is written for the file in a call.

    Raises:
        DataError: the workbook is too large or broken, or it is not clear which sheet to read.
    """
    outlines = table_size.of_workbook(content)
    try:
        with warnings.catch_warnings():
            # About formats that nobody needs here.
            warnings.simplefilter("ignore")
            return _read(content, sheet, wanted, outlines, source)
    except DataError:
        raise
    except Exception as error:  # openpyxl raises whatever its own readers raise
        raise DataError(
            zh="工作簿坏了，或者不完整：用 Excel 打开，另存为 .xlsx 再试",
            en="the workbook is damaged or incomplete: open it in Excel and save it as .xlsx again",
        ) from error


def _read(
    content: bytes,
    sheet: str | int | None,
    wanted: Collection[str],
    outlines: dict[str, Outline],
    source: str,
) -> Grid:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    try:
        filled = [s for s in book.worksheets if _first_rows(s)]
        chosen = _named(book, sheet) if sheet is not None else _only(filled, wanted, source)
        others = [s.title + _state(s) for s in filled if s is not chosen]
        grid = Grid(has_places=True)
        # With one sheet nobody needs its name.
        if len(book.worksheets) > 1:
            grid.sheet = chosen.title
        if others:
            title = chosen.title[:40]
            detail = tr(f"{title}；没有读 ", f"{title}; not read: ") + named(others)
            grid.changes.append(change_of(None, "sheets", detail))
        path = chosen._worksheet_path.lstrip("/")
        outline = outlines.get(path, Outline())
        _SheetReader(grid, outline).read(chosen)
        return grid
    finally:
        book.close()


def _state(sheet: "ReadOnlyWorksheet") -> str:
    return "" if sheet.sheet_state == "visible" else tr("（隐藏）", " (hidden)")


def _first_rows(sheet: "ReadOnlyWorksheet") -> list[GridRow]:
    """Return the first rows that have anything."""
    sheet.reset_dimensions()
    rows = []
    for number, row in enumerate(sheet.rows, 1):
        values = [cell.value for cell in row]
        cells = ["" if value is None else str(value) for value in values]
        if any(map(str.strip, cells)):
            rows.append(GridRow(number, number, cells))
        if len(rows) == ROWS_SEARCHED:
            break
    return rows


def _named(book: "Workbook", sheet: str | int) -> "ReadOnlyWorksheet":
    sheets = book.worksheets
    for found in sheets:
        if found.title == sheet:
            return found
    for found in sheets:
        if heading.plain(found.title) == heading.plain(sheet):
            return found
    # By number, as the tabs are counted; a sheet may be named "2", and that comes first.
    by_number = {str(number): found for number, found in enumerate(sheets, 1)}
    if str(sheet) in by_number:
        return by_number[str(sheet)]
    titles = named([found.title for found in sheets])
    raise DataError(
        zh=f"没有工作表 {sheet!r:.60}，sheet= 可以是：{titles}",
        en=f"there is no sheet {sheet!r:.60}; sheet= may be: {titles}",
    )


def _only(
    filled: list["ReadOnlyWorksheet"], wanted: Collection[str], source: str
) -> "ReadOnlyWorksheet":
    if not filled:
        raise DataError(zh="工作簿里没有内容", en="the workbook is empty")
    # A hidden sheet is read where there is no other.
    visible_ones = [s for s in filled if s.sheet_state == "visible"] or filled
    if len(visible_ones) == 1:
        return visible_ones[0]
    having = [s for s in visible_ones if _has_columns(s, wanted)]
    if len(having) == 1:
        return having[0]
    titles = [s.title for s in visible_ones]
    known = [s.title for s in having] if not wanted and having else titles
    call = f'data.from_table({source}, sheet="{visible(known[0][:40])}")'
    raise DataError(
        zh=f"工作簿里有 {len(titles)} 张工作表：{named(titles)}。"
        f"用 sheet= 指定读哪一张，例如 {call}；几张都要就一张一张读，再把结果接起来",
        en=f"the workbook has {len(titles)} sheets: {named(titles)}. Name the one to read, for "
        f"example {call}; to use all, read them one by one and join the results",
    )


def _has_columns(sheet: "ReadOnlyWorksheet", wanted: Collection[str]) -> bool:
    rows = _first_rows(sheet)
    at = heading.find(rows, wanted)
    if at is None:
        return False
    names = {heading.plain(cell) for cell in rows[at].cells}
    if wanted:
        return all(heading.plain(name) in names for name in wanted)
    return heading.is_known(rows[at].cells)


class _SheetReader:
    """Reads the cells of one sheet into a grid."""

    def __init__(self, grid: Grid, outline: Outline):
        self._grid = grid
        self._outline = outline
        self._listed: dict[str, int] = {}

    def read(self, sheet: "ReadOnlyWorksheet") -> None:
        """Read every row; each cell is in the column that Excel shows."""
        # Some programs write a size that is not true.
        sheet.reset_dimensions()
        for number, row in enumerate(sheet.rows, 1):
            grid_row = GridRow(number, number, [])
            for column, cell in enumerate(row):
                name = f"{letters(column)}{number}"
                if name in self._outline.uncalculated:
                    grid_row.cell_faults[column] = _UNCALCULATED
                grid_row.cells.append(self._text(cell, grid_row, column, name))
            self._grid.rows.append(grid_row)
        self._fill_merged()
        self._note_hidden()

    def _text(self, cell: "ReadOnlyCell", row: GridRow, column: int, name: str) -> str:
        value = cell.value
        if value is None:
            return ""
        if cell.data_type == "e":
            error = str(value)[:20]  # such as #N/A
            row.cell_faults[column] = (f"是错误值 {error}", f"is the error {error}")
            return str(value)
        if isinstance(value, bool):
            return str(value).upper()
        # The format decides what is seen, and some formats are known by their number alone.
        code = date_format.by_number(cell.style_array.numFmtId) or cell.number_format
        if isinstance(value, str):
            return self._string(value, code, row, name)
        if isinstance(value, int | float) and number_format.is_date(code):
            value = _as_date(cell, value)
        text, is_exact = number_format.shown(value, code)
        self._note_number(value, code, text, is_exact, row, name)
        return text

    def _string(self, value: str, code: str, row: GridRow, name: str) -> str:
        if "_x" in value:
            unescaped = _ESCAPED.sub(_character, value)
            if unescaped != value:
                self._note(row, "control-mark", name)
            value = unescaped
        value = value.replace("\r\n", "\n").replace("\r", "\n")
        if code in ("General", "@"):
            return value
        text, is_exact = number_format.shown(value, code)
        if not is_exact:
            detail = f"{name}: {code:.40} → {text:.40}"
            self._note(row, "cell-format", detail)
        return text

    def _note_number(
        self,
        value: number_format.Value | date | time | timedelta,
        code: str,
        text: str,
        is_exact: bool,
        row: GridRow,
        name: str,
    ) -> None:
        if isinstance(value, int | float):
            if abs(value) >= 10**number_format.EXACT_DIGITS:
                self._note(row, "long-number", f"{name}: {text:.40}")
                return
            # Excel shows 1.38E+11 there; all the digits are in the file.
            is_exact = is_exact and not (code == "General" and abs(value) >= GENERAL_SHOWS)
        if not is_exact:
            detail = f"{name}: {value!s:.40} [{code:.40}] → {text:.40}"
            self._note(row, "cell-format", detail)

    def _note(self, row: GridRow, code: str, detail: str) -> None:
        # So that no sheet can fill the memory; those beyond are counted.
        count = self._listed[code] = self._listed.get(code, 0) + 1
        if count <= MAX_CHANGES:
            place = Place(row.line, sheet=self._grid.sheet)
            self._grid.changes.append(change_of(place, code, detail))

    def _fill_merged(self) -> None:
        """Give every row of merged cells the value that Excel shows over all of them.

        Only downwards: a title that is merged over several columns is no answer to itself.
        """
        rows = self._grid.rows
        filled = 0
        for reference, column, first, last in _ranges(self._outline.merged):
            ends = self._grid.heading_ends
            ends[first] = max(last, ends.get(first, 0))
            if first > len(rows):
                continue
            origin = rows[first - 1]
            text = "".join(origin.cells[column : column + 1])
            fault = origin.cell_faults.get(column)
            if not text and not fault:
                continue
            # The first row has it already.
            for row in rows[first:last]:
                _put(row, column, text, fault)
                filled += 1
            if filled > table_size.MAX_CELLS:
                raise table_size.too_large("合并的单元格", "its merged cells")
            if last > first:
                shown = visible(text[:40])
                self._note(origin, "merged", f"{reference:.40} {shown}")

    def _note_hidden(self) -> None:
        count = len(self._grid.rows)
        width = max((len(row.cells) for row in self._grid.rows), default=0)
        # Often all the columns to the right of the table are hidden, too.
        rows = [str(number) for number in self._outline.hidden_rows if number <= count]
        numbers = [number for number in self._outline.hidden_columns if number <= width]
        columns = [letters(number - 1) for number in numbers]
        for names, zh, en in ((rows, "行", "rows"), (columns, "列", "columns")):
            if names:
                shown = named(names)
                detail = tr(f"{zh} {shown}", f"{en} {shown}")
                self._grid.changes.append(change_of(None, "hidden", detail))


def _put(row: GridRow, column: int, text: str, fault: Fault | None) -> None:
    missing = column + 1 - len(row.cells)
    row.cells += [""] * max(0, missing)
    if not row.cells[column].strip():
        row.cells[column] = text
        if fault:
            row.cell_faults[column] = fault


def _ranges(references: list[str]) -> Iterator[tuple[str, int, int, int]]:
    """Yield (reference, column from 0, first row, last row) of each range that can be read."""
    from openpyxl.utils import range_boundaries

    for reference in references:
        column, first, _, last = range_boundaries(reference)
        if column and first and last:
            yield reference, column - 1, first, last


def _as_date(cell: "ReadOnlyCell", value: float) -> number_format.Value:
    from openpyxl.utils.datetime import from_excel

    try:
        return from_excel(value, cell.parent.parent.epoch)
    except (ValueError, OverflowError):  # no day has that number
        return value


def _character(match: re.Match[str]) -> str:
    """Return the character that `_x000A_` means; a line break for the other half of one."""
    code = int(match[1], 16)
    is_half = 0xD800 <= code < 0xE000  # of a pair: not a character by itself
    return match[0] if is_half else chr(code)

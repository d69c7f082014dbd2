"""Read text in columns: CSV with commas or semicolons, and columns with tabs between them.

Lines are those of the text, so that a cell with line breaks does not move the rows below it. A
quotation mark that never closes would take all that follows into one cell: every line that it
reaches is refused. Each character is looked at a few times at most, whatever the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from cookbook.data.report.changes import change_of
from cookbook.data.tables import heading, table_size
from cookbook.data.tables.table import Fault, Grid, GridRow

DELIMITERS = (",", "\t", ";", "|")
ROWS_COMPARED = 20  # to find out the delimiter
HEAD = 64 * 1024  # characters of the text that are enough for it
QUOTE = '"'
_ESCAPED = re.compile(r'\\(["\\])')

_OPEN: Fault = (
    "引号从这里开始，没有正确收尾：内容里的英文双引号要写成两个",
    'a quotation mark opens here and is never closed: double every " inside a text',
)
_WITHIN: Fault = (
    "在没有收尾的引号里，读不准：先改好上面那个引号",
    "inside a quotation that is never closed: fix that one above first",
)


@dataclass
class _Record:
    """Cells, and the lines that they take; or lines that cannot be read."""

    line: int
    lines: int
    cells: list[str]
    is_broken: bool = False


def grid_of(text: str, suffix: str = "") -> Grid:
    """Return the rows of a text."""
    grid = Grid()
    has_returns = "\r" in text
    if has_returns:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, delimiter, skipped = _named_delimiter(text.rstrip("\n"))
    delimiter = delimiter or _delimiter_of(text, suffix)
    # A cell takes more memory than its characters do.
    if text.count(delimiter) > table_size.MAX_CELLS:
        raise table_size.too_large("单元格", "its cells")
    records: Iterable[_Record] = _records(text, delimiter)
    if '\\"' in text:
        records = _with_backslashes(grid, text, delimiter)
    number = 0  # of the row in a spreadsheet
    for record in records:
        number += 1
        line = record.line + skipped
        if record.is_broken:
            for offset in range(record.lines):
                fault = _WITHIN if offset else _OPEN
                grid.rows.append(GridRow(line + offset, number, [], fault))
            continue
        grid.rows.append(GridRow(line, number, record.cells))
        if has_returns and record.lines > 1:
            grid.changes.append(change_of(None, "line-ends"))
            has_returns = False  # said once
    return grid


def _with_backslashes(grid: Grid, text: str, delimiter: str) -> list[_Record]:
    """Return the records of a text that may write a mark as \\", as MySQL does; the reading that
    leaves fewer rows broken is right."""
    as_written = list(_records(text, delimiter))
    # A line break stays where it is: lines are counted.
    doubled = _ESCAPED.sub(lambda found: '""' if found[1] == '"' else found[1], text)
    unescaped = list(_records(doubled, delimiter))
    if _odd_rows(unescaped) >= _odd_rows(as_written):
        return as_written
    grid.changes.append(change_of(None, "escaped-quotes"))
    return unescaped


def _odd_rows(records: list[_Record]) -> int:
    """Return how many lines are broken, or have other cells than most rows."""
    widths = Counter(len(record.cells) for record in records if not record.is_broken)
    usual = max(widths.values(), default=0)
    broken = sum(record.lines for record in records if record.is_broken)
    return broken + widths.total() - usual


def _named_delimiter(text: str) -> tuple[str, str, int]:
    """Return the text without a first line `sep=;`, the delimiter that it names, and its lines."""
    # Excel obeys such a line and does not show it.
    first, end, _ = text[:20].partition("\n")
    line = first.strip(' "')
    if end and line.lower().startswith("sep=") and len(line) <= 5:
        # Of `sep=` and a tab the tab is stripped with the line.
        delimiter = line[4:] or "\t"
        return text[len(first) + 1 :], delimiter, 1
    return text, "", 0


def _delimiter_of(text: str, suffix: str) -> str:
    """Return the delimiter with which most rows have as many cells as the others."""
    if suffix == ".tsv":
        return "\t"
    head = text[:HEAD]
    if len(head) == HEAD:
        head = head[: head.rfind("\n") + 1] or head
    best, best_score = ",", (False, 1)
    for delimiter in DELIMITERS:
        records = islice(_records(head, delimiter), ROWS_COMPARED)
        # One cell says nothing: every text has that.
        rows = [record.cells for record in records if len(record.cells) > 1]
        widths = Counter(map(len, rows))
        count = max(widths.values(), default=0)
        has_heading = any(map(heading.is_known, rows))
        if (has_heading, count) > best_score:
            best, best_score = delimiter, (has_heading, count)
    return best


def _records(text: str, delimiter: str) -> Iterator[_Record]:
    position, line = 0, 1
    last_quote = text.rfind(QUOTE)
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        # Most lines have no quotation mark, and are quickly cut.
        if last_quote < position or text.find(QUOTE, position, end) < 0:
            yield _Record(line, 1, text[position:end].split(delimiter))
            position, line = end + 1, line + 1
            continue
        record, position = _quoted(text, delimiter, position, line)
        yield record
        line += record.lines


def _quoted(text: str, delimiter: str, position: int, line: int) -> tuple[_Record, int]:
    """Return the record that begins here, and where the next one begins."""
    start = position
    line_end = -1
    cells: list[str] = []
    while True:
        if text.startswith(QUOTE, position):
            end, is_closed = _close(text, position + 1, delimiter)
            if not is_closed:
                return _broken(text, start, end, line)
            inside = text[position + 1 : end]
            cells.append(inside.replace(QUOTE * 2, QUOTE))
            position = end + 1
        else:
            # Searched once for each line: a line may have millions of cells.
            if line_end < position:
                line_end = _find(text, "\n", position, len(text))
            end = _find(text, delimiter, position, line_end)
            cells.append(text[position:end])
            position = end
        if not text.startswith(delimiter, position):
            lines = text.count("\n", start, position) + 1
            return _Record(line, lines, cells), position + 1
        position += 1


def _broken(text: str, start: int, end: int, line: int) -> tuple[_Record, int]:
    """Return the lines up to that on which the reading went wrong."""
    stop = _find(text, "\n", end, len(text))
    lines = text.count("\n", start, stop) + 1
    return _Record(line, lines, [], is_broken=True), stop + 1


def _find(text: str, what: str, start: int, end: int) -> int:
    """Return where something is in a part of a text; its end where it is not."""
    found = text.find(what, start, end)
    return end if found < 0 else found


def _close(text: str, position: int, delimiter: str) -> tuple[int, bool]:
    """Return where the quotation closes, and whether a cell ends there."""
    while True:
        end = text.find(QUOTE, position)
        if end < 0:
            return len(text), False
        # Two marks are one in the text.
        if not text.startswith(QUOTE, end + 1):
            after = text[end + 1 : end + 2]
            return end, after in ("", delimiter, "\n")
        position = end + 2

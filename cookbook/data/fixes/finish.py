"""Finish a conversion: entries that are conversations by now become the rows of a result."""

from cookbook.data.fixes.rows import rows as fixed_rows
from cookbook.data.reading.read import Reading
from cookbook.data.report import by_line
from cookbook.data.report.cleaned import Cleaned


def finish(reading: Reading, rows_left: list[int]) -> Cleaned:
    """Return the rows that can be trained on once they are fixed, with all that was done.

    Args:
        reading: its entries are rows with `messages`.
        rows_left: the numbers of those that `reading.left` reports already.
    """
    pairs = list(fixed_rows(reading, {}, rows_left))
    reading.changes.sort(key=by_line)
    reading.left.sort()
    return Cleaned(
        [row for _, row in pairs],
        reading.changes,
        reading.left,
        reading.path,
        read=reading.count,
        row_numbers=[number for number, _ in pairs],
        rows_left=sorted(set(rows_left)),
    )

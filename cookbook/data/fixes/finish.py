"""Make the result of cleaning or converting: the rows, and an account of every entry.

finish(reading, rows_left)          once entries are conversations: their rows, fixed
result(reading, rows, rows_left)    rows that are fixed already
"""

from collections.abc import Sequence

from cookbook.data.fixes.message import Asked
from cookbook.data.fixes.rows import fixed_rows
from cookbook.data.reading import Reading
from cookbook.data.report import by_line
from cookbook.data.report.cleaned import Cleaned
from cookbook.data.rows import NumberedRow


def finish(reading: Reading, rows_left: list[int]) -> Cleaned:
    """Return the rows that can be trained on once they are fixed, with all that was done.

    Args:
        reading: its entries are rows with `messages`.
        rows_left: the numbers of those that `reading.left` reports already.
    """
    rows = list(fixed_rows(reading, Asked(), rows_left))
    return result(reading, rows, rows_left)


def result(reading: Reading, numbered: Sequence[NumberedRow], rows_left: Sequence[int]) -> Cleaned:
    """Return rows with what was done to the entries of their source, in order."""
    reading.changes.sort(key=by_line)
    reading.left.sort()
    return Cleaned(
        [row for _, row in numbered],
        reading.changes,
        reading.left,
        reading.path,
        read=reading.count,
        row_numbers=[number for number, _ in numbered],
        # An entry may have been left by several steps.
        rows_left=sorted(set(rows_left)),
    )

"""Read a DataFrame, or the columns of a Parquet file: values as they are, nested ones included.

Such columns often hold whole conversations, as lists of turns. So nothing is turned into text here:
`plain` gives plain Python values, and `text` what a single value looks like.
"""

import math
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data.entry import Entry, Place
from cookbook.data.report.changes import change_of
from cookbook.data.report.names import named
from cookbook.data.tables import heading, number_format
from cookbook.data.tables.names import letters
from cookbook.data.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

DEEPEST = 50  # levels of lists and dicts that are turned into plain values


def of_frame(frame: "pd.DataFrame") -> Table:
    """Return what a DataFrame holds; its rows count from 1."""
    table = Table.empty("DataFrame", "table")
    frame = _with_index(frame)
    names = _name(table, _column_names(list(frame.columns)))
    # Column by column, since two columns may have one name.
    places = range(len(names))
    columns = [frame.iloc[:, place].tolist() for place in places]
    add_rows(table, names, zip(*columns, strict=True))
    return table


def of_columns(names: Sequence[str], rows: Iterable[Sequence[object]], path: Path) -> Table:
    """Return what columns hold, given row by row."""
    table = Table.empty(path.name, "table", path)
    add_rows(table, _name(table, list(names)), rows)
    return table


def add_rows(table: Table, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Make each row an entry."""
    places: dict[int, Place] = {}
    table.left.places = places
    for line, row in enumerate(rows, 1):
        # NaN and NA are empty cells.
        values = [plain(value) for value in row]
        if all(value is None or value == "" for value in values):
            table.changes.append(change_of(Place(line), "blank-line"))
            continue
        table.count += 1
        places[table.count] = Place(line)
        value = dict(zip(names, values, strict=True))
        table.entries.append(Entry(table.count, places[table.count], value))


def plain(value: object, level: int = 0) -> object:
    """Return a value as plain Python has it: arrays as lists, missing ones as None."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if level > DEEPEST:
        return str(type(value).__name__)
    if isinstance(value, Mapping):
        items = value.items()
        return {str(key): plain(inner, level + 1) for key, inner in items}
    if hasattr(value, "tolist"):  # of numpy: an array, or one value of its types
        value = value.tolist()
        return plain(value, level + 1)
    if isinstance(value, list | tuple):
        return [plain(inner, level + 1) for inner in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def text(value: object) -> str | None:
    """Return what a single value looks like; None where it is not text, number or date."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, float):
        # A column of whole numbers with an empty cell has floats: 5.0 was written as 5.
        if not math.isfinite(value):
            return str(value)
        return number_format.general(value)
    if isinstance(value, datetime | date | time):
        return _moment(value)
    # A decimal, and what else counts as a number.
    return str(value) if isinstance(value, numbers.Number) else None


def _moment(value: datetime | date | time) -> str:
    written = str(value)
    # pandas has no dates without a time: midnight is a day.
    return written.removesuffix(" 00:00:00")


def _column_names(columns: Sequence[object]) -> list[str]:
    """Return the names of columns; of several rows of them the lowest, where that is enough."""
    lowest = [str(c[-1]) if isinstance(c, tuple) and c else str(c) for c in columns]
    if all(lowest) and len(set(lowest)) == len(lowest):
        return lowest
    return [_joined(column) for column in columns]


def _joined(column: object) -> str:
    if isinstance(column, tuple):
        parts = [str(part) for part in column]
        return " ".join(part for part in parts if part)
    return str(column)


def _with_index(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return a frame with its index as columns, where that is more than the numbers of its rows."""
    names = [name for name in frame.index.names if name is not None]
    is_text = frame.index.dtype.kind not in "iu"
    if not (names or is_text) or set(names) & set(frame.columns):
        return frame
    return frame.reset_index()


def _name(table: Table, written: list[str]) -> list[str]:
    """Return names for the columns, no two of them the same."""
    stripped = [heading.stripped(name) for name in written]
    counts = Counter(stripped)
    names = []
    for column, name in enumerate(stripped):
        if name != written[column]:
            detail = f"{written[column]!r:.60} → {name:.40}"
            table.changes.append(change_of(None, "heading", detail))
        if counts[name] > 1:
            table.repeated.setdefault(name, []).append(letters(column))
            name = f"{name} [{letters(column)}]"
        table.columns[name] = column
        names.append(name)
    for name, columns in table.repeated.items():
        detail = f"{name:.40}: {named(columns)}"
        table.changes.append(change_of(None, "repeated-column", detail))
    return names

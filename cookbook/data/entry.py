"""One value that a source holds, and where it begins.

    Entry(number=2, place=Place(line=14, column=3), value={"messages": […]})

An entry is what may become a row: a line of JSONL, an object of an array, a row of a table. Its
number counts from 1 within the source; in JSONL without blank lines it is the line.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where something begins. Lines and columns count from 1; in a table the line is the row that
    the reader's program shows, and `sheet` names the sheet of a workbook."""

    line: int
    column: int = 1
    sheet: str | None = None


def shared_column(places: Mapping[int, Place], number: int) -> int | None:
    """Return the column on which an entry begins if others begin on the same line; else None."""
    place = places.get(number)
    if place is None:
        return None
    # Entries of one line have numbers that follow each other.
    before, behind = places.get(number - 1), places.get(number + 1)
    lines = {other.line for other in (before, behind) if other}
    return place.column if place.line in lines else None


@dataclass(frozen=True)
class Entry:
    """A value with its number and place.

    `text` is the entry as the file has it, None where it is no text: rows in memory, tables.
    """

    number: int
    place: Place
    value: object
    text: str | None = None

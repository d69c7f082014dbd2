"""Files whose entries are inside one object, or that are themselves one conversation.

    {"data": [entry, …]}            {"rows": [{"row_idx": 0, "row": entry}, …]}
    {"0": entry, "1": entry}        {"question": ["…", …], "answer": ["…", …]}
    [{"role": "user", …}, …]        one conversation, message by message

`opened` turns each of them into the entries that a reader means, and says so in a change.
"""

from collections.abc import Mapping

from cookbook.data import shapes
from cookbook.data.entry import Entry
from cookbook.data.reading.read import Reading
from cookbook.data.report.changes import change_of
from cookbook.data.shapes import lists, pair
from cookbook.data.shapes.refusals import ONE_TURN
from cookbook.data.shapes.shape import words
from cookbook.i18n import tr

_LISTS = words("data rows train examples items instances records dataset samples results list")
LOOKED_AT = 3  # entries that tell what the others are
_IN_ONE_TURN = {*lists.ROLE_KEYS, *lists.TEXT_KEYS, *pair.WEIGHTS}


def opened(reading: Reading) -> Reading:
    """Return the reading with the entries that are meant; the same one is changed."""
    unwrap(reading)
    if reading.layout in ("array", "object", "memory") and len(reading.entries) > 1:
        _join_turns(reading)
    return reading


def unwrap(reading: Reading) -> None:
    """Take the entries out of the only object that a reading has, where they are inside it."""
    _name_columns(reading)
    if reading.count != 1 or len(reading.entries) != 1:
        return
    (container,) = reading.entries
    if not isinstance(container.value, dict):
        return
    inside = _inside(container.value)
    if inside is None:
        return
    where, values = inside
    # Where each of them begins within the object is not known.
    place = container.place
    numbered = enumerate(values, 1)
    reading.entries = [Entry(number, place, value) for number, value in numbered]
    reading.count = len(values)
    if reading.layout != "memory":
        reading.layout = "object"
    reading.left.places = {entry.number: place for entry in reading.entries}
    reading.changes.append(change_of(None, "layout", where))


def _inside(container: Mapping) -> tuple[str, list] | None:
    """Return where the entries of a file's only object are, and what they are."""
    columns = _columns(container) or _split(container)
    if columns is not None:
        return tr("（原来按列存）", "(it was stored by column)"), columns
    shape = shapes.of(container)
    for key in _LISTS:
        values = container.get(key)
        if not isinstance(values, list) or not _are_known(values):
            continue
        # A file's only object is hardly one conversation of pairs that have names.
        are_pairs = shape is lists.PAIRS and isinstance(values[0], dict)
        if shape is None or are_pairs:
            return tr(f"（取自 {key}）", f"(from {key})"), values
    if shape is not None:
        return None
    values = list(container.values())
    return ("", values) if _are_known(values) else None


def _are_known(values: list) -> bool:
    first = values[:LOOKED_AT]
    known = [shapes.of(value) for value in first]
    return bool(known) and all(known)


def _split(container: Mapping) -> list | None:
    """Return the entries of a table whose columns are named once, as pandas' "split" does."""
    names, rows = container.get("columns"), container.get("data")
    if not isinstance(names, list) or not isinstance(rows, list):
        return None
    are_names = all(isinstance(name, str) for name in names)
    if not are_names or len(set(names)) < len(names):
        return None
    widths = {len(row) if isinstance(row, list) else -1 for row in rows}
    if widths != {len(names)}:
        return None
    return [dict(zip(names, row, strict=True)) for row in rows]


def _name_columns(reading: Reading) -> None:
    """Make objects of lists that follow a list of names: ["question", "answer"], ["…", "…"]."""
    values = [entry.value for entry in reading.entries]
    is_whole = reading.count == len(values)
    if not is_whole or len(values) < 2 or reading.layout == "table":
        return
    rows = _split({"columns": values[0], "data": values[1:]})
    if rows is None or not pair.shape_of(rows[0]):
        return
    heading, *others = reading.entries
    places = [entry.place for entry in others]
    # Numbers count entries, and the names are none.
    numbers = range(1, len(rows) + 1)
    reading.entries = list(map(Entry, numbers, places, rows))
    reading.count = len(rows)
    reading.left.places = dict(zip(numbers, places, strict=True))
    reading.changes.append(change_of(heading.place, "title-row"))


def _columns(container: Mapping) -> list | None:
    """Return the entries of a table that is stored by column, as pandas writes it."""
    if not pair.shape_of(container):
        return None
    columns = []
    for values in container.values():
        # pandas writes a column as {"0": …, "1": …}, others as a list.
        if isinstance(values, dict):
            values = list(values.values())
        if not isinstance(values, list):
            return None
        if not all(isinstance(cell, str | None) for cell in values):
            return None
        columns.append(values)
    lengths = {len(values) for values in columns}
    if len(lengths) != 1:
        return None
    keys = list(container)
    rows = zip(*columns, strict=True)
    return [dict(zip(keys, cells, strict=True)) for cells in rows]


def _join_turns(reading: Reading) -> None:
    """Make one entry of an array that is itself a conversation."""
    values = [entry.value for entry in reading.entries]
    # An id beside a message says that there are several conversations: which, is not clear.
    for value in values:
        if not isinstance(value, dict) or not value.keys() <= _IN_ONE_TURN:
            return
        if shapes.of(value) is not ONE_TURN:
            return
    first, *others = reading.entries
    reading.entries = [Entry(first.number, first.place, {"messages": values})]
    line = first.place.line
    detail = tr(f"第 {line} 行", f"line {line}")
    for entry in others:
        reading.changes.append(change_of(entry.place, "joined", detail, row=entry.number))

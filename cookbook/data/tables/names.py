"""Write the names of columns, cells and sheets, short whatever the table."""

from collections.abc import Collection
from itertools import islice

from cookbook.data.report.excerpt import visible
from cookbook.i18n import tr

MAX_NAMED = 10  # names, cells or rows that a message lists
MAX_NAME = 40  # characters of a name that it shows


def letters(column: int) -> str:
    """Return the letters of a column that is counted from 0: A, Z, AA."""
    name = ""
    column += 1
    while column:
        # There is no digit 0: after Z comes AA.
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def named(names: Collection[str]) -> str:
    """Return names as a message lists them: some of them, none of them long."""
    first = list(islice(names, MAX_NAMED))
    shown = [visible(str(name)[:MAX_NAME]) for name in first]
    text = tr("、", ", ").join(shown)
    more = len(names) - len(first)
    if not more:
        return text
    return text + tr(f" 等 {len(names)} 个", f" and {more} more")

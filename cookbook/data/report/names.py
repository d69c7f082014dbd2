"""Write names for a message: safe to show, not too many, none too long.

    named(["问题", "回答"])     问题、回答
    joined(["a × 2", "b"])      the same for parts that are short already

Whatever a file says, a sentence stays one.
"""

from collections.abc import Collection, Iterable
from itertools import islice

from cookbook.data.report.excerpt import visible
from cookbook.i18n import tr

# Enough to know a file by, and no more than a line of a terminal.
MAX_NAMED = 10  # names of keys, columns, sheets or people that a message lists
MAX_NAME = 40  # characters of a name that it shows


def named(names: Collection[str]) -> str:
    """Return names as a message lists them, with how many there are if it cannot list them all."""
    first = islice(names, MAX_NAMED)
    # Cut before escapes make it longer: of a name the beginning is enough to know it.
    short = [str(name)[:MAX_NAME] for name in first]
    shown = joined(map(visible, short))
    n = len(names)
    more = n - len(short)
    if not more:
        return shown
    rest = tr(f" 等 {n} 个", f" and {more} more")
    return shown + rest


def joined(parts: Iterable[str]) -> str:
    """Return parts with what separates them in the reader's language."""
    return tr("、", ", ").join(parts)

"""Write names for a message: safe to show, not too many, none too long.

    named(["问题", "回答"])     问题、回答
    joined(["a × 2", "b"])      the same for parts that are short already

Whatever a file says, a sentence stays one.
"""

from collections.abc import Collection, Iterable
from itertools import islice

from cookbook.data.report.excerpt import visible
from cookbook.i18n import tr

MAX_NAMED = 10  # names of keys, columns, sheets or people that a message lists
MAX_NAME = 40  # characters of a name that it shows


def named(names: Collection[str]) -> str:
    """Return names as a message lists them, with how many there are if it cannot list them all."""
    first = list(islice(names, MAX_NAMED))
    shown = joined(visible(str(name)[:MAX_NAME]) for name in first)
    more = len(names) - len(first)
    if not more:
        return shown
    return shown + tr(f" 等 {len(names)} 个", f" and {more} more")


def joined(parts: Iterable[str]) -> str:
    """Return parts with what separates them in the reader's language."""
    return tr("、", ", ").join(parts)


def spaced(name: str) -> str:
    """Return a name as it follows a Chinese character: a Latin letter is set apart."""
    return f" {name}" if name[:1].isascii() else name

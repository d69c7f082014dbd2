"""See at a glance which kinds of damage a text may have, many texts at once.

Nearly all texts have none. One look at each character's entry in a table spares them every search.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from cookbook.data.damage import invisible, mojibake

if TYPE_CHECKING:
    import numpy as np

BACKSLASH = 1  # or an underscore: `_x000D_`
MARKUP = 2  # `<` or `&`
INVISIBLE = 4
MOJIBAKE = 8
MARK = 16  # `[`, `#`
_REPEATED = 32  # a character that is damage only where it comes three times in a row

AT_ONCE = 32 * 1024  # characters: their arrays fit the processor's cache, and are soon made


def flags(texts: Sequence[str]) -> list[int]:
    """Return for each text the kinds of damage that it may have, added up; 0 for nearly all."""
    result: list[int] = []
    some: list[str] = []
    size = 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size >= AT_ONCE:
            result += _flags(some)
            some, size = [], 0
    return result + _flags(some) if some else result


def _flags(texts: Sequence[str]) -> list[int]:
    import numpy as np

    # A line end after each, so that none is empty.
    joined = "\n".join([*texts, ""])
    characters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _table().take(characters, mode="wrap")
    repeated = np.flatnonzero(kinds == _REPEATED)
    # A single 烫 is a word of Chinese; three of them are memory that was never filled.
    if len(repeated):
        kinds[repeated] = 0
        thrice = repeated[2:] - repeated[:-2] == 2
        kinds[repeated[2:][thrice]] = MOJIBAKE
    if not kinds.any():
        return [0] * len(texts)
    starts = np.cumsum([0, *[len(text) + 1 for text in texts[:-1]]])
    return np.bitwise_or.reduceat(kinds, starts).tolist()


@cache
def _table() -> "np.ndarray":
    """Return the kinds of damage that each character may mean."""
    import numpy as np

    # Every character of Unicode has an entry, so that no look can be out of range.
    table = np.zeros(0x110000, np.uint8)

    def add(characters: str, kind: int) -> None:
        table[[ord(character) for character in characters]] |= kind

    add("\\_", BACKSLASH)
    add("<&", MARKUP)
    add("[#", MARK)
    add(mojibake.UNUSUAL + mojibake.gbk_rare() + "\xc2\xc3\ufffd锟", MOJIBAKE)
    add("烫屯", _REPEATED)
    for first, last in invisible.RANGES:
        table[ord(first) : ord(last) + 1] |= INVISIBLE
    return table

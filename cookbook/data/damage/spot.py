"""One damaged place of a text, and what would repair it."""

from typing import NamedTuple


class Spot(NamedTuple):
    """Damage at `text[start:end]`.

    `repaired` is what belongs there, None where that would have to be guessed.
    """

    start: int
    end: int
    repaired: str | None

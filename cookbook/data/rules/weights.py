"""Read how an answer is marked as not to be learned: `"weight": 0`, or as other tools write it.

Only `"weight": 0` is understood in training, see `chatml.is_trained`; `clean` writes the others so.
"""

from collections.abc import Mapping

Names = tuple[str, ...]

KEYS = ("weight", "loss_weight", "loss", "train")
ROW_KEYS = ("weight", "loss_weight")

# Programs write a number, a boolean, or either as text; 0 and False are equal in Python.
_OFF = (0, "0", "0.0", "false", "no", "off")
_ON = (1, "1", "1.0", "true", "yes", "on", None)


def is_off(marked: Mapping, keys: Names = KEYS) -> bool:
    """Return whether a message, or a row, is marked as not to be learned."""
    return _first(marked, keys, _OFF) is not None


def key_of(marked: Mapping) -> str:
    """Return the key that marks a message, or a row, as not to be learned."""
    return _first(marked, KEYS, _OFF) or KEYS[0]


def beyond(marked: Mapping) -> str | None:
    """Return the key of a weight other than 0 and 1, which nothing here can follow."""
    known = (*_OFF, *_ON)
    for key in KEYS:
        value = _lower(marked.get(key))
        if value not in known:
            return key
    return None


def _first(marked: Mapping, keys: Names, values: tuple) -> str | None:
    for key in keys:
        # As text it may be written in any case.
        if key in marked and _lower(marked[key]) in values:
            return key
    return None


def _lower(value: object) -> object:
    return value.strip().casefold() if isinstance(value, str) else value

"""Read one JSON text strictly, and say what is wrong with one that is not JSON.

    parse(text)           its value, or `NotJson` with the reason, the place and the remedy

Nothing is reported here, and nothing repaired. What the reason is: `diagnosis.py`. Where a value is
in a text: `places.py`.
"""

import json
import math
from collections import Counter
from functools import partial
from typing import NoReturn

from cookbook.data.json_text import diagnosis
from cookbook.data.json_text.faults import Fault
from cookbook.errors import ArgumentError


class NotJson(Exception):
    """A text is not one JSON value; `start` and `end` are the place of what is wrong.

    `fix` is the remedy in both languages, None for the usual one; `is_cut` says that the text ends
    too early. It never leaves `cookbook.data`: it becomes a problem in a report.
    """

    def __init__(self, fault: Fault):
        super().__init__(fault.en)
        self.zh = fault.zh
        self.en = fault.en
        self.start = fault.start
        self.end = fault.end
        self.fix = fault.fix
        self.is_cut = fault.is_cut


class DuplicateKey(NotJson):
    """An object has a key twice.

    JSON allows it, but readers differ in which of the two values they keep.
    """


def parse(text: str, *, strict: bool = True) -> object:
    """Return the JSON value of a text.

    Stricter than `json.loads`: no key twice, no NaN, no number beyond what a float holds.

    Args:
        strict: whether control characters in strings are refused, as JSON demands.

    Raises:
        DuplicateKey: an object has a key twice.
        NotJson: it is not JSON.
    """
    try:
        decoder = _DECODER if strict else _LENIENT
        return decoder.decode(text)
    except _RepeatedKey as error:
        raise DuplicateKey(diagnosis.of_repeated_key(text, str(error))) from None
    except json.JSONDecodeError as error:
        raise NotJson(diagnosis.of_error(text, error.msg, error.pos)) from None
    # Each kind of fault is looked for in its own way: what Python says of it has no place.
    except RecursionError:
        raise NotJson(diagnosis.of_depth(text)) from None
    except ValueError:  # NaN, a huge number
        raise NotJson(diagnosis.of_number(text)) from None


def list_in(text: object) -> list | None:
    """Return the array that a string holds as JSON; None for a string of anything else."""
    if not isinstance(text, str) or text.lstrip()[:1] != "[":
        return None
    try:
        value = parse(text)
    except NotJson:
        return None
    return value if isinstance(value, list) else None


def cut(number: int, error: NotJson) -> NotJson:
    """Return the error for an entry in which the file ends."""
    # Nobody can complete it here: the whole file must be fetched again.
    fault = diagnosis.of_cut_file(number, error.start, error.end)
    return NotJson(fault)


class _RepeatedKey(ValueError):
    pass


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    # Python keeps the last of two values and says nothing.
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        key, _ = counts.most_common(1)[0]
        raise _RepeatedKey(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    # `parse` catches it as a ValueError, and finds the place.
    raise ArgumentError(zh=f"{name} 不是 JSON 的值", en=f"{name} is not a JSON value")


def _finite_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


# Made once: of a file of many short lines, making one for each would take half the time.
_decoder = partial(
    json.JSONDecoder,
    object_pairs_hook=_object_of,
    parse_constant=_refuse_constant,  # NaN, Infinity
    parse_float=_finite_float,
)
_DECODER = _decoder()
_LENIENT = _decoder(strict=False)  # takes line breaks and tabs within strings

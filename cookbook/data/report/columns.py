"""Give problems the line and the column of what is wrong, once it is known which are kept.

    columns(report.problems, text_of, report.places)

Rules look at values, which do not know where they were written. Finding a place takes a walk
through the source text, so it is done at the end, for the problems that are shown.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from cookbook.data.entry import Place, shared_column
from cookbook.data.json_text.places import Places
from cookbook.data.report import Problem

# `Problem.at` with this key counts in the entry's own text, as for text that is not JSON.
WHOLE_TEXT = ""

# What a rule looks at that names no key.
_KEYS = {"role-unknown": "role", "content-type": "content", "content-empty": "content"}


def columns(
    problems: Iterable[Problem],
    text_of: Callable[[int], str | None],
    places: Mapping[int, Place],
) -> list[Problem]:
    """Return the problems, in their order, with line and column where they can be found.

    Args:
        text_of: returns an entry's source text by its number; None where it has none.
        places: where entries begin; one that is lacking begins on the line of its number.
    """
    result = list(problems)
    by_row: dict[int, list[int]] = {}
    for i, problem in enumerate(result):
        if problem.row is not None and problem.column is None and problem.cell is None:
            by_row.setdefault(problem.row, []).append(i)
    for row, indexes in by_row.items():
        text = text_of(row)
        if text is None:
            continue
        # One walk through the text for all problems of the row.
        source = Places(text)
        for i in indexes:
            place = places.get(row) or Place(row)
            found = _with_column(result[i], source, place)
            # Of several entries on one line, at least which one.
            if found.column is None:
                found = dataclasses.replace(found, column=shared_column(places, row))
            result[i] = found
    return result


def _with_column(problem: Problem, source: Places, place: Place) -> Problem:
    offset = _offset(problem, source)
    if offset is None:
        return problem
    line, column = source.position(offset, place)
    return dataclasses.replace(problem, line=line, column=column)


def _offset(problem: Problem, source: Places) -> int | None:
    """Return where the offending text is in the entry's text."""
    key, offset = problem.at or (_KEYS.get(problem.code), None)
    if key == WHOLE_TEXT:
        return offset
    path: list[str | int] = []
    if problem.message_index is not None:
        path = ["messages", problem.message_index]
    elif problem.code.startswith("messages-"):
        path = ["messages"]
    found = source.locate([*path, key], offset) if key else None
    # A message that lacks the key, or is no object, is to blame as a whole.
    if not found and path:
        found = source.locate(path)
    return found[0] if found else None

"""Find where the problems of converted entries are in the text that they came from."""

import dataclasses
from collections.abc import Mapping

from cookbook.data.json_text.places import Places
from cookbook.data.report import Problem, Report
from cookbook.data.report.columns import WHOLE_TEXT, columns

# (the key of the conversation, how many messages were put before it); None: messages are in place.
Origin = tuple[str, int] | None


def point(left: Report, texts: Mapping[int, str], origins: Mapping[int, Origin]) -> None:
    """Give the problems of entries their line and column.

    Args:
        texts: of the entries, by number.
        origins: where the messages of an entry were in it, by number; of others only the beginning
            is known.
    """
    for i, problem in enumerate(left.problems):
        number = problem.row
        if number is None or number not in texts:
            continue
        if _is_pointed(problem):
            continue
        # Messages that were there before are found as those of any row.
        if number in origins and origins[number] is None:
            continue
        offset = _offset(problem, texts[number], origins.get(number))
        at = (WHOLE_TEXT, offset)
        left.problems[i] = dataclasses.replace(problem, at=at)
    left.problems = columns(left.problems, texts.get, left.places)


def _is_pointed(problem: Problem) -> bool:
    if problem.column is not None or problem.cell is not None:
        return True
    return problem.at is not None and problem.at[0] == WHOLE_TEXT


def _offset(problem: Problem, text: str, origin: Origin) -> int:
    if origin is None:
        return 0
    key, before = origin
    # A message that was put before them is nowhere in the text.
    path: list[str | int] = [key]
    index = problem.message_index
    if index is not None and index >= before:
        path.append(index - before)
    found = Places(text).locate(path)
    return found[0] if found else 0

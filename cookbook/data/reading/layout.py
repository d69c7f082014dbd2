"""See how a text holds its values: one a line, in one array, over several lines, or wrapped.

    of(text)      a `Found`: the layout, and where the values begin

Only the beginning is looked at, as far as it must be; nothing is reported here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cookbook.data import json_text
from cookbook.data.json_text.blocks import Blocks
from cookbook.data.json_text.places import Places

Layout = Literal["lines", "array", "objects", "object", "table", "memory"]

# What an object calls the list of its rows. A list of another name is part of a single row.
ROW_LISTS = frozenset(
    [
        "data",
        "rows",
        "train",
        "test",
        "validation",
        "valid",
        "dev",
        "eval",
        "items",
        "records",
        "examples",
        "entries",
        "samples",
        "list",
        "result",
        "results",
        "dataset",
        "datasets",
        "conversations",
        "dialogues",
        "dialogs",
        "instances",
        "数据",
    ]
)
_ROLES = frozenset(("role", "from", "speaker", "sender"))
_TEXTS = frozenset(("content", "value", "text", "message", "tool_calls", "function_call"))

LINES_LOOKED_AT = 2_000  # to see how a text is laid out whose first value is broken
MAX_WRAPPING = 3  # objects around the rows

_START = re.compile(r"(?:\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
# The keys of an object up to its list of rows, as long as their values are short and plain.
_SCALARS = re.compile(
    r'\{\s*(?:"[^"\\]{0,60}"\s*:\s*(?:"[^"\\]{0,200}"|[\w.+-]{1,40})\s*,\s*){0,20}'
)
_ROWS_BEGIN = re.compile(r'"([^"\\]{1,60})"\s*:\s*(?=\[\s*[{\[])')
_OF_TABLE = frozenset((".csv", ".tsv", ".tab"))


@dataclass(frozen=True)
class Found:
    """How a text is laid out.

    `start` is where the values begin, behind the bracket of an array. `lists` names the lists of an
    object that has several, so that nobody knows which one has the rows.
    """

    layout: Layout
    start: int = 0
    lists: Mapping[str, int] | None = None
    is_wrapped: bool = False


LINES = Found("lines")


def of(text: str) -> Found:
    """Return how a text is laid out."""
    start = _beginning(text)
    opening = text[start : start + 1]
    if opening not in ("{", "["):
        return LINES
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    is_one_line = not text[line_end:].strip()
    decoded = Blocks(text).decode(start)
    if decoded is None:
        return _of_broken(text, start, line_end, is_one_line)
    value, end = decoded
    if isinstance(value, dict):
        if not text[end:].strip(" \t\r\n,"):
            wrapped = _of_single(text, start, value)
            if wrapped:
                return wrapped
        return LINES if end <= line_end else Found("objects", start)
    # A list that is a conversation is a row; any other is the list of the rows, unless each line
    # has one.
    if is_turns(value):
        return LINES if end <= line_end else Found("objects", start)
    next_line = text[line_end : line_end + 1000].lstrip()[:1]
    is_row = not _holds_rows(value) or _is_of_qianfan(value)
    if end <= line_end and next_line == "[" and is_row:
        return LINES
    return Found("array", start + 1)


def is_turns(value: object) -> bool:
    """Return whether a value is a list of who said what."""
    if not isinstance(value, list) or not value:
        return False
    return all(_is_turn(turn) for turn in value[:3])


def is_table(text: str, suffix: str) -> bool:
    """Return whether a text has columns: by the name of its file, or by its first lines."""
    if suffix.lower() in _OF_TABLE:
        return True
    head = text[:20_000]
    lines = [line for line in head.split("\n") if line.strip()][:6]
    # The last one may be cut.
    if len(text) > len(head) and len(lines) < 6:
        lines = lines[:-1]
    # JSON in quotes, or behind a number, has commas too.
    if lines and any(mark in lines[0] for mark in ('{"', '{\\"', "{'")):
        return False
    if len(lines) < 2 or any(line.lstrip()[:1] in ("{", "[") for line in lines):
        return False
    return any(_are_columns(lines, mark) for mark in ("\t", ","))


def _are_columns(lines: list[str], mark: str) -> bool:
    """Return whether lines have the same number of cells, and the first one names them all."""
    names = lines[0].split(mark)
    counts = {line.count(mark) for line in lines}
    return len(names) > 1 and len(counts) == 1 and all(0 < len(n.strip()) <= 40 for n in names)


def _beginning(text: str) -> int:
    """Return where the first value begins, behind white space and comments."""
    found = _START.match(text)
    return found.end() if found else 0


def _is_turn(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    keys = {key.lower() for key in value if isinstance(key, str)}
    return bool(keys & _ROLES and keys & _TEXTS)


def _holds_rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _is_of_qianfan(value: object) -> bool:
    """Return whether a list is a conversation of Qianfan: each answer is a list in a list."""
    rows = value if isinstance(value, list) else []
    for row in rows[:3]:
        answers = row.get("response") if isinstance(row, dict) and "prompt" in row else None
        if not (isinstance(answers, list) and answers and isinstance(answers[0], list)):
            return False
    return bool(rows)


def _of_broken(text: str, start: int, line_end: int, is_one_line: bool) -> Found:
    """Return the layout of a text whose first value is broken."""
    if text[start] == "{":
        wrapped = _list_in_broken(text, start)
        if wrapped is not None:
            return Found("array", wrapped + 1, is_wrapped=True)
        return LINES if is_one_line or _is_mostly_lines(text) else Found("objects", start)
    # An array is broken where any of its elements is. In JSONL the next line is a list again, and
    # this one is closed.
    first_line = text[start:line_end].rstrip(" \t\r,")
    next_line = text[line_end : line_end + 1000].lstrip()[:1]
    closed_line = len(first_line) > 1 and first_line.endswith("]")
    if not is_one_line and next_line in ("[", "{") and closed_line:
        return LINES
    return Found("array", start + 1)


def _is_mostly_lines(text: str) -> bool:
    complete = others = 0
    at = 0
    for _ in range(LINES_LOOKED_AT):
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)].strip(" \t\r,")
        if line[:1] in ("]", "}") or line in ("{", "["):
            others += 1
        elif line[:1] == "{" and line[-1:] == "}":
            complete += 1
        if end < 0:
            break
        at = end + 1
    # Objects over lines may have their messages on one line each.
    return complete >= 4 * others


def _of_single(text: str, start: int, value: dict) -> Found | None:
    """Return where the rows are in an object that is wrapped around them; None if it is a row."""
    # What pandas writes as "split" names its columns once: each row alone says nothing.
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return None
    lists = dict(_row_lists(value, ()))
    if not lists:
        return None
    if len(lists) > 1:
        named = {".".join(path): count for path, count in lists.items()}
        return Found("array", start, lists=named)
    [path] = lists
    found = Places(text).locate(path) if start == 0 else Places(text[start:]).locate(path)
    return Found("array", start + found[0] + 1, is_wrapped=True) if found else None


def _row_lists(value: dict, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the path and the length of each list of rows in an object."""
    if any(is_turns(inner) for inner in value.values()):
        return
    for key, inner in value.items():
        if isinstance(inner, list) and key.lower() in ROW_LISTS and inner:
            if isinstance(inner[0], dict | list):
                yield (*path, key), len(inner)
        elif isinstance(inner, dict) and len(path) < MAX_WRAPPING:
            yield from _row_lists(inner, (*path, key))


def _list_in_broken(text: str, start: int) -> int | None:
    """Return where a list of rows begins in an object that is broken somewhere."""
    before = _SCALARS.match(text, start)
    key = _ROWS_BEGIN.match(text, before.end() if before else start)
    if not key or key[1].lower() not in ROW_LISTS:
        return None
    places = Places(text[key.end() : key.end() + 20_000])
    first = places.locate((0,))
    # A list of turns makes it a row.
    inside = places.text[first[0] : first[1]] if first else ""
    try:
        is_turn = bool(inside) and _is_turn(json_text.parse(inside))
    except json_text.NotJson:
        is_turn = False
    return None if is_turn else key.end()

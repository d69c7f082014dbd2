"""See how a text holds its values: one a line, in one array, over several lines, or wrapped.

    of(text)      a `Found`: the layout, and where the values begin

Only the beginning is looked at, as far as it must be; nothing is reported here.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cookbook.data import json_text
from cookbook.data.json_text.blocks import Blocks
from cookbook.data.json_text.places import Places
from cookbook.data.shapes import roles

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
_IDS = ("parent_id", "conversation_id", "dialogue_id", "dialog_id", "session_id", "thread_id")
_TEXTS = frozenset(("content", "value", "text", "message", "tool_calls", "function_call"))

Path = tuple[str, ...]  # keys, from the outermost object inwards

HEAD = 20_000  # characters that tell what a text is
LONGEST_NAME = 40  # characters of a column's name
LINES_LOOKED_AT = 2_000  # to see how a text is laid out whose first value is broken
MAX_WRAPPING = 3  # objects around the rows

_START = re.compile(r"(?:\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*")
# The keys of an object up to its list of rows, as long as their values are short and plain.
_SCALARS = re.compile(
    r'\{\s*(?:"[^"\\]{0,60}"\s*:\s*(?:"[^"\\]{0,200}"|[\w.+-]{1,40})\s*,\s*){0,20}'
)
_NAME = re.compile(r'"(\w{1,20})"')
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
    if is_turns(value) and not _are_of_several(value):
        return LINES if end <= line_end else Found("objects", start)
    if end <= line_end and _is_of_qianfan(value):
        return LINES
    next_line = text[line_end : line_end + 1000].lstrip()[:1]
    if end <= line_end and _is_line(value, next_line):
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
    head = text[:HEAD]
    lines = head.split("\n")
    if any(line.lstrip()[:1] in ("{", "[") for line in lines):
        return False
    # JSON in quotes, or behind a number, has commas too.
    first = next(filter(str.strip, lines), "")
    if any(mark in first for mark in ('{"', '{\\"', "{'")):
        return False
    is_cut = len(text) > len(head)
    return any(_are_columns(head, mark, is_cut) for mark in "\t,;")


def _are_columns(head: str, mark: str, is_cut: bool) -> bool:
    """Return whether lines have the same number of cells, and the first one names them all."""
    # Quoted cells may hold the mark, and line ends.
    cells = csv.reader(io.StringIO(head, newline=""), delimiter=mark)
    try:
        rows = list(itertools.islice(filter(None, cells), 6))
    except csv.Error:  # a cell of more than 131,072 characters, in other versions a NUL
        return False
    if is_cut and len(rows) < 6:
        rows = rows[:-1]
    counts = {len(row) for row in rows}
    # One column is every text.
    if len(rows) < 2 or len(counts) > 1 or counts == {1}:
        return False
    names = map(str.strip, rows[0])
    return all(0 < len(name) <= LONGEST_NAME for name in names)


def _beginning(text: str) -> int:
    """Return where the first value begins, behind white space and comments."""
    found = _START.match(text)
    return found.end() if found else 0


def _is_turn(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    # {"user": "…"}, and the answer in the next one. A single letter may be any column.
    if len(value) == 1:
        [(key, text)] = value.items()
        name = str(key)
        if isinstance(text, str) and len(name) > 1 and roles.known(name):
            return True
    keys = {key.lower() for key in value if isinstance(key, str)}
    return bool(keys & _ROLES and keys & _TEXTS)


def _is_line(value: object, next_line: str) -> bool:
    """Return whether a list is one of several values, by how the next line begins."""
    if not isinstance(value, list) or next_line not in ("[", "{"):
        return False
    if not value:
        return next_line == "{"
    # Files that were put together have an array of rows on each line, and more than one row.
    return not _holds_rows(value) or len(value) == 1


def _are_of_several(turns: object) -> bool:
    """Return whether messages are of several conversations, by the ids that they have."""
    in_list = turns if isinstance(turns, list) else []
    objects = [turn for turn in in_list if isinstance(turn, dict)]
    for key in _IDS:
        ids = {str(turn[key]) for turn in objects if key in turn}
        if len(ids) > 1 or ids and key == "parent_id":
            return True
    return False


def _holds_rows(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(row, dict) for row in value)


def _is_of_qianfan(value: object) -> bool:
    """Return whether a list is a conversation of Qianfan: each answer is a list in a list."""
    rows = value if isinstance(value, list) else []
    return bool(rows) and all(map(_has_answers_in_lists, rows[:3]))


def _has_answers_in_lists(row: object) -> bool:
    if not isinstance(row, dict) or "prompt" not in row:
        return False
    answers = row.get("response")
    first = answers[0] if isinstance(answers, list) and answers else None
    return isinstance(first, list)


def _of_broken(text: str, start: int, line_end: int, is_one_line: bool) -> Found:
    """Return the layout of a text whose first value is broken."""
    if text[start] == "{":
        first_line = text[start:line_end]
        if not is_one_line and _is_whole_row(first_line, text[line_end:]):
            return LINES
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


def _is_whole_row(first_line: str, below: str) -> bool:
    """Return whether an object ends on its line, and the next line begins another one."""
    closed = first_line.rstrip(" \t\r").endswith("}")
    return closed and below[:1000].lstrip()[:1] == "{"


def _is_mostly_lines(text: str) -> bool:
    complete = others = 0
    at = 0
    for _ in range(LINES_LOOKED_AT):
        end = text.find("\n", at)
        line = text[at:end] if end >= 0 else text[at:]
        line = line.strip(" \t\r,")
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
    are_lists = [isinstance(value.get(key), list) for key in ("columns", "data")]
    if all(are_lists):
        return None
    lists = dict(row_lists(value))
    if not lists:
        return None
    if len(lists) > 1:
        named = {".".join(path): count for path, count in lists.items()}
        return Found("array", start, lists=named)
    [path] = lists
    found = Places(text[start:]).locate(path)
    if found is None:
        return None
    return Found("array", start + found[0] + 1, is_wrapped=True)


def row_lists(value: Mapping, path: Path = ()) -> Iterator[tuple[Path, int]]:
    """Yield the path and the length of each list of rows in an object."""
    if any(is_turns(inner) for inner in value.values()):
        return
    for key, inner in value.items():
        if isinstance(inner, list) and str(key).lower() in ROW_LISTS:
            # null may come first.
            if any(isinstance(row, dict | list) for row in inner):
                yield (*path, key), len(inner)
        elif isinstance(inner, dict) and len(path) < MAX_WRAPPING:
            yield from row_lists(inner, (*path, key))


def _list_in_broken(text: str, start: int) -> int | None:
    """Return where a list of rows begins in an object that is broken somewhere."""
    before = _SCALARS.match(text, start)
    key = _ROWS_BEGIN.match(text, before.end() if before else start)
    if not key or key[1].lower() not in ROW_LISTS:
        return None
    head = text[key.end() : key.end() + HEAD]
    places = Places(head)
    first = places.locate((0,))
    # A list of turns makes it a row.
    inside = head[slice(*first)] if first else head
    try:
        is_turn = _is_turn(json_text.parse(inside))
    except json_text.NotJson:
        # Broken itself, it still has a first key.
        name = _NAME.search(inside[:200])
        is_turn = name is not None and name[1].lower() in _ROLES | _TEXTS
    return None if is_turn else key.end()

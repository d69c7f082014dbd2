"""Say why a text is not JSON, by what is written at the fault and around it.

Python's parser says where it could not go on and what it expected there. That is seldom what is
wrong: behind a quotation mark within a text it "expects a comma". Here the characters are looked
at. Each reason has the exact place and, where one fits, its own remedy. Nothing is repaired.

What can be wrong where the parser expected something is in `expected.py`.
"""

import json
import math
import re

from cookbook.data.json_text import marks
from cookbook.data.json_text.expected import LOOKS, has_more
from cookbook.data.json_text.faults import Fault, fault

MAX_DEPTH = 500  # of brackets; nobody writes that many, and Python's parser takes no more than 1000
MAX_DIGITS = 4000  # of a number

# Strings, so that nothing is found within them, and what is looked for between them.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\]]|-?Infinity|NaN|-?\d[\d.eE+-]*', re.DOTALL)


def of_error(text: str, expected: str, position: int) -> Fault:
    """Return what is wrong where the parser stopped; `expected` is its message."""
    at = min(position, len(text))
    # Where a string does not end, the text does not either; that has its own reasons.
    in_string = expected.startswith(("Unterminated", "Invalid"))
    if not in_string and not has_more(text, at):
        return fault(at, at, marks.CUT)
    for beginning, look in LOOKS.items():
        if expected.startswith(beginning):
            return look(text, at)
    return fault(at, at + 1, marks.VALUE)


def of_repeated_key(text: str, key: str) -> Fault:
    """Return where an object has a key for the second time."""
    start, end = 0, 1
    seen = [0]  # how often the key was seen, in each object that is open
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in ("{", "["):
            seen.append(0)
        elif mark in ("}", "]") and len(seen) > 1:
            seen.pop()
        elif _is_key(text, token) and _value_of(mark) == key:
            seen[-1] += 1
            if seen[-1] == 2:
                start, end = token.span()
                break
    name = f"{key!r:.60}"
    return Fault(f"键 {name} 出现了两次", f"the key {name} appears twice", start, end)


def of_number(text: str) -> Fault:
    """Return the place of a number that JSON does not have, or that is too large."""
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word.endswith(("NaN", "Infinity")):
            return fault(*token.span(), marks.not_a_number(word))
        if word[0] in "-0123456789" and _is_too_large(word):
            return fault(*token.span(), marks.TOO_LARGE)
    return fault(0, 1, marks.TOO_LARGE)


def of_depth(text: str) -> Fault:
    """Return the place of the bracket that is nested too deep."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                return fault(*token.span(), marks.TOO_DEEP)
        elif token[0] in ("}", "]"):
            depth -= 1
    return fault(0, 1, marks.TOO_DEEP)


def of_cut_file(number: int, start: int, end: int) -> Fault:
    """Return the fault of an entry in which the file ends."""
    reason = marks.CUT_FILE
    zh = f"文件在第 {number} 条中间断了，后面的内容没有了"
    en = f"the file ends in the middle of entry {number}"
    remedy = (reason.fix_zh, reason.fix_en)
    return Fault(zh, en, start, end, remedy, is_cut=True)


def _is_key(text: str, token: re.Match[str]) -> bool:
    """Return whether a token is a string that a colon follows."""
    end = token.end()
    return token[0][0] == '"' and text[end : end + 100].lstrip()[:1] == ":"


def _value_of(string: str) -> str | None:
    # A key may be written with escapes: "\u0061" is the key "a".
    try:
        return json.loads(string, strict=False)
    except ValueError:
        return None


def _is_too_large(word: str) -> bool:
    # Python refuses to read longer ones as whole numbers.
    if len(word) > MAX_DIGITS:
        return True
    try:
        return math.isinf(float(word))
    except ValueError:
        return False

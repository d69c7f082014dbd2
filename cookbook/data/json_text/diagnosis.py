"""Say why a text is not JSON, by what is written at the fault and around it.

Python's parser says where it could not go on and what it expected there. That is seldom what is
wrong: behind a quotation mark within a text it "expects a comma". Here the characters are looked
at. Each reason has the exact place and, where one fits, its own remedy. Nothing is repaired.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from cookbook.data.json_text import marks
from cookbook.data.json_text.marks import Reason

MAX_DEPTH = 500  # of brackets; nobody writes that many, and Python's parser takes no more than 1000

_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER_LIKE = re.compile(r"[\w.+-]+")
# Strings, so that nothing is found within them, and what is looked for between them.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\]]|-?Infinity|NaN|-?\d[\d.eE+-]*', re.DOTALL)
_ITEM = re.compile(r'"[^"\\\n]{0,60}"\s{0,20}:|[}\]]')
_DRIVE = re.compile(r'[A-Za-z]:\\[^"\n]{0,80}$|\\\\\w')

# Words of other languages for what JSON writes otherwise.
_LITERALS = {"true": "true", "false": "false", "null": "null"}
_NOTHING = frozenset(("none", "nan", "undefined", "nil", "na", "n"))


@dataclass(frozen=True)
class Fault:
    """What is wrong, in both languages, and where; `fix` is its remedy if it has its own."""

    zh: str
    en: str
    start: int
    end: int
    fix: tuple[str, str] | None = None
    is_cut: bool = False


def of_error(text: str, expected: str, position: int) -> Fault:
    """Return what is wrong where the parser stopped; `expected` is its message."""
    at = min(position, len(text))
    if not expected.startswith(("Unterminated", "Invalid")) and not _has_more(text, at):
        return _fault(at, at, marks.CUT)
    for beginning, look in _LOOKS.items():
        if expected.startswith(beginning):
            return look(text, at)
    return _fault(at, at + 1, marks.VALUE)


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
        elif mark[0] == '"' and _is_key(text, token.end()) and _value_of(mark) == key:
            seen[-1] += 1
            if seen[-1] == 2:
                start, end = token.span()
                break
    return Fault(f"键 {key!r:.60} 出现了两次", f"the key {key!r:.60} appears twice", start, end)


def of_number(text: str) -> Fault:
    """Return the place of a number that JSON does not have, or that is too large."""
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word.endswith(("NaN", "Infinity")):
            return _fault(*token.span(), marks.not_a_number(word))
        if word[0] in "-0123456789" and _is_too_large(word):
            return _fault(*token.span(), marks.TOO_LARGE)
    return _fault(0, 1, marks.TOO_LARGE)


def of_depth(text: str) -> Fault:
    """Return the place of the bracket that is nested too deep."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                return _fault(*token.span(), marks.TOO_DEEP)
        elif token[0] in ("}", "]"):
            depth -= 1
    return _fault(0, 1, marks.TOO_DEEP)


def of_cut_file(number: int, start: int, end: int) -> Fault:
    """Return the fault of an entry in which the file ends."""
    reason = marks.CUT_FILE
    zh = f"文件在第 {number} 条中间断了，后面的内容没有了"
    en = f"the file ends in the middle of entry {number}"
    return Fault(zh, en, start, end, (reason.fix_zh, reason.fix_en), is_cut=True)


def _fault(start: int, end: int, reason: Reason) -> Fault:
    fix = (reason.fix_zh, reason.fix_en) if reason.fix_zh else None
    zh, en = f"不是合法的 JSON：{reason.zh}", f"not JSON: {reason.en}"
    return Fault(
        zh, en, start, max(end, start + 1), fix, is_cut=reason in (marks.CUT, marks.CUT_STRING)
    )


def _is_key(text: str, end: int) -> bool:
    return text[end : end + 100].lstrip()[:1] == ":"


def _value_of(string: str) -> str | None:
    try:
        return json.loads(string, strict=False)
    except ValueError:
        return None


def _is_too_large(word: str) -> bool:
    try:
        return len(word) > 4000 or abs(float(word)) == float("inf")
    except ValueError:
        return False


def _before(text: str, at: int) -> int:
    """Return the place of the last character before `at` that is not white space, or -1."""
    at -= 1
    while at >= 0 and text[at] in " \t\r\n":
        at -= 1
    return at


def _has_more(text: str, at: int) -> bool:
    return bool(text[at : at + 1000].strip(" \t\r\n") or text[at + 1000 :].strip(" \t\r\n"))


def _next(text: str, at: int) -> str:
    """Return the next character from `at` on that is not white space."""
    return text[at : at + 100].lstrip(" \t\r\n")[:1]


def _odd_character(text: str, at: int) -> Fault | None:
    """Return the fault of a character that looks like one of JSON's, or that nobody sees."""
    mark = text[at]
    reason = marks.of_character(mark)
    if reason is not None:
        return _fault(at, at + 1, reason)
    if text.startswith(("//", "/*", "#"), at):
        line_end = text.find("\n", at)
        return _fault(at, line_end if line_end >= 0 else len(text), marks.COMMENT)
    if text.startswith("```", at):
        return _fault(at, at + 3, marks.FENCE)
    if text.startswith("..", at):
        return _fault(at, at + 3, marks.ELLIPSIS)
    if mark == "\\":
        return _fault(at, at + 1, marks.ESCAPED)
    return None


def _look_at_key(text: str, at: int) -> Fault:
    """A key is expected: after `{`, or after a comma."""
    before = _before(text, at)
    mark = text[at]
    if mark in "}]" and text[before] == ",":
        return _fault(before, before + 1, marks.TRAILING_COMMA)
    if mark == ",":
        return _fault(at, at + 1, marks.DOUBLE_COMMA)
    if mark == "]":
        return _fault(at, at + 1, marks.instead_of("}", "]"))
    odd = _odd_character(text, at)
    if odd:
        return odd
    word = _NUMBER_LIKE.match(text, at)
    if word:
        return _fault(at, word.end(), marks.KEY_WITHOUT_QUOTES)
    return _fault(at, at + 1, marks.KEY)


def _look_at_colon(text: str, at: int) -> Fault:
    """A colon is expected, after a key."""
    mark = text[at]
    if mark == "=":
        return _fault(at, at + 1, marks.EQUALS)
    odd = _odd_character(text, at)
    if odd:
        return odd
    before = _before(text, at)
    colon = max(text.rfind(":", 0, before), text.rfind("：", 0, before))
    if colon > text.rfind('"', 0, before):
        return _fault(colon, colon + 1, marks.NO_CLOSING_QUOTE)
    # A quotation mark within the key has ended it.
    if mark.isalnum() and before == at - 1:
        return _fault(before, at, marks.INNER_QUOTE)
    return _fault(at, at + 1, marks.NO_COLON)


def _look_at_value(text: str, at: int) -> Fault:
    """A value is expected: at the beginning, after a colon, after a comma of a list."""
    before = _before(text, at)
    mark = text[at]
    if mark in "]}" and before >= 0 and text[before] == ",":
        return _fault(before, before + 1, marks.TRAILING_COMMA)
    if mark == "," and before >= 0 and text[before] in ",[":
        return _fault(at, at + 1, marks.DOUBLE_COMMA)
    if mark in ",}]":
        return _fault(at, at + 1, marks.NO_VALUE)
    odd = _odd_character(text, at)
    if odd:
        return odd
    if before < 0:
        return _look_at_beginning(text, at)
    return _look_at_word(text, at)


def _look_at_beginning(text: str, at: int) -> Fault:
    if text[at] == "<":
        return _fault(at, at + 1, marks.MARKUP)
    bracket = re.compile(r"[{\[]").search(text, at, at + 200)
    if bracket:
        return _fault(at, bracket.start(), marks.TEXT_BEFORE)
    return _fault(at, len(text.rstrip()), marks.NO_JSON)


def _look_at_word(text: str, at: int) -> Fault:
    word = _WORD.match(text, at)
    if not word:
        number = _NUMBER_LIKE.match(text, at)
        if number:
            return _fault(at, number.end(), marks.NUMBER)
        return _fault(at, at + 1, marks.VALUE)
    name = word[0]
    rest = text[word.end() :]
    if not rest.strip() and any(known.startswith(name) for known in _LITERALS):
        return _fault(at, word.end(), marks.CUT)
    if name.lower() in _LITERALS or name.lower() in _NOTHING:
        right = _LITERALS.get(name.lower(), "null")
        return _fault(at, word.end(), marks.literal(name, right))
    # What `print` writes: u'text', array([1]), datetime.date(2024, 1, 1).
    if rest[:1] in ("'", '"', "(") and name.isascii():
        return _fault(at, word.end(), marks.PYTHON)
    return _fault(at, word.end(), marks.TEXT_WITHOUT_QUOTES)


def _look_at_comma(text: str, at: int) -> Fault:
    """A comma or a closing bracket is expected, after a value."""
    before = _before(text, at)
    mark = text[at]
    if mark in "}]":
        return _fault(at, at + 1, marks.instead_of({"}": "]", "]": "}"}[mark], mark))
    if text[before] == '"':
        return _look_behind_string(text, before, at)
    odd = _odd_character(text, at)
    if odd:
        return odd
    if mark in '"{[':
        return _fault(at, at + 1, marks.NO_COMMA)
    if text[before].isalnum() and (mark.isalnum() or mark in "._-/:"):
        word_start = before
        while word_start > 0 and (text[word_start - 1].isalnum() or text[word_start - 1] in ".-+"):
            word_start -= 1
        word = _NUMBER_LIKE.match(text, word_start)
        return _fault(word_start, word.end() if word else at, marks.NUMBER)
    return _fault(at, at + 1, marks.COMMA)


def _look_behind_string(text: str, quote: int, at: int) -> Fault:
    """What follows a string is wrong: something was forgotten, or the string has ended too soon."""
    mark = text[at]
    if mark == ":":
        return _fault(at, at + 1, marks.KEY_IN_LIST)
    # A comma of another kind separates two values only if a value follows.
    if mark in marks.COMMAS and _next(text, at + 1) not in ('"', "{", "[", "}", "]"):
        return _fault(quote, quote + 1, marks.INNER_QUOTE)
    is_adjacent = at == quote + 1
    if mark in '"{[' and not (is_adjacent and mark == '"'):
        return _fault(at, at + 1, marks.NO_COMMA)
    if text.startswith(("//", "/*", "#"), at) or mark in marks.COMMAS + marks.BRACKETS:
        return _odd_character(text, at) or _fault(at, at + 1, marks.COMMA)
    if marks.is_invisible(mark) and _next(text, at + 1) in (",", "}", "]", ""):
        return _odd_character(text, at) or _fault(at, at + 1, marks.COMMA)
    return _fault(quote, quote + 1, marks.INNER_QUOTE)


def _look_at_rest(text: str, at: int) -> Fault:
    """The text goes on behind its value."""
    mark = text[at]
    rest = _next(text, at + 1)
    if mark == "," and not rest:
        return _fault(at, at + 1, marks.COMMA_AT_END)
    if mark in "{[" or mark == "," and rest in ("{", "["):
        opening = at if mark != "," else text.index(rest, at)
        return _fault(opening, opening + 1, marks.SEVERAL)
    if mark in "}]":
        return _fault(at, at + 1, marks.EXTRA_BRACKET)
    if text.lstrip()[:1] == '"' and mark in ":：,":
        return _fault(at, at + 1, marks.NO_BRACES)
    return _odd_character(text, at) or _fault(at, len(text.rstrip()), marks.TEXT_BEHIND)


def _look_at_string_end(text: str, start: int) -> Fault:
    """A string goes on to the end of the text."""
    string = text[start + 1 :].rstrip()
    tail = string.rstrip("}] \t\r\n,")
    if not string or tail == string:
        # It does not end like an entry: the rest is missing, or on the next line.
        return _fault(start, len(text.rstrip()), marks.CUT_STRING)
    end = start + 1 + len(tail)
    if tail and tail[-1] in marks.QUOTES:
        return _fault(end - 1, end, marks.of_character(tail[-1]) or marks.CURLY_QUOTE)
    if tail.endswith('\\"'):
        return _fault(end - 2, end, marks.ESCAPED_END)
    return _fault(start, start + 1, marks.OPEN_STRING)


def _look_at_control(text: str, at: int) -> Fault:
    """A control character is in a string: a line break, a tab."""
    mark = text[at]
    if mark == "\t":
        return _fault(at, at + 1, marks.TAB)
    if mark not in "\r\n":
        return _fault(at, at + 1, marks.control(mark))
    # Where the next line begins like the next item, the string was to end on this one.
    next_line = text[at : at + 1000].lstrip()
    if _ITEM.match(next_line):
        last = _before(text, at)
        last = _before(text, last) if text[last] == "," else last
        reason = marks.of_character(text[last]) if text[last] in marks.QUOTES else None
        if reason is None:
            return _fault(last + 1, last + 2, marks.NO_CLOSING_QUOTE)
        return _fault(last, last + 1, reason)
    return _fault(at, at + 1, marks.LINE_BREAK)


def _look_at_escape(text: str, at: int) -> Fault:
    """A backslash is followed by what JSON does not know."""
    start = text.rfind("\\", 0, at + 1)
    mark = text[start + 1 : start + 2]
    if _DRIVE.search(text[max(0, start - 80) : start + 1]):
        return _fault(start, start + 1, marks.WINDOWS_PATH)
    if mark == "u":
        return _fault(start, min(start + 6, len(text)), marks.UNICODE_ESCAPE)
    if mark == "'":
        return _fault(start, start + 2, marks.ESCAPED_APOSTROPHE)
    return _fault(start, start + 2, marks.ESCAPE)


def _look_at_mark(text: str, at: int) -> Fault:
    """The text begins with a byte-order mark."""
    return _odd_character(text, at) or _fault(at, at + 1, marks.VALUE)


# By the beginning of what Python's parser says.
_LOOKS: dict[str, Callable[[str, int], Fault]] = {
    "Expecting property name": _look_at_key,
    "Illegal trailing comma": _look_at_key,
    "Expecting ':' delimiter": _look_at_colon,
    "Expecting value": _look_at_value,
    "Expecting ',' delimiter": _look_at_comma,
    "Extra data": _look_at_rest,
    "Unterminated string": _look_at_string_end,
    "Invalid control character": _look_at_control,
    "Invalid \\": _look_at_escape,
    "Unexpected UTF-8 BOM": _look_at_mark,
}

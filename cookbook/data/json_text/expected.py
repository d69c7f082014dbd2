"""Say what is wrong where Python's parser expected something else.

    LOOKS["Expecting value"](text, at)      by what it expected, the fault that is there

Each function looks at the character where the parser stopped, and at what is before and behind it.
"""

import re
from collections.abc import Callable

from cookbook.data.json_text import marks
from cookbook.data.json_text.faults import Fault, fault, odd_character

_SPACE = " \t\r\n"
_OPENING = re.compile(r"[{\[]")
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER_LIKE = re.compile(r"[\w.+-]+")
_ITEM = re.compile(r'"[^"\\\n]{0,60}"\s{0,20}:|[}\]]')
_DRIVE = re.compile(r'[A-Za-z]:\\[^"\n]{0,80}$|\\\\\w')

# Words of other languages for what JSON writes otherwise.
_LITERALS = {"true": "true", "false": "false", "null": "null"}
_NOTHING = frozenset(("none", "nan", "undefined", "nil", "na", "n"))


def _before(text: str, at: int) -> int:
    """Return the place of the last character before `at` that is not white space, or -1."""
    at -= 1
    while at >= 0 and text[at] in _SPACE:
        at -= 1
    return at


def has_more(text: str, at: int) -> bool:
    """Return whether anything but white space follows."""
    # Nearly always it is near, and the rest of a long text need not be copied.
    near = text[at : at + 1000].strip(_SPACE)
    return bool(near or text[at + 1000 :].strip(_SPACE))


def _next(text: str, at: int) -> str:
    """Return the next character from `at` on that is not white space."""
    return text[at : at + 100].lstrip(_SPACE)[:1]


def _look_at_key(text: str, at: int) -> Fault:
    """A key is expected: after `{`, or after a comma."""
    before = _before(text, at)
    mark = text[at]
    if mark in "}]" and text[before] == ",":
        return fault(before, before + 1, marks.TRAILING_COMMA)
    if mark == ",":
        return fault(at, at + 1, marks.DOUBLE_COMMA)
    if mark == "]":
        return fault(at, at + 1, marks.instead_of("}", "]"))
    odd = odd_character(text, at)
    if odd:
        return odd
    word = _NUMBER_LIKE.match(text, at)
    if word:
        return fault(at, word.end(), marks.KEY_WITHOUT_QUOTES)
    return fault(at, at + 1, marks.KEY)


def _look_at_colon(text: str, at: int) -> Fault:
    """A colon is expected, after a key."""
    mark = text[at]
    if mark == "=":
        return fault(at, at + 1, marks.EQUALS)
    odd = odd_character(text, at)
    if odd:
        return odd
    before = _before(text, at)
    behind_quote = text.rfind('"', 0, before) + 1
    colon = max(text.rfind(mark, behind_quote, before) for mark in (":", "："))
    if colon >= 0:
        return fault(colon, colon + 1, marks.NO_CLOSING_QUOTE)
    # A quotation mark within the key has ended it.
    if mark.isalnum() and before == at - 1:
        return fault(before, at, marks.INNER_QUOTE)
    return fault(at, at + 1, marks.NO_COLON)


def _look_at_value(text: str, at: int) -> Fault:
    """A value is expected: at the beginning, after a colon, after a comma of a list."""
    before = _before(text, at)
    mark = text[at]
    mark_before = text[before] if before >= 0 else ""
    if mark in "]}" and mark_before == ",":
        return fault(before, before + 1, marks.TRAILING_COMMA)
    if mark == "," and mark_before in (",", "["):
        return fault(at, at + 1, marks.DOUBLE_COMMA)
    if mark in ",}]":
        return fault(at, at + 1, marks.NO_VALUE)
    odd = odd_character(text, at)
    if odd:
        return odd
    if before < 0:
        return _look_at_beginning(text, at)
    return _look_at_word(text, at)


def _look_at_beginning(text: str, at: int) -> Fault:
    if text[at] == "<":
        return fault(at, at + 1, marks.MARKUP)
    bracket = _OPENING.search(text, at, at + 200)
    if bracket:
        return fault(at, bracket.start(), marks.TEXT_BEFORE)
    return fault(at, len(text.rstrip()), marks.NO_JSON)


def _look_at_word(text: str, at: int) -> Fault:
    word = _WORD.match(text, at)
    if not word:
        number = _NUMBER_LIKE.match(text, at)
        if number:
            return fault(at, number.end(), marks.NUMBER)
        return fault(at, at + 1, marks.VALUE)
    name, lower = word[0], word[0].lower()
    rest = text[word.end() :]
    is_begun = any(known.startswith(name) for known in _LITERALS)
    if is_begun and not rest.strip():
        return fault(at, word.end(), marks.CUT)
    if lower in _LITERALS or lower in _NOTHING:
        right = _LITERALS.get(lower, "null")
        return fault(at, word.end(), marks.literal(name, right))
    # What `print` writes: u'text', array([1]), datetime.date(2024, 1, 1).
    if rest[:1] in ("'", '"', "(") and name.isascii():
        return fault(at, word.end(), marks.PYTHON)
    return fault(at, word.end(), marks.TEXT_WITHOUT_QUOTES)


def _look_at_comma(text: str, at: int) -> Fault:
    """A comma or a closing bracket is expected, after a value."""
    before = _before(text, at)
    mark = text[at]
    if mark in "}]":
        expected = "]" if mark == "}" else "}"
        return fault(at, at + 1, marks.instead_of(expected, mark))
    if text[before] == '"':
        return _look_behind_string(text, before, at)
    odd = odd_character(text, at)
    if odd:
        return odd
    if mark in '"{[':
        return fault(at, at + 1, marks.NO_COMMA)
    # As 12abc, or 2024-03-01.
    goes_on = mark.isalnum() or mark in "._-/:"
    if goes_on and text[before].isalnum():
        start = _word_start(text, before)
        word = _NUMBER_LIKE.match(text, start)
        return fault(start, word.end() if word else at, marks.NUMBER)
    return fault(at, at + 1, marks.COMMA)


def _word_start(text: str, at: int) -> int:
    """Return where the word or the number begins that `at` is in."""
    while at > 0 and (text[at - 1].isalnum() or text[at - 1] in ".-+"):
        at -= 1
    return at


def _look_behind_string(text: str, quote: int, at: int) -> Fault:
    """What follows a string is wrong: something was forgotten, or the string has ended too soon."""
    mark = text[at]
    if mark == ":":
        return fault(at, at + 1, marks.KEY_IN_LIST)
    behind = _next(text, at + 1)
    too_soon = fault(quote, quote + 1, marks.INNER_QUOTE)
    # A comma of another kind separates two values only if a value follows.
    if mark in marks.COMMAS and behind not in ('"', "{", "[", "}", "]"):
        return too_soon
    is_adjacent = at == quote + 1
    if mark in '"{[' and not (is_adjacent and mark == '"'):
        return fault(at, at + 1, marks.NO_COMMA)
    is_comment = text.startswith(("//", "/*", "#"), at)
    is_unseen = marks.is_invisible(mark) and behind in (",", "}", "]", "")
    if is_comment or is_unseen or mark in marks.COMMAS + marks.BRACKETS:
        return odd_character(text, at) or fault(at, at + 1, marks.COMMA)
    return too_soon


def _look_at_rest(text: str, at: int) -> Fault:
    """The text goes on behind its value."""
    mark = text[at]
    rest = _next(text, at + 1)
    if mark == "," and not rest:
        return fault(at, at + 1, marks.COMMA_AT_END)
    follows_comma = mark == "," and rest in ("{", "[")
    if mark in "{[" or follows_comma:
        opening = text.index(rest, at) if follows_comma else at
        return fault(opening, opening + 1, marks.SEVERAL)
    if mark in "}]":
        return fault(at, at + 1, marks.EXTRA_BRACKET)
    if text.lstrip()[:1] == '"' and mark in ":：,":
        return fault(at, at + 1, marks.NO_BRACES)
    all_behind = fault(at, len(text.rstrip()), marks.TEXT_BEHIND)
    return odd_character(text, at) or all_behind


def _look_at_string_end(text: str, start: int) -> Fault:
    """A string goes on to the end of the text."""
    string = text[start + 1 :].rstrip()
    tail = string.rstrip("}] \t\r\n,")
    if not string or tail == string:
        # It does not end like an entry: the rest is missing, or on the next line.
        return fault(start, len(text.rstrip()), marks.CUT_STRING)
    end = start + 1 + len(tail)
    if tail and tail[-1] in marks.QUOTES:
        reason = marks.of_character(tail[-1]) or marks.CURLY_QUOTE
        return fault(end - 1, end, reason)
    if tail.endswith('\\"'):
        return fault(end - 2, end, marks.ESCAPED_END)
    return fault(start, start + 1, marks.OPEN_STRING)


def _look_at_control(text: str, at: int) -> Fault:
    """A control character is in a string: a line break, a tab."""
    mark = text[at]
    if mark == "\t":
        return fault(at, at + 1, marks.TAB)
    if mark not in "\r\n":
        return fault(at, at + 1, marks.control(mark))
    # Where the next line begins like the next item, the string was to end on this one.
    next_line = text[at : at + 1000].lstrip()
    if _ITEM.match(next_line):
        last = _before(text, at)
        if text[last] == ",":
            last = _before(text, last)
        # A quotation mark of another kind was meant to close it.
        reason = marks.of_character(text[last])
        if reason is None or text[last] not in marks.QUOTES:
            return fault(last + 1, last + 2, marks.NO_CLOSING_QUOTE)
        return fault(last, last + 1, reason)
    return fault(at, at + 1, marks.LINE_BREAK)


def _look_at_escape(text: str, at: int) -> Fault:
    """A backslash is followed by what JSON does not know."""
    start = text.rfind("\\", 0, at + 1)
    mark = text[start + 1 : start + 2]
    if _DRIVE.search(text[max(0, start - 80) : start + 1]):
        return fault(start, start + 1, marks.WINDOWS_PATH)
    if mark == "u":
        return fault(start, min(start + 6, len(text)), marks.UNICODE_ESCAPE)
    if mark == "'":
        return fault(start, start + 2, marks.ESCAPED_APOSTROPHE)
    return fault(start, start + 2, marks.ESCAPE)


def _look_at_mark(text: str, at: int) -> Fault:
    """The text begins with a byte-order mark."""
    return odd_character(text, at) or fault(at, at + 1, marks.VALUE)


# By the beginning of what Python's parser says.
LOOKS: dict[str, Callable[[str, int], Fault]] = {
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

"""Read JSON values that follow each other: the elements of an array, or objects over several lines.

One that is broken must not take the others with it. Where the next one begins is known by what
people and programs write: on a line of its own with the same indentation, or behind a comma with
the same first key. Brackets are counted last, since a broken string upsets them. Whatever is passed
over is part of a broken value, never dropped.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from cookbook.data.json_text.blocks import Blocks

# Between values: white space of any kind, marks that nobody sees, commas.
_BETWEEN = re.compile("[\\s,，\ufeff\u200b\u200c\u200d\u2060]*")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?")
# A string, a number or null as an element, or on a line of its own; behind a key comes a colon.
_SCALAR = re.compile(
    r'(?:"[^"\\\n]*(?:\\.[^"\\\n]*)*"|-?[\d.eE+-]{1,100}+|null|true|false)'
    r"(?:\s*[],]|[ \t]*(?:\n|\Z))"
)
# The first bracket of a line, and the first key behind it; closing brackets come in runs.
_BRACKET_LINE = re.compile(
    r'^([ \t]*)(?:([}\]]+)|[{\[](?:[ \t{\[]*"([^"\\\n]{0,40})")?)', re.MULTILINE
)
_FIRST_KEY = re.compile(r'[\s{\[]{0,200}"([^"\\\n]{1,40})"')
# Brackets and strings; a string never reaches over a line's end.
_TOKEN = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|[{}\[\]]')

# Keys of messages: what begins with one is part of a value, not the next one.
_OF_MESSAGES = frozenset(("role", "from", "content", "value", "speaker"))
MAX_KEYS = 8  # first keys that are searched for in all of the text
MAX_INDENTATION = 1000  # characters
MAX_DEPTH = 10_000  # of brackets; Python's parser gives up long before


@dataclass(frozen=True)
class Found:
    """A value in a text, or, with `is_value` false, text that is none, or a comment.

    `is_cut` says that the text ends within it.
    """

    start: int
    end: int
    is_value: bool = True
    is_comment: bool = False
    is_cut: bool = False


class Values:
    """The values of a text from a place on.

    In an array they go to its closing bracket; where other arrays follow, theirs come next. Once
    they have been read, `is_closed` says whether every bracket was there.
    """

    def __init__(self, text: str, start: int, *, in_array: bool, only_one: bool = False):
        self.text = text
        self.in_array = in_array
        self.is_closed = not in_array
        self._start = start
        self._has_arrays = in_array and not only_one
        self._only_one = only_one
        self._blocks = Blocks(text)
        self._last = len(text.rstrip())  # behind it, there is nothing
        self._lines: _BracketLines | None = None
        self._same_key: dict[str, array] = {}

    def __iter__(self) -> Iterator[Found]:
        at = self._start
        while True:
            at = yield from self._between(at)
            if at >= self._last:
                break
            mark = self.text[at]
            if self.in_array and mark == "]":
                self.in_array, self.is_closed = False, True
                if self._only_one:
                    break
                at += 1
            elif self._has_arrays and not self.in_array and mark == "[":
                self.in_array, self.is_closed = True, False
                at += 1
            else:
                found = self._one(at)
                yield found
                at = found.end

    def _between(self, at: int) -> Generator[Found, None, int]:
        """Yield the comments up to the next value, and return where it begins."""
        while True:
            at = self._past_marks(at)
            comment = _COMMENT.match(self.text, at)
            if not comment:
                return at
            yield Found(at, comment.end(), is_value=False, is_comment=True)
            at = comment.end()

    def _past_marks(self, at: int) -> int:
        found = _BETWEEN.match(self.text, at)
        return found.end() if found else at

    def _one(self, at: int) -> Found:
        decoded = self._blocks.decode(at)
        if decoded is None:
            return self._broken(at)
        value, end = decoded
        # What follows an object is the next one. Anything else is a fault of this one.
        if not isinstance(value, dict | list) or self._may_end(end):
            return Found(at, end)
        return self._broken(at)

    def _may_end(self, end: int) -> bool:
        """Return whether an object or a list may end here, by what follows."""
        behind = self._past_marks(end)
        allowed = "{[/#]" if self.in_array else "{[/#"
        if behind >= self._last or self.text[behind] in allowed:
            return True
        # Something like null may be among objects; a key in its place says that this one goes on.
        scalar = _SCALAR.match(self.text, behind)
        if scalar is None:
            return False
        return self.in_array or "\n" in self.text[end:behind]

    def _broken(self, at: int) -> Found:
        bound = self._next_beginning(at)
        end = self._closing_line(at, bound) or self._closing_bracket(at, bound)
        if end and (end == bound or self._may_end(end)):
            return Found(at, end, is_value=False)
        if bound < self._last:
            return Found(at, self._without_between(at, bound), is_value=False)
        # The last one: the bracket that closes the array is not part of it.
        last = self._last
        if self.in_array and self.text[last - 1] == "]" and last - 1 > at and end:
            return Found(at, last - 1, is_value=False)
        return Found(at, last, is_value=False, is_cut=end is None)

    def _without_between(self, at: int, bound: int) -> int:
        return at + len(self.text[at:bound].rstrip(" \t\r\n,，"))

    def _next_beginning(self, at: int) -> int:
        """Return where the next value probably begins, or the end of the text."""
        indentation = self._indentation(at)
        key = _FIRST_KEY.match(self.text, at)
        starts: array | None = None
        if indentation is not None:
            in_message = key is not None and key[1] in _OF_MESSAGES
            starts = self._bracket_lines().openings(indentation, of_messages=in_message)
        elif key:
            starts = self._with_key(key[1])
        return _after(starts, at) or self._last

    def _indentation(self, at: int) -> int | None:
        """Return the white space before a value that is the first of its line; else None."""
        # Not far back: a line may be as long as the text.
        line_end = self.text.rfind("\n", max(0, at - MAX_INDENTATION), at)
        if line_end < 0 and at > MAX_INDENTATION:
            return None
        before = self.text[line_end + 1 : at]
        if before.strip(" \t"):
            return None
        return len(before)

    def _bracket_lines(self) -> "_BracketLines":
        if self._lines is None:
            self._lines = _BracketLines(self.text)
        return self._lines

    def _with_key(self, key: str) -> array | None:
        """Return where an object or list with that first key begins, behind another one."""
        if key not in self._same_key and len(self._same_key) < MAX_KEYS:
            opening = r"[,\]}]\s*([{\[][\s{\[]*" + re.escape(f'"{key}"') + ")"
            starts = (found.start(1) for found in re.finditer(opening, self.text))
            self._same_key[key] = array("q", starts)
        return self._same_key.get(key)

    def _closing_line(self, at: int, bound: int) -> int | None:
        """Return the end of the line that closes a value, with the indentation that opened it."""
        indentation = self._indentation(at)
        if indentation is None:
            return None
        end = _after(self._bracket_lines().closings.get(indentation), at)
        return end if end and end <= bound else None

    def _closing_bracket(self, at: int, bound: int) -> int | None:
        depth = 0
        for token in _TOKEN.finditer(self.text, at, bound):
            mark = token[0]
            if mark in ("{", "["):
                depth += 1
                if depth > MAX_DEPTH:
                    break
            elif mark in ("}", "]"):
                depth -= 1
                if depth <= 0:
                    return token.end()
        return None


class _BracketLines:
    """Where lines begin with a bracket, by their indentation."""

    def __init__(self, text: str):
        self.closings: dict[int, array] = {}  # the ends of the brackets
        self._all: dict[int, array] = {}
        self._of_rows: dict[int, array] = {}
        for line in _BRACKET_LINE.finditer(text):
            indentation = len(line[1])
            if line[2]:
                self.closings.setdefault(indentation, array("q")).append(line.end())
                continue
            start = line.end(1)
            self._all.setdefault(indentation, array("q")).append(start)
            if line[3] not in _OF_MESSAGES:
                self._of_rows.setdefault(indentation, array("q")).append(start)

    def openings(self, indentation: int, *, of_messages: bool) -> array | None:
        """Return where values begin; those that begin like a message only if asked for."""
        starts = self._all if of_messages else self._of_rows
        return starts.get(indentation)


def _after(places: array | None, at: int) -> int | None:
    """Return the first of sorted places that is after `at`."""
    index = bisect_right(places, at) if places else 0
    return places[index] if places and index < len(places) else None

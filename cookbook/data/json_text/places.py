"""Find values and characters in the source text of JSON.

    Places(text).locate(("messages", 2, "content"), 17)     where its 18th character is
    position(text, 530, Place(line=14))                     its line and column

What was parsed has forgotten where it was written: `\\n`, `\\u4e2d` and surrogate pairs take more
room in the source than in the value. A text is walked through once, however many places are asked
for. Nothing is reported here.
"""

import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence

from cookbook.data.entry import Place

Path = Sequence[str | int]  # keys and indexes, from the outermost value inwards
Span = tuple[int, int]  # start and end

_SPACE = re.compile(r"[ \t\n\r]*")
# A pair of surrogates is one character.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]"
)
_decode = json.JSONDecoder(strict=False).raw_decode


def locate(text: str, path: Path, offset: int | None = None) -> Span | None:
    """Return start and end of the value at a path, None where there is none.

    With an `offset` it is the place of that character of the value, if the value is a string.
    """
    return Places(text).locate(path, offset)


def position(text: str, offset: int, place: Place) -> tuple[int, int]:
    """Return line and column of a character of a text that begins at `place`."""
    return Places(text).position(offset, place)


class Places:
    """The places in one JSON text, which may be broken: then those before the fault are found."""

    def __init__(self, text: str):
        self.text = text
        self._line_ends: array | None = None
        self._starts: dict[tuple[int, str], int | None] = {}  # of the values of objects
        self._elements: dict[int, array] = {}  # the starts of a list's elements
        self._ends: dict[int, int | None] = {}
        self._escapes: dict[int, tuple[array, array]] = {}

    def locate(self, path: Path, offset: int | None = None) -> Span | None:
        """Return what the function `locate` returns."""
        start: int | None = self._past_space(0)
        for step in path:
            if start is None:
                return None
            start = self._inside(start, step)
        if start is None:
            return None
        if start not in self._ends:
            self._ends[start] = self._end(start)
        end = self._ends[start]
        if end is None:
            return None
        if offset is None or self.text[start] != '"':
            return start, end
        return self._character(start, end, offset)

    def position(self, offset: int, place: Place) -> tuple[int, int]:
        """Return what the function `position` returns."""
        if self._line_ends is None:
            found = re.finditer("\n", self.text)
            self._line_ends = array("q", (line_end.start() for line_end in found))
        lines_before = bisect_right(self._line_ends, offset - 1)
        # Only the first line begins in the middle of one of the file.
        if lines_before == 0:
            return place.line, place.column + offset
        last_end = self._line_ends[lines_before - 1]
        return place.line + lines_before, offset - last_end

    def _past_space(self, start: int) -> int:
        found = _SPACE.match(self.text, start)
        return found.end() if found else start

    def _end(self, start: int) -> int | None:
        try:
            return _decode(self.text, start)[1]
        except (ValueError, RecursionError):
            return None

    def _inside(self, start: int, step: str | int) -> int | None:
        if isinstance(step, str):
            return self._key(start, step)
        return self._index(start, step)

    def _key(self, start: int, key: str) -> int | None:
        """Return where an object's value of that key starts."""
        if (start, key) not in self._starts:
            self._starts[start, key] = self._find_key(start, key)
        return self._starts[start, key]

    def _find_key(self, start: int, wanted: str) -> int | None:
        text = self.text
        if text[start : start + 1] != "{":
            return None
        at = self._past_space(start + 1)
        while text[at : at + 1] == '"':
            try:
                key, at = _decode(text, at)
            except ValueError:
                return None
            at = self._past_space(at)
            if text[at : at + 1] != ":":
                return None
            at = self._past_space(at + 1)
            if key == wanted:
                return at
            # Its value is in the way; a C parser is the fastest that finds its end.
            end = self._end(at)
            if end is None:
                return None
            at = self._past_comma(end)
        return None

    def _index(self, start: int, index: int) -> int | None:
        """Return where an element of a list starts."""
        if start not in self._elements:
            self._elements[start] = self._find_elements(start)
        starts = self._elements[start]
        return starts[index] if 0 <= index < len(starts) else None

    def _find_elements(self, start: int) -> array:
        starts = array("q")
        if self.text[start : start + 1] != "[":
            return starts
        at = self._past_space(start + 1)
        while at < len(self.text) and self.text[at] != "]":
            # The last one found may be broken: its beginning is known all the same.
            starts.append(at)
            end = self._end(at)
            if end is None:
                break
            at = self._past_comma(end)
        return starts

    def _past_comma(self, end: int) -> int:
        at = self._past_space(end)
        if self.text[at : at + 1] != ",":
            return at
        return self._past_space(at + 1)

    def _character(self, start: int, end: int, offset: int) -> Span:
        """Return the place of a string's character, of its closing quote if it has fewer."""
        if start not in self._escapes:
            self._escapes[start] = self._find_escapes(start, end)
        characters, sources = self._escapes[start]
        before = bisect_right(characters, offset) - 1
        at = start + 1 + offset
        # What follows an escape is further on than in the value.
        if before >= 0:
            at = sources[before] + offset - characters[before]
        at = min(at, end - 1)
        escape = _ESCAPE.match(self.text, at)
        return at, escape.end() if escape else at + 1

    def _find_escapes(self, start: int, end: int) -> tuple[array, array]:
        """Return, for what follows each escape, its offset in the value and its place here."""
        # Arrays, since a text may be nothing but escapes.
        characters, sources = array("q"), array("q")
        longer = 0  # by how much the source up to here is longer than the value
        for escape in _ESCAPE.finditer(self.text, start + 1, end - 1):
            longer += escape.end() - escape.start() - 1
            sources.append(escape.end())
            characters.append(escape.end() - start - 1 - longer)
        return characters, sources

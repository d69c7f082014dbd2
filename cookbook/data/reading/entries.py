"""Take the entries out of a text, whatever its layout, into a `Reading`.

Nothing is dropped: what is not JSON is left under its number, and whatever is passed over between
two entries is noted as a change.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from cookbook.data import json_text
from cookbook.data.entry import Place
from cookbook.data.json_text.blocks import Blocks
from cookbook.data.json_text.places import Places
from cookbook.data.json_text.values import Values
from cookbook.data.reading import layout
from cookbook.data.report.changes import change_of
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import MAX_NAME, MAX_NAMED
from cookbook.errors import DataError

if TYPE_CHECKING:
    from cookbook.data.reading import Reading

SPACE = " \t\r"  # what JSON allows around a value, within a line
_BETWEEN = re.compile(r"[ \t\r,，]*")
# Among lines, values over several lines are looked for this often in vain.
MAX_TRIES = 50
MAX_LINES = 200  # of an entry with line breaks in its strings


def read(result: "Reading", text: str) -> None:
    """Add the entries of a text, which has no line ends but \\n.

    Raises:
        DataError: an object has several lists that may be the rows, or there are too many entries.
    """
    found = layout.of(text)
    if found.lists is not None:
        _refuse_several(result, found.lists)
    result.layout = found.layout
    if found.layout == "lines":
        _Lines(result, text).read()
        return
    result.changes.append(change_of(None, "layout"))
    _read_values(result, text, found)
    if found.is_wrapped:
        result.layout = "object"
        _unwrap(result)


def _refuse_several(result: "Reading", lists: Mapping[str, int]) -> None:
    counted = [(key[:MAX_NAME], count) for key, count in islice(lists.items(), MAX_NAMED)]
    zh = "、".join(f"{name}（{count} 条）" for name, count in counted)
    en = ", ".join(f"{name} ({count})" for name, count in counted)
    # As Python takes a value out of objects in objects.
    first = next(iter(lists)).split(".")
    steps = "".join(f'["{visible(step[:MAX_NAME])}"]' for step in first)
    opened = f'json.load(open({result.left.source}, encoding="utf-8"))'
    call = f"import json; data.clean({opened}{steps})"
    raise DataError(
        zh=f"{result.name} 里有几组数据：{zh}。取出一组再用：{call}",
        en=f"{result.name} has several lists of rows: {en}. Take one of them: {call}",
    )


class _Lines:
    """The entries of a text with one value on each line."""

    def __init__(self, result: "Reading", text: str):
        self.result = result
        self.text = text
        self._blocks = Blocks(text)
        self._tries = 0

    def read(self) -> None:
        """Add the entries."""
        lines = self.text.split("\n")
        start = behind = 0
        for number, line in enumerate(lines, 1):
            # A value over several lines may have been read already.
            if start >= behind:
                is_last = number == len(lines)
                behind = max(behind, self._read_line(number, line, start, is_last))
            start += len(line) + 1

    def _read_line(self, number: int, line: str, start: int, is_last: bool) -> int:
        """Add the entries of a line, and return where in the text they end."""
        if not line.strip():
            # What is behind the last line end is no line.
            if line or not is_last:
                self.result.changes.append(change_of(Place(number), "blank-line"))
            return start
        stripped = line.strip(SPACE)
        if self.result.repairs and json_text.is_no_entry(stripped):
            self.result.changes.append(change_of(Place(number), "comment", stripped[:40]))
            return start
        column = line.index(stripped[0])
        place = Place(number, column + 1)
        try:
            value = json_text.parse(stripped)
        except json_text.NotJson as error:
            return self._read_odd(place, stripped, start + column, error)
        self.result.add(place, value, stripped)
        return start

    def _read_odd(self, place: Place, line: str, start: int, error: json_text.NotJson) -> int:
        pieces = _pieces(line)
        if pieces:
            self._take_pieces(place, line, pieces)
            return start
        end = self._end_of_several_lines(line, start)
        if end is not None:
            self.result.changes.append(change_of(place, "layout"))
            self.result.take(place, self.text[start:end])
            return end
        end = self._end_of_broken_string(line, start, error)
        if end is not None:
            self.result.take(place, self.text[start:end].rstrip(" \t\n,"))
            return end
        ends_text = start + len(line) >= len(self.text)
        self.result.refuse(place, line, error, is_cut=ends_text and error.is_cut)
        return start

    def _take_pieces(self, place: Place, line: str, pieces: list[tuple[int, int]]) -> None:
        for start, end in pieces:
            begins = replace(place, column=place.column + start)
            self.result.take(begins, line[start:end])
        n = len(pieces)
        if n > 1:
            self.result.changes.append(change_of(place, "split-line", f"× {n}"))
        if line[pieces[-1][1] :].strip():
            self.result.changes.append(change_of(place, "comma"))

    def _end_of_several_lines(self, line: str, start: int) -> int | None:
        """Return the end of a value that begins on a line and goes on below; None if there is none.

        Most files have nothing but lines. In one of many broken lines nobody looks far for each.
        """
        goes_on = line[0] in "{[" and line[-1] in "{[,:"
        if not goes_on or self._tries >= MAX_TRIES:
            return None
        decoded = self._blocks.decode(start)
        if decoded is not None:
            end = decoded[1]
            line_end = self.text.find("\n", end)
            rest = self.text[end:line_end] if line_end >= 0 else self.text[end:]
            if not rest.strip(SPACE + ",，"):
                return end + len(rest)
        self._tries += 1
        return None

    def _end_of_broken_string(self, line: str, start: int, error: json_text.NotJson) -> int | None:
        """Return the end of an entry with a real line break in a string; None if it is none."""
        goes_on = error.is_cut and line[0] in "{["
        if not goes_on or self._tries >= MAX_TRIES:
            return None
        at = start + len(line)
        for _ in range(MAX_LINES):
            # Blanks behind the line belong to the string.
            begin = self.text.find("\n", at) + 1
            end = self.text.find("\n", begin)
            end = end if end >= 0 else len(self.text)
            next_line = self.text[begin:end].strip()
            if not begin or next_line[:2] in ('{"', "[{"):
                break
            at = end
            if next_line.rstrip(",")[-1:] in ("}", "]"):
                whole = self.text[start:end].rstrip(" \t\n,")
                if json_text.repaired(whole) is not None:
                    return end
                self._tries += 1
        self._tries += 1
        return None


def may_go_on(line: str, error: json_text.NotJson) -> bool:
    """Return whether an entry may go on on the next line, or a line may have several."""
    is_begun = error.is_cut and line.lstrip().startswith('{"')
    return is_begun or is_separable(line)


def is_separable(line: str) -> bool:
    """Return whether a line has several objects, or a comma behind one."""
    line = line.strip(SPACE)
    pieces = _pieces(line)
    if not pieces:
        return False
    _, first_end = pieces[0]
    return len(pieces) > 1 or first_end < len(line)


def _pieces(line: str) -> list[tuple[int, int]]:
    """Return the places of the objects on a line, the last of which may be broken.

    Nothing is returned where something else is on it, so that the line is judged as a whole.
    """
    blocks = Blocks(line)
    pieces: list[tuple[int, int]] = []
    at = 0
    while at < len(line):
        if line[at] not in "{[":
            return []
        decoded = blocks.decode(at)
        end = decoded[1] if decoded else len(line)
        if decoded is None and not pieces:
            return []
        pieces.append((at, end))
        behind = _BETWEEN.match(line, end)
        at = behind.end() if behind else end
    return pieces


def _read_values(result: "Reading", text: str, found: layout.Found) -> None:
    in_array = found.layout == "array"
    values = Values(text, found.start, in_array=in_array, only_one=found.is_wrapped)
    line, line_start, counted = 1, 0, 0
    for value in values:
        # Lines are counted on from the last value, not from the beginning.
        newlines = text.count("\n", counted, value.start)
        if newlines:
            line += newlines
            line_start = text.rindex("\n", counted, value.start) + 1
        counted = value.start
        place = Place(line, value.start - line_start + 1)
        if value.is_comment:
            detail = text[value.start : value.end][:MAX_NAME]
            result.changes.append(change_of(place, "comment", detail))
        else:
            inside = text[value.start : value.end]
            result.take(place, inside, is_cut=value.is_cut)
    # Of an entry in which the file ends it has been said already.
    cut = result.unread and result.unread[-1] == result.count
    if not values.is_closed and not cut:
        n = result.count
        result.left.add(
            None,
            "json",
            zh=f"文件{f'在第 {n} 条之后' if n else ''}断了：数组没有收尾的 ]",
            en=f"the file ends{f' after entry {n}' if n else ''}: its array is not closed with ]",
            fix=("重新导出或下载一次", "export or download the file again"),
        )


def _unwrap(result: "Reading") -> None:
    """Take the rows out of what the viewer of Hugging Face puts around each."""
    if not all(_is_of_viewer(entry.value) for entry in result.entries):
        return
    for i, entry in enumerate(result.entries):
        text = entry.text or ""
        places = Places(text)
        found = places.locate(("row",))
        if isinstance(entry.value, dict) and found:
            line, column = places.position(found[0], entry.place)
            place = replace(entry.place, line=line, column=column)
            inner = text[slice(*found)]
            row = entry.value["row"]
            result.entries[i] = replace(entry, place=place, value=row, text=inner)
            result.move(entry.number, place)


def _is_of_viewer(value: object) -> bool:
    return isinstance(value, dict) and "row_idx" in value and "row" in value

"""What a source holds: its entries with their places, and what could not be read.

Whoever reads a kind of source fills a `Reading`; whoever makes rows begins with one.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cookbook.data import json_text, rules
from cookbook.data.entry import Entry, Place
from cookbook.data.reading.layout import Layout
from cookbook.data.report import Report, calls
from cookbook.data.report.changes import Change, change_of
from cookbook.data.report.columns import columns
from cookbook.data.report.excerpt import visible
from cookbook.errors import DataError

MAX_ENTRIES = 1_000_000  # each takes memory, however short it is
MAX_TRIES = 1_000  # entries that are not JSON, of which nobody could read one
MAX_UNREAD = 100_000  # entries that are not JSON: with more, the file is something else


@dataclass
class Reading:
    """What a source holds.

    Attributes:
        name: of the file, safe to show.
        layout: one JSON value a line, one array, values over several lines, a table, or a list.
        encoding: as Python names it.
        entries: the values, in their order.
        count: how many there are, those included that could not be read.
        changes: what was changed to read them: encoding, line ends, commas at line ends …
        left: what could not be read, by the number of the entry. Its `places` has every entry.
        unread: the numbers of the entries in `left`.
        unread_texts: their texts, by number.
        repairs: whether what is nearly JSON is read as what it means.
    """

    name: str
    layout: Layout
    left: Report
    encoding: str = "utf-8"
    path: Path | None = None
    entries: list[Entry] = field(default_factory=list)
    count: int = 0
    changes: list[Change] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    unread_texts: dict[int, str] = field(default_factory=dict, repr=False)
    repairs: bool = False

    @classmethod
    def empty(cls, name: str, layout: Layout, path: Path | None = None) -> Self:
        """Return a reading that has no entries yet; its `name` is made safe to show."""
        shown = visible(name)
        return cls(shown, layout, Report(shown), path=path)

    def __post_init__(self) -> None:
        self._places: dict[int, Place] = {}
        self._texts: dict[int, str | None] = {}
        self.left.source = calls.in_source(self.path) if self.path else calls.ROWS
        if not self.left.places:
            self.left.places = self._places

    def add(self, place: Place, value: object, text: str | None = None) -> None:
        """Add an entry; one that is a string with JSON in it is decoded."""
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            with suppress(json_text.NotJson):
                value, text = json_text.parse(value), None
                self.changes.append(change_of(place, "unquoted"))
        self.entries.append(Entry(self._next_number(place), place, value, text))

    def take(self, place: Place, text: str, *, is_cut: bool = False) -> None:
        """Add an entry: its value, or the reason why its text has none."""
        try:
            value = json_text.parse(text)
        except json_text.NotJson as error:
            self.refuse(place, text, error, is_cut=is_cut)
        else:
            self.add(place, value, text)

    def refuse(
        self, place: Place, text: str, error: json_text.NotJson, *, is_cut: bool = False
    ) -> None:
        """Add an entry that is not JSON to `left`; `is_cut` says that the file ends within it.

        Where the reader asked for it, one that is nearly JSON is added as what it means.
        """
        is_tried = not is_cut and len(self.unread) < MAX_TRIES
        repaired = json_text.repaired(text) if is_tried else None
        if repaired is not None and self.repairs:
            value, code = repaired
            self.changes.append(change_of(place, code))
            self.add(place, value)
            return
        number = self._next_number(place)
        self.unread.append(number)
        self.unread_texts[number] = text
        if len(self.unread) > MAX_UNREAD:
            first = self.left.problems[0]
            raise DataError(
                zh=f"{self.name} 里不是 JSON 的数据超过 {MAX_UNREAD} 条，"
                f"第一条在第 {first.line} 行：{first.message}",
                en=f"{self.name} has more than {MAX_UNREAD} entries that are not JSON, "
                f"the first on line {first.line}: {first.message}",
            )
        if is_cut:
            error = json_text.cut(number, error)
        is_repairable = repaired is not None or json_text.is_no_entry(text)
        rules.report_not_json(self.left, number, text, error, is_repairable=is_repairable)

    def move(self, number: int, place: Place) -> None:
        """Note that an entry begins elsewhere."""
        self._places[number] = place

    def text_of(self, number: int) -> str | None:
        """Return the source text of an entry; None where there is none."""
        if number in self.unread_texts:
            return self.unread_texts[number]
        if len(self._texts) != len(self.entries):
            self._texts = {entry.number: entry.text for entry in self.entries}
        return self._texts.get(number)

    def fill_columns(self) -> None:
        """Give all problems in `left` their line and column, as far as they can be found."""
        self.left.problems = columns(self.left.problems, self.text_of, self.left.places)

    def _next_number(self, place: Place) -> int:
        self.count += 1
        if self.count > MAX_ENTRIES:
            raise DataError(
                zh=f"{self.name} 里的数据超过 {MAX_ENTRIES} 条，请先拆成几个文件",
                en=f"{self.name} has more than {MAX_ENTRIES} entries: split it into several files",
            )
        self._places[self.count] = place
        return self.count

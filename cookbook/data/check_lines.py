"""Check a file with one JSON object a line, line by line: most of it takes a short cut.

    checked = check_lines(report, file, start, name)
    checked.sound                       the rows that can be trained on

The file is never held in memory as text. Where an entry is more than a line, or a line more than an
entry, `GoesOn` says so, and `check_file.py` has the common reader read it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from cookbook import fast
from cookbook.data import encodings, json_text, rules
from cookbook.data.encodings import UTF_8, Encoding
from cookbook.data.reading import entries, read
from cookbook.data.report import Report
from cookbook.data.report.columns import columns
from cookbook.data.report.excerpt import ending
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import whole_file
from cookbook.data.rules.fast import lines as fast_lines
from cookbook.data.rules.whole_file import OtherShapes

MAX_TRIES = 50  # lines that are not JSON, of which nobody could read one


def _no_text(number: int) -> str | None:
    return None


@dataclass
class Checked:
    """What was found in a source, entry by entry.

    Attributes:
        sound: the rows that can be trained on, with their numbers.
        text_of: returns the source text of an entry by its number, None where it has none. The
            numbers asked for must ascend.
    """

    report: Report
    sound: list[NumberedRow] = field(default_factory=list)
    text_of: Callable[[int], str | None] = _no_text

    def add_columns(self) -> None:
        """Find the columns of the problems, and sort them."""
        report = self.report
        report.sort()
        report.problems = columns(report.problems, self.text_of, report.places)
        report.sort()


@dataclass(frozen=True)
class Mixed:
    """What is known of a file in which some lines are not UTF-8.

    Attributes:
        other: the encoding of those lines; None where they are in none.
        is_known: False where nobody knows the encoding of the file, which was said already.
    """

    other: Encoding | None = None
    is_known: bool = True


def check_lines(
    report: Report, file: BinaryIO, start: int, name: str, *, mixed: Mixed | None = None
) -> Checked:
    """Check a file line by line.

    Args:
        mixed: how lines are taken that are not UTF-8.

    Raises:
        UnicodeDecodeError: a line is not UTF-8, and `mixed` is not given.
        GoesOn: an entry is not one line.
    """
    file.seek(start)
    others = OtherShapes(report, name)
    loop = _Loop(report, others, mixed)
    sound = list(loop.sound_rows(file))
    # Lines that are no JSON, or in no shape that is known, say nothing about the others.
    others.judge(whole=not sound and others.are_all)
    return Checked(report, sound, text_of=_LineTexts(file, start, mixed))


class GoesOn(Exception):
    """A line ends within a string, or has several objects: the common reader knows such entries."""


class _Loop:
    """The lines of one file, one after the other."""

    def __init__(self, report: Report, others: OtherShapes, mixed: Mixed | None):
        self._report = report
        self._others = others
        self._mixed = mixed
        self._other_count = 0  # lines in another encoding
        self._first_other = 0
        # Lines in several encodings are told apart here alone.
        self._is_mixed = mixed is not None and mixed != Mixed()
        self._tries = MAX_TRIES

    def sound_rows(self, file: BinaryIO) -> Iterator[NumberedRow]:
        """Yield the rows that can be trained on; everything else goes into the report."""
        take_fast = fast.enabled()
        for number, line in enumerate(read.lines(file), 1):
            # The short cut knows nearly every line of a good file; what it does not know takes the
            # long way.
            value = fast_lines.value_of(line)
            row = fast_lines.row_of(line, value) if take_fast else None
            if row is not None:
                self._report.lines += 1
            else:
                row = self._check_line(number, line, fast_lines.fault(value))
            if row is not None:
                yield number, row
        if self._other_count:
            self._report_other_encoding()

    def _check_line(self, number: int, line: bytes, fault: str | None) -> dict | None:
        """Return the row of a line; None if it cannot be trained on, with the reasons reported.

        Args:
            fault: the code of an error that is known at first sight.
        """
        report = self._report
        text = self._decoded(number, line)
        if text is None:
            return None
        if not text.strip():
            report.add(number, "blank-line", zh="空行", en="blank line")
            return None
        report.lines += 1
        # Of a flood of broken lines the further ones are counted, and not looked into.
        if fault is not None and not report.keeps(number, fault):
            report.counts["error", fault] += 1
            row = None
        else:
            row = self._row_of(number, text)
        if row is not None and rules.check_row(report, number, row):
            return row
        # The secrets of sound rows are searched for later, many rows at once.
        rules.check_secrets(report, number, None, text)
        return None

    def _decoded(self, number: int, line: bytes) -> str | None:
        mixed = self._mixed
        if mixed is None:
            return line.decode("utf-8")
        try:
            text, encoding = encodings.decode_line(line, UTF_8, mixed.other)
        except UnicodeDecodeError as error:
            self._report.lines += 1
            if mixed.is_known:
                self._report_bytes(number, line, error)
            return None
        # It is read all the same, so that the line's other problems are found too.
        if encoding.name != UTF_8.name:
            self._other_count += 1
            self._first_other = self._first_other or number
        return text

    def _row_of(self, number: int, text: str) -> dict | None:
        try:
            value = json_text.parse(text)
        except json_text.NotJson as error:
            self._tries -= 1
            is_tried = self._tries >= 0
            if is_tried and not self._is_mixed and entries.may_go_on(text, error):
                raise GoesOn from None
            is_repairable = is_tried and _is_repairable(text)
            rules.report_not_json(self._report, number, text, error, is_repairable=is_repairable)
            return None
        if self._others.take(number, value):
            return None
        return rules.as_object(self._report, number, value)

    def _report_other_encoding(self) -> None:
        assert self._mixed is not None and self._mixed.other is not None  # else there are none
        n, title = self._other_count, self._mixed.other.title
        zh = f"从这里起有 {n} 行不是 UTF-8，像是 {title}"
        en = f"{n} lines from here on are not UTF-8 but look like {title}"
        fix = whole_file.cleaning(self._others.name)
        self._report.add(self._first_other, "encoding", zh=zh, en=en, fix=fix)

    def _report_bytes(self, number: int, line: bytes, error: UnicodeDecodeError) -> None:
        # What comes before the bad bytes is UTF-8, by the decoder's word.
        good = line[: error.start].decode("utf-8")
        bad_bytes = line[error.start : error.end].hex(" ")
        self._report.add(
            number,
            "encoding",
            zh="这里不是 UTF-8",
            en="this is not UTF-8",
            excerpt=(ending(good), bad_bytes, ""),
            column=len(good) + 1,
        )


def _is_repairable(line: str) -> bool:
    return json_text.is_no_entry(line) or json_text.repaired(line) is not None


class _LineTexts:
    """The texts of a file's lines by their numbers, which must ascend: the file is read again."""

    def __init__(self, file: BinaryIO, start: int, mixed: Mixed | None):
        self._file = file
        self._other = mixed.other if mixed else None
        self._start = start
        self._lines: Iterator[bytes] | None = None
        self._number = 0

    def __call__(self, number: int) -> str | None:
        """Return the text of a line; None where it cannot be read."""
        # Not before the first question: most files have no problem with a column.
        if self._lines is None:
            self._file.seek(self._start)
            self._lines = read.lines(self._file)
        line = b""
        while self._number < number:
            line = next(self._lines, b"")
            self._number += 1
        try:
            return encodings.decode_line(line, UTF_8, self._other)[0]
        except UnicodeDecodeError:
            return None

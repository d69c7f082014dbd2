"""Check one file: first what it is as a whole, then what is in it.

    checked = check_file(file, size, name)
    checked.report, checked.sound       the problems, and the rows that can be trained on

A file with one JSON object a line, which nearly all are, is taken line by line and never held in
memory as text. Only where its first bytes, its first value or a line's encoding say that it is
something else, it is read by `reading/` as all others read.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from cookbook import fast
from cookbook.data import encodings, file_kind, json_text, rules
from cookbook.data.chats import texts
from cookbook.data.encodings import UTF_8, Encoding
from cookbook.data.file_kind import HEAD
from cookbook.data.reading import entries, layout, read
from cookbook.data.reading.read import MAX_BYTES, Reading
from cookbook.data.report import Report, calls
from cookbook.data.report.columns import columns
from cookbook.data.report.excerpt import ending, visible
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import whole_file
from cookbook.data.rules.fast import lines as fast_lines
from cookbook.data.rules.whole_file import OtherShapes
from cookbook.data.shapes import containers, routing
from cookbook.errors import DataError

MAX_OPENED = 1024 * 1024  # bytes of a workbook that is opened to see what it holds
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


def check_file(file: BinaryIO, size: int, name: str, source: str = "") -> Checked:
    """Return what is found in an open file; at most `MAX_BYTES` of it are read.

    Args:
        source: what is written for the file in a call; its name in quotes if nothing else is known.
    """
    checked = _checked(file, size, name, source or calls.in_source(name))
    # A wrong name hides nothing; what is in the file comes first.
    whole_file.report_suffix(checked.report, name)
    return checked


def _checked(file: BinaryIO, size: int, name: str, source: str) -> Checked:
    head = file.read(HEAD)
    # 1. Is it text at all? A workbook is that, and not a file with a thousand broken lines.
    kind = file_kind.look(head, name, _tail(file, size))
    if kind is not None:
        report = _opened(name, source, has_rows=False)
        whole_file.report_kind(report, kind, _call_for(file, size, kind, name, source))
        return Checked(report)
    # 2. A file that is too large is not read at all.
    if size > MAX_BYTES:
        report = _opened(name, source, has_rows=False)
        whole_file.report_size(report, size)
        return Checked(report)
    # 3. Nearly always it has one JSON value a line, in UTF-8.
    opened = partial(_opened, name, source, has_bom=head.startswith(codecs.BOM_UTF8))
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    if not _is_wide(head) and _begins_with_row(file, start):
        with suppress(UnicodeDecodeError, _GoesOn):
            return _check_lines(opened(), file, start, name)
    # 4. Otherwise all of it is looked at.
    return _check_whole(opened, file, start, name)


def _call_for(
    file: BinaryIO, size: int, kind: file_kind.FileKind, name: str, source: str
) -> whole_file.Remedy | None:
    """Return the call that reads a workbook or the like; None where that takes too long to say."""
    if not kind.is_table or size > MAX_OPENED:
        return None
    file.seek(0)
    try:
        found = read.of_content(file.read(MAX_OPENED), Path(name))
    except DataError as error:
        # Several sheets, or broken. Only the name of the file is known there.
        by_name = calls.in_source(name)
        return error.zh.replace(by_name, source), error.en.replace(by_name, source)
    others = OtherShapes(Report(""), name)
    for entry in found.entries:
        others.take(entry.number, entry.value)
    if others.with_messages:
        return whole_file.cleaning(name)
    return _remedy(found, name, others)


def _tail(file: BinaryIO, size: int) -> bytes:
    if size <= HEAD:
        return b""
    file.seek(max(HEAD, size - HEAD))
    return file.read(HEAD)


def _opened(name: str, source: str, *, has_bom: bool = False, has_rows: bool = True) -> Report:
    report = Report(visible(name), source, has_rows=has_rows)
    if has_bom:
        report.add(1, "bom", zh="文件以 BOM 开头", en="the file begins with a byte-order mark")
    return report


def _is_wide(head: bytes) -> bool:
    """Return whether a text may be in UTF-16 or UTF-32, which have NUL bytes in all JSON."""
    return b"\0" in head or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _begins_with_row(file: BinaryIO, start: int) -> bool:
    """Return whether the first line is an object, and no object around all the others."""
    file.seek(start)
    filled = (line for line in read.lines(file) if line.strip())
    try:
        value = json.loads(next(filled, b"{}"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or texts.is_telegram(value):
        return False
    return "messages" in value or next(filled, None) is not None


def _check_whole(opened: Callable[[], Report], file: BinaryIO, start: int, name: str) -> Checked:
    """Check a file that is not one object a line in UTF-8, as far as is known by now."""
    report = opened()
    file.seek(0)
    content = file.read(MAX_BYTES)
    decoded = encodings.decode(content)
    encoding = decoded.encoding
    if encoding is not None and not decoded.text.strip():
        return Checked(report)
    if encoding is None:
        # Whatever is ASCII can be read all the same, as can lines in UTF-8.
        whole_file.report_unknown_encoding(report, name)
        return _check_lines(report, file, start, name, mixed=Mixed(is_known=False))
    in_lines = encoding.name == UTF_8.name and not _has_columns(decoded.text, name)
    # An object alone on its line may have all rows in it, and a string may be an object.
    first, _, others = decoded.text.strip().partition("\n")
    is_plain = bool(others) and first[:1] != '"' and not entries.is_separable(first)
    if in_lines and is_plain and layout.of(decoded.text).layout == "lines":
        with suppress(_GoesOn):
            return _check_lines(report, file, start, name, mixed=Mixed(decoded.other))
        report = opened()
    try:
        found = read.of_content(content, Path(name))
    except DataError as error:
        # Several lists of rows, more entries than can be, a table that nobody can read.
        whole_file.report_unread(report, error)
        report.has_rows = False
        return Checked(report)
    return _check_reading(report, found, encoding, name)


def _has_columns(text: str, name: str) -> bool:
    """Return whether a text is a table, or a chat, which is read as one."""
    return layout.is_table(text, Path(name).suffix) or texts.is_chat(text)


def _is_telegram(text: str) -> bool:
    """Return whether a text is one chat of Telegram on a single line."""
    if '"messages"' not in text[:1000] or "\n" in text.strip():
        return False
    try:
        return texts.is_telegram(json.loads(text))
    except (ValueError, RecursionError):
        return False


def _check_reading(report: Report, found: Reading, encoding: Encoding, name: str) -> Checked:
    """Check what the common reader found in a file."""
    if found.layout == "table":
        return check_table(report, found, name)
    containers.unwrap(found)
    report.lines = found.count
    report.places = found.left.places
    report.take(found.left.problems)
    # Those that are not kept count all the same.
    report.counts.update(found.left.counts - report.counts)
    report.take(whole_file.blank_lines(found.changes))
    others = OtherShapes(report, name)
    sound = list(_sound_entries(report, found, others))

    whole = others.are_all
    remedy = others.remedy() if whole else whole_file.cleaning(name)
    if encoding.name != UTF_8.name:
        whole_file.report_encoding(report, encoding, remedy)
    # The call that converts other shapes reads every layout. Without a value there is none.
    if not whole and found.entries:
        whole_file.report_layout(report, found.layout, found.count, remedy)
        whole_file.report_separable(report, found.changes, remedy)
    others.judge(whole)
    return Checked(report, sound, text_of=found.text_of)


def check_table(report: Report, found: Reading, name: str | None) -> Checked:
    """Check a table; `name` is that of its file, None for one in memory.

    Its rows are no rows of a training file, unless they have messages, as those of a data set.
    """
    report.lines = found.count
    report.places = found.left.places
    others = OtherShapes(report, name)
    if not found.count:
        return Checked(report)  # a heading alone: there are no rows
    # Its columns say it: no need to look at each row.
    if routing.own_call(found) and "messages" not in routing.columns(found):
        whole_file.report_table(report, found, routing.remedy(found, name))
        return Checked(report)
    for entry in found.entries:
        others.take(entry.number, entry.value)
    if not others.with_messages:
        whole_file.report_table(report, found, _remedy(found, name, others))
        return Checked(report)
    others.judge(whole=False)
    sound = list(_sound_entries(report, found, OtherShapes(report, name)))
    return Checked(report, sound)


def _remedy(found: Reading, name: str | None, others: OtherShapes) -> whole_file.Remedy:
    """Return the remedy for a table, by its columns or by the shape of its rows."""
    remedy = routing.remedy(found, name)
    return others.remedy() if remedy == routing.BY_COLUMNS and others.has_known else remedy


def _sound_entries(report: Report, found: Reading, others: OtherShapes) -> Iterator[NumberedRow]:
    for entry in found.entries:
        if others.take(entry.number, entry.value):
            continue
        row = rules.as_object(report, entry.number, entry.value)
        if row is not None and rules.check_row(report, entry.number, row):
            yield entry.number, row
        elif entry.text is not None:
            rules.check_secrets(report, entry.number, None, entry.text)


@dataclass(frozen=True)
class Mixed:
    """What is known of a file in which some lines are not UTF-8.

    Attributes:
        other: the encoding of those lines; None where they are in none.
        is_known: False where nobody knows the encoding of the file, which was said already.
    """

    other: Encoding | None = None
    is_known: bool = True


def _check_lines(
    report: Report, file: BinaryIO, start: int, name: str, *, mixed: Mixed | None = None
) -> Checked:
    """Check a file line by line.

    Args:
        mixed: how lines are taken that are not UTF-8.

    Raises:
        UnicodeDecodeError: a line is not UTF-8, and `mixed` is not given.
    """
    file.seek(start)
    others = OtherShapes(report, name)
    loop = _Loop(report, others, mixed)
    sound = list(loop.sound_rows(file))
    # Lines that are no JSON, or in no shape that is known, say nothing about the others.
    others.judge(whole=not sound and others.are_all)
    return Checked(report, sound, text_of=_LineTexts(file, start, mixed))


class _GoesOn(Exception):
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
                raise _GoesOn from None
            is_repairable = is_tried and json_text.repaired(text) is not None
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

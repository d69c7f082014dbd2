"""Check one file: first what it is as a whole, then what is in it.

    checked = check_file(file, size, name)
    checked.report, checked.sound       the problems, and the rows that can be trained on

A file with one JSON object a line, which nearly all are, is taken line by line and never held in
memory as text. Only where its first bytes, its first value or a line's encoding say that it is
something else, it is read by `read.py` as all others read.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from cookbook import fast
from cookbook.data import encodings, file_kind, json_text, read, rules, whole_file
from cookbook.data.columns import columns
from cookbook.data.corpus import NumberedRow
from cookbook.data.encodings import UTF_8, Encoding
from cookbook.data.excerpt import ending, visible
from cookbook.data.fast import lines as fast_lines
from cookbook.data.read import MAX_BYTES, Reading
from cookbook.data.report import Report
from cookbook.data.whole_file import OtherShapes

HEAD = 64 * 1024  # bytes by which a file's kind is known


def _no_text(number: int) -> str | None:
    return None


@dataclass
class Checked:
    """What was found in a source, entry by entry.

    Attributes:
        sound: the rows that can be trained on, with their numbers.
        has_rows: False where the file as a whole is none that could have rows.
        text_of: returns the source text of an entry by its number, None where it has none. The
            numbers asked for must ascend.
    """

    report: Report
    sound: list[NumberedRow] = field(default_factory=list)
    has_rows: bool = True
    text_of: Callable[[int], str | None] = _no_text

    def add_columns(self) -> None:
        """Find the columns of the problems, and sort them."""
        report = self.report
        report.sort()
        report.problems = columns(report.problems, self.text_of, report.places)
        report.sort()


def check_file(file: BinaryIO, size: int, name: str) -> Checked:
    """Return what is found in an open file; at most `MAX_BYTES` of it are read."""
    head = file.read(HEAD)
    report = _opened(name, head)
    # 1. Is it text at all? A workbook is that, and not a file with a thousand broken lines.
    kind = file_kind.look(head, name)
    if kind is not None:
        report.counts.clear()
        report.problems.clear()
        whole_file.report_suffix(report, name)
        whole_file.report_kind(report, kind)
        return Checked(report, has_rows=False)
    # 2. A file that is too large is not read at all.
    if size > MAX_BYTES:
        whole_file.report_size(report, size)
        return Checked(report, has_rows=False)
    # 3. Nearly always it has one JSON value a line, in UTF-8.
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    if not _other_encoding(head) and _first_line_is_whole(file, start):
        try:
            return _check_lines(report, file, start, name)
        except UnicodeDecodeError:
            report = _opened(name, head)
    # 4. Otherwise all of it is looked at.
    return _check_whole(report, file, start, name)


def _opened(name: str, head: bytes) -> Report:
    report = Report(visible(name))
    # A wrong name hides nothing: the content is checked all the same.
    whole_file.report_suffix(report, name)
    if head.startswith(codecs.BOM_UTF8):
        report.add(1, "bom", zh="文件以 BOM 开头", en="the file begins with a byte-order mark")
    return report


def _other_encoding(head: bytes) -> bool:
    """Return whether a file is certainly not UTF-8: UTF-16 has NUL bytes in all JSON."""
    return b"\0" in head or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _first_line_is_whole(file: BinaryIO, start: int) -> bool:
    """Return whether the first line of a file is a JSON value, which others may follow."""
    file.seek(start)
    filled = (line for line in read.lines(file) if line.strip())
    first = next(filled, b"{}")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    # A list may be a conversation without a name, or all of them.
    return not isinstance(value, list) or next(filled, None) is not None


def _check_whole(report: Report, file: BinaryIO, start: int, name: str) -> Checked:
    """Check a file that is not one JSON value a line in UTF-8, as far as is known by now."""
    file.seek(0)
    content = file.read(MAX_BYTES)
    encoding = encodings.detect(content) or UTF_8
    try:
        text = content[encoding.bom_bytes :].decode(encoding.name).removeprefix("\ufeff")
    except UnicodeDecodeError:
        # In several encodings, or in none: the lines that can be read are checked.
        return _check_lines(report, file, start, name, encodings_differ=True)
    found = read.of_text(text, name)
    if found.layout == "lines" and encoding.name == UTF_8.name:
        return _check_lines(report, file, start, name, encodings_differ=True)
    return _check_reading(report, found, encoding, name)


def _check_reading(report: Report, found: Reading, encoding: Encoding, name: str) -> Checked:
    """Check what the common reader found in a file."""
    report.lines = found.count
    report.places = found.left.places
    report.take(found.left.problems)
    others = OtherShapes(report, name)
    sound = list(_sound_entries(report, found, others))

    whole = others.count == len(found.entries) > 0
    remedy = others.remedy() if whole else whole_file.cleaning(name)
    if encoding.name != UTF_8.name:
        whole_file.report_encoding(report, encoding, remedy)
    # The call that converts other shapes reads every layout.
    if not whole:
        whole_file.report_layout(report, found.layout, found.count, remedy)
    others.judge(whole)
    texts = {entry.number: entry.text for entry in found.entries}
    return Checked(report, sound, text_of=texts.get)


def _sound_entries(report: Report, found: Reading, others: OtherShapes) -> Iterator[NumberedRow]:
    for entry in found.entries:
        if others.take(entry.number, entry.value):
            continue
        row = rules.as_object(report, entry.number, entry.value)
        if row is not None and rules.check_row(report, entry.number, row):
            yield entry.number, row
        elif entry.text is not None:
            rules.check_secrets(report, entry.number, None, entry.text)


def _check_lines(
    report: Report, file: BinaryIO, start: int, name: str, *, encodings_differ: bool = False
) -> Checked:
    """Check a file line by line.

    Args:
        encodings_differ: lines that are not UTF-8 are reported one by one.

    Raises:
        UnicodeDecodeError: a line is not UTF-8, and encodings were not expected to differ.
    """
    file.seek(start)
    others = OtherShapes(report, name)
    loop = _Loop(report, others, encodings_differ)
    sound = list(loop.sound_rows(file))
    # Lines that are no JSON, or in no shape that is known, say nothing about the others.
    others.judge(whole=not sound and loop.with_messages == 0)
    return Checked(report, sound, text_of=_LineTexts(file, start))


class _Loop:
    """The lines of one file, one after the other."""

    def __init__(self, report: Report, others: OtherShapes, encodings_differ: bool):
        self._report = report
        self._others = others
        self._encodings_differ = encodings_differ
        self._gbk_lines: list[int] = []
        self.with_messages = 0  # rows with messages, though not in order

    def sound_rows(self, file: BinaryIO) -> Iterator[NumberedRow]:
        """Yield the rows that can be trained on; everything else goes into the report."""
        take_fast = fast.enabled()
        for number, line in enumerate(read.lines(file), 1):
            # The short cut knows nearly every line of a good file; what it does not know takes the
            # long way.
            row = fast_lines.parse(line) if take_fast and line else None
            if row is not None:
                self._report.lines += 1
            else:
                row = self._check_line(number, line)
            if row is not None:
                yield number, row
        if self._gbk_lines:
            self._report_gbk()

    def _check_line(self, number: int, line: bytes) -> dict | None:
        """Return the row of a line; None if it cannot be trained on, with the reasons reported."""
        report = self._report
        text = self._decoded(number, line)
        if text is None:
            return None
        if not text.strip():
            report.add(number, "blank-line", zh="空行", en="blank line")
            return None
        report.lines += 1
        row = self._row_of(number, text)
        if row is not None and rules.check_row(report, number, row):
            return row
        # The secrets of sound rows are searched for later, many rows at once.
        rules.check_secrets(report, number, None, text)
        return None

    def _decoded(self, number: int, line: bytes) -> str | None:
        if not self._encodings_differ:
            return line.decode("utf-8")
        try:
            text, encoding = read.decode(line)
        except UnicodeDecodeError as error:
            self._report.lines += 1
            self._report_bytes(number, line, error)
            return None
        # GBK is read all the same, so that the line's other problems are found too.
        if encoding != UTF_8.name:
            self._gbk_lines.append(number)
        return text

    def _row_of(self, number: int, text: str) -> dict | None:
        try:
            value = json_text.parse(text)
        except json_text.NotJson as error:
            rules.report_not_json(self._report, number, text, error)
            return None
        if self._others.take(number, value):
            return None
        if isinstance(value, dict) and "messages" in value:
            self.with_messages += 1
        return rules.as_object(self._report, number, value)

    def _report_gbk(self) -> None:
        n = len(self._gbk_lines)
        zh = f"从这里起有 {n} 行不是 UTF-8，像是 GBK"
        en = f"{n} lines from here on are not UTF-8 but look like GBK"
        self._report.add(self._gbk_lines[0], "encoding", zh=zh, en=en)

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

    def __init__(self, file: BinaryIO, start: int):
        self._file = file
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
            return read.decode(line)[0]
        except UnicodeDecodeError:
            return None

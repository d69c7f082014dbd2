"""Check one file: first what it is as a whole, then what is in it.

    checked = check_file(file, size, name)
    checked.report, checked.sound       the problems, and the rows that can be trained on

A file with one JSON object a line, which nearly all are, is taken line by line, by
`check_lines.py`. Only where its first bytes, its first value or a line's encoding say that it is
something else, it is read by `reading/` as all others read.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from cookbook.data import encodings, file_kind, rules
from cookbook.data.chats import texts
from cookbook.data.check_lines import Checked, GoesOn, Mixed, check_lines
from cookbook.data.encodings import UTF_8, Encoding
from cookbook.data.file_kind import HEAD
from cookbook.data.reading import entries, layout, read
from cookbook.data.reading.read import MAX_BYTES, Reading
from cookbook.data.report import Report, calls
from cookbook.data.report.excerpt import visible
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import whole_file
from cookbook.data.rules.whole_file import OtherShapes
from cookbook.data.shapes import containers, routing
from cookbook.errors import DataError

MAX_OPENED = 1024 * 1024  # bytes of a workbook that is opened to see what it holds


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
        with suppress(UnicodeDecodeError, GoesOn):
            return check_lines(opened(), file, start, name)
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
        return check_lines(report, file, start, name, mixed=Mixed(is_known=False))
    in_lines = encoding.name == UTF_8.name and not _has_columns(decoded.text, name)
    # An object alone on its line may have all rows in it, and a string may be an object.
    first, _, others = decoded.text.strip().partition("\n")
    is_plain = bool(others) and first[:1] != '"' and not entries.is_separable(first)
    if in_lines and is_plain and layout.of(decoded.text).layout == "lines":
        with suppress(GoesOn):
            return check_lines(report, file, start, name, mixed=Mixed(decoded.other))
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
        remedy = _remedy(found, name, others)
        if not found.entries:
            report.take(found.left.problems)
            remedy = ("先改好下面列出的行", "fix the rows below first")
        whole_file.report_table(report, found, remedy)
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

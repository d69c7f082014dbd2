"""Check a training file: every rule of guide §2.1 and §4 and of the platform's newer pages, all
problems at once.

The functions are in the order of the work: a file, its lines, the rows, what the rows say
together, the report. How bytes become rows is in `read.py`, what one row must keep to in
`rules.py`, what several must in `corpus.py`.

`check` never raises for the content of a file; `load` raises `DataError` with the report. One bad
line never hides another. At most `MAX_BYTES` of a file are read.
"""

import codecs
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cookbook import fast
from cookbook.data import corpus, read, rules
from cookbook.data.corpus import NumberedRow
from cookbook.data.excerpt import ending, visible
from cookbook.data.fast import lines as fast_lines
from cookbook.data.read import MAX_BYTES
from cookbook.data.report import Report, place
from cookbook.errors import DataError
from cookbook.i18n import tr

Source = str | Path | Sequence[dict]

HEAD = 1000  # bytes from which the encoding is guessed


def check(
    source: Source, *, validation: Source | None = None, max_tokens: int | None = 4096
) -> Report:
    """Return all problems of a training file, or of rows in memory. Never raises for what the data
    says.

    Args:
        validation: a validation file or its rows: their errors, and rows that are in both, are
            reported too.
        max_tokens: rows longer than this are reported; None leaves the tokens uncounted, which is
            faster.
    """
    report = _check_source(source, max_tokens)
    if validation is not None:
        _add_validation(report, _check_source(validation, None))
        report.sort()
    return report


def check_bytes(content: bytes, name: str, *, max_tokens: int | None = 4096) -> Report:
    """Return all problems of a file's content; `name` is what the reader called the file."""
    return _check_file(io.BytesIO(content), len(content), name, max_tokens)


def load(source: Source, *, max_tokens: int | None = 4096) -> list[dict]:
    """Return the rows of a file, or the rows given, if there is no error in them.

    Raises:
        DataError: there is an error; its `report` lists them all.
    """
    report = check(source, max_tokens=max_tokens)
    if not report.ok:
        raise DataError(report=report)
    return report.rows


def _check_source(source: Source, max_tokens: int | None) -> Report:
    if not isinstance(source, str | os.PathLike):
        return _check_rows(source, max_tokens)
    path = Path(source)
    try:
        with read.open_bounded(path) as (file, size):
            return _check_file(file, size, path.name, max_tokens)
    except OSError as error:
        return _unreadable(path.name, error.strerror or str(error))


def _check_rows(rows: Sequence[dict], max_tokens: int | None) -> Report:
    report = Report(tr("内存中的数据", "rows in memory"))
    sound: list[NumberedRow] = []
    for number, given in enumerate(rows, 1):
        report.lines += 1
        row = rules.as_object(report, number, given)
        if row is not None and rules.check_row(report, number, row):
            sound.append((number, row))
    return _finished(report, sound, max_tokens)


def _check_file(file: BinaryIO, size: int, name: str, max_tokens: int | None) -> Report:
    report = Report(visible(name))
    # A wrong name hides nothing: the content is checked all the same.
    if not name.endswith(".jsonl"):
        report.add(
            None,
            "file-suffix",
            zh=f"文件名 {name} 不以 .jsonl 结尾",
            en=f"the name {name} does not end in .jsonl",
        )
    # A file that is too large is not read at all.
    if size > MAX_BYTES:
        megabytes = f"{size / 2**20:.2f} MB"
        report.add(
            None,
            "file-size",
            zh=f"文件 {megabytes}，上限 10 MB",
            en=f"the file has {megabytes}, the limit is 10 MB",
        )
        return report

    head = file.read(HEAD)
    start = 0
    if head.startswith(codecs.BOM_UTF8):
        start = len(codecs.BOM_UTF8)
        report.add(1, "bom", zh="文件以 BOM 开头", en="the file begins with a byte-order mark")
    # Every line of such a file is broken in the same way: that is said once.
    if read.is_utf16(head[start:]):
        report.add(
            1,
            "encoding",
            zh="文件像是 UTF-16 编码，不是 UTF-8",
            en="the file looks like UTF-16, not UTF-8",
        )
        return report

    file.seek(start)
    return _finished(report, list(_sound_rows(report, file)), max_tokens)


def _unreadable(name: str, reason: str) -> Report:
    report = Report(visible(name), readable=False)
    report.add(
        None,
        "file-unreadable",
        zh=f"读不了 {name}：{reason}",
        en=f"cannot read {name}: {reason}",
    )
    return report


def _sound_rows(report: Report, file: BinaryIO) -> Iterator[NumberedRow]:
    """Yield the rows that can be trained on; everything else goes into `report`."""
    take_fast = fast.enabled()
    gbk_lines: list[int] = []
    for number, line in enumerate(read.lines(file), 1):
        # The short cut knows nearly every line of a good file; what it does not know takes the long
        # way.
        row = fast_lines.parse(line) if take_fast else None
        if row is not None:
            report.lines += 1
        else:
            row = _check_line(report, number, line, gbk_lines)
        if row is not None:
            yield number, row
    if gbk_lines:
        n = len(gbk_lines)
        zh = f"从这里起有 {n} 行不是 UTF-8，像是 GBK"
        en = f"{n} lines from here on are not UTF-8 but look like GBK"
        report.add(gbk_lines[0], "encoding", zh=zh, en=en)


def _check_line(report: Report, number: int, line: bytes, gbk_lines: list[int]) -> dict | None:
    """Return the row of a line; None if it cannot be trained on, with the reasons in `report`."""
    try:
        text, encoding = read.decode(line)
    except UnicodeDecodeError as error:
        report.lines += 1
        _report_bytes(report, number, line, error)
        return None
    # GBK is read all the same, so that the line's other problems are found too.
    if encoding != "utf-8":
        gbk_lines.append(number)
    if not text.strip():
        report.add(number, "blank-line", zh="空行", en="blank line")
        return None
    report.lines += 1
    row = rules.parse_row(report, number, text)
    if row is not None and rules.check_row(report, number, row):
        return row
    # The secrets of sound rows are searched for later, many rows at once.
    rules.check_secrets(report, number, None, text)
    return None


def _report_bytes(report: Report, number: int, line: bytes, error: UnicodeDecodeError) -> None:
    # What comes before the bad bytes is UTF-8, by the decoder's word.
    good = line[: error.start].decode("utf-8")
    bad_bytes = line[error.start : error.end].hex(" ")
    position = error.start + 1
    report.add(
        number,
        "encoding",
        zh=f"第 {position} 个字节起不是 UTF-8",
        en=f"not UTF-8 from byte {position} of the line on",
        excerpt=(ending(good), bad_bytes, ""),
    )


def _finished(report: Report, sound: list[NumberedRow], max_tokens: int | None) -> Report:
    """Return the report, with what the sound rows say together, sorted."""
    report.rows = [row for _, row in sound]
    report.row_lines = [number for number, _ in sound]
    corpus.check_count(report, report.lines)
    corpus.check_together(report, sound)
    if max_tokens is not None:
        corpus.check_lengths(report, sound, max_tokens)
    report.sort()
    return report


def _add_validation(report: Report, validation: Report) -> None:
    """Report the errors of the validation rows, and the rows that are in both files."""
    for problem in validation.problems:
        if problem.severity == "error":
            where = place(problem)
            report.add(
                None,
                problem.code,
                zh=f"验证集{place(problem)}：{problem.message}",
                en=f"validation, {where}",
                excerpt=problem.excerpt,
            )
    corpus.check_overlap(report, validation)

"""Check a training file: every rule of guide §2.1 and §4 and of the platform's newer pages, all
problems at once.

A file is taken apart in `check_file.py`; what a row, all rows and a file as a whole must keep to is
in `rules/`. Over `corpus.MAX_ROWS` rows only the first are compared with each other and counted in
tokens: such a file is refused in seconds, however many rows it has.

`check` never raises for the content of a file; `load` raises `DataError` with the report. One bad
line never hides another. At most `MAX_BYTES` of a file are read.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cookbook import fast
from cookbook.data import rules
from cookbook.data.check_file import check_file, check_table
from cookbook.data.check_lines import Checked
from cookbook.data.reading import read
from cookbook.data.report import Report, calls, place
from cookbook.data.report.excerpt import shortened, visible
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import corpus
from cookbook.data.rules.fast import lines as fast_lines
from cookbook.data.rules.whole_file import MAX_NAME, OtherShapes
from cookbook.errors import DataError
from cookbook.i18n import tr

Source = str | Path | Sequence[dict]


def check(
    source: Source, *, validation: Source | None = None, max_tokens: int | None = 4096
) -> Report:
    """Return every problem of a training file, each with its place and remedy.

        report = data.check("train.jsonl", validation="valid.jsonl")
        report.ok, report.errors           # (False, 3)

    Nothing in a file raises an error: a file that cannot be read is a problem of the report, too.

    Args:
        source: a path, or rows in memory.
        validation: the validation file or its rows. Their errors, and rows that are in both, are
            reported too.
        max_tokens: longer rows are reported; None does not count tokens, which is faster.
    """
    report = _check_source(source, max_tokens)
    if validation is not None:
        _add_validation(report, _check_source(validation, None))
        report.sort()
    return report


def check_bytes(content: bytes, name: str, *, max_tokens: int | None = 4096) -> Report:
    """Return all problems of a file's content; `name` is what the reader called the file."""
    return _finished(check_file(io.BytesIO(content), len(content), name), max_tokens)


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
        return _finished(_check_rows(source), max_tokens)
    path = Path(source)
    try:
        with read.open_bounded(path) as (file, size):
            checked = check_file(file, size, path.name or str(path), calls.in_source(path))
            return _finished(checked, max_tokens)
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> Report:
    name = path.name or str(path)
    # Nothing is known of a file that cannot be opened, not even whether it has rows.
    report = Report(visible(name), readable=False, has_rows=False)
    zh, en = read.reason(error, path)
    report.add(
        None,
        "file-unreadable",
        zh=f"读不了 {shortened(name, MAX_NAME)}：{zh}",
        en=f"cannot read {shortened(name, MAX_NAME)}: {en}",
    )
    return report


def _check_rows(source: Any) -> Checked:
    report = Report(tr("内存中的数据", "rows in memory"), calls.ROWS)
    # A list is taken as it is; the reader knows what else holds rows.
    if not isinstance(source, Sequence) or isinstance(source, bytes | bytearray):
        found = read.reading(source)
        if found.layout == "table":
            return check_table(report, found, None)
        source = [entry.value for entry in found.entries]
    others = OtherShapes(report, None)
    sound: list[NumberedRow] = []
    take_fast = fast.enabled()
    for number, given in enumerate(source, 1):
        report.lines += 1
        # What has the usual messages is in no other shape; a long list is nearly all that.
        if fast_lines.is_usual(given):
            others.with_messages += 1
            if take_fast and fast_lines.is_sound(given):
                sound.append((number, given))
                continue
        elif others.take(number, given):
            continue
        row = rules.as_object(report, number, given)
        if row is not None and rules.check_row(report, number, row):
            sound.append((number, row))
    others.judge(whole=others.are_all)
    return Checked(report, sound)


def _finished(checked: Checked, max_tokens: int | None) -> Report:
    """Return the report, with what the sound rows say together, sorted."""
    report, sound = checked.report, checked.sound
    if report.has_rows:
        report.rows = [row for _, row in sound]
        report.row_lines = [number for number, _ in sound]
        corpus.check_count(report, report.lines, compared=min(len(sound), corpus.MAX_ROWS))
        # What compares rows takes long, and such a file must be cut down first.
        if report.lines > corpus.MAX_ROWS:
            sound = sound[: corpus.MAX_ROWS]
        corpus.check_together(report, sound)
        if max_tokens is not None:
            corpus.check_lengths(report, sound, max_tokens)
    checked.add_columns()
    return report


def _add_validation(report: Report, validation: Report) -> None:
    """Report the errors of the validation rows, and the rows that are in both files."""
    for problem in validation.problems:
        if problem.severity == "error":
            where = place(problem)
            report.add(
                None,
                problem.code,
                zh=f"验证集{where}：{problem.message}",
                en=f"validation, {where}: {problem.message}",
                excerpt=problem.excerpt,
                fix=(problem.fix, problem.fix),
            )
    corpus.check_overlap(report, validation)

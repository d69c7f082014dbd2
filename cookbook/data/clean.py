"""Fix what is safe to fix, and list what was done, line by line.

Content is never guessed and files are never changed: what only a person can decide is left out and
reported. Cleaning the result again changes nothing more.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from cookbook.data import rules
from cookbook.data.damage import REPAIRABLE
from cookbook.data.fixes.finish import result
from cookbook.data.fixes.message import Asked
from cookbook.data.fixes.rows import fixed_rows
from cookbook.data.reading import Reading, read
from cookbook.data.report import Problem, Report
from cookbook.data.report.changes import GONE, Change
from cookbook.data.report.cleaned import Cleaned
from cookbook.data.report.codes import CODES
from cookbook.data.rows import NumberedRow, RowKey, row_key
from cookbook.data.rules import corpus, message_rules
from cookbook.data.shapes import containers, routing
from cookbook.errors import DataError
from cookbook.i18n import tr

# The largest that the platform offers: a row that needs more cannot be saved by raising it.
MAX_TOKENS = 4096

MAX_CODES = 10  # unknown codes that are named
MAX_CODE = 40  # characters of one

_WARNINGS = tuple(code for code, known in CODES.items() if known.severity == "warning")


def clean(
    source: str | Path | Sequence[dict],
    *,
    encoding: str | None = None,
    roles: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
    fix: Collection[str] = (),
    weights: Literal["mask", "drop"] = "mask",
) -> Cleaned:
    """Fix what is safe to fix, and list each change; the file itself stays as it is.

        cleaned = data.clean("train.jsonl", fix=["markup"], drop=["secret"])
        cleaned.write("train_clean.jsonl")

    Always fixed are: encoding, BOM, line ends, blank lines, arrays and objects over several lines,
    commas at line ends, white space around texts, upper-case roles, contents in text parts, extra
    keys, a misplaced system message, a greeting before the first question, a last question without
    an answer, exact duplicates. What would have to be guessed is in `.left`.

    Args:
        source: a path, or rows in memory.
        encoding: of the file, as "gb18030"; None detects it.
        roles: what unknown role names mean, as `{"human": "user", "bot": "assistant"}`.
        drop: codes of warnings whose rows are dropped, as `near-duplicate`, `conflict`, `secret`.
        fix: kinds of damage to repair: `escape-text`, `markup`, `mojibake`, `invisible`, `thinking`
            (all of it is removed), `json` (only where it can mean one thing).
        weights: of answers marked `"weight": 0`: "mask" keeps them, read but not learned; "drop"
            removes them with their questions.

    Raises:
        DataError: the file cannot be read or is not in `encoding`; `roles`, `drop`, `fix` or
            `weights` has a value that does not exist.
    """
    drop = _known("drop", drop, _WARNINGS)
    fix = _known("fix", fix, (*REPAIRABLE, "json"))
    _known("weights", (weights,), ("mask", "drop"))
    known_roles = message_rules.checked_roles(roles)
    reading = read.reading(source, encoding=encoding, repairs="json" in fix)
    containers.unwrap(reading)
    return _cleaned(reading, Asked(known_roles, frozenset(fix), weights), drop)


def _cleaned(reading: Reading, asked: Asked, drop: Collection[str]) -> Cleaned:
    """Return what is kept of a source; every other entry is in a change, or left to a person."""
    changes, left, rows_left = reading.changes, reading.left, reading.unread
    # Each step passes on what it keeps, and notes what it does in `changes` or `left`.
    fixed = list(fixed_rows(reading, asked, rows_left, of_table=_of_table(reading)))
    sound = _without_duplicates(fixed, changes, left)
    sound = _without_dropped(sound, drop, changes, left)

    kept = {number for number, _ in sound}
    gone = {change.row for change in changes if change.code in GONE}
    rows_left += [number for number, _ in fixed if number not in kept | gone]
    if len(sound) > corpus.MAX_ROWS:
        corpus.check_count(left, len(sound))
    reading.fill_columns()
    return result(reading, sound, rows_left)


def _of_table(reading: Reading) -> tuple[str, str] | None:
    """Return the remedy for rows of a table; None where the source is none."""
    if reading.layout != "table":
        return None
    return routing.remedy(reading, reading.path.name if reading.path else None)


def _known(name: str, codes: Collection[str], known: Collection[str]) -> Collection[str]:
    """Return the codes that an argument names, each of which must be known."""
    # One code as a text is meant as a list of one.
    if isinstance(codes, str):
        codes = (codes,)
    others = [str(code)[:MAX_CODE] for code in codes if code not in known]
    unknown = sorted(others)[:MAX_CODES]
    if unknown:
        allowed = tr("、", ", ").join(known)
        raise DataError(
            zh=f"{name}= 里没有 {'、'.join(unknown)}，可以用：{allowed}",
            en=f"{name}= does not take {', '.join(unknown)}; it takes {allowed}",
        )
    return codes


def _without_duplicates(
    fixed: Iterable[NumberedRow], changes: list[Change], left: Report
) -> list[NumberedRow]:
    unique = []
    first_number: dict[RowKey, int] = {}
    for number, row in fixed:
        first = first_number.setdefault(row_key(row), number)
        if first == number:
            unique.append((number, row))
        else:
            first_zh, first_en = left.where(first)
            same = tr(f"与{first_zh}完全相同", f"the same as {first_en}")
            changes.append(Change(left.line_of(number), "duplicate-row", same, number))
    return unique


def _without_dropped(
    sound: list[NumberedRow], drop: Collection[str], changes: list[Change], left: Report
) -> list[NumberedRow]:
    """Return the rows that are kept.

    Dropped are those of which nothing would be learned, and those with a warning named in `drop`.
    """
    # Every row that is to go must be known; one reason is enough.
    report = Report("", left.source, once_per_line=True, places=left.places)
    # Without `drop`, only what cannot be trained on goes, and that is a question of length.
    if drop:
        for number, row in sound:
            rules.check_row(report, number, row)
        corpus.check_together(report, sound)
    corpus.check_lengths(report, sound, MAX_TOKENS)

    errors: dict[int, Problem] = {}
    dropped: dict[int, Problem] = {}
    for problem in report.problems:
        if problem.row is None:  # a warning about the whole file names no row
            continue
        if problem.severity == "error":
            errors[problem.row] = problem
        elif problem.code in drop:
            dropped.setdefault(problem.row, problem)
    left.take(errors.values())
    for number, problem in dropped.items():
        if number not in errors:
            reason = f"[{problem.code}] {problem.message}"
            changes.append(Change(problem.line, "dropped", reason, number))
    gone = errors.keys() | dropped.keys()
    return [(number, row) for number, row in sound if number not in gone]

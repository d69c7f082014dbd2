"""Fix what is safe to fix, and list what was done, line by line.

Content is never guessed and files are never changed: what only a person can decide is left out and
reported. Cleaning the result again changes nothing more.
"""

import codecs
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cookbook.data import corpus, read, rules
from cookbook.data.cleaned import Change, Cleaned, change_of
from cookbook.data.codes import CODES
from cookbook.data.corpus import NumberedRow
from cookbook.data.excerpt import visible
from cookbook.data.report import Problem, Report, by_line
from cookbook.data.rows import RowKey, row_key
from cookbook.errors import DataError
from cookbook.i18n import tr

# The largest that the platform offers: a row that needs more cannot be saved by raising it.
MAX_TOKENS = 4096


def clean(
    source: str | Path | Sequence[dict],
    *,
    encoding: str = "utf-8",
    roles: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
) -> Cleaned:
    """Fix a file or rows, and return the rows with a list of what was done.

    Fixed are: BOM, line ends, blank lines, surrounding white space, extra keys, a misplaced system
    message, a last question without an answer, exact duplicates.

    Args:
        encoding: of the file, if you know that it is another one: `gb18030` for GBK.
        roles: how to read other role names, as `{"human": "user", "bot": "assistant"}`.
        drop: codes of warnings whose rows are to be dropped, such as `near-duplicate`, `conflict`,
            `secret`, `answer-repeats-input`, `answer-style`, `too-long`.

    Raises:
        DataError: the file cannot be read, or is not in `encoding`; `drop` names a code that does
            not exist.
    """
    _refuse_unknown(drop)
    changes: list[Change] = []
    # Each step passes on what it keeps, and notes what it does in `changes` or `left`.
    parsed: Iterable[NumberedRow]
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        left = Report(visible(path.name))
        parsed = _parsed(_read(path, encoding), encoding, changes, left)
    else:
        path = None
        left = Report(tr("内存中的数据", "rows in memory"))
        parsed = enumerate(source, 1)
    fixed = _fixed(parsed, roles or {}, changes, left)
    sound = _without_duplicates(fixed, changes)
    sound = _without_dropped(sound, drop, changes, left)

    if len(sound) > corpus.MAX_ROWS:
        corpus.check_count(left, len(sound))
    changes.sort(key=by_line)
    left.sort()
    rows = [row for _, row in sound]
    return Cleaned(rows, changes, left, path)


def _refuse_unknown(drop: Collection[str]) -> None:
    warnings = {code for code, known in CODES.items() if known.severity == "warning"}
    unknown = sorted(set(drop) - warnings)
    if unknown:
        raise DataError(
            zh=f"drop 里没有这种提醒：{unknown}", en=f"drop names no such warning: {unknown}"
        )


def _read(path: Path, encoding: str) -> str:
    """Return the text of a file.

    Raises:
        DataError: it cannot be read, is too large, or is not in `encoding`.
    """
    try:
        with read.open_bounded(path) as (file, size):
            if size <= read.MAX_BYTES:
                return file.read().decode(encoding)
    except (OSError, LookupError, ValueError) as error:
        raise DataError(
            zh=f"读不了 {path.name}：{error}。编码可用 encoding= 指定",
            en=f"cannot read {path.name}: {error}. Give its encoding with encoding=",
        ) from error
    raise DataError(zh=f"{path.name} 超过 10 MB", en=f"{path.name} has more than 10 MB")


def _parsed(text: str, encoding: str, changes: list[Change], left: Report) -> Iterator[NumberedRow]:
    """Yield every line that is a JSON object."""
    if codecs.lookup(encoding).name != "utf-8":
        changes.append(change_of(None, "encoding"))
    if text.startswith("\ufeff"):
        text = text[1:]
        changes.append(change_of(None, "bom"))
    # Some encodings decode to lone surrogates; they are reported with the row that has them.
    content = text.encode("utf-8", "surrogatepass")
    other_ends = content.count(b"\r\n") or content.count(b"\r")
    if other_ends:
        times = f"× {other_ends}" if other_ends > 1 else ""
        changes.append(change_of(None, "line-ends", times))

    lines = read.lines(io.BytesIO(content))
    for number, line in enumerate(lines, 1):
        line_text = line.decode("utf-8", "surrogatepass")
        if not line_text.strip():
            changes.append(change_of(number, "blank-line"))
            continue
        row = rules.parse_row(left, number, line_text)
        if row is not None:
            yield number, row


def _fixed(
    parsed: Iterable[NumberedRow],
    roles: Mapping[str, str],
    changes: list[Change],
    left: Report,
) -> Iterator[NumberedRow]:
    """Yield the rows that can be trained on once they are fixed."""
    for number, row in parsed:
        if rules.as_object(left, number, row) is None:
            continue
        fixed_row, row_changes = _fix_row(number, row, roles)
        # A report of its own: what could be fixed is not a problem any more.
        report = Report("")
        if rules.check_row(report, number, fixed_row):
            changes += row_changes
            yield number, fixed_row
        else:
            left.take(report.problems)


def _fix_row(line: int, row: dict, roles: Mapping[str, str]) -> tuple[dict, list[Change]]:
    """Return a fixed copy of a row, and what was done."""
    if not isinstance(row.get("messages"), list):
        return row, []
    changes: list[Change] = []
    extra = [str(key) for key in row if key != "messages"]
    messages = []
    for message in row["messages"]:
        if isinstance(message, dict):
            extra += [str(key) for key in message if key not in ("role", "content")]
            message = _fix_message(line, message, roles, changes)
        messages.append(message)
    if extra:
        changes.append(change_of(line, "extra-key", tr("、", ", ").join(extra)))
    _move_system(line, messages, changes)
    _drop_last_question(line, messages, changes)
    return {"messages": messages}, changes


def _fix_message(line: int, message: dict, roles: Mapping[str, str], changes: list[Change]) -> dict:
    fixed = {key: message[key] for key in ("role", "content") if key in message}
    role, content = fixed.get("role"), fixed.get("content")
    if isinstance(role, str) and role in roles:
        fixed["role"] = roles[role]
        renamed = f"{role} → {roles[role]}"
        changes.append(change_of(line, "role", renamed))
    # A text of white space alone stays as it is: it is reported as empty.
    if isinstance(content, str) and content.strip() not in ("", content):
        fixed["content"] = content.strip()
        changes.append(change_of(line, "white-space"))
    return fixed


def _move_system(line: int, messages: list, changes: list[Change]) -> None:
    roles = _roles(messages)
    if roles.count("system") != 1:
        return
    at = roles.index("system")
    # Not past an answer: that would change what the answer was an answer to.
    if at > 0 and "assistant" not in roles[:at]:
        messages.insert(0, messages.pop(at))
        changes.append(change_of(line, "system-position"))


def _drop_last_question(line: int, messages: list, changes: list[Change]) -> None:
    roles = _roles(messages)
    if "assistant" not in roles:
        return
    while roles[-1] == "user":
        roles.pop()
        messages.pop()
        changes.append(change_of(line, "trailing-user"))


def _roles(messages: list) -> list[object]:
    """Return each message's role, None where there is none."""
    objects = [message if isinstance(message, dict) else {} for message in messages]
    return [message.get("role") for message in objects]


def _without_duplicates(fixed: Iterable[NumberedRow], changes: list[Change]) -> list[NumberedRow]:
    unique = []
    first_line: dict[RowKey, int] = {}
    for number, row in fixed:
        first = first_line.setdefault(row_key(row), number)
        if first == number:
            unique.append((number, row))
        else:
            same = tr(f"与第 {first} 行相同", f"the same as line {first}")
            changes.append(Change(number, "duplicate-row", same))
    return unique


def _without_dropped(
    sound: list[NumberedRow], drop: Collection[str], changes: list[Change], left: Report
) -> list[NumberedRow]:
    """Return the rows that are kept.

    Dropped are those of which nothing would be learned, and those with a warning named in `drop`.
    """
    # Every row that is to go must be known; one reason is enough.
    report = Report("", once_per_line=True)
    # Without `drop`, only what cannot be trained on goes, and that is a question of length.
    if drop:
        corpus.check_together(report, sound)
    corpus.check_lengths(report, sound, MAX_TOKENS)

    errors: dict[int, Problem] = {}
    dropped: dict[int, Problem] = {}
    for problem in report.problems:
        if problem.line is None:  # a warning about the whole file names no row
            continue
        if problem.severity == "error":
            errors[problem.line] = problem
        elif problem.code in drop:
            dropped.setdefault(problem.line, problem)
    left.take(errors.values())
    for line, problem in dropped.items():
        if line not in errors:
            reason = f"[{problem.code}] {problem.message}"
            changes.append(Change(line, "dropped", reason))
    gone = errors.keys() | dropped.keys()
    return [(line, row) for line, row in sound if line not in gone]

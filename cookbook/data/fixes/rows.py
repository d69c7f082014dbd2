"""Fix single rows, as far as nothing has to be guessed, and note each change.

    fixed_rows(reading, asked, rows_left)       the rows that can be trained on once they are fixed

`clean` begins with it, and so does everything that converts. What is done to one message is in
`message.py`; what several rows say together is `clean.py`'s.
"""

from collections.abc import Iterator

from cookbook.data import json_text, rules
from cookbook.data.entry import Entry
from cookbook.data.fixes.message import Asked, Notes, fix_message
from cookbook.data.reading import Reading
from cookbook.data.report import Report
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import key_rules
from cookbook.data.rules.text_check import report_finding
from cookbook.data.rules.whole_file import OtherShapes
from cookbook.i18n import tr

TEXT_SHOWN = 20  # characters of a text that is named in a change


def fixed_rows(
    reading: Reading,
    asked: Asked,
    rows_left: list[int],
    *,
    of_table: tuple[str, str] | None = None,
) -> Iterator[NumberedRow]:
    """Yield the rows that can be trained on once they are fixed.

    The others are reported in `reading.left`, with their numbers in `rows_left`; or a change says
    that they are dropped.

    Args:
        of_table: the remedy for rows of a table that are no rows of a training file.
    """
    reading.left.lines = reading.count
    others = OtherShapes(reading.left, reading.path.name if reading.path else None, of_table)
    for entry in reading.entries:
        if others.take(entry.number, entry.value):
            rows_left.append(entry.number)
            continue
        notes = Notes(entry)
        problems = Report(reading.name, reading.left.source, places=reading.left.places)
        row = _fixed(entry, asked, notes, problems)
        if problems.errors:
            _leave(reading.left, problems)
            rows_left.append(entry.number)
            continue
        reading.changes += notes.changes
        if row is not None:
            yield entry.number, row
    # Each with its line: nobody has to guess what became of an entry.
    others.judge_each()


def _leave(left: Report, problems: Report) -> None:
    for problem in problems.problems:
        # Of a flood of problems most are only counted.
        if left.keeps(problem.row, problem.code, problem.severity):
            left.take([problem])
        else:
            left.counts[problem.severity, problem.code] += 1


def _fixed(entry: Entry, asked: Asked, notes: Notes, report: Report) -> dict | None:
    """Return the row of an entry; None if there is none, for an error in `report` or as asked."""
    row = rules.as_object(report, entry.number, entry.value)
    if row is None:
        return None
    fixed_row = fix_row(row, asked, notes)
    if fixed_row is None:
        return None
    for index, text, finding in notes.unrepaired:
        report_finding(report, entry.number, index, text, finding, severity="error")
    # Only now: what could be fixed is not a problem any more.
    rules.check_row(report, entry.number, fixed_row)
    return fixed_row


def fix_row(row: dict, asked: Asked, notes: Notes) -> dict | None:
    """Return a fixed copy of a row; None if nothing of it is to be learned, as asked."""
    messages = row.get("messages")
    decoded = json_text.list_in(messages)
    if decoded is not None:
        notes.change("decoded")
        messages = decoded
    if not isinstance(messages, list):
        return row

    beside = key_rules.system_beside({**row, "messages": messages})
    notes.unused({key: row[key] for key in row if key not in ("messages", beside)})
    fixed: list = []
    for index, message in enumerate(messages):
        if isinstance(message, dict):
            message = fix_message(index, message, row, asked, notes)
        fixed.append(message)
    notes.finish()
    if beside is not None:
        fixed.insert(0, {"role": "system", "content": row[beside]})
        notes.change("system-position")
    _move_system(fixed, notes)
    _drop_opening_answer(fixed, notes)
    if asked.weights == "drop" and not _drop_answers_of_weight_0(fixed, notes):
        return None
    _drop_last_question(fixed, notes)
    return {"messages": fixed}


def _move_system(messages: list, notes: Notes) -> None:
    roles = _roles(messages)
    if roles.count("system") != 1:
        return
    at = roles.index("system")
    # Not past an answer to a question: that would change what the answer was an answer to.
    if at > 0 and "assistant" not in roles[:at]:
        messages.insert(0, messages.pop(at))
        notes.change("system-position")


def _drop_opening_answer(messages: list, notes: Notes) -> None:
    """Remove a greeting before the first question, if there is an answer to learn without it."""
    roles = _roles(messages)
    first = 1 if roles[:1] == ["system"] else 0
    if "user" not in roles:
        return
    question = roles.index("user")
    only_answers = set(roles[first:question]) == {"assistant"}
    if not only_answers or "assistant" not in roles[question:]:
        return
    greeting = str(messages[first].get("content"))[:TEXT_SHOWN]
    del messages[first:question]
    notes.change("opening-answer", f"“{greeting}”")


def _drop_answers_of_weight_0(messages: list, notes: Notes) -> bool:
    """Remove such answers with their questions; return whether an answer is left."""
    kept: list = []
    n = 0
    for message in messages:
        if isinstance(message, dict) and message.get("weight") == 0:
            n += 1
            while kept and _roles(kept[-1:]) == ["user"]:
                kept.pop()
        else:
            kept.append(message)
    if n == 0:
        return True
    if "assistant" not in _roles(kept):
        notes.changes.clear()
        notes.change("dropped", tr("（回答的权重都是 0）", "(every answer has the weight 0)"))
        return False
    messages[:] = kept
    notes.change(
        "weight", tr(f"（{n} 个不学的连同提问去掉）", f"({n} removed with their questions)")
    )
    return True


def _drop_last_question(messages: list, notes: Notes) -> None:
    roles = _roles(messages)
    if "assistant" not in roles:
        return
    while roles[-1] == "user":
        roles.pop()
        messages.pop()
        notes.change("trailing-user")


def _roles(messages: list) -> list[object]:
    """Return each message's role, None where there is none."""
    objects = [message if isinstance(message, dict) else {} for message in messages]
    return [message.get("role") for message in objects]

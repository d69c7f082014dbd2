"""Fix single rows, as far as nothing has to be guessed, and note each change.

    rows(reading, roles, rows_left)     the rows that can be trained on once they are fixed

`clean` begins with it, and so does everything that converts. What several rows say together is
`clean.py`'s.
"""

from collections.abc import Iterator, Mapping

from cookbook.data import rules
from cookbook.data.changes import Change, change_of
from cookbook.data.corpus import NumberedRow
from cookbook.data.entry import Place
from cookbook.data.reading import Reading
from cookbook.data.report import Report
from cookbook.i18n import tr


def rows(reading: Reading, roles: Mapping[str, str], rows_left: list[int]) -> Iterator[NumberedRow]:
    """Yield the rows that can be trained on once they are fixed.

    The others are reported in `reading.left`, with their numbers in `rows_left`.
    """
    for entry in reading.entries:
        row = rules.as_object(reading.left, entry.number, entry.value)
        if row is None:
            rows_left.append(entry.number)
            continue
        fixed_row, row_changes = fix_row(entry.place, row, roles)
        # A report of its own: what could be fixed is not a problem any more.
        report = Report("", places=reading.left.places)
        if rules.check_row(report, entry.number, fixed_row):
            reading.changes += row_changes
            yield entry.number, fixed_row
        else:
            reading.left.take(report.problems)
            rows_left.append(entry.number)


def fix_row(place: Place, row: dict, roles: Mapping[str, str]) -> tuple[dict, list[Change]]:
    """Return a fixed copy of a row, and what was done."""
    if not isinstance(row.get("messages"), list):
        return row, []
    changes: list[Change] = []
    extra = [str(key) for key in row if key != "messages"]
    messages = []
    for message in row["messages"]:
        if isinstance(message, dict):
            extra += [str(key) for key in message if key not in ("role", "content")]
            message = _fix_message(place, message, roles, changes)
        messages.append(message)
    if extra:
        changes.append(change_of(place, "extra-key", tr("、", ", ").join(extra)))
    _move_system(place, messages, changes)
    _drop_last_question(place, messages, changes)
    return {"messages": messages}, changes


def _fix_message(
    place: Place, message: dict, roles: Mapping[str, str], changes: list[Change]
) -> dict:
    fixed = {key: message[key] for key in ("role", "content") if key in message}
    role, content = fixed.get("role"), fixed.get("content")
    if isinstance(role, str) and role in roles:
        fixed["role"] = roles[role]
        renamed = f"{role} → {roles[role]}"
        changes.append(change_of(place, "role", renamed))
    # A text of white space alone stays as it is: it is reported as empty.
    if isinstance(content, str) and content.strip() not in ("", content):
        fixed["content"] = content.strip()
        changes.append(change_of(place, "white-space"))
    return fixed


def _move_system(place: Place, messages: list, changes: list[Change]) -> None:
    roles = _roles(messages)
    if roles.count("system") != 1:
        return
    at = roles.index("system")
    # Not past an answer: that would change what the answer was an answer to.
    if at > 0 and "assistant" not in roles[:at]:
        messages.insert(0, messages.pop(at))
        changes.append(change_of(place, "system-position"))


def _drop_last_question(place: Place, messages: list, changes: list[Change]) -> None:
    roles = _roles(messages)
    if "assistant" not in roles:
        return
    while roles[-1] == "user":
        roles.pop()
        messages.pop()
        changes.append(change_of(place, "trailing-user"))


def _roles(messages: list) -> list[object]:
    """Return each message's role, None where there is none."""
    objects = [message if isinstance(message, dict) else {} for message in messages]
    return [message.get("role") for message in objects]

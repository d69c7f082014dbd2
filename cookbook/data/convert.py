"""Make rows from what other tools write. What cannot be converted is refused by name.

Everything here returns what `clean` returns: the rows, each change, and what is left for a person.
One odd entry never stops the rest. The shapes themselves are in `shapes/`, what a row must be in
`rules/`; repeated rows are kept, since only `clean` looks at rows together.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import cast

from cookbook.data import shapes
from cookbook.data.chats.chat_log import from_chat_log
from cookbook.data.entry import Entry
from cookbook.data.fixes.finish import finish
from cookbook.data.reading import read
from cookbook.data.reading.read import Reading, Source
from cookbook.data.report import by_line, calls
from cookbook.data.report.changes import Change, change_of
from cookbook.data.report.cleaned import Cleaned
from cookbook.data.report.columns import WHOLE_TEXT
from cookbook.data.report.excerpt import around, visible
from cookbook.data.report.names import MAX_NAME, named
from cookbook.data.report.pointing import Origin, point
from cookbook.data.rules import message_rules
from cookbook.data.shapes import batch, containers, routing, unused
from cookbook.data.shapes.shape import Converted, Options, Refused
from cookbook.data.tables.from_table import from_table
from cookbook.errors import DataError
from cookbook.i18n import tr

ROLES_NAMED = 5  # of unknown roles, in a remedy


def from_messages(
    source: Source,
    *,
    roles: Mapping[str, str] | None = None,
    system: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    requests: Source | None = None,
    assistant: str | None = None,
    chosen: bool = False,
) -> Cleaned:
    """Return training rows from any known format; `recognize` says which one a file has.

        rows = data.from_messages("export.json")
        rows.write("train.jsonl")

    Known are OpenAI messages, ShareGPT, Alpaca, prompt/completion, query/response, Firefly, Dolly,
    Belle, Moss, Qianfan, batch results, Hugging Face rows, Label Studio exports, tables and chat
    logs. Entries that cannot be converted are in `.left`, with the reason.

    Args:
        source: a path, or the entries: a list of dicts, a DataFrame, a data set.
        roles: what unknown role names mean, as `{"客官": "user"}`.
        system: the system message for entries that have none.
        encoding: of the file, as "gb18030"; None detects it.
        sheet: of a workbook with several, by name.
        requests: the batch input that belongs to batch results: a path, or its entries.
        assistant: who answers in a chat log, by name.
        chosen: True learns the better answer of preference data.

    Raises:
        DataError: the file cannot be read, `roles` has an unknown role, `requests` no requests.
    """
    options = Options(message_rules.checked_roles(roles), system, _requests(requests), chosen)
    # Read once to see what it is: tables and chat logs are small.
    reading = read.reading(source, encoding=encoding, sheet=sheet, repairs=True)
    own = _own_converter(source, reading, assistant)
    if own is None:
        return _rows(containers.opened(reading), options)
    return own(system=system, sheet=sheet, encoding=encoding)


def of_reading(reading: Reading, *, system: str | None = None) -> Cleaned:
    """Return rows from what was read already, each entry converted by its own shape."""
    return _rows(containers.opened(reading), Options({}, system, None, False))


def from_sharegpt(
    source: Source,
    *,
    roles: Mapping[str, str] | None = None,
    system: str | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return training rows from ShareGPT: `{"conversations": [{"from": "human", "value": …}, …]}`.

        rows = data.from_sharegpt("export.json")

    Another name for `from_messages`, which recognizes formats by itself.
    """
    return from_messages(source, roles=roles, system=system, encoding=encoding)


def from_alpaca(
    source: Source,
    *,
    system: str | None = None,
    roles: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return training rows from Alpaca: `{"instruction": …, "input": …, "output": …}`.

        rows = data.from_alpaca("alpaca.json")

    The question is the instruction, followed by the input if there is one. Another name for
    `from_messages`, which recognizes formats by itself.
    """
    return from_messages(source, roles=roles, system=system, encoding=encoding)


def _own_converter(
    source: Source, reading: Reading, assistant: str | None
) -> Callable[..., Cleaned] | None:
    """Return the converter of a table or of a chat log; None for any other source."""
    # They take a path or a table, and nothing else is one.
    table = cast("str | Path", source)
    if routing.is_chat_log(reading):
        return partial(from_chat_log, table, assistant=assistant)
    columns = routing.pair_columns(reading)
    if columns is not None:
        user, answer = columns
        return partial(from_table, table, user=user, assistant=answer)
    return partial(from_table, table) if routing.turn_columns(reading) else None


def _requests(source: Source | None) -> dict[str, list | None] | None:
    """Return the messages of each request by its id; None instead where two share the id."""
    if source is None:
        return None
    found: dict[str, list | None] = {}
    for entry in read.reading(source).entries:
        # Lines of something else are no requests, and nobody asks for them.
        request = batch.requested(entry.value)
        if request is not None:
            name, messages = request
            found[name] = None if name in found else messages
    if not found:
        raise DataError(
            zh="requests= 里没有请求，每行应有 custom_id 和 body.messages",
            en="requests= has no requests: each line needs custom_id and body.messages",
        )
    return found


class _Notes:
    """What has to be said about all entries together."""

    def __init__(self) -> None:
        self.metadata: dict[str, None] = {}  # names of keys that mean nothing, in their order
        self.roles: dict[str, str] = {}  # unknown role names -> what they may be
        self.answered: dict[str, int] = {}  # custom_id -> the number of the entry
        self.texts: dict[int, str] = {}
        self.origins: dict[int, Origin] = {}
        self.changes: dict[int, list[Change]] = {}  # of each entry, if it becomes a row


def _rows(reading: Reading, options: Options) -> Cleaned:
    """Return the rows of a reading, each entry converted by its own shape."""
    notes = _Notes()
    entries, reading.entries = reading.entries, []
    for entry in entries:
        if entry.text is not None:
            notes.texts[entry.number] = entry.text
        try:
            reading.entries.append(_converted(entry, reading, options, notes))
        except Refused as refused:
            _leave(reading, entry, refused)
    _say_together(reading, options, notes)
    cleaned = finish(reading, reading.unread)
    # What was done to an entry that is left does not matter to anybody.
    for number in cleaned.row_numbers:
        cleaned.changes += notes.changes.get(number, ())
    cleaned.changes.sort(key=by_line)
    point(cleaned.left, notes.texts, notes.origins)
    if notes.roles:
        _name_roles(cleaned, notes.roles)
    return cleaned


def _converted(entry: Entry, reading: Reading, options: Options, notes: _Notes) -> Entry:
    """Return an entry with messages.

    Raises:
        Refused: it cannot have them.
    """
    shape = shapes.of(entry.value)
    if not isinstance(entry.value, dict | list | tuple):
        return entry  # the rules say what it is
    _refuse_second_answer(entry, reading, shape, notes)
    try:
        converted = shapes.convert(entry.value, options)
    except RecursionError:
        raise Refused(zh="嵌套得太深", en="it is nested too deep") from None
    except Refused as refused:
        if shape is None and reading.layout == "table":
            raise _unknown_columns(entry, refused) from None
        raise
    name = _custom_id(entry, shape)
    if name is not None:
        notes.answered[name] = entry.number
    notes.changes[entry.number] = list(_changes(entry, shape, converted))
    notes.metadata.update(dict.fromkeys(unused.metadata(converted.unused)))
    notes.roles.update(converted.unknown_roles)
    if shape is shapes.MESSAGES and not converted.messages_before:
        notes.origins[entry.number] = None
    elif converted.key is not None:
        notes.origins[entry.number] = converted.key, converted.messages_before
    return Entry(entry.number, entry.place, {"messages": converted.messages})


def _changes(entry: Entry, shape: shapes.Shape | None, converted: Converted) -> Iterator[Change]:
    """Yield what was done to one entry."""
    details = []
    if shape is not None and shape is not shapes.MESSAGES:
        details.append(("converted", tr(f"（{shape.title_zh}）", f"({shape.title_en})")))
    for code, zh, en in converted.notes:
        # In another format, names of roles are part of the format.
        if shape is shapes.MESSAGES or code not in ("role", "role-case"):
            details.append((code, tr(zh, en)))
    words = unused.in_words(converted.unused)
    if words:
        details.append(("not-used", words))
    for code, detail in details:
        yield change_of(entry.place, code, detail, row=entry.number)


def _leave(reading: Reading, entry: Entry, refused: Refused) -> None:
    at, excerpt = None, None
    text = entry.text
    if text is not None and refused.key is not None:
        written = json.dumps(refused.key, ensure_ascii=False)
        start = text.find(written)
        if start >= 0:
            excerpt = around(text, start, start + len(written))
            at = (WHOLE_TEXT, start)
    reading.left.add(
        entry.number,
        refused.code,
        zh=refused.zh,
        en=refused.en,
        fix=refused.fix,
        index=refused.index,
        excerpt=excerpt,
        at=at,
        cell=_cell(reading, entry.number, refused.key),
    )
    reading.unread.append(entry.number)


def _cell(reading: Reading, number: int, key: str | None) -> str | None:
    """Return the cell of a table; a reading of another layout has none."""
    find = getattr(reading, "cell", None)
    return find(number, key) if find and key is not None else None


def _refuse_second_answer(
    entry: Entry, reading: Reading, shape: shapes.Shape | None, notes: _Notes
) -> None:
    name = _custom_id(entry, shape)
    if name is not None and name in notes.answered:
        first_zh, first_en = reading.left.where(notes.answered[name])
        raise Refused(
            zh=f"custom_id {name[:MAX_NAME]!r} 在{first_zh}已经有结果",
            en=f"{first_en} already has a result for custom_id {name[:MAX_NAME]!r}",
            fix=("只留一个", "keep one of them"),
            key="custom_id",
        )


def _custom_id(entry: Entry, shape: shapes.Shape | None) -> str | None:
    """Return the id of a result of a batch; None for any other entry."""
    if shape is not batch.BATCH_OUTPUT or not isinstance(entry.value, dict):
        return None
    name = entry.value["custom_id"]
    return name if isinstance(name, str) else None


def _unknown_columns(entry: Entry, refused: Refused) -> Refused:
    columns = [str(key) for key in entry.value] if isinstance(entry.value, dict) else []
    return Refused(
        zh=f"认不出哪一列是提问、哪一列是回答；列名是 {named(columns)}",
        en=f"it is not clear which columns are question and answer: {named(columns)}",
        fix=(
            '写明列名：data.from_table(path, user="问题的列名", assistant="回答的列名")',
            'name them: data.from_table(path, user="questions", assistant="answers")',
        ),
    )


def _say_together(reading: Reading, options: Options, notes: _Notes) -> None:
    """Say once what concerns several entries."""
    if notes.metadata:
        detail = named(notes.metadata)
        reading.changes.append(change_of(None, "extra-key", detail))
    if options.requests is not None:
        open_requests = [name for name in options.requests if name not in notes.answered]
        if open_requests:
            n = len(open_requests)
            detail = tr(f"（{n} 条）：{named(open_requests)}", f"({n}): {named(open_requests)}")
            reading.changes.append(change_of(None, "unanswered", detail))


def _name_roles(cleaned: Cleaned, roles: Mapping[str, str]) -> None:
    """Say in each problem how to name the roles of this file that nobody knows."""
    short = {name: role for name, role in roles.items() if len(name) <= MAX_NAME}
    # The first few show how it is written.
    named = dict(list(short.items())[:ROLES_NAMED])
    written = visible(json.dumps(named, ensure_ascii=False))
    call = f"data.from_messages(path, roles={written})"
    remedy = tr(f"说明它们是谁：{call}", f"say who they are: {call}")
    remedy = calls.filled(remedy, cleaned.left.source)
    problems = cleaned.left.problems
    for i, problem in enumerate(problems):
        if problem.code == "role-unknown":
            problems[i] = dataclasses.replace(problem, fix=remedy)

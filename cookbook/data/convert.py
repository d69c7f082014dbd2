"""Make rows from what other tools write. What cannot be converted is refused by name.

Everything here returns what `clean` returns: the rows, each change, and what is left for a person.
One odd entry never stops the rest. The shapes themselves are in `shapes/`, what a row must be in
`rules.py`; repeated rows are kept, since only `clean` looks at rows together.
"""

import dataclasses
import io
import json
import numbers
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data import fix, read, rules, shapes, table_size
from cookbook.data.changes import change_of
from cookbook.data.cleaned import Cleaned
from cookbook.data.entry import Entry
from cookbook.data.excerpt import around, visible
from cookbook.data.read import Reading, Source
from cookbook.data.report import by_line
from cookbook.data.shapes import batch, containers, unused
from cookbook.data.shapes.shape import MAX_NAME, Converted, Options, Refused, listed
from cookbook.errors import ArgumentError, DataError
from cookbook.i18n import tr

if TYPE_CHECKING:
    import pandas as pd

MAX_SOURCE_BYTES = 100 * 1024 * 1024

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
    """Return rows from any known format; `recognize` says which one a file has.

    Known are OpenAI's messages, ShareGPT and its spellings, Alpaca and its relatives,
    prompt/completion, Firefly, Dolly, Belle, Moss, Qianfan, batches, rows of Hugging Face, exports
    of Label Studio, tables and chat logs. Turns of one speaker in a row are not joined: such an
    entry is left for a person.

    Args:
        source: a path, or the entries.
        roles: how to read role names that are not known, as `{"客官": "user"}`.
        system: the system message of entries that have none.
        encoding: of the file; None finds out.
        sheet: of a workbook with several.
        requests: the input of a batch whose output `source` is: a path, or its lines.
        assistant: who is the assistant in a chat log.
        chosen: whether to learn the better answer of preference data.

    Raises:
        DataError: the file cannot be read; `roles` names another role than the three; `requests`
            has no requests.
    """
    reading = read.reading(source, encoding=encoding, sheet=sheet)
    if reading.layout == "table":
        from cookbook.data import chat_log

        if chat_log.is_chat_log(reading):
            return chat_log.from_chat_log(source, assistant=assistant)
    asked = _requests(requests)
    options = Options(_checked_roles(roles), system, asked, chosen)
    return _rows(containers.opened(reading), options)


def from_sharegpt(
    source: Source,
    *,
    roles: Mapping[str, str] | None = None,
    system: str | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return rows from ShareGPT's format: `{"conversations": [{"from": "human", "value": …}, …]}`.

    Another name of `from_messages`, which tells formats apart by itself.
    """
    return from_messages(source, roles=roles, system=system, encoding=encoding)


def from_alpaca(
    source: Source,
    *,
    system: str | None = None,
    roles: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return rows from Alpaca's format: `{"instruction": …, "input": …, "output": …}`.

    The question is the instruction, with the input below it where there is one. Another name of
    `from_messages`, which tells formats apart by itself.
    """
    return from_messages(source, roles=roles, system=system, encoding=encoding)


def _checked_roles(roles: Mapping[str, str] | None) -> Mapping[str, str]:
    for name, role in (roles or {}).items():
        if role not in rules.ROLES:
            raise DataError(
                zh=f"roles 里 {name!r} 要对应 system、user 或 assistant",
                en=f"roles must map {name!r} to system, user or assistant",
            )
    return roles or {}


def _requests(source: Source | None) -> dict[str, list | None] | None:
    """Return the messages of each request by its id; None instead where two share the id."""
    if source is None:
        return None
    found: dict[str, list | None] = {}
    for entry in read.reading(source).entries:
        request = batch.requested(entry.value)
        if request is not None:
            name, messages = request
            found[name] = None if name in found else messages
    if not found:
        raise DataError(
            zh="requests 里没有请求，每行应有 custom_id 和 body.messages",
            en="requests has no request: each line needs a custom_id and body.messages",
        )
    return found


class _Notes:
    """What has to be said about all entries together."""

    def __init__(self) -> None:
        self.metadata: dict[str, None] = {}  # names of keys that mean nothing, in their order
        self.roles: dict[str, str] = {}  # unknown role names -> what they may be
        self.answered: dict[str, int] = {}  # custom_id -> the number of the entry


def _rows(reading: Reading, options: Options) -> Cleaned:
    """Return the rows of a reading, each entry converted by its own shape."""
    notes = _Notes()
    entries, reading.entries = reading.entries, []
    rows_left = reading.unread
    for entry in entries:
        try:
            reading.entries.append(_converted(entry, reading, options, notes))
        except Refused as refused:
            _leave(reading, entry, refused)
    rows = list(fix.rows(reading, {}, rows_left))

    _say_together(reading, options, notes)
    changes, left = reading.changes, reading.left
    changes.sort(key=by_line)
    left.sort()
    return Cleaned(
        [row for _, row in rows],
        changes,
        left,
        reading.path,
        read=reading.count,
        row_numbers=[number for number, _ in rows],
        rows_left=sorted(rows_left),
    )


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
    _note(entry, shape, converted, reading, notes)
    row = {"messages": converted.messages}
    # Only where the messages were there before does the text have them at the same place.
    text = entry.text if shape is shapes.MESSAGES else None
    return Entry(entry.number, entry.place, row, text)


def _note(
    entry: Entry,
    shape: shapes.Shape | None,
    converted: Converted,
    reading: Reading,
    notes: _Notes,
) -> None:
    """Note what was done to one entry."""

    def change(code: str, detail: str = "") -> None:
        reading.changes.append(change_of(entry.place, code, detail, row=entry.number))

    if shape is not None and shape is not shapes.MESSAGES:
        change("converted", tr(f"（{shape.title_zh}）", f"({shape.title_en})"))
    for code, zh, en in converted.notes:
        # In another format, names of roles are part of the format.
        if shape is shapes.MESSAGES or code not in ("role", "role-case"):
            change(code, tr(zh, en))
    words = unused.in_words(converted.unused)
    if words:
        change("not-used", words)
    notes.metadata.update(dict.fromkeys(unused.metadata(converted.unused)))
    notes.roles.update(converted.unknown_roles)


def _leave(reading: Reading, entry: Entry, refused: Refused) -> None:
    column, excerpt = entry.place.column, None
    text = entry.text
    if text is not None and refused.key is not None:
        written = json.dumps(refused.key, ensure_ascii=False)
        start = text.find(written)
        if start >= 0:
            excerpt = around(text, start, start + len(written))
            # The line is the entry's first: what is further down has no column in it.
            column += start if "\n" not in text[:start] else 0
    reading.left.add(
        entry.number,
        refused.code,
        zh=refused.zh,
        en=refused.en,
        fix=refused.fix,
        index=refused.index,
        excerpt=excerpt,
        column=column if text is not None else None,
    )
    reading.unread.append(entry.number)


def _refuse_second_answer(
    entry: Entry, reading: Reading, shape: shapes.Shape | None, notes: _Notes
) -> None:
    name = _custom_id(entry, shape)
    if name is not None and name in notes.answered:
        line = reading.left.line_of(notes.answered[name])
        raise Refused(
            zh=f"custom_id {name[:MAX_NAME]!r} 在第 {line} 行已经有结果",
            en=f"line {line} has a result of the custom_id {name[:MAX_NAME]!r} already",
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
        zh=f"没有认出哪一列是提问、哪一列是回答；列名是 {listed(columns)}",
        en=f"which columns are question and answer is not known; they are {listed(columns)}",
        fix=(
            '写明列名：data.from_table(path, user="…", assistant="…")',
            'name them: data.from_table(path, user="…", assistant="…")',
        ),
    )


def _say_together(reading: Reading, options: Options, notes: _Notes) -> None:
    """Say once what concerns several entries."""
    if notes.metadata:
        detail = listed(list(notes.metadata))
        reading.changes.append(change_of(None, "extra-key", detail))
    if options.requests is not None:
        open_requests = [name for name in options.requests if name not in notes.answered]
        if open_requests:
            n = len(open_requests)
            detail = tr(f"（{n} 条）：{listed(open_requests)}", f"{n}: {listed(open_requests)}")
            reading.changes.append(change_of(None, "unanswered", detail))
    if notes.roles:
        remedy = _remedy(notes.roles)
        problems = reading.left.problems
        for i, problem in enumerate(problems):
            if problem.code == "role-unknown":
                problems[i] = dataclasses.replace(problem, fix=tr(*remedy))


def _remedy(roles: Mapping[str, str]) -> tuple[str, str]:
    """Return how to name the roles of this file that nobody knows."""
    short = {name: role for name, role in roles.items() if len(name) <= MAX_NAME}
    named = dict(list(short.items())[:ROLES_NAMED])
    written = visible(json.dumps(named, ensure_ascii=False))
    call = f"data.from_messages(path, roles={written})"
    return f"说明它们是谁：{call}", f"say who they are: {call}"


def from_table(
    source: "pd.DataFrame | str | Path", *, user: str, assistant: str, system: str | None = None
) -> list[dict]:
    """Return rows from a table of questions and answers, without the lines that lack one of the
    two.

    Args:
        source: a DataFrame, or the path of a .csv (UTF-8 or GBK) or .xlsx file.
        user: the column of questions.
        assistant: the column of answers.
        system: the system message, the same for every row; not a column.

    Raises:
        DataError: the file cannot be read, does not have each column once (the message names those
            it has), or has a cell that is not text.
    """
    import pandas as pd

    frame = source if isinstance(source, pd.DataFrame) else _read_table(source)
    columns = list(frame.columns)
    names = "、".join(map(str, columns))
    for column in (user, assistant):
        if columns.count(column) != 1:
            raise DataError(
                zh=f"列 {column!r} 应当有且只有一个，表里有：{names}",
                en=f"there must be one column {column!r}; the table has: {names}",
            )
    rows = []
    pairs = zip(frame[user], frame[assistant], strict=True)
    for number, (question_cell, answer_cell) in enumerate(pairs, 1):
        question = _cell(question_cell, number)
        answer = _cell(answer_cell, number)
        # An export often has lines that nobody filled in.
        if question and answer:
            rows.append(_conversation(system, [(question, answer)]))
    return rows


def _conversation(system: str | None, pairs: Iterable[tuple[str, str]]) -> dict:
    messages = []
    if system:
        messages.append({"role": "system", "content": system})
    for question, answer in pairs:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages}


def _cell(value: object, number: int) -> str:
    """Return a cell's text: a number as it is written, an empty cell as nothing.

    Raises:
        DataError: it is neither text, number nor empty.
    """
    kind = type(value).__name__
    # NaN alone is not equal to itself. pandas' NA has no answer to that, so it goes by name.
    is_nan = value != value
    if value is None or kind == "NAType" or is_nan:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, numbers.Integral) and kind != "bool":
        return str(int(value))
    if isinstance(value, numbers.Real) and kind != "bool":
        # A column of whole numbers with an empty cell has floats: 5.0 was written as 5.
        as_float = float(value)
        return str(int(as_float)) if as_float.is_integer() else str(value)
    raise DataError(
        zh=f"表格第 {number} 条里有一格是 {kind}，不是文字",
        en=f"a cell of row {number} is a {kind}, not text",
    )


def _read_table(source: str | Path) -> "pd.DataFrame":
    import pandas as pd

    path = Path(source)
    try:
        content = _read_within_limit(path)
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            table_size.of_workbook(content)
            return pd.read_excel(io.BytesIO(content), dtype=str, keep_default_na=False)
        text = _decode(content)
        table_size.of_csv(text)
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except Exception as error:  # readers of tables raise whatever their format's library raises
        raise DataError(
            zh=f"读不了表格 {path.name}：{error}", en=f"cannot read the table {path.name}: {error}"
        ) from error


def _read_within_limit(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: the file is larger than what is read.
    """
    # One byte more than the limit is enough to see that a file is too large.
    with path.open("rb") as file:
        content = file.read(MAX_SOURCE_BYTES + 1)
    if len(content) > MAX_SOURCE_BYTES:
        limit = MAX_SOURCE_BYTES // 2**20
        raise ArgumentError(
            zh=f"超过 {limit} MB，请先拆成几个文件",
            en=f"more than {limit} MB: split it into several files",
        )
    return content


def _decode(content: bytes) -> str:
    """Return the text.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor GBK.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")

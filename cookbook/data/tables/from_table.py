"""Make rows from a table of questions and answers.

Every row of the table is accounted for: it is a row of the result, or `left` says in which cell and
why it is not. Cells are read as the reader sees them, see `tables`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data import rules, tables
from cookbook.data.entry import Entry
from cookbook.data.fixes.finish import finish
from cookbook.data.report.changes import change_of
from cookbook.data.report.cleaned import Cleaned
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import MAX_NAME, named
from cookbook.data.shapes import routing
from cookbook.data.tables import Table, frame, heading
from cookbook.errors import DataError
from cookbook.i18n import spaced, tr

if TYPE_CHECKING:
    import pandas as pd


def from_table(
    source: "pd.DataFrame | str | Path | Sequence[Mapping]",
    *,
    user: str | None = None,
    assistant: str | None = None,
    system: str | None = None,
    sheet: str | int | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return training rows from a table with a column of questions and one of answers.

        rows = data.from_table("faq.xlsx", user="问题", assistant="回答")

    Cells are read as Excel shows them. What cannot be used is in `.left`, with cell and reason.

    Args:
        source: the path of a .csv, .tsv, .xlsx or .parquet file, a DataFrame, or a list of dicts.
        user: the column of questions; None finds it by its name.
        assistant: the column of answers; None finds it by its name.
        system: the system message for every row; a text, not a column. None takes the column
            系统提示词 or system, where no columns are named.
        sheet: of a workbook with several, by name or by number from 1.
        encoding: of a text file, as "gb18030"; None detects it.

    Raises:
        DataError: the file cannot be read; it is not clear which columns or which sheet to read;
            it is a chat log, which `from_chat_log` reads.
    """
    wanted = [name for name in (user, assistant) if name is not None]
    table = tables.of(source, sheet=sheet, encoding=encoding, wanted=wanted)
    _refuse_chat_log(table, wanted)
    if not wanted and routing.has_more_than_a_pair(table):
        return _by_shape(table, system)
    turns = _turns(table, user, assistant)
    column = None if wanted or system else routing.system_column(table)
    used = {name for turn in turns for name in turn}
    _note_unused(table, used | {column or ""})
    # The reader has left some rows already; those that lack a text join them.
    table.entries = list(_conversations(table, turns, column, system, table.unread))
    return finish(table, table.unread)


def _refuse_chat_log(table: Table, wanted: Sequence[str]) -> None:
    # Whoever names columns that are there knows the table better.
    are_there = wanted and all(heading.matching(table.columns, name) for name in wanted)
    if not are_there and routing.is_chat_log(table):
        call = f"data.from_chat_log({table.called})"
        raise DataError(
            zh=f"{table.name:.60} 是聊天记录，不是一行一问一答：用 {call}",
            en=f"{table.name:.60} is a chat log, not one question and answer per row: use {call}",
        )


def _by_shape(table: Table, system: str | None) -> Cleaned:
    # It takes tables to this module: the two import each other.
    from cookbook.data.convert import of_reading

    return of_reading(table, system=system)


def _turns(table: Table, user: str | None, assistant: str | None) -> list[tuple[str, str]]:
    """Return the columns of each question and its answer; most tables have one of each."""
    several = routing.turn_columns(table) if user is None and assistant is None else []
    return several or [_pair(table, user, assistant)]


def _pair(table: Table, user: str | None, assistant: str | None) -> tuple[str, str]:
    """Return the columns of the questions and of the answers."""
    question = _column(table, user, 0)
    answer = _column(table, assistant, 1)
    if question == answer:
        raise DataError(
            zh=f"user 和 assistant 是同一列 {question:.40}：各给一列",
            en=f"user and assistant are the same column, {question:.40}: give one for each",
        )
    return question, answer


def _column(table: Table, asked: str | None, side: int) -> str:
    """Return the column of questions (side 0) or answers (1).

    Raises:
        DataError: there is none, or several.
    """
    argument = ("user", "assistant")[side]
    columns = list(table.columns)
    if asked is not None:
        found = heading.matching([*columns, *table.repeated], asked)
    else:
        found = heading.questions_and_answers(table.names)[side]
    if not columns:
        raise DataError(zh="表里没有列，也没有行", en="the table has no columns and no rows")
    if len(found) == 1:
        if found[0] in table.repeated:
            raise _repeated(found[0], table.repeated[found[0]], argument)
        return found[0]
    if asked is not None:
        raise _not_there(asked, columns, argument)
    what = tr("问题", "questions") if side == 0 else tr("回答", "answers")
    has = named(columns)
    raise DataError(
        zh=f"看不出哪一列是{what}，表里有：{has}。用 {argument}= 写出列名；{_hint_zh(columns)}",
        en=f"it is not clear which column has the {what}; the table has: {has}. Name it as "
        f"{argument}=; if these are not column names, add a header row",
    )


def _repeated(name: str, columns: Sequence[str], argument: str) -> DataError:
    """Return the error for a name that several columns have, known by their letters."""
    letters = named(columns)
    one = f'{argument}="{visible(name[:MAX_NAME])} [{columns[0]}]"'
    return DataError(
        zh=f"列 {name!r:.60} 应当有且只有一个，表里有几个：{letters} 列。指定一个，例如 {one}",
        en=f"there must be exactly one column {name!r:.60}; the table has several: {letters}. "
        f"Name one of them, as {one}",
    )


def _not_there(asked: str, columns: Sequence[str], argument: str) -> DataError:
    """Return the error for a column that the table does not have."""
    has = named(columns)
    near = heading.nearest(columns, asked)
    # A name that is nearly the same is a slip of the keyboard.
    zh, en = _hint_zh(columns), ""
    if near:
        meant = f'{argument}="{visible(near[:MAX_NAME])}"'
        zh, en = f"是不是 {meant}？", f". Did you mean {meant}?"
    return DataError(
        zh=f"列 {asked!r:.60} 应当有且只有一个，表里有：{has}。{zh}",
        en=f"there must be exactly one column {asked!r:.60}; the table has: {has}{en}",
    )


def _hint_zh(columns: Sequence[str]) -> str:
    # People type the comma of their own keyboard.
    only = columns[0] if len(columns) == 1 else ""
    if "，" in only or "、" in only:
        return "表头里的逗号是中文逗号，要用英文逗号分列"
    return "第一行要是列名，没有就在最上面加一行"


def _note_unused(table: Table, used: set[str]) -> None:
    unused = [name for name in table.columns if name not in used]
    if unused:
        table.changes.append(change_of(None, "unused-columns", named(unused)))


def _conversations(
    table: Table,
    turns: list[tuple[str, str]],
    column: str | None,
    system: str | None,
    rows_left: list[int],
) -> Iterable[Entry]:
    """Yield each row as messages; those that lack a text are reported.

    Args:
        column: the one that has the system message of each row.
    """
    for entry in table.entries:
        if column and not _is_empty(entry, column):
            system = _text(table, entry, column)
        elif column:
            system = None
        messages = [{"role": "system", "content": system}] if system else []
        is_whole = True
        for index, (question, answer) in enumerate(turns):
            # Conversations end early. The first turn is there, or said to be missing.
            if index and _is_empty(entry, question) and _is_empty(entry, answer):
                continue
            asked = _text(table, entry, question)
            answered = _text(table, entry, answer)
            if asked is None or answered is None:
                is_whole = False
                continue
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        if is_whole:
            yield Entry(entry.number, entry.place, {"messages": messages})
        else:
            rows_left.append(entry.number)


def _is_empty(entry: Entry, column: str) -> bool:
    row = entry.value if isinstance(entry.value, dict) else {}
    text = frame.text(frame.plain(row.get(column)))
    return text is not None and not text.strip()


def _text(table: Table, entry: Entry, column: str) -> str | None:
    """Return the text of a cell; None, and a problem, where there is none."""
    # Rows in memory may be anything.
    row = entry.value if isinstance(entry.value, dict) else {}
    value = row.get(column)
    text = frame.text(frame.plain(value))
    cell = table.cell(entry.number, column)
    where = f"{cell} " if cell else ""
    if text is None:
        kind = type(value).__name__
        table.left.add(
            entry.number,
            "table-cell",
            zh=f"{where}列 {column!r:.60} 里是 {kind}，不是文字",
            en=f"{where}the column {column!r:.60} has a {kind}, not text",
            cell=cell,
        )
        return None
    # White space alone is nothing that anybody sees.
    if not rules.has_text(text):
        table.left.add(
            entry.number,
            "content-empty",
            zh=f"{where}是空的：缺{spaced(column[:MAX_NAME])}",
            en=f"{where}is empty: no {column:.40}",
            cell=cell,
        )
        return None
    return text

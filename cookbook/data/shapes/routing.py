"""Tell which converter a source is for: tables and chat logs have their own.

    is_chat_log(reading)       for `from_chat_log`
    pair_columns(reading)      for `from_table`, with these columns
    turn_columns(reading)      for `from_table`, several questions and answers in a row
    remedy(reading, name)      how a table becomes a training file, in words

What is neither is converted entry by entry, by `shapes.convert`.
"""

from cookbook.data import shapes
from cookbook.data.chats import chat_log
from cookbook.data.reading.read import Reading
from cookbook.data.report import calls
from cookbook.data.shapes import lists, pair, questions
from cookbook.data.shapes.refusals import ONE_TURN
from cookbook.data.shapes.shape import folded, keys_in
from cookbook.data.tables import Table, heading

# For messages of which nobody knows which belong together.
_JOINING = "data.from_chat_log(path)"
NUMBERING = (
    f"加一列会话编号 session_id，再用 {_JOINING} 合并",
    f"add a column session_id that tells conversations apart, then join them: {_JOINING}",
)
BY_COLUMNS = (
    '用 data.from_table(path, user="问题的列名", assistant="回答的列名") 转换',
    'name its columns: data.from_table(path, user="questions", assistant="answers")',
)


def columns(reading: Reading) -> list[str]:
    """Return the columns of a table; none for anything else."""
    # A file may have a heading alone.
    if isinstance(reading, Table) and reading.columns:
        return list(reading.columns)
    first = reading.entries[0].value if reading.entries else None
    if reading.layout != "table" or not isinstance(first, dict):
        return []
    return [str(column) for column in first]


def is_chat_log(reading: Reading) -> bool:
    """Return whether a source is the export of a chat."""
    if isinstance(reading, Table) and reading.is_chat:
        return True
    rows = [entry.value for entry in reading.entries[: chat_log.ROWS_SEARCHED]]
    dicts = [row for row in rows if isinstance(row, dict)]
    return bool(dicts) and chat_log.is_chat_log(columns(reading), dicts)


def pair_columns(reading: Reading) -> tuple[str, str] | None:
    """Return the columns of question and answer of a table that has nothing else to use."""
    names = columns(reading)
    if not names or not reading.entries:
        return None
    by_name = folded(dict.fromkeys(names))
    asked = keys_in(by_name, pair.QUESTIONS)
    answers = keys_in(by_name, pair.ANSWERS)
    # Names that only tables have, as 客户问题.
    if shapes.of(reading.entries[0].value) is None:
        asked, answers = heading.questions_and_answers(names)
    # With more to use than two columns it is converted like any other entry.
    others = (*lists.SYSTEM_KEYS, *questions.HISTORY, *pair.WEIGHTS)
    has_more = bool(keys_in(by_name, others))
    if len(asked) != 1 or len(answers) != 1 or has_more:
        return None
    return asked[0], answers[0]


def turn_columns(reading: Reading) -> list[tuple[str, str]]:
    """Return the columns of questions and answers of a table that has several of each."""
    return heading.turns(columns(reading))


def system_column(reading: Reading) -> str | None:
    """Return the column of system messages; None where there is none, or several."""
    by_name = folded(dict.fromkeys(columns(reading)))
    found = keys_in(by_name, lists.SYSTEM_KEYS)
    return found[0] if len(found) == 1 else None


def has_more_than_a_pair(reading: Reading) -> bool:
    """Return whether the rows of a table are converted as entries of another shape are."""
    if not reading.entries or pair_columns(reading):
        return False
    shape = shapes.of(reading.entries[0].value)
    return shape is not None and bool(shape.call)


def own_call(reading: Reading, source: str = "path") -> str | None:
    """Return the call for a chat log or a table; None where the shape of the entries decides.

    Args:
        source: as it is written into the call.
    """
    if is_chat_log(reading):
        return f"data.from_chat_log({source})"
    if pair_columns(reading) or turn_columns(reading):
        return f"data.from_table({source})"
    return None


def remedy(reading: Reading, name: str | None) -> tuple[str, str]:
    """Return the remedy for a table, in Chinese and English; `name` is that of its file."""
    call = own_call(reading)
    if is_chat_log(reading):
        call = calls.writing("data.from_chat_log(path)", name)
        return f"用 {call} 按说话人合并", f"join its messages by speaker: {call}"
    if call:
        return calls.converting(call, name)
    # Who said what, but not in which conversation.
    if any(shapes.of(entry.value) is ONE_TURN for entry in reading.entries[:1]):
        return NUMBERING
    return BY_COLUMNS

"""Tell which converter a source is for: tables and chat logs have their own.

    is_chat_log(reading)       for `from_chat_log`
    pair_columns(reading)      for `from_table`, with these columns
    remedy(reading, name)      how a table becomes a training file, in words

What is neither is converted entry by entry, by `shapes.convert`.
"""

from cookbook.data import shapes
from cookbook.data.chats import chat_log, chat_messages
from cookbook.data.reading.read import Reading
from cookbook.data.report import calls
from cookbook.data.shapes import lists, pair, questions
from cookbook.data.shapes.shape import folded, keys_in
from cookbook.data.tables import heading, text_of
from cookbook.errors import DataError

TEXT_SUFFIXES = (".txt", ".log")

BY_COLUMNS = (
    '用 data.from_table(path, user="问题的列名", assistant="回答的列名") 转换',
    'name its columns: data.from_table(path, user="questions", assistant="answers")',
)


def columns(reading: Reading) -> list[str]:
    """Return the columns of a table; none for anything else."""
    first = reading.entries[0].value if reading.entries else None
    if reading.layout != "table" or not isinstance(first, dict):
        return []
    return [str(column) for column in first]


def is_chat_log(reading: Reading) -> bool:
    """Return whether a source is the export of a chat: a table, a text, or Telegram's JSON."""
    if reading.layout == "table":
        rows = [entry.value for entry in reading.entries[: chat_log.ROWS_SEARCHED]]
        dicts = [row for row in rows if isinstance(row, dict)]
        return bool(dicts) and chat_log.is_chat_log(columns(reading), dicts)
    if reading.path is None:
        return False
    # Not a line of it is JSON, and the name says that it need not be.
    if not reading.entries and reading.path.suffix.lower() in TEXT_SUFFIXES:
        return _is_chat_text(reading)
    return len(reading.entries) == 1 and _is_telegram(reading.entries[0].value)


def _is_chat_text(reading: Reading) -> bool:
    assert reading.path is not None
    try:
        text = text_of(reading.path, reading.encoding)
    except DataError:
        return False
    return bool(chat_messages.blocks(text))


def _is_telegram(value: object) -> bool:
    messages = value.get("messages") if isinstance(value, dict) else None
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(first, dict) and {"id", "type", "date"} <= first.keys()


def pair_columns(reading: Reading) -> tuple[str, str] | None:
    """Return the columns of question and answer of a table that has nothing else to use."""
    names = columns(reading)
    if not names:
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


def remedy(reading: Reading, name: str | None) -> tuple[str, str]:
    """Return the remedy for a table, in Chinese and English; `name` is that of its file."""
    if is_chat_log(reading):
        call = calls.writing("data.from_chat_log(path)", name)
        return f"像是聊天记录，用 {call} 按说话人合并", f"it looks like a chat log: {call}"
    if pair_columns(reading):
        return calls.converting("data.from_messages(path)", name)
    return BY_COLUMNS

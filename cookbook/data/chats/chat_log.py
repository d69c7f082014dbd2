"""Make rows from the export of a chat: one conversation each, joined by speaker.

    from_chat_log("wechat.csv", assistant="我")

Messages are split into conversations by room and by long gaps; what the same speaker says in a row
becomes one message. Every message is accounted for: it begins a row, was joined into one, or a
change says why it was left out. Who answers is taken from the log where it says so, and else asked
for, never guessed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data import tables
from cookbook.data.chats import chat_messages
from cookbook.data.chats.chat_messages import Message
from cookbook.data.chats.sides import Sides
from cookbook.data.entry import Entry
from cookbook.data.fixes.finish import finish
from cookbook.data.reading import read
from cookbook.data.report.changes import change_of
from cookbook.data.report.cleaned import Cleaned
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import named
from cookbook.data.tables import Table, heading
from cookbook.errors import DataError
from cookbook.i18n import tr

if TYPE_CHECKING:
    import pandas as pd

GAP_MINUTES = 60  # after which people begin another conversation
ROWS_SEARCHED = 100  # of a table, to see whether it is a log

Names = str | Collection[str]
Rooms = Mapping[str, list[Message]]


def is_chat_log(columns: Sequence[str], rows: Sequence[Mapping] = ()) -> bool:
    """Return whether a table is a chat log: its columns say so, and speakers take turns.

    Args:
        rows: some of its rows.
    """
    if any(heading.questions_and_answers(columns)) or not chat_messages.are_messages(columns):
        return False
    found = chat_messages.columns_of(columns)
    who = found.get("role") or found.get("speaker")
    if "own" in found or who is None or len(rows) < 4:
        return True
    # Roles and conversations say it; of names, only those that come again.
    if "role" in found or "room" in found:
        return True
    # Speakers of a log come again; in a table of comments each has a name of its own.
    speakers = {str(row.get(who))[:100] for row in rows}
    return len(speakers) <= len(rows) // 2


def from_chat_log(
    source: "pd.DataFrame | str | Path | Sequence[Mapping]",
    *,
    assistant: Names | None = None,
    user: Names | None = None,
    gap_minutes: float = GAP_MINUTES,
    system: str | None = None,
    sheet: str | int | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return training rows from an exported chat: messages are joined into questions and answers.

        rows = data.from_chat_log("wechat.csv", assistant="客服小李")

    Pictures, notices and messages without an answer are left out; `.changes` lists them.

    Args:
        source: the path of a .csv, .xlsx, .txt or .json file, a DataFrame, or a list of dicts.
        assistant: who answers, by name, or several names; None takes the owner of the log, or
            those who are called 客服, agent and the like.
        user: who asks; None is the other person, where there is only one.
        gap_minutes: a longer silence begins a new conversation.
        system: the system message for every row.
        sheet: of a workbook with several, by name or by number from 1.
        encoding: of a text file, as "gb18030"; None detects it.

    Raises:
        DataError: the file cannot be read, is not a chat log, or does not say who answers.
    """
    table, messages = _messages(source, sheet, encoding)
    prompts, spoken = chat_messages.without_prompts(messages)
    # Pictures and notices first: they neither ask nor answer.
    texts = [m for m in spoken if not _leave_out(table, m, m.left_out)]
    _note_quotes(table, texts)
    rooms = _rooms(table, texts)
    sides = Sides(spoken, rooms, _set_of(assistant), _set_of(user), table.called)
    table.entries = _of_rooms(table, rooms, prompts, sides, timedelta(minutes=gap_minutes), system)
    return finish(table, table.unread)


def _of_rooms(
    table: Table,
    rooms: Rooms,
    prompts: Rooms,
    sides: Sides,
    gap: timedelta,
    system: str | None,
) -> list[Entry]:
    """Return the conversations of all rooms, in the order of their first messages."""
    by_room: dict[str, list[Entry]] = {}
    for name, room in rooms.items():
        written = "\n".join(message.text for message in prompts.get(name, []))
        by_room[name] = _entries(table, room, sides, gap, system or written or None)
    # A room may have nothing but its system message.
    for name, found in prompts.items():
        _note_prompts(table, found, by_room.get(name, []), is_used=not system)
    return sorted(chain.from_iterable(by_room.values()), key=attrgetter("number"))


def _entries(
    table: Table, room: list[Message], sides: Sides, gap: timedelta, system: str | None
) -> list[Entry]:
    """Return the conversations of a room."""
    # Other rooms of the same log can still be used.
    if sides.is_group(room):
        _leave_group(table, room)
        return []
    spoken = _with_sides(table, room, sides)
    conversations = _conversations(spoken, gap)
    return [entry for spoken in conversations for entry in _entry(table, spoken, system)]


def _note_prompts(
    table: Table, prompts: list[Message], entries: list[Entry], *, is_used: bool
) -> None:
    """Say where the system messages of a room went."""
    for message in prompts:
        if is_used and entries:
            line = entries[0].place.line
            into = tr(f"第 {line} 行", f"line {line}")
            change = change_of(message.place, "joined", into, row=message.number)
            table.changes.append(change)
        else:
            reason = ("没有用到的 system", "a system message that is not used")
            _leave_out(table, message, reason)


def _set_of(names: Names | None) -> frozenset[str]:
    if names is None:
        return frozenset()
    return frozenset((names,) if isinstance(names, str) else names)


def _messages(
    source: "pd.DataFrame | str | Path | Sequence[Mapping]",
    sheet: str | int | None,
    encoding: str | None,
) -> tuple[Table, list[Message]]:
    """Return the messages of a log, and where they come from."""
    table = tables.as_table(read.reading(source, encoding=encoding, sheet=sheet))
    columns = list(table.columns)
    if not chat_messages.are_messages(columns):
        raise DataError(
            zh=f"{table.name:.60} 不像聊天记录：要有说话人、内容、时间这几列，"
            f"现在有：{named(columns)}",
            en=f"{table.name:.60} does not look like a chat log: it needs columns for speaker, "
            f"text and time, and has: {named(columns)}",
        )
    messages = list(chat_messages.of_table(table.entries, columns))
    _note_times(table, messages, "time" in chat_messages.columns_of(columns))
    return table, messages


def _note_times(table: Table, messages: list[Message], has_column: bool) -> None:
    unknown = [m for m in messages if has_column and m.time is None]
    if unknown:
        change = change_of(unknown[0].place, "no-time", f"× {len(unknown)}")
        table.changes.append(change)


def _note_quotes(table: Table, messages: list[Message]) -> None:
    for message in messages:
        if message.quoted:
            detail = visible(message.quoted[:40])
            table.changes.append(change_of(message.place, "quote", detail, row=message.number))


def _leave_out(table: Table, message: Message, reason: tuple[str, str] | None) -> bool:
    """Return whether a message is left out, which is noted then."""
    if reason:
        change = change_of(message.place, "left-out", tr(*reason), row=message.number)
        table.changes.append(change)
    return reason is not None


def _rooms(table: Table, messages: list[Message]) -> dict[str, list[Message]]:
    """Return the messages of each room, in the order of their times."""
    rooms: dict[str, list[Message]] = {}
    for message in messages:
        rooms.setdefault(message.room, []).append(message)
    for room, spoken in rooms.items():
        times = [m.time for m in spoken if m.time]
        if times != sorted(times):
            change = change_of(spoken[0].place, "sorted", visible(room[:40]))
            table.changes.append(change)
            rooms[room] = _sorted(spoken)
    return rooms


def _sorted(messages: list[Message]) -> list[Message]:
    """Return messages by time; one without a time stays behind the one before it."""
    last = datetime.min
    keys: list[tuple[datetime, int]] = []
    for index, message in enumerate(messages):
        last = message.time or last
        keys.append((last, index))
    return [messages[index] for _, index in sorted(keys)]


def _leave_group(table: Table, room: list[Message]) -> None:
    for message in room:
        table.left.add(
            message.number,
            "role-unknown",
            zh=f"群聊里不止两个人，分不清 {message.speaker:.40} 是提问的还是旁人",
            en=f"a group of more than two: is {message.speaker:.40} the one who asks?",
            fix=(
                '用 user= 写明提问的人：data.from_chat_log(path, user="…")',
                'name the one who asks: data.from_chat_log(path, user="…")',
            ),
        )
        table.unread.append(message.number)


def _with_sides(table: Table, room: list[Message], sides: Sides) -> Iterator[tuple[str, Message]]:
    for message in room:
        side = sides.of(message)
        if side is not None:
            yield side, message
            continue
        speaker = visible(message.speaker[:40])
        reason = (f"{speaker} 不是 user= 里的人", f"{speaker} is not named in user=")
        _leave_out(table, message, reason)


Conversation = list[tuple[str, Message]]


def _conversations(spoken: Iterator[tuple[str, Message]], gap: timedelta) -> Iterator[Conversation]:
    """Yield what is said without a long silence."""
    conversation: Conversation = []
    last: datetime | None = None
    for side, message in spoken:
        if last and message.time and message.time - last > gap:
            yield conversation
            conversation = []
        last = message.time or last
        conversation.append((side, message))
    if conversation:
        yield conversation


def _entry(table: Table, conversation: Conversation, system: str | None) -> list[Entry]:
    """Return the row of a conversation, none where nobody asks or nobody answers."""
    start, end = 0, len(conversation)
    # A row begins with a question and ends with an answer.
    while start < end and conversation[start][0] == "assistant":
        start += 1
    while end > start and conversation[end - 1][0] == "user":
        end -= 1
    unasked = ("前面没有提问", "no question before it")
    unanswered = ("后面没有回答", "no answer after it")
    for _, message in conversation[:start]:
        _leave_out(table, message, unasked)
    for _, message in conversation[end:]:
        _leave_out(table, message, unanswered)
    kept = conversation[start:end]
    if not kept:
        return []
    messages: list[dict] = [{"role": "system", "content": system}] if system else []
    for side, message in kept:
        # People send one thought in several messages.
        if messages and messages[-1]["role"] == side:
            messages[-1]["content"] += "\n" + message.text
        else:
            messages.append({"role": side, "content": message.text})
    first = kept[0][1]
    line = first.place.line
    into = tr(f"第 {line} 行", f"line {line}")
    for _, message in kept[1:]:
        change = change_of(message.place, "joined", into, row=message.number)
        table.changes.append(change)
    return [Entry(first.number, first.place, {"messages": messages})]

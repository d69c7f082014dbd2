"""Read chats that are written as text, or in Telegram's JSON, as the rows of a table.

    rows(text)            the messages, each with its line; an empty list where it is no chat
    telegram(entries)     the same of Telegram's export

Known are a line of time and name above each message (QQ, WeChat, Feishu), both before it on the
same line (WhatsApp), and `客服：…` on each line. What a message is worth is found out by
`chat_messages.py`, from the columns that are made here.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

COLUMNS = ("speaker", "time", "text", "type", "room")
NOTICE = "notice"  # the type of what no person wrote

LINES_LOOKED_AT = 300  # to see whether a text is a chat
LONGEST_HEADLINE = 130  # characters

# Whose lines begin with who they are, in `客服：…`.
_ASKING = "用户 客户 顾客 买家 访客 来访者 咨询者 学员 患者 问 user customer client visitor human q"
_ANSWERING = """
    客服 人工客服 智能客服 在线客服 客服人员 坐席 机器人 助手 商家 卖家 员工 答
    agent assistant bot staff seller operator gpt a
"""
ASKING = frozenset(_ASKING.split())
ANSWERING = frozenset(_ANSWERING.split())

# Marks of direction, and a byte-order mark, are written before names and times.
_UNSEEN = str.maketrans(dict.fromkeys("\u200e\u200f\u202a\u202b\u202c\ufeff") | {"\u202f": " "})

_DATE = r"(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))"
_CLOCK = r"(?:[上下中]午|凌晨|早上|晚上)? ?\d{1,2}:\d{2}(?::\d{2})?(?: ?[AaPp]\.?[Mm]\.?)?"
_TIME = rf"{_DATE},?[ T]{{1,3}}{_CLOCK}"
# "2024-03-01 10:01:00 小雅(12345)", the text below; "小雅 2024/3/1 10:01", the text below;
# "[2024/3/1 10:01:00] 小雅: 在吗", all on one line.
_TIME_FIRST = re.compile(rf"({_TIME})[ \t]{{1,4}}(\S.{{0,60}})")
_NAME_FIRST = re.compile(rf"^(\S.{{0,60}}?)[ \t]{{1,4}}({_TIME})")
_ON_ONE_LINE = re.compile(rf"\[?({_TIME})\]?(?: ?-)? ([^:：\[\]]{{1,40}})[:：] ?(.*)")
# The same without a speaker: what the program says.
_NOTICE = re.compile(rf"(?:\[({_TIME})\]|({_TIME}) -) (.+)")
_WITHOUT_DATE = re.compile(rf"^(\S.{{0,30}}?)[ \t]{{1,4}}({_CLOCK})")
_SPEAKER = re.compile(r"[\[【]?([^\s:：\[\]【】]{1,12})[\]】]?[:：][ \t]*(.*)")
_LEVEL = re.compile(r"\W{0,2}(?:INFO|WARN|ERROR|DEBUG|TRACE|FATAL|CRITICAL|NOTICE)")
_ACCOUNT = re.compile(r"[(（<][^()（）<>]{1,60}[)）>]$")  # the number of an account behind a name
_TITLE = re.compile(r"^【[^【】]{1,10}】(?=.)")  # of a member of a group: 【管理员】小雅
# Between the conversations of QQ's export.
_SECTION = re.compile(r"={8,}|消息(?:分组|对象)[:：].*|消息记录（.*")


@dataclass
class _Found:
    """A message while its lines are read."""

    line: int
    speaker: str
    time: str | None = None
    lines: list[str] = field(default_factory=list)
    kind: str = ""
    room: str = ""

    def row(self) -> dict[str, str]:
        text = "\n".join(self.lines).strip()
        row = {"speaker": self.speaker, "text": text, "type": self.kind, "room": self.room}
        return row if self.time is None else row | {"time": self.time}


def is_chat(text: str) -> bool:
    """Return whether a text is a chat, by its beginning."""
    # JSON is none; `[2024/3/1 …` is.
    begins = text.lstrip("\ufeff \t\r\n")[:2]
    if begins.startswith("{") or (begins.startswith("[") and not begins[1:].isalnum()):
        return False
    return bool(_messages(text.split("\n", LINES_LOOKED_AT)[:LINES_LOOKED_AT]))


def rows(text: str) -> list[tuple[int, dict[str, str]]]:
    """Return the messages of a chat with their lines; none where the text is no chat."""
    if not is_chat(text):
        return []
    return [(found.line, found.row()) for found in _messages(text.split("\n"))]


def _messages(lines: Sequence[str]) -> list[_Found]:
    lines = [line.translate(_UNSEEN) if not line.isascii() else line for line in lines]
    found = list(_with_times(lines))
    speakers = [message.speaker for message in found if not message.kind]
    # Speakers come again; a log of a program has other words behind its times.
    is_talk = len(speakers) == 2 or len(set(speakers)) < len(speakers)
    if is_talk and not any(map(_LEVEL.match, speakers)):
        return found
    return _without_dates(lines) or _by_role(lines)


def _with_times(lines: Sequence[str]) -> Iterator[_Found]:
    """Yield the messages that have a date and a time."""
    room = ""
    message: _Found | None = None
    for number, line in enumerate(lines, 1):
        content = line.strip()
        begun = _begun(number, content)
        if begun:
            if message:
                yield message
            message = begun
            message.room = room
        elif _SECTION.fullmatch(content[:LONGEST_HEADLINE]):
            if message:
                yield message
            message = None
            if content.startswith("消息对象"):
                room = content[5:].strip()
        elif message:
            message.lines.append(line)
    if message:
        yield message


def _begun(number: int, content: str) -> _Found | None:
    """Return the message that begins on a line."""
    if not any(c.isdigit() for c in content[:LONGEST_HEADLINE]):
        return None
    one = _ON_ONE_LINE.match(content)
    if one:
        return _Found(number, _name(one[2]), one[1], [one[3]])
    notice = _NOTICE.match(content)
    if notice:
        return _Found(number, "", notice[1] or notice[2], [notice[3]], NOTICE)
    if len(content) > LONGEST_HEADLINE:
        return None
    above = _TIME_FIRST.fullmatch(content)
    if above:
        return _Found(number, _name(above[2]), above[1])
    # A time at the end has digits there, or AM.
    if not content[-1:].isdigit() and content[-1:] not in "mM.":
        return None
    above = _NAME_FIRST.fullmatch(content)
    return _Found(number, _name(above[1]), above[2]) if above else None


def _name(written: str) -> str:
    name = _ACCOUNT.sub("", written.strip()).strip()
    return _TITLE.sub("", name) or written.strip()


def _without_dates(lines: Sequence[str]) -> list[_Found]:
    """Return the messages of a text with `小雅 10:01` above each; none where it is not so."""
    heads: dict[int, re.Match[str]] = {}
    for number, line in enumerate(lines, 1):
        head = _WITHOUT_DATE.fullmatch(line.strip()) if len(line) < LONGEST_HEADLINE else None
        if head:
            heads[number] = head
    counts = Counter(head[1] for head in heads.values())
    # A line of a message may look so, once; and speakers come again.
    heads = {number: head for number, head in heads.items() if counts[head[1]] > 1}
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), 0)
    if len(heads) < 4 or first not in heads:
        return []
    messages: list[_Found] = []
    for number, line in enumerate(lines, 1):
        if number in heads:
            messages.append(_Found(number, _name(heads[number][1]), heads[number][2]))
        elif messages:
            messages[-1].lines.append(line)
    return messages


def _by_role(lines: Sequence[str]) -> list[_Found]:
    """Return the messages of a text in which each begins with who speaks, by a usual name."""
    messages: list[_Found] = []
    room = 1
    for number, line in enumerate(lines, 1):
        begun = _SPEAKER.fullmatch(line.strip()[:LONGEST_HEADLINE])
        speaker = begun[1].casefold() if begun else ""
        if begun and speaker in ASKING | ANSWERING:
            messages.append(_Found(number, begun[1], None, [_behind(line)], room=str(room)))
        elif messages and line.strip():
            messages[-1].lines.append(line)
        elif not messages and line.strip():
            return []
        elif messages and messages[-1].speaker.casefold() in ANSWERING:
            # An empty line after an answer ends the conversation.
            room += 1
    sides = {message.speaker.casefold() in ASKING for message in messages}
    return messages if len(sides) == 2 else []


def _behind(line: str) -> str:
    """Return what is behind the colon that follows a speaker."""
    at = min(found for found in (line.find(":"), line.find("：")) if found >= 0)
    return line[at + 1 :].strip()


def is_telegram(value: object) -> bool:
    """Return whether a value is a chat as Telegram exports it."""
    messages = value.get("messages") if isinstance(value, Mapping) else None
    first = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(first, dict) or not {"type", "date"} <= first.keys():
        return False
    return "from" in first or "actor" in first


def telegram(chat: Mapping) -> list[dict[str, str]]:
    """Return the messages of a chat of Telegram's export."""
    room = chat.get("name")
    messages = chat.get("messages")
    assert isinstance(messages, list)
    return [_telegram_row(m if isinstance(m, dict) else {}, room) for m in messages]


def _telegram_row(message: dict, room: object) -> dict[str, str]:
    parts = message.get("text", "")
    if not isinstance(parts, list):
        parts = [parts]
    # A link or a bold word is an object with its text.
    objects = [part if isinstance(part, dict) else {"text": part} for part in parts]
    texts = [part.get("text", "") for part in objects]
    values = {
        "speaker": message.get("from") or message.get("actor"),
        "time": message.get("date"),
        "text": "".join(text for text in texts if isinstance(text, str)),
        "type": message.get("media_type") or message.get("type"),
        "room": room,
    }
    return {key: value if isinstance(value, str) else "" for key, value in values.items()}

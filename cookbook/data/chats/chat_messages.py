"""Read the messages of a chat log: who said what, when, and in which conversation.

Known are tables, by the usual names of their columns (WeChat, Feishu, DingTalk, help desks), text
with a line of time and name above each message (QQ, WeChat, WhatsApp), and Telegram's JSON. What is
no text that anybody wrote (pictures, notices, calls) is marked with the reason, not removed here.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from cookbook.data.entry import Entry, Place
from cookbook.data.tables import frame, heading

Reason = tuple[str, str]  # why a message is left out, in Chinese and English

# The columns of each kind, the most telling first.
COLUMNS = {
    "text": """
        消息内容 聊天内容 内容 msg strcontent content message text
        消息 文本 正文 发言内容 发言 body
    """,
    "role": "角色 role 身份 发送方类型 sender_type sender_role 说话方",
    "speaker": """
        发送人 发送者 发言人 发言者 发送方 说话人 昵称 发送人昵称 发送者昵称 发送人名称
        nickname nick_name sender_name sendername sender talker from_name from
        speaker username user_name 姓名 author
    """,
    "own": """
        is_sender issender is_send issend is_self isself is_mine
        是否本人 是否自己 是否自己发送
    """,
    "time": """
        发送时间 消息时间 聊天时间 时间 日期时间 日期 strtime createtime create_time send_time
        time datetime timestamp date sent_at created_at
    """,
    "room": """
        会话id 会话编号 会话标识 会话 对话id 对话编号 咨询id 工单号 工单编号
        群名称 群名 群聊 房间 session_id sessionid conversation_id conversationid
        chat_id dialog_id room_name room_id room talkerid strtalker chat_name
    """,
    "kind": "type_name 消息类型 类型 msg_type msgtype message_type type",
}
_NAMES = {kind: names.split() for kind, names in COLUMNS.items()}

_TEXT_KINDS = frozenset(("", "0", "1", "文本", "文字", "消息", "引用", "message", "quote"))
_KIND_NAMES = {
    "3": "图片",
    "34": "语音",
    "42": "名片",
    "43": "视频",
    "47": "动画表情",
    "48": "位置",
    "49": "文件或链接",
    "50": "通话",
    "10000": "系统通知",
    "10002": "系统通知",
}
_NOTICE: Reason = ("系统通知", "a system notice")
_EMPTY: Reason = ("空消息", "an empty message")
_MEDIA: Reason = ("图片、语音、表情或文件", "a picture, voice message, sticker or file")

NOTICE_SPEAKERS = frozenset(("系统", "系统消息", "系统通知", "system", "notice"))
_LONGEST_NOTICE = 80
_PLACEHOLDER = re.compile(
    r"[\[【<](?:图片|照片|动画表情|表情|贴图|语音|视频|文件|链接|位置|名片|红包|微信红包|转账"
    r"|微信转账|语音通话|视频通话|音乐|小程序|聊天记录|接龙"
    r"|photo|image|sticker|video|voice|audio|file|media omitted)(?:消息)?[\]】>]",
    re.IGNORECASE,
)
_CALL = re.compile(r"(?:语音|视频)?通话(?:时长|已取消|中断)[ :：0-9]{0,12}")
_NOTICE_ENDS = (
    "撤回了一条消息",
    "撤回了一条成员消息",
    "加入了群聊",
    "移出了群聊",
    "以上是打招呼的内容",
    "现在可以开始聊天了",
    "recalled a message",
    "this message was deleted",
    "请在手机上查看",
)

_DATE = r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?"
_CLOCK = r"(?:上午|下午)?\d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?"
# "2024-03-01 10:01:00 小雅(12345)", the text below; "小雅 2024/3/1 10:01", the text below;
# "[2024/3/1 10:01:00] 小雅: 在吗", all on one line.
_TIME_FIRST = re.compile(rf"^({_DATE}[ T]{{1,3}}{_CLOCK})[ \t]{{1,4}}(\S.{{0,60}})$")
_NAME_FIRST = re.compile(rf"^(\S.{{0,60}}?)[ \t]{{1,4}}({_DATE}[ T]{{1,3}}{_CLOCK})$")
_ON_ONE_LINE = re.compile(
    rf"^\[?({_DATE},? {{1,3}}{_CLOCK})\]?(?: ?-)? ([^:：\[\]]{{1,40}})[:：] ?(.*)$"
)
_ACCOUNT = re.compile(r"[(（<][^()（）<>]{1,60}[)）>]$")  # the number of an account behind a name

_MOMENT = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})[^\d]{1,8}(\d{1,2}):(\d{2})(?::(\d{2}))?"
)


@dataclass
class Message:
    """One message of a log.

    Attributes:
        is_own: whether the owner of the log wrote it; None where the log does not say.
        left_out: why nothing can be learned from it; None for text.
    """

    number: int
    place: Place
    speaker: str
    text: str
    time: datetime | None = None
    room: str = ""
    is_own: bool | None = None
    left_out: Reason | None = None


def columns_of(columns: Iterable[str]) -> dict[str, str]:
    """Return the column of each kind that a table has."""
    by_name: dict[str, str] = {}
    for name in columns:
        by_name.setdefault(heading.plain(name), name)
    found: dict[str, str] = {}
    for kind, names in _NAMES.items():
        there = [by_name[name] for name in names if name in by_name]
        # A column is of one kind: `sender` may be a name or a mark of the owner.
        free = [name for name in there if name not in found.values()]
        if free:
            found[kind] = free[0]
    return found


def message_of(entry: Entry, columns: Mapping[str, str]) -> Message:
    """Return the message in a row of a table; `columns` has the name of each kind of column."""
    # Rows in memory may be anything.
    row = entry.value if isinstance(entry.value, Mapping) else {}
    cells = {kind: row.get(name) for kind, name in columns.items()}
    texts = {kind: _text(value) for kind, value in cells.items()}
    speaker = texts.get("role") or texts.get("speaker", "")
    message = Message(entry.number, entry.place, speaker, texts.get("text", ""))
    message.room = texts.get("room", "")
    message.time = moment(cells.get("time"))
    if "own" in columns:
        own = texts["own"].casefold()
        message.is_own = own in ("1", "true", "是", "yes", "y")
        # Some exports mark only which messages are one's own.
        if not speaker:
            message.speaker = "我" if message.is_own else message.room or "对方"
    message.left_out = _why_left_out(message, texts.get("kind", ""))
    return message


def blocks(text: str) -> list[Message]:
    """Return the messages of a text in which a line of time and name is above each, or before it on
    the same line; an empty list where it is none."""
    messages: list[Message] = []
    lines: list[str] = []
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for line, content in enumerate(text.split("\n"), 1):
        message, first = _headline(content, line)
        if message is None:
            # What is above the first message is the exporter's own.
            if messages:
                lines.append(content)
            continue
        _end_block(messages, lines)
        message.number = len(messages) + 1
        messages.append(message)
        lines = [first] if first else []
    _end_block(messages, lines)
    return messages if len(messages) > 1 else []


def _end_block(messages: list[Message], lines: list[str]) -> None:
    if messages:
        last = messages[-1]
        last.text = "\n".join(lines).strip()
        last.left_out = _why_left_out(last, "")


def _headline(content: str, line: int) -> tuple[Message | None, str]:
    """Return the message that a line begins, and the text on that line."""
    content = content.strip()
    if not any(c.isdigit() for c in content[:120]):
        return None, ""
    one = _ON_ONE_LINE.match(content)
    if one:
        return _begun(line, one[2], one[1]), one[3]
    if len(content) > 130:
        return None, ""
    above = _TIME_FIRST.match(content)
    if above:
        return _begun(line, above[2], above[1]), ""
    above = _NAME_FIRST.match(content)
    if above:
        return _begun(line, above[1], above[2]), ""
    return None, ""


def _begun(line: int, speaker: str, time: str) -> Message:
    name = _ACCOUNT.sub("", speaker.strip()).strip()
    name = name or speaker.strip()
    return Message(0, Place(line), name, "", moment(time))


def telegram(text: str) -> list[dict] | None:
    """Return the messages of Telegram's export as rows of a table; None for other JSON."""
    try:
        export = json.loads(text)
    except (ValueError, RecursionError):
        return None
    messages = export.get("messages") if isinstance(export, dict) else None
    if not isinstance(messages, list):
        return None
    return [_telegram_row(message) for message in messages if isinstance(message, dict)]


def _telegram_row(message: dict) -> dict:
    parts = message.get("text", "")
    if not isinstance(parts, list):
        parts = [parts]
    # A link or a bold word is an object with its text.
    objects = [part if isinstance(part, dict) else {"text": part} for part in parts]
    texts = [part.get("text", "") for part in objects]
    return {
        "from": message.get("from") or message.get("actor"),
        "time": message.get("date"),
        "type": message.get("media_type") or message.get("type"),
        "text": "".join(text for text in texts if isinstance(text, str)),
    }


def moment(value: object) -> datetime | None:
    """Return a time as logs write it: text, or seconds or milliseconds since 1970."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    text = _text(value)
    if text.isdecimal() and len(text) in (10, 13):
        since_1970 = datetime.fromtimestamp(int(text[:10]), UTC)
        return since_1970.replace(tzinfo=None)
    found = _MOMENT.search(text[:60])
    if not found:
        return None
    parts = [int(part or 0) for part in found.groups()]
    year, month, day, hour, minute, second = parts
    # 2:05 PM is written so, too.
    is_afternoon = "下午" in text or "PM" in text.upper()
    if is_afternoon and hour < 12:
        hour += 12
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _text(value: object) -> str:
    text = frame.text(frame.plain(value))
    return "" if text is None else text.strip()


def _why_left_out(message: Message, kind: str) -> Reason | None:
    """Return why nothing can be learned from a message; None for text."""
    kind = kind.casefold()
    name = _KIND_NAMES.get(kind, kind)[:40]
    # Names vary: 文本消息, 带有引用的文本消息, text.
    is_text = kind in _TEXT_KINDS or "文本" in kind or "text" in kind
    if message.speaker.casefold() in NOTICE_SPEAKERS:
        return _NOTICE
    if "系统" in name or kind == "service":
        return _NOTICE
    if not is_text:
        return name, f"not text: {name}"
    text = message.text
    if not text:
        return _EMPTY
    if _PLACEHOLDER.fullmatch(text) or _CALL.fullmatch(text) or text.startswith("[文件]"):
        return _MEDIA
    short = text[:_LONGEST_NOTICE].rstrip("。.!！ ").casefold()
    is_notice = len(text) <= _LONGEST_NOTICE and short.endswith(_NOTICE_ENDS)
    return _NOTICE if is_notice or short.startswith('我拍了拍 "') else None


def are_messages(columns: Sequence[str]) -> bool:
    """Return whether a table has the columns of a chat log."""
    found = columns_of(columns)
    has_speaker = bool(found.keys() & {"own", "role", "speaker"})
    has_order = bool(found.keys() & {"own", "time", "room"})
    return "text" in found and has_speaker and has_order


def of_table(entries: Iterable[Entry], columns: Sequence[str]) -> Iterator[Message]:
    """Yield the messages of a table, each row of which is an entry."""
    found = columns_of(columns)
    for entry in entries:
        yield message_of(entry, found)

"""Read the messages of a chat log: who said what, when, and in which conversation.

Known are tables, by the usual names of their columns (WeChat, Feishu, DingTalk, help desks); chats
in text and JSON come as such a table, see `texts.py`. What is no text that anybody wrote (pictures,
notices, calls) is marked with the reason, not removed here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise

from cookbook.data.entry import Entry, Place
from cookbook.data.tables import frame, heading
from cookbook.i18n import tr

Reason = tuple[str, str]  # why a message is left out, in Chinese and English

# The columns of each kind, the most telling first.
COLUMNS = {
    "text": """
        消息内容 聊天内容 内容 msg strcontent content message text
        消息 文本 正文 发言内容 发言 body
    """,
    "role": """
        角色 role 身份 身份类型 发送方类型 发送人类型 发送者类型 发言人类型 消息来源 来源
        sender_type sendertype sender_role user_type from_type direction 说话方
    """,
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
_KIND_NAMES: dict[str, Reason] = {
    "3": ("图片", "a picture"),
    "34": ("语音", "a voice message"),
    "42": ("名片", "a contact card"),
    "43": ("视频", "a video"),
    "47": ("动画表情", "a sticker"),
    "48": ("位置", "a location"),
    "49": ("文件或链接", "a file or link"),
    "50": ("通话", "a call"),
}
_NOTICE_KINDS = frozenset(("10000", "10002", "service", "notice"))
_NOTICE: Reason = ("系统通知", "a system notice")
_EMPTY: Reason = ("空消息", "an empty message")
_MEDIA: Reason = ("图片、语音、表情或文件", "a picture, voice message, sticker or file")

NOTICE_SPEAKERS = frozenset(("系统", "系统消息", "系统通知", "system", "notice"))
_ROLES = frozenset(("system", "user", "assistant"))
_LONGEST_NOTICE = 120
_PLACEHOLDER = re.compile(
    r"[\[【<](?:图片|照片|动画表情|表情|贴图|语音|视频|文件|链接|位置|名片|红包|微信红包|转账"
    r"|微信转账|语音通话|视频通话|音乐|小程序|聊天记录|接龙"
    r"|photo|image|sticker|video|voice|audio|file|media omitted)(?:消息)?[\]】>]",
    re.IGNORECASE,
)
_CALL = re.compile(r"(?:语音|视频)?通话(?:时长|已取消|中断)[ :：0-9]{0,12}")
_QUOTE_ENDS = re.compile(r"」\s?\n[ \t]*(?:- ?|—){3,60}\n")
LONGEST_QUOTE = 5_000  # characters
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
    "you deleted this message",
    "end-to-end encrypted",
    "端到端加密",
    "开启了朋友验证",
    "对方正在输入",
)
_MEDIA_ENDS = (
    "image omitted",
    "video omitted",
    "audio omitted",
    "sticker omitted",
    "gif omitted",
    "document omitted",
    "(file attached)",
)

_CLOCK = r"[^\d]{1,8}(\d{1,2}):(\d{2})(?::(\d{2}))?"
_MOMENT = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})" + _CLOCK)
# The year last: 3/1/24, where nobody knows which is the month.
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4}|\d{2})(?!\d)" + _CLOCK)
_MORNING = re.compile(r"上午|凌晨|早上|\bA\.?M\b|\dA\.?M\b", re.IGNORECASE)
_AFTERNOON = re.compile(r"下午|晚上|中午|\bP\.?M\b|\dP\.?M\b", re.IGNORECASE)


@dataclass
class Message:
    """One message of a log.

    Attributes:
        is_own: whether the owner of the log wrote it; None where the log does not say.
        left_out: why nothing can be learned from it; None for text.
        quoted: what was quoted above the text, and taken away.
    """

    number: int
    place: Place
    speaker: str
    text: str
    time: datetime | None = None
    room: str = ""
    is_own: bool | None = None
    left_out: Reason | None = None
    quoted: str = ""


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
    """Return the message in a row of a table, without its time; `columns` has the name of each kind
    of column."""
    # Rows in memory may be anything.
    row = entry.value if isinstance(entry.value, Mapping) else {}
    cells = {kind: row.get(name) for kind, name in columns.items()}
    texts = {kind: _text(value) for kind, value in cells.items()}
    speaker = texts.get("role") or texts.get("speaker", "")
    message = Message(entry.number, entry.place, speaker, texts.get("text", ""))
    message.room = texts.get("room", "")
    message.text, message.quoted = _without_quote(message.text)
    if "own" in columns:
        own = texts["own"].casefold()
        message.is_own = own in ("1", "true", "是", "yes", "y")
        # Some exports mark only which messages are one's own.
        if not speaker:
            other = message.room or tr("对方", "the other")
            message.speaker = tr("我", "me") if message.is_own else other
    message.left_out = _why_left_out(message, texts.get("kind", ""))
    return message


def moments(values: Sequence[object]) -> list[datetime | None]:
    """Return the times of a log; which number is the day is known from all of them together."""
    texts = (_text(value)[:60] for value in values)
    found = [match for match in map(_YEAR_LAST.search, texts) if match]
    if not found:
        return [moment(value) for value in values]
    if any(int(match[1]) > 12 for match in found) or found[0][2] == ".":
        return [moment(value, day_first=True) for value in values]
    by_month = [moment(value) for value in values]
    if any(int(match[3]) > 12 for match in found):
        return by_month
    # A log is mostly in order. Americans write the month first, and AM or PM.
    by_day = [moment(value, day_first=True) for value in values]
    has_halves = any(_MORNING.search(m.string) or _AFTERNOON.search(m.string) for m in found)
    if _is_sorted(by_month) == _is_sorted(by_day):
        return by_month if has_halves else by_day
    return by_month if _is_sorted(by_month) else by_day


def _is_sorted(times: Sequence[datetime | None]) -> bool:
    known = [time for time in times if time]
    return all(one <= other for one, other in pairwise(known))


def moment(value: object, *, day_first: bool = False) -> datetime | None:
    """Return a time as logs write it: text, or seconds or milliseconds since 1970."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    text = _text(value)[:60]
    if text.isdecimal() and len(text) in (10, 13):
        since_1970 = datetime.fromtimestamp(int(text[:10]), UTC)
        return since_1970.replace(tzinfo=None)
    found = _MOMENT.search(text)
    if found:
        return _moment(text, *(int(part or 0) for part in found.groups()))
    found = _YEAR_LAST.search(text)
    if not found:
        return None
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    month, day = (second, first) if day_first else (first, second)
    clock = (int(part or 0) for part in found.groups()[4:])
    return _moment(text, year if year > 99 else 2000 + year, month, day, *clock)


def _moment(
    text: str, year: int, month: int, day: int, hour: int, minute: int, second: int
) -> datetime | None:
    # 2:05 PM is written so, too; 12 AM is midnight.
    if hour < 12 and _AFTERNOON.search(text):
        hour += 12
    elif hour == 12 and _MORNING.search(text):
        hour = 0
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _text(value: object) -> str:
    text = frame.text(frame.plain(value))
    return "" if text is None else text.strip()


def _without_quote(text: str) -> tuple[str, str]:
    """Return a reply, and the message that WeChat quotes above it: 「…」, and a line."""
    if not text.startswith("「"):
        return text, ""
    found = _QUOTE_ENDS.search(text, 0, LONGEST_QUOTE)
    return (text[found.end() :].strip(), text[: found.start()]) if found else (text, "")


def _why_left_out(message: Message, kind: str) -> Reason | None:
    """Return why nothing can be learned from a message; None for text."""
    kind = kind.casefold()
    # Names vary: 文本消息, 带有引用的文本消息, text.
    is_text = kind in _TEXT_KINDS or "文本" in kind or "text" in kind
    if message.speaker.casefold() in NOTICE_SPEAKERS:
        return _NOTICE
    if "系统" in kind or kind in _NOTICE_KINDS:
        return _NOTICE
    if not is_text:
        return _KIND_NAMES.get(kind, (kind[:40], f"not text: {kind[:40]}"))
    text = message.text
    if not text:
        return _EMPTY
    if _PLACEHOLDER.fullmatch(text) or _CALL.fullmatch(text) or text.startswith("[文件]"):
        return _MEDIA
    if len(text) <= _LONGEST_NOTICE and text.casefold().endswith(_MEDIA_ENDS):
        return _MEDIA
    short = text[:_LONGEST_NOTICE].rstrip("。.!！ ").casefold()
    is_notice = len(text) <= _LONGEST_NOTICE and short.endswith(_NOTICE_ENDS)
    return _NOTICE if is_notice or short.startswith('我拍了拍 "') else None


def without_prompts(
    messages: Sequence[Message],
) -> tuple[dict[str, list[Message]], list[Message]]:
    """Return the system messages of each room, and all others.

    There are some only in a log whose roles are those of a training file; elsewhere `system` is the
    program that sends notices.
    """
    speakers = {message.speaker.casefold() for message in messages}
    if "user" not in speakers or not speakers <= _ROLES:
        return {}, list(messages)
    prompts: dict[str, list[Message]] = {}
    others = []
    for message in messages:
        if message.speaker.casefold() == "system" and message.text:
            prompts.setdefault(message.room, []).append(message)
        else:
            others.append(message)
    return prompts, others


def are_messages(columns: Sequence[str]) -> bool:
    """Return whether a table has the columns of a chat log."""
    found = columns_of(columns)
    has_speaker = bool(found.keys() & {"own", "role", "speaker"})
    has_order = bool(found.keys() & {"own", "time", "room"})
    return "text" in found and has_speaker and has_order


def of_table(entries: Iterable[Entry], columns: Sequence[str]) -> Iterator[Message]:
    """Yield the messages of a table, each row of which is an entry."""
    found = columns_of(columns)
    messages = []
    times: list[object] = []
    for entry in entries:
        messages.append(message_of(entry, found))
        row = entry.value if isinstance(entry.value, Mapping) else {}
        times.append(row.get(found.get("time", "")))
    for message, time in zip(messages, moments(times), strict=True):
        message.time = time
        yield message

"""Find out who asks and who answers in a chat log, or say that nobody can know."""

from collections import Counter
from collections.abc import Mapping

from cookbook.data.chat_messages import Message
from cookbook.data.excerpt import visible
from cookbook.data.tables.table import named
from cookbook.errors import DataError

_ME = frozenset(("我", "me", "self", "自己", "本人"))
# Those whose part it is to answer.
_ANSWERING = _ME | {
    "客服",
    "人工客服",
    "智能客服",
    "在线客服",
    "坐席",
    "机器人",
    "助手",
    "agent",
    "assistant",
    "bot",
    "staff",
    "商家",
    "卖家",
}


class Sides:
    """Who asks and who answers.

    Raises:
        DataError: nobody can know it from the log, or a name is not in it.
    """

    def __init__(
        self,
        messages: list[Message],
        rooms: Mapping[str, list[Message]],
        assistants: frozenset[str],
        users: frozenset[str],
    ):
        self.speakers = Counter(m.speaker for room in rooms.values() for m in room)
        has_own = any(message.is_own for message in messages)
        self._by_own = has_own and assistants <= _ME
        self._users = users
        self._check_names(assistants | users)
        self._assistants = assistants or self._usual_assistants()
        # Of two named sides, one says who the other is.
        self._others_answer = bool(users) and not self._assistants and not self._by_own
        if not (self._assistants or self._by_own or self._others_answer):
            self._refuse("看不出谁是回答的一方", "it is not clear who answers")
        groups = [room for room in rooms.values() if self.is_group(room)]
        if rooms and len(groups) == len(rooms):
            self._refuse(
                "有几个人在提问，要用 user= 说明谁是提问的人",
                "several people ask: name one as user=",
            )

    def of(self, message: Message) -> str | None:
        """Return `user` or `assistant`; None for others."""
        if message.speaker in self._users:
            return "user"
        answers = message.is_own if self._by_own else message.speaker in self._assistants
        if answers or self._others_answer:
            return "assistant"
        return None if self._users else "user"

    def is_group(self, room: list[Message]) -> bool:
        """Return whether several people could be the one who asks, or who answers."""
        if self._users and not self._others_answer:
            return False
        side = "assistant" if self._others_answer else "user"
        return len({m.speaker for m in room if self.of(m) == side}) > 1

    def _usual_assistants(self) -> frozenset[str]:
        if self._by_own or self._users:
            return frozenset()
        usual = {s for s in self.speakers if s.casefold() in _ANSWERING or s.startswith("客服")}
        return frozenset(usual) if len(usual) < len(self.speakers) else frozenset()

    def _check_names(self, names: frozenset[str]) -> None:
        for name in names:
            if name not in self.speakers and not (self._by_own and name in _ME):
                self._refuse(f"没有叫 {name!r:.60} 的人", f"nobody is called {name!r:.60}")

    def _refuse(self, zh: str, en: str) -> None:
        most = self.speakers.most_common()
        counted = named([f"{name[:30]} × {count}" for name, count in most])
        first = visible(most[0][0][:30]) if most else "我"
        raise DataError(
            zh=f"{zh}。说话的人：{counted}。"
            f'例如 data.from_chat_log(path, assistant="{first}")，user= 写提问的人',
            en=f"{en}. Speakers: {counted}. "
            f'For example data.from_chat_log(path, assistant="{first}"), with user= for who asks',
        )

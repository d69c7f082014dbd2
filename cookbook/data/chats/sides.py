"""Find out who asks and who answers in a chat log, or say that nobody can know."""

from collections import Counter
from collections.abc import Mapping
from itertools import chain

from cookbook.data.chats.chat_messages import Message
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import MAX_NAMED, named
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

    Args:
        source: what is written for the log in a call.

    Raises:
        DataError: nobody can know it from the log, or a name is not in it.
    """

    def __init__(
        self,
        messages: list[Message],
        rooms: Mapping[str, list[Message]],
        assistants: frozenset[str],
        users: frozenset[str],
        source: str,
    ):
        self._source = source
        spoken = chain.from_iterable(rooms.values())
        self.speakers = Counter(message.speaker for message in spoken)
        has_own = any(message.is_own for message in messages)
        self._by_own = has_own and assistants <= _ME
        self._users = users
        self._check_names(assistants | users)
        self._assistants = assistants or self._usual_assistants()
        # Of two named sides, one says who the other is.
        is_known = bool(self._assistants) or self._by_own
        self._others_answer = bool(users) and not is_known
        if not (is_known or self._others_answer):
            self._refuse("看不出谁是回答的一方", "it is not clear who answers")
        groups = [room for room in rooms.values() if self.is_group(room)]
        if rooms and len(groups) == len(rooms):
            self._refuse(
                "有几个人在提问，要用 user= 说明谁是提问的人",
                "several people ask: name one with user=",
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
        speakers = {message.speaker for message in room if self.of(message) == side}
        return len(speakers) > 1

    def _usual_assistants(self) -> frozenset[str]:
        if self._by_own or self._users:
            return frozenset()
        usual = frozenset(filter(_answers_by_name, self.speakers))
        # Somebody must be left to ask.
        return usual if len(usual) < len(self.speakers) else frozenset()

    def _check_names(self, names: frozenset[str]) -> None:
        for name in names:
            if name not in self.speakers and not (self._by_own and name in _ME):
                shown = repr(name)[:60]
                self._refuse(f"没有叫 {shown} 的人", f"nobody is called {shown}")

    def _refuse(self, zh: str, en: str) -> None:
        most = self.speakers.most_common()
        # The most talkative first, so that those who matter are shown.
        counts = [f"{name[:30]} × {count}" for name, count in most[:MAX_NAMED]]
        counted = named(counts)
        if len(most) > len(counts):
            counted += " …"
        first = visible(most[0][0][:30]) if most else "我"
        raise DataError(
            zh=f"{zh}。说话的人：{counted}。"
            f'例如 data.from_chat_log({self._source}, assistant="{first}")，user= 写提问的人',
            en=f"{en}. Speakers: {counted}. "
            f'For example data.from_chat_log({self._source}, assistant="{first}"); '
            "user= names the one who asks",
        )


def _answers_by_name(speaker: str) -> bool:
    """Return whether a name says that its owner answers: 客服, 客服小李, agent."""
    return speaker.casefold() in _ANSWERING or speaker.startswith("客服")

"""Find out who asks and who answers in a chat log, or say that nobody can know."""

from collections import Counter
from collections.abc import Mapping
from itertools import chain

from cookbook.data.chats import texts
from cookbook.data.chats.chat_messages import Message
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import MAX_NAMED, named
from cookbook.errors import DataError

_ME = frozenset(("我", "me", "self", "自己", "本人"))


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
        spoken = list(chain.from_iterable(rooms.values()))
        self.speakers = Counter(message.speaker for message in spoken)
        self._rooms = rooms
        self._source = source
        has_own = any(message.is_own for message in messages)
        self._by_own = has_own and assistants <= _ME
        self._users = users
        self._given = assistants
        self._check_names(assistants | users)
        if self._by_own and not assistants | users:
            self._check_own(spoken)
        self._assistants = assistants or self._usual_assistants()
        # Of two named sides, one says who the other is.
        is_known = bool(self._assistants) or self._by_own
        # Any agent may answer 客户; among friends it must be said who does.
        self._agents_answer = not (users or is_known)
        if self._agents_answer:
            self._users = self._usual_users()
        self._others_answer = bool(self._users) and not is_known
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
        if self._others_answer and self._agents_answer:
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

    def _usual_users(self) -> frozenset[str]:
        usual = frozenset(name for name in self.speakers if name.casefold() in texts.ASKING)
        # Somebody must be left to answer.
        return usual if len(usual) < len(self.speakers) else frozenset()

    def _check_own(self, spoken: list[Message]) -> None:
        """Refuse a log whose mark of the owner says the opposite of the names."""
        own = {message.speaker for message in spoken if message.is_own}
        others = {message.speaker for message in spoken if not message.is_own} - own
        contrary = sorted(filter(_answers_by_name, others))
        if contrary and not any(map(_answers_by_name, own)):
            self._refuse(
                f"{contrary[0][:30]} 该是回答的一方，可是标成了对方发的",
                f"{contrary[0][:30]} should answer, but is marked as the other side",
                first=contrary[0],
            )

    def _refuse(self, zh: str, en: str, *, first: str | None = None) -> None:
        most = self.speakers.most_common()
        # The most talkative first, so that those who matter are shown.
        counts = [f"{name[:30]} × {count}" for name, count in most[:MAX_NAMED]]
        counted = named(counts)
        if len(most) > len(counts):
            counted += " …"
        if not most:
            raise DataError(
                zh="里面没有文字消息，只有图片、通知之类",
                en="there are no text messages, only pictures, notices and the like",
            )
        if len(most) == 1:
            raise DataError(
                zh=f"只有一个人在说话：{counted}，凑不成一问一答",
                en=f"only one person speaks, so nobody answers: {counted}",
            )
        call = f"data.from_chat_log({self._source}, {self._example(first)})"
        raise DataError(
            zh=f"{zh}。说话的人：{counted}。例如 {call}",
            en=f"{en}. Speakers: {counted}. For example {call}",
        )

    def _example(self, first: str | None) -> str:
        """Return arguments with which the log can be read, as they are typed."""
        names = [name for name, _ in self.speakers.most_common()]
        given = self._given & set(names)
        answering = given | (frozenset((first,)) if first else frozenset())
        # Who is asked for is the only one that is not known.
        if not answering and not self._by_own:
            answering = frozenset(names[:1])
        written = [f'assistant="{visible(name[:30])}"' for name in sorted(answering)[:1]]
        own = self._own_names() if self._by_own and not answering else frozenset()
        asking = [name for name in names if name not in answering | own]
        is_pair = any(len(_speakers(room) - answering) == 1 for room in self._rooms.values())
        if asking and (not is_pair or not answering):
            written.append(f'user="{visible(asking[0][:30])}"')
        return ", ".join(written)

    def _own_names(self) -> frozenset[str]:
        spoken = chain.from_iterable(self._rooms.values())
        return frozenset(message.speaker for message in spoken if message.is_own)


def _speakers(room: list[Message]) -> set[str]:
    return {message.speaker for message in room}


def _answers_by_name(speaker: str) -> bool:
    """Return whether a name says that its owner answers: 客服, 客服小李, agent."""
    name = speaker.casefold()
    return name in _ME or name in texts.ANSWERING or speaker.startswith("客服")

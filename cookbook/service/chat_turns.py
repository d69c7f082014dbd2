"""Choose whose answer starts next when more are asked for than one batch has rows.

    starting = next_up(waiting, under_way, rows=16, reserve=4)

People take turns: who has the fewest answers under way comes first, then who has waited longest.
So nobody gets more than half of the rows while somebody else waits, and one who is alone may have
all of them. Answers under way are never stopped; whoever comes into a full batch without an answer
of their own has one of a few rows in reserve.

Answers in the background, for which nobody waits, start where no other answer does, and have at
most half of the rows: whoever asks finds the other half free.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar


class Asked(Protocol):
    """An answer that waits or is under way."""

    @property
    def person(self) -> str: ...
    @property
    def background(self) -> bool: ...


A = TypeVar("A", bound=Asked)


def next_up(
    waiting: Sequence[A], under_way: Collection[Asked], *, rows: int, reserve: int
) -> list[A]:
    """Return which waiting answers start now, in their order.

    Args:
        waiting: the one that has waited longest first.
        rows: answers at a time.
        reserve: rows beyond that, for people who have none.
    """
    asked = [answer for answer in waiting if not answer.background]
    behind = [answer for answer in under_way if answer.background]
    ahead = [answer for answer in under_way if not answer.background]
    if asked:
        return _in_turn(asked, ahead, rows=rows - len(behind), reserve=reserve)
    free = min(rows - len(ahead), rows // 2)
    return _in_turn(waiting, behind, rows=free, reserve=0)


def _in_turn(
    waiting: Sequence[A], under_way: Iterable[Asked], *, rows: int, reserve: int
) -> list[A]:
    """Return which answers of one kind start now; the rows are those of their kind."""
    held = Counter(answer.person for answer in under_way)
    taken = sum(held.values())
    queues: dict[str, deque[tuple[int, A]]] = {}
    for place, answer in enumerate(waiting):
        queues.setdefault(answer.person, deque()).append((place, answer))
    starting = []
    while queues:
        _, _, person = min((held[name], queue[0][0], name) for name, queue in queues.items())
        # Where there is no room for whoever has the fewest, there is none for anybody.
        if taken >= rows + (0 if held[person] else reserve):
            break
        _, answer = queues[person].popleft()
        if not queues[person]:
            del queues[person]
        starting.append(answer)
        held[person] += 1
        taken += 1
    return starting

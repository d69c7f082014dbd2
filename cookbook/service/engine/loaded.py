"""Keep the bases that chat has loaded, within the memory that there is.

    loaded = Loaded(make, neighbours)
    loaded.of(base)            what answers with this base; loaded at its first request
    loaded.unload_idle()       give back what no answer needs at present

A base that does not fit takes the place of idle ones, the least recently used first. Beside a
training the memory that its plan will still take is not free. All of it happens in the engine's own
thread.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from cookbook import causes
from cookbook.bases import Base
from cookbook.errors import MemoryShort
from cookbook.machine import in_gb
from cookbook.service.engine import heap
from cookbook.service.neighbours import Neighbours, Trainings


class Runner(Protocol):
    """What answers with one base."""

    @property
    def busy(self) -> bool: ...


R = TypeVar("R", bound=Runner)


class Loaded(Generic[R]):
    """The runners by their base's source, the least recently used first.

    Args:
        make: loads a base, of which it leaves so many bytes of the free memory to others.
    """

    def __init__(self, make: Callable[[Base, int], R], neighbours: Neighbours):
        self._make = make
        self._neighbours = neighbours
        self._runners: OrderedDict[str, tuple[Base, R]] = OrderedDict()

    def __iter__(self) -> Iterator[R]:
        return iter([runner for _, runner in self._runners.values()])

    def of(self, base: Base) -> R:
        """Return the base's runner; a base that is not there is loaded, which takes seconds.

        Raises:
            MemoryShort: it does not fit, whatever is unloaded; it says what trains meanwhile.
            ModelError: it cannot be loaded.
        """
        if base.source not in self._runners:
            self._runners[base.source] = base, self._load(base)
        self._runners.move_to_end(base.source)
        return self._runners[base.source][1]

    def unload_idle(self) -> list[str]:
        """Give back the memory of every base that has no answer under way; return their names."""
        names = []
        while (source := self._idle()) is not None:
            names.append(self._runners.pop(source)[0].id)
        heap.give_back()
        return names

    def _idle(self) -> str | None:
        """Return the source of the idle base that was not used for longest, if there is one."""
        for source, (_, runner) in self._runners.items():
            if not runner.busy:
                return source
        return None

    def _load(self, base: Base) -> R:
        while True:
            trainings = self._neighbours.trainings()
            try:
                return self._make(base, trainings.reserved)
            except Exception as error:
                short = isinstance(error, MemoryShort) or causes.is_lack_of_memory(error)
                if not short:
                    raise
                if not self._is_worth_another_attempt():
                    raise _explained(error, trainings) from error

    def _is_worth_another_attempt(self) -> bool:
        """Unload the base that was not used for longest; return whether there is more room now."""
        source = self._idle()
        if source is None:
            return self._neighbours.give_prewarmed_back()
        del self._runners[source]
        heap.give_back()
        return True


def _explained(error: Exception, trainings: Trainings) -> Exception:
    """Return the error with what trains at present, since that has the memory."""
    if not trainings.jobs or not isinstance(error, MemoryShort):
        return error
    jobs_zh, jobs_en = "、".join(trainings.jobs), ", ".join(trainings.jobs)
    zh, en = "", ""
    if trainings.reserved:
        more = in_gb(trainings.reserved)
        zh, en = f"，还要用 {more}（已从空闲里扣除）", f" and will take {more} more (not free here)"
    return MemoryShort(
        zh=f"{error.zh}。正在训练 {jobs_zh}{zh}：等它结束再问，或先暂停它",
        en=f"{error.en}. {jobs_en} is training{en}: ask again when it has ended, or pause it",
    )

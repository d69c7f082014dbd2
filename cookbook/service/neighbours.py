"""What the chat engine must know of the trainings beside it, which share its memory.

The supervisor answers (`supervisor.py`), the engine asks. This module knows neither torch nor SQL.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Trainings:
    """The jobs that train at present.

    Attributes:
        jobs: their ids.
        reserved: bytes that they do not have yet and will take by their memory plans.
    """

    jobs: tuple[str, ...] = ()
    reserved: int = 0


class Neighbours(Protocol):
    """Who has the rest of the memory."""

    def trainings(self) -> Trainings: ...

    def give_prewarmed_back(self) -> bool:
        """End the process that waits for a job; return whether there was one."""
        ...


class Nobody:
    """No neighbours: of an engine without a service around it."""

    def trainings(self) -> Trainings:
        return Trainings()

    def give_prewarmed_back(self) -> bool:
        return False

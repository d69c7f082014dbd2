"""What every trainer does. Importing this loads neither torch nor Ray."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Protocol

from cookbook.bases import Base
from cookbook.errors import CookbookError
from cookbook.machine import Machine
from cookbook.service.events import TrainingEvent


class Trainer(Protocol):
    """Where jobs are trained.

    Attributes:
        jobs: how many are trained at the same time, unless the reader says it.
        most_seeking: jobs that may be without a place at the same time. Those after them start
            when one has got its place, so that the order of the queue is kept.
    """

    jobs: int
    most_seeking: int

    # In the job's own process

    def prepare(self) -> None:
        """Load what training needs and what takes seconds."""
        ...

    def train(
        self,
        base: Base,
        train_rows: list[dict[str, Any]],
        valid_rows: list[dict[str, Any]],
        hp: dict[str, Any],
        *,
        folder: Path,
        seed: int = 42,
        level: int = 0,
    ) -> Generator[TrainingEvent, None, None]:
        """Train as `engine.train.train` does: the same events, adapters and state in `folder`.

        The next step is taken when the caller asks for the next event, never before: what the
        caller has not recorded has not happened.
        """
        ...

    # In the service

    def start(self) -> None:
        """Get ready, before the first job.

        Raises:
            ServiceError: no job can ever be trained this way.
        """
        ...

    def stop(self) -> None:
        """Give back what `start` has taken, also where it was interrupted."""
        ...

    def machine(self) -> Machine | None:
        """Return the machine that a job would be trained on; None where it is not known.

        Raises:
            ArgumentError: `COOKBOOK_MEMORY` is not an amount of memory.
        """
        ...

    def fault(self) -> CookbookError | None:
        """Return what keeps every job from being trained at present; None where nothing does.

        Quick, and callable at any time.
        """
        ...

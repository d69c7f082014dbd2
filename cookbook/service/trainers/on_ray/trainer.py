"""The trainer that trains on a Ray cluster. Importing this does not load Ray."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from cookbook.bases import Base
from cookbook.errors import CookbookError
from cookbook.service.events import TrainingEvent
from cookbook.service.trainers.settings import TrainerSettings


class OnRay:
    """A Ray cluster. Each job's process is a driver of it, on the service's machine."""

    jobs = 64
    most_seeking = 4

    def __init__(self, settings: TrainerSettings):
        self._settings = settings

    def prepare(self) -> None:
        """Load Ray."""
        raise NotImplementedError

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
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def fault(self) -> CookbookError | None:
        raise NotImplementedError

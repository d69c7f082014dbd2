"""Train on this machine, in the job's own process."""

import importlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from cookbook import machine
from cookbook.bases import Base
from cookbook.errors import CookbookError
from cookbook.machine import Machine
from cookbook.service.events import TrainingEvent


class Here:
    """This machine. A job has its place as soon as it has a process."""

    jobs = 1
    most_seeking = sys.maxsize

    def prepare(self) -> None:
        """Load torch."""
        importlib.import_module("cookbook.service.engine.train")

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
        from cookbook.service.engine.train import train

        return train(base, train_rows, valid_rows, hp, folder=folder, seed=seed, level=level)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def machine(self) -> Machine | None:
        return machine.here()

    def fault(self) -> CookbookError | None:
        return None

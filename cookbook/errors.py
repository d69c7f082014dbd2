"""Every error that the cookbook raises on purpose.

Each error says where, what was found, which rule it breaks and what to do about it, in both
languages: `raise DataError(zh=…, en=…)`. The language is chosen when the error is shown.
"""

from typing import TYPE_CHECKING, Any

from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    from cookbook.data.report import Report


class CookbookError(Exception):
    """Base of all errors raised on purpose. Its text is `zh` or `en`, see `i18n`."""

    def __init__(self, zh: str, en: str):
        super().__init__(zh, en)  # both are kept in `args`, so the error can be pickled
        self.zh, self.en = zh, en

    def __str__(self) -> str:
        # Names of files and a service's own words are part of it.
        return printable(tr(self.zh, self.en))


class ArgumentError(CookbookError, ValueError):
    """A function was called with a value that it cannot use."""


class DataError(CookbookError, ValueError):
    """A training file breaks the rules.

    `report` lists every problem; it is None where there is no file to report on.
    """

    def __init__(self, zh: str = "", en: str = "", *, report: "Report | None" = None):
        super().__init__(zh, en)
        self.report = report

    def __str__(self) -> str:
        return super().__str__() if self.report is None else str(self.report)


class HyperparameterError(CookbookError, ValueError):
    """A hyperparameter is out of its range. `problems` maps each name to its reason."""

    def __init__(self, problems: dict[str, str]):
        reasons = "\n".join(problems.values())
        super().__init__(zh=reasons, en=reasons)
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class KeyMissing(CookbookError, LookupError):
    """No API key was found in the environment."""


class ServiceError(CookbookError, RuntimeError):
    """The embedded service could not be started, found or stopped."""


class Diverged(CookbookError, ArithmeticError):
    """Loss, gradients or weights are no longer numbers."""


class ClusterAway(CookbookError, ConnectionError):
    """The cluster that jobs are trained on is away, or has no place for this one at present."""


class WorkerLost(CookbookError, ConnectionError):
    """A node or process that trained a job has gone in the middle of it."""


class StateDamaged(CookbookError, ValueError):
    """The saved state of a training cannot be read, or belongs to another training."""


class ModelError(CookbookError, OSError):
    """A base model could not be loaded, and trying again would not change that."""


class BaseAway(ModelError):
    """A base model is not there at present: its folder or the hub may come back."""


class MemoryShort(ModelError):
    """A base model does not fit into the memory that is free at present."""


class OutOfMemory(ModelError):
    """A model needs more memory than this machine has, for training or for answers."""


class DiskFull(CookbookError, OSError):
    """There is no room on the disk for what must be written."""


class AdapterError(CookbookError, ValueError):
    """An adapter from elsewhere cannot be taken in: its files, its settings, or its base."""


class QueueFull(CookbookError, RuntimeError):
    """As many jobs as the service accepts have not ended."""


class FilesFull(CookbookError, RuntimeError):
    """Somebody's files take as many bytes as each person of a room may have."""


class UnsafeName(CookbookError, ValueError):
    """A name would lead out of the folder that it belongs in."""


class IdentifierError(CookbookError, ValueError):
    """A text is not the identifier of a fine-tuned model."""


class JobNotFound(CookbookError, LookupError):
    """The service knows no such job."""


class PersonExists(ArgumentError):
    """Somebody in the room has this name already."""


class PersonNotFound(CookbookError, LookupError):
    """Nobody in the room has this name."""

"""Every error that the cookbook raises on purpose, and the one place that chooses its language.

Each error says where, what was found, which rule it breaks and what to do about it.
"""

import os


def say(zh: str, en: str) -> str:
    """The text in the reader's language: `COOKBOOK_LANG=zh` (default) or `en`."""
    return en if os.environ.get("COOKBOOK_LANG", "zh").lower().startswith("en") else zh


class CookbookError(Exception):
    """Base of all errors raised on purpose."""


class DataError(CookbookError, ValueError):
    """A training file breaks the rules; `report` lists every problem."""

    def __init__(self, report):
        self.report = report  # a Report, or one sentence where there is no file to report on
        super().__init__(str(report))


class HyperparameterError(CookbookError, ValueError):
    """A hyperparameter is out of its range; `problems` maps each name to its reason."""

    def __init__(self, problems: dict[str, str]):
        self.problems = problems
        super().__init__("\n".join(problems.values()))


class KeyMissing(CookbookError, LookupError):
    """No API key was found in the environment."""


class ServiceError(CookbookError, RuntimeError):
    """The embedded service could not be started, found or stopped."""


class Diverged(CookbookError, ArithmeticError):
    """Training went so wrong that the loss is no longer a number."""


class ModelError(CookbookError, OSError):
    """A base model could not be loaded."""


class DiskFull(CookbookError, OSError):
    """There is no room on the disk for what must be written."""


class IdentifierError(CookbookError, ValueError):
    """A text is no identifier of a fine-tuned model."""


class JobNotFound(CookbookError, LookupError):
    """The service knows no such job."""

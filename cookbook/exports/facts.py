"""Hold what is known of a tuned model, for its model card and for whoever is given its files.

    facts = Facts(model="ft:LoRA/…", base="Qwen/Qwen2.5-0.5B-Instruct", step=120, …)
    facts.to_dict()               what goes into `cookbook-model.json` of an export
    Facts.of_dict(found)          read again; whatever is missing or odd there is None

Every value but the two names may be None, which means that it is not known: an adapter that was
trained elsewhere tells little of itself. Nothing of the training rows is in the file, nor a job or
a path; of the owner, what a room writes into the model's name. The system prompt stays out of it,
too, since it is a part of the rows: only the Modelfile of an Ollama export has it.

The service fills it from its database (`service/model_facts.py`), `imports/` from a folder or zip.
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_LONGEST = 500  # characters of a text that is read from a file


@dataclass(frozen=True)
class Facts:
    """What is known of a tuned model.

    Attributes:
        model: its name, `ft:LoRA/<base>:<owner>:<task>:<letters>`.
        base: the id of its base.
        title: what its maker called it: the task's name.
        step: the optimizer step after which it was saved.
        created_at: when, in seconds since 1970.
        data_name: name of the training file, without a folder.
        validation: name of the validation file; None where a share of the rows was held out.
        validation_split: that share.
        train_rows, valid_rows: rows that were trained on, and that the losses were measured on.
        tokens: tokens read, all epochs together.
        trained_share: share of the tokens that were trained on.
        hyperparameters: the guide's seven, by name.
        seed: of the order of the rows and of the adapter's first weights.
        train_loss, valid_loss: at that step.
        rank, alpha: of the adapter itself, for one whose hyperparameters are not known.
        system_prompt: the one that all training rows have; None where they differ, or have none.
    """

    model: str
    base: str
    title: str | None = None
    step: int | None = None
    created_at: int | None = None
    data_name: str | None = None
    validation: str | None = None
    validation_split: float | None = None
    train_rows: int | None = None
    valid_rows: int | None = None
    tokens: int | None = None
    trained_share: float | None = None
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    seed: int | None = None
    train_loss: float | None = None
    valid_loss: float | None = None
    rank: int | None = None
    alpha: float | None = None
    system_prompt: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The task's name as part of a file's name, or in Ollama: letters, digits, `-` and `_`."""
        parts = self.model.split(":")
        task = self.title or (parts[3] if len(parts) > 3 else self.model)
        # Chinese ones are left out, too: Ollama takes none.
        return re.sub(r"[^A-Za-z0-9_]+", "-", task).strip("-_")[:60] or "model"

    @property
    def date(self) -> str | None:
        """The day on which it was made, in UTC."""
        if self.created_at is None:
            return None
        return time.strftime("%Y-%m-%d", time.gmtime(self.created_at))

    def to_dict(self) -> dict[str, Any]:
        """Return what may be handed on, for JSON; the losses as the service's record has them."""
        found = dataclasses.asdict(self)
        del found["system_prompt"]
        found["metrics"] = {name: found.pop(name) for name in ("train_loss", "valid_loss")}
        return found

    @classmethod
    def of_dict(cls, found: Mapping[str, Any]) -> "Facts":
        """Return what `to_dict` has made, or a service's record; it may come from anybody.

        A value of another type than it should have is left out.

        Raises:
            ValueError: it does not name the model and its base.
        """
        values: dict[str, Any] = {}
        for one in dataclasses.fields(cls):
            reader = _READERS.get(one.name)
            if reader is not None:
                values[one.name] = reader(found.get(one.name))
        metrics = found.get("metrics")
        for name in ("train_loss", "valid_loss"):
            values[name] = _number(metrics.get(name)) if isinstance(metrics, dict) else None
        if not values["model"] or not values["base"]:
            raise ValueError("neither model nor base")
        values["hyperparameters"] = _numbers(found.get("hyperparameters"))
        return cls(**values)


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        return None
    return value if value.isprintable() else None


def _number(value: Any) -> int | float | None:
    # True and False are numbers for Python; a whole number of JSON may be beyond every float.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    # SQLite keeps 64 bits, and a date beyond it has no name.
    return number if isinstance(number, int) and 0 <= number < 2**33 else None


def _numbers(value: Any) -> dict[str, float]:
    found = {}
    for name, one in value.items() if isinstance(value, dict) else ():
        number = _number(one)
        if _text(name) and number is not None:
            found[name] = number
    return found


_READERS = {
    "model": _text,
    "base": _text,
    "title": _text,
    "step": _whole,
    "created_at": _whole,
    "data_name": _text,
    "validation": _text,
    "validation_split": _number,
    "train_rows": _whole,
    "valid_rows": _whole,
    "tokens": _whole,
    "trained_share": _number,
    "seed": _whole,
    "rank": _whole,
    "alpha": _number,
}
"""How each entry is read; the others are read by `of_dict` itself."""

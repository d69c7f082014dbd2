"""The body of `POST /v1/fine_tuning/jobs`, checked as far as that needs no store."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cookbook.errors import HyperparameterError
from cookbook.i18n import tr
from cookbook.params import INTEGER_PARAMETERS, PARAMETERS, VALIDATION, Hyperparameters
from cookbook.service import neutral
from cookbook.service.request_body import RequestBody
from cookbook.service.sentences import shortened, unsupported
from cookbook.service.validation import Problem, Refused

MOST_METADATA = 16  # entries, as in OpenAI's API
_Key = Annotated[str, Field(max_length=64)]
_Value = Annotated[str, Field(max_length=512)]
Metadata = dict[_Key, _Value]


def _checked_hyperparameters(given: Any) -> Any:
    """Return the chosen values: without "auto", null, and what means nothing.

    Raises:
        Refused: with every name that does not exist and every value out of its range.
    """
    if not isinstance(given, dict):
        return given
    chosen = {name: value for name, value in given.items() if value != "auto"}
    chosen = neutral.without_neutral(chosen, neutral.HYPERPARAMETERS, PARAMETERS)
    values, found = {}, []
    for name, value in chosen.items():
        if name in PARAMETERS:
            values[name] = _number(name, value)
        else:
            found.append(_unknown_hyperparameter(name, value))
    try:
        Hyperparameters(**values)
    except HyperparameterError as error:
        # All of them, beside the unknown ones
        for name, reason in error.problems.items():
            param = f"hyperparameters.{name}"
            found.append(Problem(param, "invalid_hyperparameter", reason))
    if found:
        raise Refused(found)
    return values


def _number(name: str, value: Any) -> Any:
    # Some clients write every number as a float.
    if name in INTEGER_PARAMETERS and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _unknown_hyperparameter(name: str, value: Any) -> Problem:
    param = f"hyperparameters.{name}"
    accepted = neutral.HYPERPARAMETERS.get(name)
    if accepted:
        return Problem(param, "unsupported_parameter", unsupported(name, value, accepted))
    name, known = shortened(name), ", ".join(PARAMETERS)
    text = tr(
        f"没有超参数 {name}，可用的是 {known}",
        f"there is no hyperparameter {name}; known are {known}",
    )
    return Problem(param, "unsupported_parameter", text)


_GivenHyperparameters = Annotated[dict[str, Any], BeforeValidator(_checked_hyperparameters)]


class Supervised(RequestBody):
    hyperparameters: _GivenHyperparameters = {}


class Method(RequestBody):
    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class JobBody(RequestBody):
    """What `POST /v1/fine_tuning/jobs` understands; anything else is refused by name.

    `hyperparameters` at the top is OpenAI's older place for those of `method`.
    """

    model: str
    training_file: str
    validation_file: str | None = None
    validation_split: float = Field(VALIDATION.suggested, ge=0, lt=1)
    suffix: str | None = Field(None, min_length=1, max_length=64)
    seed: int | None = Field(None, ge=0, lt=2**31)
    metadata: Metadata | None = Field(None, max_length=MOST_METADATA)
    method: Method | None = None
    hyperparameters: _GivenHyperparameters = {}

    def all_hyperparameters(self) -> Hyperparameters:
        """Return them from both places; missing ones have the suggested value."""
        newer = self.method.supervised.hyperparameters if self.method else {}
        return Hyperparameters(**(self.hyperparameters | newer))

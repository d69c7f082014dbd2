"""Turn what pydantic finds wrong with a request into problems, named as the API names things.

All that is wrong is said at once, so that nobody has to send a request again for each name. The
sentences are in sentences.py. Knows no route; what a parameter may be is read in its JSON schema.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cookbook.errors import ArgumentError
from cookbook.i18n import tr
from cookbook.service.sentences import (
    Error,
    Schema,
    kind_of,
    must_be,
    no_object,
    not_json,
    sentence,
    shortened,
)

_PLACES = (("body",), ("query",), ("path",), ("header",))  # where FastAPI looked: begins each `loc`
_MOST = 8  # sentences of one message
_MOST_ERRORS = 200  # that are looked at; to put thousands into words takes seconds

# What pydantic calls the branches of a union, which it puts between the names.
_BRANCH = re.compile(r"(str|int|float|bool|(list|dict|literal|function|constrained|nullable)\W.*)")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; `param` is None for the request as a whole."""

    param: str | None
    code: str
    text: str


class Refused(ArgumentError):
    """Raised by a check of ours on a part of a request: all that it found."""

    def __init__(self, found: list[Problem]):
        super().__init__(zh=summary(found), en=summary(found))
        self.found = found


def problems(errors: Iterable[Error], properties: Schema) -> list[Problem]:
    """Return what is wrong, in the order of the request.

    Args:
        errors: of pydantic, with FastAPI's place in front of each `loc`.
        properties: the JSON schemas of the request's parameters, by name.
    """
    # Each union reports one error for each of its branches.
    unions: dict[tuple, list[Error]] = {}
    for error in itertools.islice(errors, _MOST_ERRORS):
        unions.setdefault(_union(error["loc"]), []).append(error)
    found = []
    for place, branches in unions.items():
        meant = [error for error in branches if not _is_other_branch(error, place)]
        if not meant:
            found.append(_of_no_kind(branches))
        for error in meant:
            found += _problems(error, properties)
    return found


def summary(found: list[Problem]) -> str:
    """Return all of it as one message."""
    # The same sentence once, such as that of two messages with a wrong role.
    texts = list(dict.fromkeys(problem.text for problem in found))
    left = len(texts) - _MOST
    if left > 0:
        more = tr(f"还有 {left} 处", f"and {left} more")
        texts = [*texts[:_MOST], more]
    return tr("；", "; ").join(texts)


def name_of(path: Iterable[str | int]) -> str:
    """Return a path in OpenAI's form, such as `messages[0].content`."""
    name = ""
    for step in path:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            name += f".{step}"
    # A client chooses the names of metadata, and of fields that do not exist.
    return shortened(name.removeprefix("."))


def _union(loc: tuple) -> tuple:
    """Return the place of the innermost union that `loc` goes through, or else `loc` itself."""
    for i in reversed(range(1, len(loc))):
        if _is_branch(loc[i]):
            return (*loc[:i], "|")
    return loc


def _is_branch(step: str | int) -> bool:
    return isinstance(step, str) and _BRANCH.fullmatch(step) is not None


def _is_other_branch(error: Error, union: tuple) -> bool:
    """Return whether a branch of a union was not even meant."""
    if union[-1:] != ("|",):
        return False
    at_its_top = len(error["loc"]) == len(union)
    return at_its_top and kind_of(error) is not None


def _param(loc: tuple) -> str | None:
    path = loc[1:] if loc[:1] in _PLACES else loc
    names = [step for step in path if not _is_branch(step)]
    return name_of(names) or None


def _own(error: Error) -> ArgumentError | None:
    """Return the error that a check of ours raised."""
    own = error.get("ctx", {}).get("error")
    return own if isinstance(own, ArgumentError) else None


def _of_no_kind(branches: list[Error]) -> Problem:
    """Say that a value is of none of the kinds that it may have."""
    first = branches[0]
    names = []
    for error in branches:
        kind = kind_of(error)
        # Two branches may be of one kind, such as two lists.
        if kind and tr(*kind) not in names:
            names.append(tr(*kind))
    param = _param(first["loc"])
    allowed = tr("或", " or ").join(names)
    return Problem(param, "invalid_value", must_be(param, allowed, first["input"]))


def _problems(error: Error, properties: Schema) -> list[Problem]:
    own = _own(error)
    if isinstance(own, Refused):
        return own.found
    return [_problem(error, properties)]


def _problem(error: Error, properties: Schema) -> Problem:
    param = _param(error["loc"])
    if error["type"] == "json_invalid":
        # Its place in the body is at the end of `loc`.
        position, reason = error["loc"][-1], error["ctx"]["error"]
        return Problem(None, "invalid_body", not_json(position, reason))
    if param is None:
        return Problem(None, "invalid_body", no_object(error))
    own = _own(error)
    if own:
        text = tr(f"{param}：{own}", f"{param}: {own}")
        return Problem(param, "invalid_value", text)
    text = sentence(param, error, properties)
    if error["type"] == "extra_forbidden":
        return Problem(param, "unsupported_parameter", text)
    return Problem(param, "invalid_value", text)

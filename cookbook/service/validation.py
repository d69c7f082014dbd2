"""Say what is wrong with a request in the reader's language and the API's own names.

pydantic finds what does not fit, and names each error by a type; its sentences, which are in
English and speak of Python, are never shown. All that is wrong is said at once, so that nobody has
to send a request again for each name.

Knows no route; what a parameter may be is read in its JSON schema.
"""

import json
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cookbook.errors import ArgumentError
from cookbook.i18n import tr

Schema = Mapping[str, Any]
Error = Mapping[str, Any]
"""One of `ValidationError.errors()`: `type`, `loc`, `input`, `ctx`."""

_PLACES = ("body", "query", "path", "header")  # where FastAPI looked: begins each `loc`
_SHOWN = 40  # characters of a value that are repeated
_MOST = 8  # sentences of one message

# What pydantic calls the branches of a union, which it puts between the names.
_BRANCH = re.compile(r"(str|int|float|bool|(list|dict|literal|function|constrained|nullable)\W.*)")

# What a value must be, by the first word of an error's type, such as "int_parsing".
_KINDS = {
    "string": ("字符串", "a string"),
    "int": ("整数", "a whole number"),
    "float": ("数字", "a number"),
    "finite": ("有限的数字", "a finite number"),
    "bool": ("true 或 false", "true or false"),
    "list": ("列表", "a list"),
    "tuple": ("列表", "a list"),
    "dict": ("对象", "an object"),
    "model": ("对象", "an object"),
}
# The bounds of a JSON schema
_BOUNDS = {
    "minimum": ("不小于 {}", "at least {}"),
    "exclusiveMinimum": ("大于 {}", "above {}"),
    "maximum": ("不大于 {}", "at most {}"),
    "exclusiveMaximum": ("小于 {}", "below {}"),
}
# The same bounds in pydantic's errors
_CONTEXT = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


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
    for error in errors:
        unions.setdefault(_union(error["loc"]), []).append(error)
    found = []
    for place, branches in unions.items():
        meant = [error for error in branches if not _is_other_kind(error, place)]
        if not meant:
            found.append(_no_branch(branches))
        for error in meant:
            own = _own(error)
            found += own.found if isinstance(own, Refused) else [_problem(error, properties)]
    return found


def summary(found: list[Problem]) -> str:
    """Return all of it as one message."""
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
        name += f"[{step}]" if isinstance(step, int) else f".{step}"
    # A client chooses the names of metadata, and of fields that do not exist.
    return shortened(name.removeprefix("."))


def shortened(text: str, most: int = 80) -> str:
    """Return the text, cut off where it is too long for a message."""
    return text if len(text) <= most else text[:most] + "…"


def shown(value: object) -> str:
    """Return a value as the client wrote it; of a long one the beginning, of a nested one its kind.

    Nothing here may fail or grow, whatever the value is.
    """
    if isinstance(value, dict):
        return tr("对象", "an object") if value else "{}"
    if isinstance(value, list):
        return tr("列表", "a list") if value else "[]"
    if isinstance(value, str):
        text = json.dumps(value[:_SHOWN], ensure_ascii=False)
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    else:
        text = reprlib.repr(value)
    return shortened(text, _SHOWN)


def _got(value: object) -> str:
    text = shown(value)
    # Chinese characters follow each other without a space.
    space = " " if text[0].isascii() else ""
    return tr(f"收到的是{space}{text}", f"got {text}")


def unsupported(param: str, value: object = None, accepted: Iterable[object] = ()) -> str:
    """Say that something is not done here; `accepted` are the values that mean nothing."""
    param = shortened(param)
    # A value is worth naming where a client can choose it.
    named = [json.dumps(other) for other in accepted if other not in (None, [], {})]
    if named:
        return _one_of(param, tr(" 或 ", " or ").join(named), value)
    return tr(f"不支持参数 {param}，请去掉它", f"{param} is not supported here: leave it out")


def _union(loc: tuple) -> tuple:
    """Return the place of the innermost union that `loc` goes through, or else `loc` itself."""
    for i in reversed(range(1, len(loc))):
        if isinstance(loc[i], str) and _BRANCH.fullmatch(loc[i]):
            return (*loc[:i], "|")
    return loc


def _is_other_kind(error: Error, union: tuple) -> bool:
    """Return whether a branch of a union was not even meant."""
    at_its_top = len(error["loc"]) == len(union)
    return union[-1:] == ("|",) and at_its_top and _kind(error) is not None


def _kind(error: Error) -> tuple[str, str] | None:
    kind, _, rest = error["type"].partition("_")
    if rest in ("too_short", "too_long", "pattern_mismatch"):
        return None
    return _KINDS.get(kind)


def _param(loc: tuple) -> str | None:
    path = loc[1:] if loc and loc[0] in _PLACES else loc
    names = [step for step in path if isinstance(step, int) or not _BRANCH.fullmatch(step)]
    return name_of(names) or None


def _own(error: Error) -> ArgumentError | None:
    """Return the error that a check of ours raised."""
    own = error.get("ctx", {}).get("error")
    return own if isinstance(own, ArgumentError) else None


def _no_branch(branches: list[Error]) -> Problem:
    """Say that a value is of none of the kinds that it may have."""
    param = _param(branches[0]["loc"])
    kinds = [_kind(error) for error in branches]
    names = list(dict.fromkeys(tr(*kind) for kind in kinds if kind))
    kind = tr("或", " or ").join(names)
    return Problem(param, "invalid_value", _must_be(param, kind, branches[0]["input"]))


def _must_be(param: str | None, kind: str, value: object) -> str:
    # ASCII letters are set apart from Chinese characters.
    space = " " if kind[:1].isascii() else ""
    return tr(
        f"{param} 应当是{space}{kind}，{_got(value)}",
        f"{param} must be {kind}, {_got(value)}",
    )


def _problem(error: Error, properties: Schema) -> Problem:
    param = _param(error["loc"])
    if error["type"] == "json_invalid":
        # Its place in the body is at the end of `loc`.
        text = _not_json(error["loc"][-1], error["ctx"]["error"])
        return Problem(None, "invalid_body", text)
    if param is None:
        return Problem(None, "invalid_body", _no_object(error))
    code = "unsupported_parameter" if error["type"] == "extra_forbidden" else "invalid_value"
    own = _own(error)
    if own:
        return Problem(param, code, f"{param}{tr('：', ': ')}{own}")
    return Problem(param, code, _sentence(param, error, properties))


def _not_json(position: int, reason: str) -> str:
    return tr(
        f"请求体从第 {position + 1} 个字符起不是合法的 JSON：要用 UTF-8 编码，"
        "不能有半个字符（单独的 \\ud800 等）、NaN、Infinity、太大的数或太深的嵌套",
        f"the body is not valid JSON from character {position + 1} on: {reason}",
    )


def _no_object(error: Error) -> str:
    if error["type"] == "missing":
        return tr("请求体是空的，应当是一个 JSON 对象", "the body is empty: send a JSON object")
    return tr(
        "请求体应当是一个 JSON 对象，请求头里要有 Content-Type: application/json",
        "the body must be a JSON object, with the header Content-Type: application/json",
    )


def _sentence(param: str, error: Error, properties: Schema) -> str:
    """Return the sentence for an error of pydantic's own."""
    context, value = error.get("ctx", {}), error.get("input")
    match error["type"]:
        case "missing":
            return tr(f"缺少 {param}", f"{param} is missing")
        case "extra_forbidden":
            neutral = properties.get(param, {}).get("enum", ())
            return unsupported(param, value, neutral)
        case "literal_error" | "enum":
            allowed = context["expected"].replace("'", "")
            return _one_of(param, allowed.replace(" or ", tr(" 或 ", " or ")), value)
        case "string_too_long" | "string_too_short":
            return _length(param, context, unit=("个字符", "characters"), given="")
        case "too_long" | "too_short":
            given = str(context["actual_length"])
            return _length(param, context, unit=("项", "items"), given=given)
    if context.keys() & _CONTEXT.keys():
        return _out_of_range(param, context, value, properties)
    kind = _kind(error)
    if kind:
        return _must_be(param, tr(*kind), value)
    # An error that no field of today raises
    return tr(f"{param} 不对，{_got(value)}", f"{param} is not valid, {_got(value)}")


def _one_of(param: str, allowed: str, value: object) -> str:
    return tr(
        f"{param} 只能是 {allowed}，{_got(value)}",
        f"{param} can only be {allowed} here, {_got(value)}",
    )


def _length(param: str, context: Schema, *, unit: tuple[str, str], given: str) -> str:
    zh, en = unit
    least, most = context.get("min_length"), context.get("max_length")
    got_zh, got_en = (f"，收到 {given} {zh}", f", got {given}") if given else ("", "")
    if most is not None:
        return tr(
            f"{param} 最多 {most} {zh}{got_zh}", f"{param} may have {most} {en} at most{got_en}"
        )
    return tr(
        f"{param} 至少要有 {least} {zh}{got_zh}", f"{param} must have {least} or more {en}{got_en}"
    )


def _out_of_range(param: str, context: Schema, value: object, properties: Schema) -> str:
    bounds = _bounds(properties.get(param, {}))
    # Inside another object, only the bound that was broken is known.
    broken = {_CONTEXT[name]: limit for name, limit in context.items() if name in _CONTEXT}
    parts = [
        tr(*_BOUNDS[name]).format(f"{limit:g}" if isinstance(limit, float) else limit)
        for name, limit in (bounds or broken).items()
    ]
    return tr(
        f"{param} 应当{'、'.join(parts)}，{_got(value)}",
        f"{param} must be {' and '.join(parts)}, {_got(value)}",
    )


def _bounds(schema: Schema) -> dict[str, Any]:
    for branch in (schema, *schema.get("anyOf", [])):
        bounds = {name: branch[name] for name in _BOUNDS if name in branch}
        if bounds:
            return bounds
    return {}

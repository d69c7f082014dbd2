"""The sentences that tell a client what is wrong with a value.

Each is in the reader's language alone, names the parameter as the API does, says what it may be
and what it is. Where pydantic found the error, `sentence` goes by its type; pydantic's own words
speak English and of Python. Nothing here fails, or grows with what a client sends.
"""

import json
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from cookbook.i18n import tr

Schema = Mapping[str, Any]
Error = Mapping[str, Any]
"""One of pydantic's `ValidationError.errors()`: `type`, `loc`, `input`, `ctx`."""

_SHOWN = 40  # characters of a value that are repeated

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


def shortened(text: str, most: int = 80) -> str:
    """Return the text, cut off where it is too long for a message."""
    if len(text) <= most:
        return text
    return text[:most] + "…"


def shown(value: object) -> str:
    """Return a value as the client wrote it; of a long one the beginning, of a nested one its kind.

    Nothing here may fail or grow, whatever the value is.
    """
    match value:
        case {} if value:
            return tr("对象", "an object")
        case [_, *_]:
            return tr("列表", "a list")
        case str():
            text = json.dumps(value[:_SHOWN], ensure_ascii=False)
        case None | bool() | [] | dict():
            text = json.dumps(value)
        case _:
            text = reprlib.repr(value)
    return shortened(text, _SHOWN)


def unsupported(param: str, value: object = None, accepted: Iterable[object] = ()) -> str:
    """Say that something is not done here; `accepted` are the values that mean nothing."""
    param = shortened(param)
    # A value is worth naming where a client can choose it.
    named = []
    for other in accepted:
        if other not in (None, [], {}):
            named.append(json.dumps(other))
    if named:
        return _one_of(param, _or(named), value)
    return tr(
        f"不支持参数 {param}，请去掉它",
        f"{param} is not supported here: leave it out",
    )


def _got(value: object) -> str:
    text = shown(value)
    return tr(f"收到的是{_apart(text)}", f"got {text}")


def _apart(text: str) -> str:
    """Return the text as it follows a Chinese character: after a space if it is not Chinese."""
    return f" {text}" if text[:1].isascii() else text


def _or(words: list[str]) -> str:
    return tr(" 或 ", " or ").join(words)


def kind_of(error: Error) -> tuple[str, str] | None:
    """Return what a value must be, in both languages, where it is of another kind."""
    kind, _, rest = error["type"].partition("_")
    if rest in ("too_short", "too_long", "pattern_mismatch"):
        return None
    return _KINDS.get(kind)


def must_be(param: str | None, kind: str, value: object) -> str:
    got = _got(value)
    return tr(
        f"{param} 应当是{_apart(kind)}，{got}",
        f"{param} must be {kind}, {got}",
    )


def not_json(position: int, reason: str) -> str:
    return tr(
        f"请求体从第 {position + 1} 个字符起不是合法的 JSON：要用 UTF-8 编码，"
        "不能有不成对的代理字符（如 \\ud800）、NaN、Infinity、太大的数或太深的嵌套",
        f"the body is not valid JSON from character {position + 1} on ({reason}): it must be "
        "UTF-8, without half characters, NaN, numbers that are too large, or deep nesting",
    )


def too_many_values(most: int) -> str:
    return tr(
        f"请求体里的值超过 {most} 个：拆成几个请求",
        f"the body has more than {most} values: split it into several requests",
    )


def no_object(error: Error) -> str:
    if error["type"] == "missing":
        return tr("请求体是空的，应当是一个 JSON 对象", "the body is empty: send a JSON object")
    return tr(
        "请求体应当是一个 JSON 对象，请求头里要有 Content-Type: application/json",
        "the body must be a JSON object, with the header Content-Type: application/json",
    )


def sentence(param: str, error: Error, properties: Schema) -> str:
    """Return the sentence for an error of pydantic's own."""
    context, value = error.get("ctx", {}), error.get("input")
    match error["type"]:
        case "missing":
            return tr(f"缺少 {param}", f"{param} is missing")
        case "extra_forbidden":
            neutral = properties.get(param, {}).get("enum", ())
            return unsupported(param, value, neutral)
        case "literal_error" | "enum":
            # Such as "'asc' or 'desc'"
            words = context["expected"].replace("'", "").split(" or ")
            return _one_of(param, _or(words), value)
        case "string_too_long" | "string_too_short":
            return _length(param, context, unit=("个字符", "characters"))
        case "too_long" | "too_short":
            given = context["actual_length"]
            got = tr(f"，收到 {given} 项", f", got {given}")
            return _length(param, context, unit=("项", "items")) + got
    if context.keys() & _CONTEXT.keys():
        return _out_of_range(param, context, value, properties)
    kind = kind_of(error)
    if kind:
        return must_be(param, tr(*kind), value)
    # An error that no field of today raises
    return tr(f"{param} 不对，{_got(value)}", f"{param} is not valid, {_got(value)}")


def _one_of(param: str, allowed: str, value: object) -> str:
    got = _got(value)
    return tr(
        f"{param} 只能是 {allowed}，{got}",
        f"{param} can only be {allowed} here, {got}",
    )


def _length(param: str, context: Schema, *, unit: tuple[str, str]) -> str:
    zh, en = unit
    if "max_length" in context:
        most = context["max_length"]
        return tr(f"{param} 最多 {most} {zh}", f"{param} may have {most} {en} at most")
    least = context["min_length"]
    return tr(f"{param} 至少要有 {least} {zh}", f"{param} must have {least} or more {en}")


def _out_of_range(param: str, context: Schema, value: object, properties: Schema) -> str:
    bounds = _bounds(properties.get(param, {}))
    if not bounds:
        # Inside another object, only the bound that was broken is known.
        bounds = {_CONTEXT[name]: context[name] for name in context.keys() & _CONTEXT.keys()}
    parts = [tr(*_BOUNDS[name]).format(_number(limit)) for name, limit in bounds.items()]
    both = tr("、", " and ").join(parts)
    got = _got(value)
    return tr(f"{param} 应当{both}，{got}", f"{param} must be {both}, {got}")


def _number(limit: float) -> str:
    # 2, and not 2.0; a large whole number with all of its digits.
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _bounds(schema: Schema) -> dict[str, Any]:
    for branch in (schema, *schema.get("anyOf", [])):
        bounds = {name: branch[name] for name in _BOUNDS if name in branch}
        if bounds:
            return bounds
    return {}

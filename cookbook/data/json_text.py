"""Read one JSON text strictly, and say what is wrong with one that is not JSON.

    parse(text)           its value, or `NotJson` with the reason and the place

Nothing is reported here, and nothing repaired. Where a value is in a text: `json_places.py`.
"""

import json
import math
from collections import Counter
from typing import NoReturn

from cookbook.errors import ArgumentError


class NotJson(Exception):
    """A text is not one JSON value; `start` and `end` are the place.

    Never leaves `cookbook.data`: it becomes a problem in a report.
    """

    def __init__(self, *, zh: str, en: str, start: int, end: int):
        super().__init__(en)
        self.zh, self.en = zh, en
        self.start, self.end = start, end


class DuplicateKey(NotJson):
    """An object has a key twice; `start` is -1 where it is not found in the text.

    JSON allows it, but readers differ in which of the two values they keep.
    """


# What Python's parser says, in Chinese.
_REASONS = {
    "Expecting property name": "键要用英文双引号括起来，最后一项后面不能有逗号",
    "Expecting value": "这里缺一个值，或者用了单引号",
    "Expecting ',' delimiter": "这里缺逗号或右括号，可能断成了半行",
    "Expecting ':' delimiter": "键的后面缺冒号",
    "Extra data": "这一行里不止一个 JSON 对象",
    "Unterminated string": "字符串没有收尾的引号，可能断成了半行",
    "Invalid control character": "字符串里有控制字符，换行要写成 \\n",
    "Invalid \\": "反斜杠的写法不对，要写成 \\\\",
}


def parse(text: str) -> object:
    """Return the JSON value of a line.

    Stricter than `json.loads`: no key twice, no NaN, no number beyond what a float holds.

    Raises:
        DuplicateKey: an object has a key twice.
        NotJson: it is not JSON.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object_of,
            parse_constant=_refuse_constant,  # NaN, Infinity
            parse_float=_finite_float,
        )
    except _RepeatedKey as error:
        raise _duplicate_key(text, str(error)) from None
    except json.JSONDecodeError as error:
        raise _not_json(text, error.msg, error.pos) from None
    except (ValueError, RecursionError) as error:  # a huge integer, brackets nested too deep
        raise _not_json(text, str(error), 0) from None


def _not_json(text: str, reason: str, position: int) -> NotJson:
    zh = reason
    for beginning, reason_zh in _REASONS.items():
        if reason.startswith(beginning):
            zh = reason_zh
    start = min(position, len(text))
    return NotJson(
        zh=f"不是合法的 JSON：{zh}", en=f"not JSON: {reason}", start=start, end=start + 1
    )


class _RepeatedKey(ValueError):
    pass


def _duplicate_key(text: str, key: str) -> DuplicateKey:
    quoted = json.dumps(key, ensure_ascii=False)
    start = text.rfind(quoted)  # -1 if the key is written with escapes
    zh, en = f"键 {key!r:.60} 出现了两次", f"the key {key!r:.60} appears twice"
    return DuplicateKey(zh=zh, en=en, start=start, end=start + len(quoted))


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        key, _ = counts.most_common(1)[0]
        raise _RepeatedKey(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ArgumentError(zh=f"{name} 不是 JSON 的值", en=f"{name} is not a JSON value")


def _finite_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)

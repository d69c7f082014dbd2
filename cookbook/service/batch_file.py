"""Check a batch file: a request a line, each with a `custom_id` and the body of a chat request.

    found = faults("requests.jsonl", content)       every faulty line; nothing where all are right
    for place in places(content): ...               where each line is
    models_of(content)                              which models the lines name

What a body may hold besides its messages is not checked here but when its line is answered, so that
an unknown parameter fails one line and not the file. Knows no route and no store.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath
from typing import Any

import orjson

from cookbook.data import json_text
from cookbook.i18n import tr
from cookbook.service.limits import BATCH_LINES, BODY_BYTES
from cookbook.service.request_body import MOST_VALUES, has_many, is_deep
from cookbook.service.sentences import must_be, shortened, shown, too_many_values, unsupported

ENDPOINT = "/v1/chat/completions"
SUFFIX = ".jsonl"
LONGEST_ID = 200  # characters of a custom_id
MOST_SHOWN = 20  # sentences of one report; the lines of the others are named

_KEYS = ("custom_id", "method", "url", "body")
_BOM = b"\xef\xbb\xbf"  # begins what some programs on Windows write
_BLANK = b" \t\r"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line, or with the file where `line` is 0."""

    line: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line is: its number from 1, its first byte, and its bytes.

    The runner keeps those of all batches under way: thousands each.
    """

    number: int
    start: int
    size: int


def places(content: bytes) -> Iterator[Place]:
    """Yield the places of all lines that are not blank."""
    start = len(_BOM) if content.startswith(_BOM) else 0
    number = 0
    while start < len(content):
        number += 1
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        if content[start:end].strip(_BLANK):
            yield Place(number, start, end - start)
        start = end + 1


def lines(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the value of each line of a file that was checked."""
    for place in places(content):
        yield place.number, orjson.loads(content[place.start : place.start + place.size])


def models_of(content: bytes) -> dict[str | None, list[int]]:
    """Return the numbers of the lines that name each model; None where a line names none."""
    found: dict[str | None, list[int]] = {}
    for number, line in lines(content):
        model = line["body"].get("model")
        found.setdefault(model if isinstance(model, str) else None, []).append(number)
    return found


def faults(name: str, content: bytes) -> list[Fault]:
    """Return all that is wrong with a batch file, in its order."""
    if PurePath(name).suffix.lower() != SUFFIX:
        text = tr(
            f"批量文件要以 {SUFFIX} 结尾：每行一个 JSON 对象",
            f"the name of a batch file ends with {SUFFIX}: a JSON object on each line",
        )
        return [Fault(0, "file-suffix", text)]
    found: list[Fault] = []
    first_of: dict[str, int] = {}
    count = 0
    for count, place in enumerate(places(content), 1):
        if count > BATCH_LINES:
            text = tr(
                f"超过 {BATCH_LINES} 行：拆成几个文件",
                f"more than {BATCH_LINES} lines: split it into several files",
            )
            return [*found, Fault(0, "too-many-lines", text)]
        line = content[place.start : place.start + place.size]
        found += _faults_of(place.number, line, first_of)
    if not count:
        found.append(Fault(0, "file-empty", _empty()))
    return found


def report(found: list[Fault]) -> str:
    """Return all of it as one text, in which every faulty line is named."""
    by_text: dict[str, list[int]] = {}
    for fault in found:
        by_text.setdefault(fault.text, []).append(fault.line)
    sentences = [_sentence(text, numbers) for text, numbers in by_text.items()]
    more = [number for numbers in list(by_text.values())[MOST_SHOWN:] for number in numbers]
    if more:
        named = spans(sorted(set(more)))
        others = tr(f"还有问题的行：{named}", f"further lines with problems: {named}")
        sentences = [*sentences[:MOST_SHOWN], others]
    return "\n".join(sentences)


def _empty() -> str:
    return tr(
        '文件是空的：每行写一个请求，{"custom_id": …, "body": …}',
        'the file is empty: write a request on each line, {"custom_id": …, "body": …}',
    )


def spans(numbers: list[int]) -> str:
    """Return ascending numbers as text: 3, 5-9."""
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return tr("、", ", ").join(parts)


def _sentence(text: str, numbers: list[int]) -> str:
    if numbers == [0]:
        return text
    named = spans(sorted(set(numbers)))
    noun = "line" if len(set(numbers)) == 1 else "lines"
    return tr(f"第 {named} 行：{text}", f"{noun} {named}: {text}")


def _faults_of(number: int, line: bytes, first_of: dict[str, int]) -> list[Fault]:
    """Return what is wrong with one line; its `custom_id` is added to those seen before."""
    value = _value_of(number, line)
    if isinstance(value, Fault):
        return [value]
    if "messages" in value and "body" not in value:
        return [Fault(number, "training-row", _training_row())]
    found = [*_keys(value), *_custom_id(value, number, first_of), *_address(value), *_body(value)]
    return [Fault(number, code, text) for code, text in found]


def _value_of(number: int, line: bytes) -> dict[str, Any] | Fault:
    """Return the object on a line, or why there is none."""
    if len(line) > BODY_BYTES:
        most = f"{BODY_BYTES >> 20} MB"
        text = tr(
            f"这一行超过 {most}，一个请求最多这么大：缩短它的 messages",
            f"the line is larger than {most}, the limit of a request: shorten its messages",
        )
        return Fault(number, "line-size", text)
    try:
        value = json_text.parse(line.decode("utf-8"))
        # It refuses what the other reads, and chat would refuse: half characters.
        orjson.loads(line)
    except UnicodeDecodeError:
        text = tr("不是 UTF-8：另存为 UTF-8 再上传", "not UTF-8: save the file as UTF-8")
        return Fault(number, "encoding", text)
    except json_text.NotJson as error:
        place = error.start + 1
        text = tr(f"第 {place} 个字符：{error.zh}", f"character {place}: {error.en}")
        return Fault(number, "json", text)
    except orjson.JSONDecodeError:
        text = tr(
            "有不成对的代理字符（如 \\ud800），删掉它",
            "half of a character (such as \\ud800): remove it",
        )
        return Fault(number, "json", text)
    if not isinstance(value, dict):
        text = tr(
            f"应当是一个 JSON 对象，收到的是 {shown(value)}",
            f"must be an object, got {shown(value)}",
        )
        return Fault(number, "json", text)
    if is_deep(value):
        return Fault(number, "json", tr("嵌套太深", "nested too deeply"))
    if has_many(value):
        return Fault(number, "json", too_many_values(MOST_VALUES))
    return value


def _training_row() -> str:
    return tr(
        '这是训练数据的格式，批量请求的 messages 在 body 里；要微调就用 purpose="fine-tune" 上传',
        "this is a row of training data: the messages of a batch request are in its body; "
        'to tune with the file, upload it with purpose="fine-tune"',
    )


_Found = Iterator[tuple[str, str]]  # code and sentence


def _keys(value: dict[str, Any]) -> _Found:
    for name in value:
        if name not in _KEYS:
            yield "unknown-key", unsupported(name)


def _custom_id(value: dict[str, Any], number: int, first_of: dict[str, int]) -> _Found:
    given = value.get("custom_id")
    if not isinstance(given, str) or not given or len(given) > LONGEST_ID:
        what = tr(f"1 到 {LONGEST_ID} 个字符的字符串", f"a string of 1 to {LONGEST_ID} characters")
        missing = tr("缺少 custom_id", "custom_id is missing")
        yield "custom-id", must_be("custom_id", what, given) if "custom_id" in value else missing
        return
    first = first_of.setdefault(given, number)
    if first != number:
        name = shortened(given, 40)
        text = tr(
            f"custom_id {name} 和第 {first} 行重复：它用来把结果对回请求，每行要不同",
            f"custom_id {name} is that of line {first}, too: results are found by it, so each "
            "line has its own",
        )
        yield "duplicate-custom-id", text


def _address(value: dict[str, Any]) -> _Found:
    for name, only in (("method", "POST"), ("url", ENDPOINT)):
        if name in value and value[name] != only:
            got = shown(value[name])
            text = tr(
                f"{name} 只能是 {only}，收到的是 {got}", f"{name} can only be {only}, got {got}"
            )
            yield name, text


def _body(value: dict[str, Any]) -> _Found:
    body = value.get("body")
    if not isinstance(body, dict):
        missing = tr("缺少 body", "body is missing")
        what = tr("一个对象", "an object")
        yield "body", must_be("body", what, body) if "body" in value else missing
        return
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        text = tr(
            "body.messages 应当是列表，至少有一条消息",
            "body.messages must be a list of one message or more",
        )
        yield "messages", text
        return
    last = messages[-1]
    role = last.get("role") if isinstance(last, dict) else last
    if role != "user":
        text = tr(
            f"body.messages 的最后一条应当是 user 的，这里是 {shown(role)}",
            f"the last of body.messages must be of the user, here it is {shown(role)}",
        )
        yield "messages", text

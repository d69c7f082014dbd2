"""Make rows from other formats, and a file from rows. What cannot be converted is refused by name,
never guessed.

Text files may be UTF-8 or GBK. Of a file at most `MAX_SOURCE_BYTES` are read: an export may be
larger than what may be uploaded, since most of it may not be kept. The rows are not checked here:
pass them to `check` or `clean`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cookbook.data.excerpt import written
from cookbook.errors import ArgumentError, DataError

MAX_SOURCE_BYTES = 100 * 1024 * 1024

Source = str | Path | Sequence[Mapping]

SHAREGPT_FORMAT = '{"conversations": [{"from": "human" | "gpt" | "system", "value": …}]}'
ALPACA_FORMAT = '{"instruction": …, "input": …, "output": …}'

_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


def from_sharegpt(source: Source) -> list[dict]:
    """Return rows from ShareGPT's format: `{"conversations": [{"from": "human", "value": …}, …]}`.

    Args:
        source: the objects, or the path of a .json (one array) or .jsonl file.

    Raises:
        DataError: the file cannot be read, or an entry has another format (named by its number).
    """
    return _converted(source, _from_sharegpt, SHAREGPT_FORMAT)


def from_alpaca(source: Source, *, system: str | None = None) -> list[dict]:
    """Return rows from Alpaca's format: `{"instruction": …, "input": …, "output": …}`.

    The question is the instruction, with the input below it where there is one. An entry's own
    `system` and `history` (pairs of question and answer) are used where given.

    Args:
        source: the objects, or the path of a .json (one array) or .jsonl file.
        system: the system message of entries that have none.

    Raises:
        DataError: the file cannot be read, or an entry has another format (named by its number).
    """
    return _converted(source, partial(_from_alpaca, system=system), ALPACA_FORMAT)


def _converted(source: Source, convert: Callable[[Mapping], dict], expected: str) -> list[dict]:
    entries = _read_entries(source) if isinstance(source, str | Path) else source
    rows = []
    for number, entry in enumerate(entries, 1):
        try:
            rows.append(convert(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Whatever is missing or of another type, the entry is not in this format.
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                zh=f"第 {number} 条的格式不对（{reason}），应为 {expected}",
                en=f"entry {number} has another format ({reason}), expected {expected}",
            ) from error
    return rows


def _from_sharegpt(entry: Mapping) -> dict:
    turns = entry["conversations"]
    if not turns:
        raise ValueError("conversations is empty")
    messages = []
    for turn in turns:
        role = _SHAREGPT_ROLES[turn["from"]]
        messages.append({"role": role, "content": _text(turn["value"])})
    # Some exports keep the system message beside the conversation.
    if entry.get("system") and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": _text(entry["system"])})
    return {"messages": messages}


def _from_alpaca(entry: Mapping, system: str | None) -> dict:
    parts = [entry["instruction"], entry.get("input")]
    question = "\n".join(_text(part) for part in parts if part)
    history = entry.get("history") or []
    pairs = [_pair_of_texts(pair) for pair in history]
    pairs.append((question, _text(entry["output"])))
    if entry.get("system"):
        system = _text(entry["system"])
    return _conversation(system, pairs)


def _conversation(system: str | None, pairs: Iterable[tuple[str, str]]) -> dict:
    messages = []
    if system:
        messages.append({"role": "system", "content": system})
    for question, answer in pairs:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} {written(value)[:30]} is not text")
    return value


def _pair_of_texts(value: object) -> tuple[str, str]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TypeError(f"{written(value)[:30]} is not a pair")
    question, answer = value
    return _text(question), _text(answer)


def _read_entries(source: str | Path) -> list:
    path = Path(source)
    try:
        text = _decode(_read_within_limit(path))
        if text.lstrip().startswith("["):
            return json.loads(text)
        # Not `splitlines`, which also splits at line ends that JSON allows within a text.
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            zh=f"读不了 {path.name}：{error}", en=f"cannot read {path.name}: {error}"
        ) from error


def _read_within_limit(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: the file is larger than what is read.
    """
    # One byte more than the limit is enough to see that a file is too large.
    with path.open("rb") as file:
        content = file.read(MAX_SOURCE_BYTES + 1)
    if len(content) > MAX_SOURCE_BYTES:
        limit = MAX_SOURCE_BYTES // 2**20
        raise ArgumentError(
            zh=f"超过 {limit} MB，请先拆成几个文件",
            en=f"more than {limit} MB: split it into several files",
        )
    return content


def _decode(content: bytes) -> str:
    """Return the text.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor GBK.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")

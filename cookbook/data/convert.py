"""Rows from other shapes, and rows as a file. What cannot be turned is refused by name, never guessed.

Text files may be UTF-8 or GBK. Of a file at most `MAX_SOURCE_BYTES` are read: an export may be larger than what may be
uploaded, since most of it may not be kept.
"""

import io
import json
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cookbook.errors import ArgumentError, DataError

MAX_SOURCE_BYTES = 100 * 1024 * 1024

_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


def to_jsonl(rows: Iterable[dict]) -> bytes:
    """The rows as the bytes of a training file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def from_table(source, *, user: str, assistant: str, system: str | None = None) -> list[dict]:
    """Rows from a table of questions and answers; lines without a question or an answer are kept out.

    Args:
        source: a DataFrame, or the path of a .csv (UTF-8 or GBK) or .xlsx file.
        user: the column of questions.
        assistant: the column of answers.
        system: the system message, the same for every row; not a column.

    Raises:
        DataError: the file cannot be read, or has no such column (the message names those it has), or a cell is no text.
    """
    import pandas as pd

    frame = source if isinstance(source, pd.DataFrame) else _read_table(Path(source))
    names = "、".join(map(str, frame.columns))
    for column in (user, assistant):
        if list(frame.columns).count(column) != 1:
            raise DataError(
                zh=f"列 {column!r} 应当有且只有一个，表里有：{names}",
                en=f"there must be one column {column!r}; the table has: {names}",
            )
    rows = []
    for number, (ask, answer) in enumerate(zip(frame[user], frame[assistant], strict=True), 1):
        ask, answer = _cell(ask, number), _cell(answer, number)
        if ask and answer:
            rows.append(_conversation(system, [(ask, answer)]))
    return rows


def _cell(value, number: int) -> str:
    """A cell's text; a number as it is written, an empty cell as nothing.

    Raises:
        DataError: it is neither.
    """
    if (
        value is None or value != value or type(value).__name__ == "NAType"
    ):  # NaN is not equal to itself
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return str(int(value)) if value == int(value) else str(value)
    kind = type(value).__name__
    raise DataError(
        zh=f"表格第 {number} 条里有一格是 {kind}，不是文字",
        en=f"a cell of row {number} is a {kind}, not text",
    )


def from_sharegpt(source: str | Path | Sequence[Mapping]) -> list[dict]:
    """Rows from conversations in ShareGPT's shape: `{"conversations": [{"from": "human", "value": …}, …]}`.

    Args:
        source: the objects, or the path of a .json (one array) or .jsonl file.

    Raises:
        DataError: the file cannot be read, or an entry has another shape (named by its number).
    """

    def turn(entry: Mapping) -> dict:
        turns = entry["conversations"]
        if not turns:
            raise ValueError("conversations is empty")
        messages = [
            {"role": _SHAREGPT_ROLES[m["from"]], "content": _text(m["value"])} for m in turns
        ]
        if entry.get("system") and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": _text(entry["system"])})
        return {"messages": messages}

    return _turned(
        source, turn, '{"conversations": [{"from": "human" | "gpt" | "system", "value": …}]}'
    )


def from_alpaca(source: str | Path | Sequence[Mapping], *, system: str | None = None) -> list[dict]:
    """Rows from Alpaca's shape, `{"instruction", "input", "output"}`: the question is the instruction, and the input
    below it where there is one. An entry's own `system` and `history` (pairs) are used where given.

    Args:
        source: the objects, or the path of a .json (one array) or .jsonl file.
        system: the system message of entries that have none.

    Raises:
        DataError: the file cannot be read, or an entry has another shape (named by its number).
    """

    def turn(entry: Mapping) -> dict:
        question = "\n".join(
            _text(part) for part in (entry["instruction"], entry.get("input") or "") if part
        )
        pairs = [
            (_text(ask), _text(answer)) for ask, answer in map(_pair, entry.get("history") or [])
        ]
        own = entry.get("system")
        return _conversation(
            _text(own) if own else system, [*pairs, (question, _text(entry["output"]))]
        )

    return _turned(source, turn, '{"instruction": …, "input": …, "output": …}')


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} {value!r:.30} is not text")
    return value


def _pair(value: object) -> Sequence:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TypeError(f"{value!r:.30} is not a pair")
    return value


def _conversation(system: str | None, pairs: Iterable[tuple[str, str]]) -> dict:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in pairs:
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    return {"messages": messages}


def _turned(source, turn: Callable[[Mapping], dict], shape: str) -> list[dict]:
    entries = _read_entries(Path(source)) if isinstance(source, str | Path) else source
    rows = []
    for i, entry in enumerate(entries, 1):
        try:
            rows.append(turn(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                zh=f"第 {i} 条的形状不对（{reason}），应为 {shape}",
                en=f"entry {i} has another shape ({reason}), wanted {shape}",
            ) from error
    return rows


def _read_entries(path: Path) -> list:
    try:
        text = _decoded(_within_limit(path))
        found = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(x) for x in text.split("\n") if x.strip()]
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            zh=f"读不了 {path.name}：{error}", en=f"cannot read {path.name}: {error}"
        ) from error
    return found


def _read_table(path: Path):
    import pandas as pd

    try:
        content = _within_limit(path)
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return pd.read_excel(io.BytesIO(content), dtype=str, keep_default_na=False)
        return pd.read_csv(io.StringIO(_decoded(content)), dtype=str, keep_default_na=False)
    except Exception as error:  # readers of tables raise whatever their format's library raises
        raise DataError(
            zh=f"读不了表格 {path.name}：{error}", en=f"cannot read the table {path.name}: {error}"
        ) from error


def _within_limit(path: Path) -> bytes:
    """
    Raises:
        ValueError: the file is larger than what is read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_SOURCE_BYTES + 1)
    if len(content) > MAX_SOURCE_BYTES:
        limit = MAX_SOURCE_BYTES // 2**20
        raise ArgumentError(
            zh=f"超过 {limit} MB，请先拆成几个文件",
            en=f"more than {limit} MB: split it into several files",
        )
    return content


def _decoded(content: bytes) -> str:
    """
    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor GBK.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030")

"""Make rows from other formats, and a file from rows. What cannot be converted is refused by name,
never guessed.

Text files may be UTF-8 or GBK. Of a file at most `MAX_SOURCE_BYTES` are read: an export may be
larger than what may be uploaded, since most of it may not be kept. The rows are not checked here:
pass them to `check` or `clean`.
"""

import io
import json
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cookbook.data import table_size
from cookbook.data.excerpt import written
from cookbook.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import pandas as pd

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


def from_table(
    source: "pd.DataFrame | str | Path", *, user: str, assistant: str, system: str | None = None
) -> list[dict]:
    """Return rows from a table of questions and answers, without the lines that lack one of the
    two.

    Args:
        source: a DataFrame, or the path of a .csv (UTF-8 or GBK) or .xlsx file.
        user: the column of questions.
        assistant: the column of answers.
        system: the system message, the same for every row; not a column.

    Raises:
        DataError: the file cannot be read, does not have each column once (the message names those
            it has), or has a cell that is not text.
    """
    import pandas as pd

    frame = source if isinstance(source, pd.DataFrame) else _read_table(source)
    columns = list(frame.columns)
    names = "、".join(map(str, columns))
    for column in (user, assistant):
        if columns.count(column) != 1:
            raise DataError(
                zh=f"列 {column!r} 应当有且只有一个，表里有：{names}",
                en=f"there must be one column {column!r}; the table has: {names}",
            )
    rows = []
    pairs = zip(frame[user], frame[assistant], strict=True)
    for number, (question_cell, answer_cell) in enumerate(pairs, 1):
        question = _cell(question_cell, number)
        answer = _cell(answer_cell, number)
        # An export often has lines that nobody filled in.
        if question and answer:
            rows.append(_conversation(system, [(question, answer)]))
    return rows


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


def _cell(value: object, number: int) -> str:
    """Return a cell's text: a number as it is written, an empty cell as nothing.

    Raises:
        DataError: it is neither text, number nor empty.
    """
    kind = type(value).__name__
    # NaN alone is not equal to itself. pandas' NA has no answer to that, so it goes by name.
    is_nan = value != value
    if value is None or kind == "NAType" or is_nan:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, numbers.Integral) and kind != "bool":
        return str(int(value))
    if isinstance(value, numbers.Real) and kind != "bool":
        # A column of whole numbers with an empty cell has floats: 5.0 was written as 5.
        as_float = float(value)
        return str(int(as_float)) if as_float.is_integer() else str(value)
    raise DataError(
        zh=f"表格第 {number} 条里有一格是 {kind}，不是文字",
        en=f"a cell of row {number} is a {kind}, not text",
    )


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


def _read_table(source: str | Path) -> "pd.DataFrame":
    import pandas as pd

    path = Path(source)
    try:
        content = _read_within_limit(path)
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            table_size.of_workbook(content)
            return pd.read_excel(io.BytesIO(content), dtype=str, keep_default_na=False)
        text = _decode(content)
        table_size.of_csv(text)
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except Exception as error:  # readers of tables raise whatever their format's library raises
        raise DataError(
            zh=f"读不了表格 {path.name}：{error}", en=f"cannot read the table {path.name}: {error}"
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

"""Rows from other shapes, and rows as a file. What cannot be turned is refused by name, never guessed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cookbook.errors import DataError, say

_SHAREGPT_ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


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
        DataError: the file cannot be read, or has no such column (the message names those it has).
    """
    import pandas as pd

    frame = source if isinstance(source, pd.DataFrame) else _read_table(Path(source))
    missing = [column for column in (user, assistant) if column not in frame.columns]
    if missing:
        names = "、".join(map(str, frame.columns))
        raise DataError(say(f"没有列 {missing}，表里有：{names}", f"no column {missing}; the table has: {names}"))
    pairs = frame[[user, assistant]].astype("string").apply(lambda column: column.str.strip())
    pairs = pairs[(pairs[user].fillna("") != "") & (pairs[assistant].fillna("") != "")]
    return [_conversation(system, [(ask, answer)]) for ask, answer in pairs.itertuples(index=False)]


def from_sharegpt(source: str | Path | Sequence[Mapping]) -> list[dict]:
    """Rows from conversations in ShareGPT's shape: `{"conversations": [{"from": "human", "value": …}, …]}`.

    Args:
        source: the objects, or the path of a .json (one array) or .jsonl file.

    Raises:
        DataError: the file cannot be read, or an entry has another shape (named by its number).
    """

    def turn(entry: Mapping) -> dict:
        messages = [{"role": _SHAREGPT_ROLES[m["from"]], "content": m["value"]} for m in entry["conversations"]]
        return {"messages": messages}

    return _turned(source, turn, '{"conversations": [{"from": "human" | "gpt" | "system", "value": …}]}')


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
        question = "\n".join(part for part in (entry["instruction"], entry.get("input") or "") if part)
        pairs = [tuple(pair) for pair in entry.get("history") or []]
        return _conversation(entry.get("system") or system, [*pairs, (question, entry["output"])])

    return _turned(source, turn, '{"instruction": …, "input": …, "output": …}')


def _conversation(system: str | None, pairs: Iterable[tuple[str, str]]) -> dict:
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in pairs:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
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
                say(
                    f"第 {i} 条的形状不对（{reason}），应为 {shape}",
                    f"entry {i} has another shape ({reason}), wanted {shape}",
                )
            ) from error
    return rows


def _read_entries(path: Path) -> list:
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(x) for x in text.splitlines() if x.strip()]
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(say(f"读不了 {path.name}：{error}", f"cannot read {path.name}: {error}")) from error
    return found


def _read_table(path: Path):
    import pandas as pd

    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return pd.read_excel(path, dtype="string")
        try:
            return pd.read_csv(path, dtype="string", encoding="utf-8-sig")
        except UnicodeDecodeError:
            return pd.read_csv(path, dtype="string", encoding="gb18030")
    except Exception as error:  # readers of tables raise whatever their format's library raises
        raise DataError(
            say(f"读不了表格 {path.name}：{error}", f"cannot read the table {path.name}: {error}")
        ) from error

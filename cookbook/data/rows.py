"""What several modules need to know about one sound row.

A row is a plain dict, `{"messages": [{"role": …, "content": …}, …]}`; an answer may have
`"weight": 0`. Nothing is checked here: `rules/` does that.
"""

import json
import os
from collections.abc import Iterable

from cookbook import chatml
from cookbook.errors import DataError

ROLES = ("system", "user", "assistant")

RowKey = tuple[tuple[str, str, bool], ...]
NumberedRow = tuple[int, dict]  # the number of its entry, and the row


def row_key(row: dict) -> RowKey:
    """Return what makes two rows the same: of each message role, content and if it is learned."""
    key = []
    for message in row["messages"]:
        # The same answer, once learned and once only read, makes two rows.
        is_learned = chatml.is_trained(message)
        key.append((message["role"], message["content"], is_learned))
    return tuple(key)


def text_of(row: dict, role: str) -> str:
    """Return all texts of one role, joined."""
    messages = [message for message in row["messages"] if message["role"] == role]
    # A list, not a generator: `join` makes one anyway, and this runs twice for every row.
    return "".join([message["content"] for message in messages])


def listed(rows: Iterable[dict]) -> list[dict]:
    """Return rows as a list, whatever holds them.

    Raises:
        DataError: it is a path, or holds something else than rows.
    """
    if isinstance(rows, list) and (not rows or isinstance(rows[0], dict)):
        return rows
    if isinstance(rows, str | bytes | os.PathLike) or not isinstance(rows, Iterable):
        kind = type(rows).__name__
        raise DataError(
            zh=f"要给的是数据，不是 {kind}：先用 data.load(path) 读出来",
            en=f"this takes rows, not a {kind}: read them first with data.load(path)",
        )
    given = list(rows)
    if given and not isinstance(given[0], dict):
        raise DataError(
            zh=f"{type(rows).__name__} 里不是一条条数据：先用 data.load(…) 读出来",
            en=f"the {type(rows).__name__} does not hold rows: read them first with data.load(…)",
        )
    return given


def to_jsonl(rows: Iterable[dict]) -> bytes:
    """Return the bytes of a training file with these rows.

    Raises:
        DataError: what is given are no rows, or a text has half a character.
    """
    # Chinese stays readable, and takes half the bytes that escapes would.
    lines = [json.dumps(row, ensure_ascii=False) for row in listed(rows)]
    try:
        return "".join(f"{line}\n" for line in lines).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            zh="有的文字里有半个字符，不能存成 UTF-8：data.check(rows) 会指出在哪里",
            en="a text has half a character, which UTF-8 cannot store: data.check(rows) says where",
        ) from error

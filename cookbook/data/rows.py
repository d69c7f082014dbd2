"""What several modules need to know about one sound row.

A row is a plain dict, `{"messages": [{"role": …, "content": …}, …]}`; an answer may have
`"weight": 0`. Nothing is checked here: `rules/` does that.
"""

import json
from collections.abc import Iterable

from cookbook import chatml

ROLES = ("system", "user", "assistant")

RowKey = tuple[tuple[str, str, bool], ...]
NumberedRow = tuple[int, dict]  # the number of its entry, and the row


def row_key(row: dict) -> RowKey:
    """Return what makes two rows the same: of each message role, content and if it is learned."""
    key = []
    for message in row["messages"]:
        # The same answer, once learned and once only read, makes two rows.
        key.append((message["role"], message["content"], chatml.is_trained(message)))
    return tuple(key)


def text_of(row: dict, role: str) -> str:
    """Return all texts of one role, joined."""
    messages = [message for message in row["messages"] if message["role"] == role]
    # A list, not a generator: `join` makes one anyway, and this runs twice for every row.
    return "".join([message["content"] for message in messages])


def to_jsonl(rows: Iterable[dict]) -> bytes:
    """Return the bytes of a training file with these rows."""
    # Chinese stays readable, and takes half the bytes that escapes would.
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")

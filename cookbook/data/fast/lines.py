"""Recognize the usual line quickly: `{"messages": [{"role": …, "content": …}, …]}`, in good order and nothing else.

What is not recognized here is no error yet: `checks.py` looks at it closely and says what is wrong. Nearly all lines of
a good file are usual, so a check takes about as long as parsing.
"""

import orjson

_KEYS = {"role", "content"}


def parse(line: bytes) -> dict | None:
    """The row of a line that certainly breaks no rule; None if there is any doubt."""
    try:
        row = orjson.loads(line)
    except ValueError:
        return None
    if type(row) is not dict or row.keys() != {"messages"}:
        return None
    messages = row["messages"]
    if type(messages) is not list or not all(map(_is_plain, messages)):
        return None
    roles = [m["role"] for m in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        return None
    # Of a key given twice one value is left, so a line with more quotation marks than its row needs holds such a key.
    more = line.count(b'"') - 2 - 8 * len(messages)
    if more and (b"\\u0022" in line or more != sum(m["content"].count('"') for m in messages)):
        return None
    return row


def has_text(content: str) -> bool:
    """Whether there is anything to read."""
    return any(c.isprintable() and not c.isspace() for c in content)


def _is_plain(message: object) -> bool:
    return (
        type(message) is dict
        and message.keys() == _KEYS
        and type(message["role"]) is type(message["content"]) is str
        and (message["content"][:1].isalnum() or has_text(message["content"]))
    )

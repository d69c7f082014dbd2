"""What several modules need to know about one sound row.

A row is a plain dict, `{"messages": [{"role": …, "content": …}, …]}`. Nothing is checked here:
`rules.py` does that.
"""

RowKey = tuple[tuple[str, str], ...]


def row_key(row: dict) -> RowKey:
    """Return what makes two rows the same: their roles and contents."""
    return tuple((message["role"], message["content"]) for message in row["messages"])


def text_of(row: dict, role: str) -> str:
    """Return all texts of one role, joined."""
    return "".join([message["content"] for message in row["messages"] if message["role"] == role])

"""What several parts need to know of one row."""


def row_key(row: dict) -> tuple[tuple[str, str], ...]:
    """What makes two rows the same: their roles and contents."""
    return tuple((m["role"], m["content"]) for m in row["messages"])


def said(row: dict, role: str) -> str:
    """All that one side says."""
    return "".join([m["content"] for m in row["messages"] if m["role"] == role])

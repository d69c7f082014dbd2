"""Chat logs: the messages of several people, one a row."""

from cookbook.data.read import Reading


def is_chat_log(reading: Reading) -> bool:
    """Return whether a table is a chat log."""
    return False

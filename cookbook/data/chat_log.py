"""Chat logs: the messages of several people, one a row."""

from collections.abc import Mapping, Sequence

from cookbook.data.cleaned import Cleaned
from cookbook.data.read import Source
from cookbook.errors import DataError


def is_chat_log(columns: Sequence[str], rows: Sequence[Mapping] = ()) -> bool:
    """Return whether a table is a chat log."""
    return False


def from_chat_log(
    source: Source,
    *,
    assistant: str | None = None,
    system: str | None = None,
    sheet: str | int | None = None,
    encoding: str | None = None,
) -> Cleaned:
    """Return rows from a chat log, joined by speaker."""
    raise DataError(zh="这不是聊天记录", en="this is not a chat log")

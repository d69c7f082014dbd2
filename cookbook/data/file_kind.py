"""What a file is, by its first bytes: text, or something that only looks like a training file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is no text with rows.

    Attributes:
        name: for programs: "gzip", "workbook", "old-workbook", "parquet", "web-page", "pointer", …
        title_zh, title_en: what it is, as "Excel 工作簿", "an Excel workbook".
        fix_zh, fix_en: the one remedy that fits, with the function to call.
        is_table: whether `from_table` and `from_messages` read it.
    """

    name: str
    title_zh: str
    title_en: str
    fix_zh: str
    fix_en: str
    is_table: bool = False


def look(head: bytes, name: str = "") -> FileKind | None:
    """Return the kind of a file, None for text; `head` has its first bytes, 64 KB at most."""
    return None

"""What is known of a kind of file, and its remedy for a single file.

kind.for_file("数据.gz")    the kind with the name of the file in its commands
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from cookbook.i18n import tr

LONGEST_NAME = 40  # a longer one is not written into a command
WORD = re.compile(r"[\w.+-]+")
UNSAFE = frozenset("\"'`$\\%!{}^")  # what a shell, or Python, would not take as part of a name


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is no text with rows.

    Attributes:
        name: for programs: "gzip", "workbook", "old-workbook", "parquet", "web-page", …
        title_zh, title_en: what it is, as "Excel 工作簿", "an Excel workbook".
        fix_zh, fix_en: the one remedy that fits, with the function or the command to call.
        is_table: whether `from_table` and `from_messages` read it.
    """

    name: str
    title_zh: str
    title_en: str
    fix_zh: str
    fix_en: str
    is_table: bool = False

    @property
    def title(self) -> str:
        """What it is, in the reader's language."""
        return tr(self.title_zh, self.title_en)

    @property
    def fix(self) -> str:
        """The remedy, in the reader's language."""
        return tr(self.fix_zh, self.fix_en)

    def for_file(self, name: str) -> Self:
        """Return the kind with the name of a file in its remedy."""
        # A name that is long, or that a shell would not take as one, is left to the reader.
        is_plain = name.isprintable() and not set(name) & UNSAFE
        is_option = name.startswith("-")
        if not name or len(name) > LONGEST_NAME or not is_plain or is_option:
            return self._filled(zh="文件名", plain_zh="文件名", en="FILE", plain_en="FILE")
        quoted = name if WORD.fullmatch(name) else f'"{name}"'
        return self._filled(zh=quoted, plain_zh=name, en=quoted, plain_en=name)

    def _filled(self, *, zh: str, plain_zh: str, en: str, plain_en: str) -> Self:
        # NAME is the file as an argument of a command, PLAIN its name in Python's quotes.
        return replace(
            self,
            name=self.name.removesuffix("-renamed"),
            fix_zh=self.fix_zh.replace("NAME", zh).replace("PLAIN", plain_zh),
            fix_en=self.fix_en.replace("NAME", en).replace("PLAIN", plain_en),
        )

"""The encodings that are known by name.

Windows writes Chinese in GBK, or in Big5 where it is set to traditional characters. What Excel
calls Unicode text is UTF-16.
"""

import codecs
from dataclasses import dataclass

from cookbook.errors import DataError


@dataclass(frozen=True)
class Encoding:
    """The encoding of a file.

    Attributes:
        name: as Python names it: "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be",
            "gb18030", "cp950" or "big5hkscs".
        title: as people name it: "UTF-8", "UTF-16", "UTF-32", "GBK", "Big5".
        bom_bytes: how long the byte-order mark is; 0 where there is none.
    """

    name: str
    title: str
    bom_bytes: int = 0


UTF_8 = Encoding("utf-8", "UTF-8")
GBK = Encoding("gb18030", "GBK")
BIG5 = Encoding("cp950", "Big5")
BIG5_HONG_KONG = Encoding("big5hkscs", "Big5")
UTF_16 = (Encoding("utf-16-le", "UTF-16"), Encoding("utf-16-be", "UTF-16"))

# The mark of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, Encoding("utf-32-le", "UTF-32")),
    (codecs.BOM_UTF32_BE, Encoding("utf-32-be", "UTF-32")),
    (codecs.BOM_UTF16_LE, UTF_16[0]),
    (codecs.BOM_UTF16_BE, UTF_16[1]),
    (b"\x84\x31\x95\x33", GBK),
)

# What Python calls encodings, but no file is written in.
NO_ENCODINGS = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf_7")


def named(name: str) -> Encoding:
    """Return the encoding that a reader names, as `encoding="gbk"`.

    Raises:
        DataError: Python knows none of that name.
    """
    try:
        codec = codecs.lookup(name).name
        # Those that make no text of bytes, such as base64, are refused here.
        if codec.replace("-", "_") in NO_ENCODINGS or "a,\n".encode(codec).decode(codec) != "a,\n":
            raise LookupError(name)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        shown = repr(name)[:42]
        raise DataError(
            zh=f"不认识 encoding={shown}。常用的是 utf-8、gb18030（GBK）、big5、utf-16",
            en=f"encoding={shown} is not known. Common ones: utf-8, gb18030 (GBK), big5, utf-16",
        ) from error
    if codec in ("gbk", "gb2312", "gb18030"):
        return GBK
    if codec == "utf-8-sig":
        return UTF_8
    known = {e.name: e for e in (UTF_8, BIG5, BIG5_HONG_KONG, *UTF_16)}
    titles = {"big5": "Big5", "utf-16": "UTF-16", "utf-32": "UTF-32"}
    return known.get(codec) or Encoding(codec, titles.get(codec, codec))


def mark_bytes(content: bytes, encoding: Encoding) -> int:
    """Return how long the byte-order mark is that content in an encoding begins with."""
    for mark, marked in MARKS:
        if marked.name == encoding.name and content.startswith(mark):
            return len(mark)
    return 0


def decodes(content: bytes, encoding: Encoding) -> bool:
    """Return whether content is valid in an encoding."""
    try:
        content.decode(encoding.name)
    except UnicodeDecodeError:
        return False
    return True

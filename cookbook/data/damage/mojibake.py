"""Find text that was read in the wrong encoding.

    è¿˜æœ‰      UTF-8 read as Latin-1 or Windows-1252
    浣犲ソ      UTF-8 read as GBK
    ÄãºÃ        GBK read as Latin-1
    锟斤拷、烫烫烫    what is lost for good, as is U+FFFD

What turns back into sensible text without a remainder is repaired, the rest only found. French,
German, Portuguese or Vietnamese text has the same letters in other company, and is left alone.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice

from cookbook.data.damage.spot import Spot

# What the bytes 80 to 9F are in Windows-1252; the others are the same in Latin-1.
_WINDOWS = {
    byte: bytes([byte]).decode("cp1252")
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
_TO_LATIN = {ord(character): byte for byte, character in _WINDOWS.items()}
_SPECIALS = "".join(_WINDOWS.values())
# Bytes 80 to BF continue a character of UTF-8.
_CONTINUES = f"\x80-\xbf{_SPECIALS}"
# These also come after a letter in good text: quotation marks, dashes, a space.
_USUAL = "\xa0\xab\xbb‘’“”‹›–—…"
_LETTERS = "ŠšŽžŒœŸƒ"
UNUSUAL = "".join(
    character for character in [*map(chr, range(0x80, 0xC0)), *_SPECIALS] if character not in _USUAL
)
_NO_LETTER = re.escape("".join(character for character in UNUSUAL if character not in _LETTERS))
_HAS_UNUSUAL = re.compile(f"[{re.escape(UNUSUAL)}]")
# What good text never has: after a capital with a circumflex or tilde all of them count.
_STRONG = re.compile(f"[{_NO_LETTER}]|[\xc2\xc3][\xa0{_LETTERS}]")

# UTF-8 as Latin-1; letters of Europe, Greek, Cyrillic, Hebrew and Arabic take two bytes.
_LATIN = re.compile(
    f"(?:[\xc2-\xc5\xce-\xd1\xd7-\xd9][{_CONTINUES}]"
    f"|[\xe0-\xef][{_CONTINUES}]{{2}}|[\xf0-\xf4][{_CONTINUES}]{{3}})+"
)
# The same where a program has thrown the control characters away.
_LATIN_REST = re.compile(
    "[\xe3-\xef][\x80-\x9f\xa1-\xa8\xaa\xac\xad\xaf\xb1\xb4-\xb6\xb8\xbc-\xbf]"
)
_GBK_AS_LATIN = re.compile("[\xa1-\xfe]{4,}")
_LETTER = re.compile("[\xc0-\xd6\xd8-\xf6\xf8-\xff]")

# What is lost: the replacement character as such, its UTF-8 as GBK, and memory that a program of
# Windows never filled.
_LOST = re.compile("\ufffd+|(?:锟斤拷)+|锟斤|烫{3,}|屯{3,}")


def spots(text: str) -> Iterator[Spot]:
    """Yield each mis-read piece, in order of the kinds."""
    for match in _LOST.finditer(text):
        yield Spot(match.start(), match.end(), None)
    if _STRONG.search(text):
        yield from _latin_spots(text)
    yield from _gbk_spots(text)


def describe(text: str, spot: Spot) -> tuple[str, str]:
    """Return what was found, in Chinese and English."""
    written = text[spot.start : spot.end]
    if _LOST.match(written):
        if written[0] == "\ufffd":
            return "替换符 U+FFFD，原来的字已经丢了", "U+FFFD: the character is lost"
        return f"乱码 {written[:6]}，原来的字已经丢了", f"{written[:6]}: the characters are lost"
    shown = written[:12]
    if spot.repaired is None:
        return f"乱码 {shown}", f"mis-decoded text {shown}"
    meant = spot.repaired[:12]
    return f"乱码 {shown}，应是“{meant}”", f"mis-decoded text {shown}, should be “{meant}”"


def _latin_spots(text: str) -> Iterator[Spot]:
    found = False
    # 1. GBK as Latin-1.
    for match in _GBK_AS_LATIN.finditer(text):
        meant = _from_gb2312(match[0])
        if meant is not None:
            found = True
            yield Spot(*match.span(), meant)
    if found:
        return
    # 2. UTF-8 as Latin-1.
    for match in _LATIN.finditer(text):
        meant = _from_latin(match[0])
        if meant is not None:
            found = True
            # What was lost before is not found again; a byte-order mark is no text.
            lost = "\ufffd" in meant
            yield Spot(*match.span(), None if lost else meant.replace("\ufeff", ""))
    # 3. What is left of it where a program has thrown bytes away; one pair may be chance.
    rest = _LATIN.sub(_blank_if_read, text) if found else text
    remains = list(islice(_LATIN_REST.finditer(rest), 2))
    if len(remains) == 2 or (remains and found):
        yield Spot(remains[0].start(), remains[-1].end(), None)


def _blank_if_read(match: re.Match[str]) -> str:
    is_read = _from_latin(match[0]) is not None
    return " " * len(match[0]) if is_read else match[0]


def _from_latin(run: str) -> str | None:
    """Return what UTF-8 read as Latin-1 was; None if it looks like good text."""
    try:
        meant = run.translate(_TO_LATIN).encode("latin-1").decode("utf-8")
    except ValueError:
        return None
    # A letter and a sign may stand together by chance, three times they do not.
    western = all(character < "\u0180" for character in meant)
    two_bytes = all(character < "\u0800" for character in meant)
    sure = _STRONG.search(run) and (western or not two_bytes)
    if not sure and len(meant) < 3:
        return None
    return meant if all(map(_is_sensible, meant)) else None


def _is_sensible(character: str) -> bool:
    return character.isprintable() or character in "\xa0\u3000\u200b\u200d\ufeff\xad\u2028"


def _from_gb2312(run: str) -> str | None:
    """Return what GBK read as Latin-1 was; None if it looks like good text."""
    letters = len(_LETTER.findall(run))
    has_pairs = len(run) % 2 == 0 and letters > 1
    if not has_pairs or not _HAS_UNUSUAL.search(run):
        return None
    content = run.encode("latin-1")
    try:
        meant = content.decode("gb2312")
    except ValueError:
        return None
    # What is UTF-8 as well is that: its rules are stricter.
    if _is_utf8(content):
        return None
    # One character of two bytes is in too many texts by chance.
    if len(meant) < 2:
        return None
    return meant if all(map(_is_usual_chinese, meant)) else None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_usual_chinese(character: str) -> bool:
    """Return whether a character is among the 3,755 most used, or punctuation."""
    try:
        first = character.encode("gb2312")[0]
    except UnicodeEncodeError:
        return False
    return first in (0xA1, 0xA3) or 0xB0 <= first <= 0xD7


# UTF-8 as GBK: three bytes for each character become pairs, two characters three pairs.


@cache
def _gbk_pattern() -> re.Pattern[str]:
    """Return the pattern of two characters or more: first a pair whose first byte begins one."""
    begins = [*range(0xE2, 0xEA), 0xEF]
    continues = range(0x80, 0xC0)
    one = _pairs(begins, continues)
    two = _pairs(continues, begins)
    three = _pairs(continues, continues)
    # A letter may be taken into a pair.
    four = _pairs(continues, range(0x40, 0x7F))
    begin = f"[{one}][{two}][{three}]"
    return re.compile(f"{begin}[{one}{two}{three}{four}]*")


def _pairs(first: list[int] | range, second: list[int] | range) -> str:
    characters = []
    for a in first:
        for b in second:
            characters.append(bytes([a, b]).decode("gb18030", "ignore"))
    return "".join(sorted(set("".join(characters))))


@cache
def gbk_rare() -> str:
    """Return characters of which UTF-8 read as GBK has some, and simplified Chinese hardly any."""
    begins = [*range(0xE2, 0xEA), 0xEF]
    continues = range(0x80, 0xC0)
    candidates = _pairs(begins, continues) + _pairs(continues, begins)
    return "".join(character for character in candidates if not _is_in_gb2312(character))


def _is_in_gb2312(text: str) -> bool:
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _gbk_spots(text: str) -> Iterator[Spot]:
    for match in _gbk_pattern().finditer(text):
        run = match[0].encode("gb18030")
        # Six bytes at least: the first two characters.
        if not all(map(_is_usual_chinese, run[:6].decode("utf-8", "ignore"))):
            continue
        # Three characters of simplified Chinese may stand together by chance.
        if _is_in_gb2312(match[0][:3]):
            continue
        try:
            meant: str | None = run.decode("utf-8")
        except UnicodeDecodeError:
            meant = None
        yield Spot(match.start(), match.end(), meant)

"""Find the encoding of a text, or say that it cannot be known.

    detect(content)             the encoding of a file
    named("big5")               the encoding that a reader names
    decode(content)             the text, with the lines in another encoding and the bad bytes
    decode_line(line, encoding) the text of one line

UTF-8, UTF-16, UTF-32 with a BOM, GB18030 (which includes GBK and GB2312) and Big5 are read; all
others are refused, and so is what could be two of them. Nothing is guessed from names.

charset-normalizer would be the library for this. It takes short texts for what they are not: two
Chinese words in GBK become Cyrillic or Korean, without a doubt to be heard.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cookbook.data import plausible
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

NO_ENCODINGS = ("punycode", "unicode_escape", "raw_unicode_escape", "utf-7")

SAMPLE = 64 * 1024  # bytes that are judged, from all over the content
WINDOWS = 32
# What is not in ASCII, up to the next byte that no character of GB18030 or Big5 ends with.
FOREIGN = re.compile(rb"[\x80-\xff][\x30-\xff]*")
# Characters of three or four bytes in UTF-8; such bytes are hardly ever GBK or Big5.
UTF_8_RUN = re.compile(rb"(?:[\xe1-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2})+")
CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\r\f"))

ENOUGH = 4.0  # evidence that a reading must have, and more than the next has
ENOUGH_EACH = 0.9  # evidence of a character
SHORT = 40  # bytes: so short a text in GBK may be valid UTF-8 by chance
CHUNK = 64 * 1024  # bytes that are decoded at once
MAX_BAD = 20_000  # lines; a file with so many is in another encoding
SHOWN = 80  # characters kept of the text before bad bytes
CHANCE = 5.0  # evidence that UTF-8 must have more than GBK in such a text


@dataclass(frozen=True)
class BadBytes:
    """Bytes of a line that are in no encoding that was found.

    Attributes:
        line: its number.
        column: the place in the line's text, from 1; `start` that in its bytes, from 0.
        content: the bytes.
        before: the end of the text before them.
    """

    line: int
    column: int
    start: int
    content: bytes
    before: str


@dataclass
class Decoded:
    """The text of a file.

    Attributes:
        text: without the byte-order mark. Bad bytes are U+FFFD in it.
        encoding: of the file; None where it cannot be known: the text is of no use then.
        other: the encoding of `other_lines`, which are in another than the file.
        bad: the first bad bytes of each line that has some.
    """

    text: str
    encoding: Encoding | None
    other: Encoding | None = None
    other_lines: list[int] = field(default_factory=list)
    bad: list[BadBytes] = field(default_factory=list)


def detect(content: bytes) -> Encoding | None:
    """Return the encoding of a text; None where several fit or none does.

    A file in UTF-8 with some lines in GBK, or some bad bytes, is UTF-8: `decode` finds them.
    """
    return _detect(content)[0]


def named(name: str) -> Encoding:
    """Return the encoding that a reader names, as `encoding="gbk"`.

    Raises:
        DataError: Python knows none of that name.
    """
    try:
        codec = codecs.lookup(name).name
        # Those that make no text of bytes, such as base64, are refused here.
        if codec in NO_ENCODINGS or "a,\n".encode(codec).decode(codec) != "a,\n":
            raise LookupError(name)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        shown = repr(name)[:42]
        raise DataError(
            zh=f"不认识编码 {shown}。常用的是 utf-8、gb18030（GBK）、big5、utf-16",
            en=f"{shown} is not an encoding. Common ones: utf-8, gb18030 (GBK), big5, utf-16",
        ) from error
    if codec in ("gbk", "gb2312", "gb18030"):
        return GBK
    if codec == "utf-8-sig":
        return UTF_8
    known = {e.name: e for e in (UTF_8, BIG5, BIG5_HONG_KONG, *UTF_16)}
    titles = {"big5": "Big5", "utf-16": "UTF-16", "utf-32": "UTF-32"}
    return known.get(codec) or Encoding(codec, titles.get(codec, codec))


def decode(content: bytes, encoding: Encoding | None = None) -> Decoded:
    """Return the text of a file: in `encoding`, or in what `detect` finds."""
    other = None
    if encoding is None:
        encoding, other = _detect(content)
    used = encoding or UTF_8
    content = content[_mark_bytes(content, used) :]
    try:
        return Decoded(content.decode(used.name), encoding)
    except UnicodeError:
        pass
    if used.name.startswith(("utf-16", "utf-32")):
        return _decode_wide(content, used)
    return _decode_lines(content, encoding, other)


def decode_line(
    line: bytes, encoding: Encoding, other: Encoding | None = None
) -> tuple[str, Encoding]:
    """Return the text of a line and the encoding that it is in: that of the file, or `other`.

    Raises:
        UnicodeDecodeError: it is in neither; the error has the place in the file's encoding.
    """
    try:
        return line.decode(encoding.name), encoding
    except UnicodeDecodeError:
        # A line in UTF-8 with half a character is often valid GBK: it must not be read as that.
        if other is None or _is_torn(line):
            raise
        try:
            return line.decode(other.name), other
        except UnicodeDecodeError:
            pass
        raise


def is_text(content: bytes) -> bool:
    """Return whether bytes may be a text in an encoding of single bytes, UTF-8 or GBK.

    One control character in a text is a fault of the text; many are another kind of file.
    """
    controls = len(content) - len(content.translate(None, CONTROLS))
    return controls * 50 <= len(content) + 50


def _detect(content: bytes) -> tuple[Encoding | None, Encoding | None]:
    """Return the encoding of a file, and of the lines that are in another."""
    for mark, encoding in MARKS:
        if content.startswith(mark) and _fits(content[len(mark) :], encoding):
            marked = Encoding(encoding.name, encoding.title, len(mark))
            if encoding != UTF_8:
                return marked, None
            # What was added to such a file later may be in another encoding.
            found, other = _by_lines(content[len(mark) :])
            return marked, other or (found if found != UTF_8 else None)
    if _is_utf_8(content):
        return _short(content) if is_text(content) else _judge_wide(content), None
    wide = _judge_wide(content)
    if wide is not None:
        return wide, None
    return _by_lines(content) if is_text(content) else (None, None)


def _mark_bytes(content: bytes, encoding: Encoding) -> int:
    for mark, marked in MARKS:
        if marked.name == encoding.name and content.startswith(mark):
            return len(mark)
    return 0


def _fits(content: bytes, encoding: Encoding) -> bool:
    """Return whether content with a byte-order mark is what the mark says."""
    if encoding == UTF_8:
        return is_text(content)
    text = content[:SAMPLE].decode(encoding.name, "replace")
    odd = sum(text.count(c) for c in "\0\ufffd")
    return odd * 50 <= len(text) + 50 and text.count("\0") == 0


def _is_utf_8(content: bytes) -> bool:
    return _decodes(content, UTF_8)


def _short(content: bytes) -> Encoding | None:
    """Return the encoding of content that is valid UTF-8: None where it may as well be GBK.

    Two Chinese characters in GBK may be two letters in UTF-8: "谢谢" is "лл".
    """
    if len(content) > SAMPLE:
        return UTF_8
    sample = b"\n".join(FOREIGN.findall(content))
    if not sample or len(sample) > SHORT or max(sample) >= 0xE0:
        return UTF_8
    as_utf_8 = plausible.judge(sample, "utf-8")
    as_gbk = plausible.judge(sample, "gb18030")
    if as_gbk.mean < ENOUGH_EACH or as_utf_8.total > as_gbk.total + CHANCE:
        return UTF_8
    clear = as_gbk.total > as_utf_8.total + ENOUGH
    return GBK if clear and _is_enough(as_gbk) else None


def _judge_wide(content: bytes) -> Encoding | None:
    """Return UTF-16 for content without a byte-order mark that is plausible as such."""
    content = content[: len(content) // 2 * 2]
    step = max(len(content) // WINDOWS, SAMPLE // WINDOWS) // 2 * 2
    windows = (content[i : i + SAMPLE // WINDOWS] for i in range(0, len(content), step or 2))
    sample = b"".join(windows)
    if len(sample) < 4:
        return None
    names = [encoding.name for encoding in UTF_16]
    best = _best(sample, (*names, "gb18030", "big5hkscs"))
    return UTF_16[names.index(best)] if best in names else None


def _by_lines(content: bytes) -> tuple[Encoding | None, Encoding | None]:
    """Return the encoding of a file that is not all UTF-8, and of the lines in another.

    Some lines in UTF-8 among the others decide nothing yet: in a file in GBK a short one may be
    valid UTF-8 by chance.
    """
    good: list[bytes] = []
    torn = False
    foreign: list[bytes] = []
    for lines, sound in _apart(content, UTF_8):
        if sound and not lines.isascii():
            good.append(lines)
        elif not sound and _is_torn(lines):
            torn = True
        elif not sound:
            foreign.append(lines)
        if len(foreign) == MAX_BAD:
            break
    if not foreign:
        return UTF_8, None

    found = _best(_sample(b"\n".join(foreign)), plausible.LANGUAGES)
    encoding = _readable(found, foreign)
    if encoding is None:
        # Some bad bytes in a file in UTF-8 are bad bytes, and the rest is read.
        few = 2 * len(foreign) < _line_ends(content)
        return UTF_8 if good or torn or few else None, None
    if encoding == UTF_8:
        return UTF_8, None
    if torn or _is_utf_8_on_purpose(good, encoding):
        return UTF_8, encoding
    return encoding, None


def _is_utf_8_on_purpose(good: list[bytes], other: Encoding) -> bool:
    """Return whether what is valid UTF-8 is not so by chance."""
    if not good:
        return False
    sample = _sample(b"\n".join(good))
    name = GBK.name if other == GBK else BIG5_HONG_KONG.name
    return plausible.judge(sample, "utf-8").total >= plausible.judge(sample, name).total


def _apart(content: bytes, encoding: Encoding) -> Iterator[tuple[bytes, bool]]:
    """Yield the content in order: many lines that are in the encoding, or one line, and whether
    it is.

    Lines are looked at one by one only where one of them is bad.
    """
    start = 0
    while start < len(content):
        # Up to the last line end in reach; a line that is longer is taken whole.
        end = content.rfind(b"\n", start, start + CHUNK) + 1
        end = end or content.find(b"\n", start) + 1 or len(content)
        chunk = content[start:end]
        start = end
        if _decodes(chunk, encoding):
            yield chunk, True
            continue
        for line in chunk.splitlines(keepends=True):
            yield line, _decodes(line, encoding)


def _line_ends(content: bytes) -> int:
    return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")


def _is_torn(line: bytes) -> bool:
    """Return whether a line that is not valid UTF-8 has so much UTF-8 that it is no other text."""
    runs = [len(run) for run in UTF_8_RUN.findall(line)]
    high = len(line) - len(line.translate(None, bytes(range(0x80, 0x100))))
    return max(runs, default=0) >= 9 or (high > 6 and 2 * sum(runs) > high)


def _sample(content: bytes) -> bytes:
    """Return what is not ASCII from all over the content, each piece from a character's start."""
    if len(content) <= SAMPLE:
        return b"\n".join(FOREIGN.findall(content))
    pieces: list[bytes] = []
    width = SAMPLE // WINDOWS
    for start in range(0, len(content), len(content) // WINDOWS):
        # A window begins in the middle of a line or of a character: its first piece is left out.
        window = content[start : start + 2 * width]
        found = FOREIGN.findall(window)
        pieces += found if start == 0 or len(found) == 1 else found[1:]
    return b"\n".join(pieces)


def _best(sample: bytes, names: Iterable[str]) -> str | None:
    """Return the reading that is clearly the most plausible."""
    judged = [plausible.judge(sample, name) for name in names]
    judged.sort(key=_total, reverse=True)
    best, second = judged[0], judged[1]
    clear = best.total - second.total >= ENOUGH
    return best.codec if clear and _is_enough(best) else None


def _is_enough(evidence: plausible.Evidence) -> bool:
    return evidence.total >= ENOUGH and evidence.mean >= ENOUGH_EACH


def _total(evidence: plausible.Evidence) -> float:
    return evidence.total


def _readable(codec: str | None, lines: list[bytes]) -> Encoding | None:
    """Return the encoding of a reading; None for those that are refused."""
    if codec == "big5hkscs":
        # Windows in Taiwan and in Hong Kong have different characters of their own.
        errors = {e: sum(not _decodes(line, e) for line in lines) for e in (BIG5, BIG5_HONG_KONG)}
        return BIG5_HONG_KONG if errors[BIG5_HONG_KONG] < errors[BIG5] else BIG5
    return {"gb18030": GBK, "utf-8": UTF_8}.get(codec or "")


def _decodes(line: bytes, encoding: Encoding) -> bool:
    try:
        line.decode(encoding.name)
    except UnicodeDecodeError:
        return False
    return True


def _decode_lines(content: bytes, encoding: Encoding | None, other: Encoding | None) -> Decoded:
    result = Decoded("", encoding, other)
    main = encoding or UTF_8
    texts: list[str] = []
    number = 1
    for lines, sound in _apart(content, main):
        try:
            text, found = decode_line(lines, main, other)
        except UnicodeDecodeError as error:
            text = lines.decode(main.name, "replace")
            result.bad.append(_bad_bytes(number, lines, main, error))
        else:
            if not sound:
                result.other_lines.append(number)
        texts.append(text)
        number += _line_ends(lines)
        # So many bad lines are no text in this encoding.
        if len(result.bad) == MAX_BAD:
            result.encoding = None
            break
    result.text = "".join(texts)
    return result


def _bad_bytes(number: int, line: bytes, main: Encoding, error: UnicodeDecodeError) -> BadBytes:
    before = line[: error.start].decode(main.name, "replace")
    bad = line[error.start : error.end]
    return BadBytes(number, len(before) + 1, error.start, bad, before[-SHOWN:])


def _decode_wide(content: bytes, encoding: Encoding) -> Decoded:
    """Return a text in UTF-16 or UTF-32 with its first bad bytes."""
    result = Decoded(content.decode(encoding.name, "replace"), encoding)
    try:
        content.decode(encoding.name)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding.name, "replace")
        lines = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        bad = content[error.start : error.end]
        column = len(lines[-1]) + 1
        start = len(lines[-1].encode(encoding.name, "replace"))
        result.bad.append(BadBytes(len(lines), column, start, bad, lines[-1][-SHOWN:]))
    return result

"""Guess the encoding of a file from its bytes: `guess`. What is not clear stays unknown."""

import codecs
import re
from collections.abc import Iterable

from cookbook.data.encodings import plausible
from cookbook.data.encodings.lines import apart, is_torn, is_utf_8, line_ends
from cookbook.data.encodings.names import (
    BIG5,
    BIG5_HONG_KONG,
    GBK,
    MARKS,
    UTF_8,
    UTF_16,
    Encoding,
    decodes,
)

SAMPLE = 64 * 1024  # bytes that are judged, from all over the content
WINDOWS = 32
# What is not in ASCII, up to the next byte that no character of GB18030 or Big5 ends with.
FOREIGN = re.compile(rb"[\x80-\xff][\x30-\xff]*")
CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\r\f"))

ENOUGH = 4.0  # evidence that a reading must have, and more than the next has
ENOUGH_EACH = 0.9  # evidence of a character
SHORT = 40  # bytes: so short a text in GBK may be valid UTF-8 by chance
MAX_BAD = 20_000  # lines; a file with so many is in another encoding
CYRILLIC = {0xD0, 0xD1}  # what its letters begin with in UTF-8
RUSSIAN = 6.0  # evidence that Russian must have more than GBK


def is_text(content: bytes) -> bool:
    """Return whether bytes may be a text in an encoding of single bytes, UTF-8 or GBK.

    One control character in a text is a fault of the text; many are another kind of file.
    """
    controls = len(content) - len(content.translate(None, CONTROLS))
    return controls * 50 <= len(content) + 50


def guess(content: bytes) -> tuple[Encoding | None, Encoding | None]:
    """Return the encoding of a file, and of the lines that are in another."""
    for mark, encoding in MARKS:
        if content.startswith(mark) and _fits(content[len(mark) :], encoding):
            marked = Encoding(encoding.name, encoding.title, len(mark))
            if encoding != UTF_8:
                return marked, None
            # What was added to such a file later may be in another encoding.
            found, other = _by_lines(content[len(mark) :])
            return marked, other or (found if found != UTF_8 else None)
    if is_utf_8(content):
        return _short(content) if is_text(content) else _judge_wide(content), None
    wide = _judge_wide(content)
    if wide is not None:
        return wide, None
    return _by_lines(content) if is_text(content) else (None, None)


def _fits(content: bytes, encoding: Encoding) -> bool:
    """Return whether content with a byte-order mark is what the mark says."""
    if encoding == UTF_8:
        return is_text(content)
    text = content[:SAMPLE].decode(encoding.name, "replace")
    odd = sum(text.count(c) for c in "\0\ufffd")
    return odd * 50 <= len(text) + 50 and text.count("\0") == 0


def _short(content: bytes) -> Encoding | None:
    """Return the encoding of content that is valid UTF-8: None where it may as well be GBK.

    Two Chinese characters in GBK may be two letters in UTF-8: "谢谢" is "лл".
    """
    if len(content) > SAMPLE:
        return UTF_8
    sample = b"\n".join(FOREIGN.findall(content))
    if not sample or len(sample) > SHORT or max(sample) >= 0xE0:
        return UTF_8
    # Valid UTF-8 is never read as anything else.
    return None if _may_be_chance(sample, "gb18030") else UTF_8


def _judge_wide(content: bytes) -> Encoding | None:
    """Return UTF-16 for content without a byte-order mark that is plausible as such."""
    content = content[: len(content) // 2 * 2]
    width = SAMPLE // WINDOWS
    # Even, so that no window begins within a character.
    step = max(len(content) // WINDOWS, width) // 2 * 2
    windows = (content[i : i + width] for i in range(0, len(content), step or 2))
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
    for lines, sound in apart(content, UTF_8):
        if sound and not lines.isascii():
            good.append(lines)
        elif not sound and is_torn(lines):
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
        few = 2 * len(foreign) < line_ends(content)
        is_utf_8 = good or torn or few or _is_cut(content)
        return UTF_8 if is_utf_8 else None, None
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
    return not _may_be_chance(sample, name)


def _is_cut(content: bytes) -> bool:
    """Return whether content is UTF-8 that ends after two or three bytes of a character."""
    try:
        _, valid = codecs.utf_8_decode(content, "strict", False)
    except UnicodeDecodeError:
        return False
    return len(content) - valid >= 2


def _may_be_chance(sample: bytes, codec: str) -> bool:
    """Return whether what is valid UTF-8 may as well be another encoding.

    UTF-8 reads Chinese in GBK as letters that hardly any text has, or as a Russian word without
    vowels: "谢谢" is "лл".
    """
    as_utf_8 = plausible.judge(sample, "utf-8")
    other = plausible.judge(sample, codec)
    high = [byte for byte in sample[: 2 * SHORT] if byte >= 0xC0]
    margin = RUSSIAN if set(high) <= CYRILLIC else 0.0
    # A single letter in a text that is in ASCII otherwise is no Chinese.
    plausible_too = len(high) > 1 and other.mean >= ENOUGH_EACH
    return plausible_too and as_utf_8.total <= other.total + margin


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
        is_whole = start == 0 or len(found) == 1
        pieces += found if is_whole else found[1:]
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


def _errors(lines: list[bytes], encoding: Encoding) -> int:
    """Return how many lines are not in an encoding."""
    return sum(not decodes(line, encoding) for line in lines)


def _readable(codec: str | None, lines: list[bytes]) -> Encoding | None:
    """Return the encoding of a reading; None for those that are refused."""
    if codec == "big5hkscs":
        # Windows in Taiwan and in Hong Kong have different characters of their own.
        of_hong_kong = _errors(lines, BIG5_HONG_KONG) < _errors(lines, BIG5)
        return BIG5_HONG_KONG if of_hong_kong else BIG5
    return {"gb18030": GBK, "utf-8": UTF_8}.get(codec or "")

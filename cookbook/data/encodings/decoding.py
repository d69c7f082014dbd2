"""Take bytes to text, whatever is in them: other lines and bad bytes are listed, none is dropped.

UTF-8, UTF-16, UTF-32 with a BOM, GB18030 (which includes GBK and GB2312) and Big5 are read; all
others are refused, and so is what could be two of them. Nothing is guessed from names.

charset-normalizer is not used: of short texts in GBK it misreads half, of those in Big5 a third
(as Cyrillic, Korean …), and it does not say how sure it is.
"""

from dataclasses import dataclass, field

from cookbook.data.encodings.guess import MAX_BAD, guess
from cookbook.data.encodings.lines import apart, is_torn, line_ends
from cookbook.data.encodings.names import UTF_8, Encoding, mark_bytes

SHOWN = 80  # characters kept of the text before bad bytes


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
    return guess(content)[0]


def decode(content: bytes, encoding: Encoding | None = None) -> Decoded:
    """Return the text of a file: in `encoding`, or in what `detect` finds."""
    other = None
    if encoding is None:
        encoding, other = guess(content)
    used = encoding or UTF_8
    content = content[mark_bytes(content, used) :]
    # Nearly every file is sound; only for the others the bad bytes are looked for.
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
        if other is None or is_torn(line):
            raise
        try:
            return line.decode(other.name), other
        except UnicodeDecodeError:
            pass
        raise


def _decode_lines(content: bytes, encoding: Encoding | None, other: Encoding | None) -> Decoded:
    result = Decoded("", encoding, other)
    main = encoding or UTF_8
    texts: list[str] = []
    number = 1
    for lines, sound in apart(content, main):
        try:
            text, found = decode_line(lines, main, other)
        except UnicodeDecodeError as error:
            text = lines.decode(main.name, "replace")
            result.bad.append(_bad_bytes(number, lines, main, error))
        else:
            if not sound:
                result.other_lines.append(number)
        texts.append(text)
        number += line_ends(lines)
        # So many bad lines are no text in this encoding.
        if len(result.bad) == MAX_BAD:
            result.encoding = None
            break
    result.text = "".join(texts)
    return result


def _bad_bytes(number: int, line: bytes, main: Encoding, error: UnicodeDecodeError) -> BadBytes:
    # Columns count characters, as an editor does; the bytes before may be bad themselves.
    before = line[: error.start].decode(main.name, "replace")
    bad = line[error.start : error.end]
    return BadBytes(number, len(before) + 1, error.start, bad, before[-SHOWN:])


def _decode_wide(content: bytes, encoding: Encoding) -> Decoded:
    """Return a text in UTF-16 or UTF-32 with its first bad bytes."""
    # It is not cut into lines as bytes: those of a line end are in other characters too.
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

"""Cut content into the lines that are in an encoding and those that are not."""

import re
from collections.abc import Iterator

from cookbook.data.encodings.names import UTF_8, Encoding, decodes

CHUNK = 64 * 1024  # bytes that are decoded at once
HIGH = bytes(range(0x80, 0x100))  # all bytes that are not ASCII
# Characters of three or four bytes in UTF-8; such bytes are hardly ever GBK or Big5.
UTF_8_RUN = re.compile(rb"(?:[\xe1-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2})+")


def apart(content: bytes, encoding: Encoding) -> Iterator[tuple[bytes, bool]]:
    """Yield the content in order: many lines that are in the encoding, or one line, and whether
    it is.

    Lines are looked at one by one only where one of them is bad.
    """
    start = 0
    while start < len(content):
        # Up to the last line end in reach; a line that is longer is taken whole.
        end = content.rfind(b"\n", start, start + CHUNK) + 1
        if not end:
            end = content.find(b"\n", start) + 1
        chunk = content[start : end or len(content)]
        end = start + len(chunk)
        start = end
        if decodes(chunk, encoding):
            yield chunk, True
            continue
        for line in chunk.splitlines(keepends=True):
            yield line, decodes(line, encoding)


def line_ends(content: bytes) -> int:
    """Return how many lines end in the content, at \\n, \\r\\n or \\r."""
    ends = content.count(b"\n") + content.count(b"\r")
    return ends - content.count(b"\r\n")


def is_utf_8(content: bytes) -> bool:
    """Return whether content is valid UTF-8."""
    return decodes(content, UTF_8)


def is_torn(line: bytes) -> bool:
    """Return whether a line that is not valid UTF-8 has so much UTF-8 that it is no other text."""
    runs = [len(run) for run in UTF_8_RUN.findall(line)]
    high = len(line) - len(line.translate(None, HIGH))
    # Three characters in a row are no chance; nor are they if they are most of what is not ASCII.
    is_mostly = high > 6 and 2 * sum(runs) > high
    return max(runs, default=0) >= 9 or is_mostly

"""Find the encoding of a text, or say that it cannot be known.

    detect(content)             the encoding of a file
    named("big5")               the encoding that a reader names
    decode(content)             the text, with the lines in another encoding and the bad bytes
    decode_line(line, encoding) the text of one line

`decoding` takes bytes to text; `guess` finds the encoding by weighing what the bytes would say in
each (`plausible`, with `common_characters`); `lines` separates lines in two encodings; `names` has
the encodings that are known.
"""

from cookbook.data.encodings.decoding import BadBytes, Decoded, decode, decode_line, detect
from cookbook.data.encodings.guess import is_text
from cookbook.data.encodings.names import BIG5, GBK, UTF_8, Encoding, named

__all__ = [
    "BIG5",
    "GBK",
    "UTF_8",
    "BadBytes",
    "Decoded",
    "Encoding",
    "decode",
    "decode_line",
    "detect",
    "is_text",
    "named",
]

"""Decode JSON values out of a long text, one after the other, in time that grows with the text.

    Blocks(text).decode(at)     the value that begins there, and where it ends

Python's parser counts the lines before a fault in all of the text it was given, which for a long
text with many faults takes hours. So it is given blocks. Which values are valid by our stricter
rules is `json_text.parse`'s.
"""

import json
import re

BLOCK = 32 * 1024  # characters
# A value that ends this near to the end of a block may go on behind it: `12|34`, `"\\u4e|2d"`.
NEAR = 16

# Nobody nests so deep. The parser takes long to give up, so it is asked once.
_DEEP = re.compile(r"(?:[{\[]\s?){200}")

_decode = json.JSONDecoder().raw_decode


class Blocks:
    """A text that is decoded from its beginning to its end."""

    def __init__(self, text: str):
        self.text = text
        self._block = ""
        self._start = 0  # of the block in the text
        self._has_deep = False

    def decode(self, at: int) -> tuple[object, int] | None:
        """Return the value that begins at a place, and its end; None if there is none."""
        if self._has_deep and _DEEP.match(self.text, at):
            return None
        if not self._start <= at < self._start + len(self._block):
            self._load(at, BLOCK)
        while True:
            local = at - self._start
            is_last = self._start + len(self._block) >= len(self.text)
            try:
                value, end = _decode(self._block, local)
            except json.JSONDecodeError as error:
                if is_last or not self._may_go_on(error):
                    self._forget()
                    return None
            except RecursionError:
                self._has_deep = True
                return None
            except ValueError:  # a number too long
                return None
            else:
                if is_last or end < len(self._block) - NEAR:
                    return value, self._start + end
            # Double, so that a long value is not read many times.
            taken = len(self._block) - local
            self._load(at, 2 * taken + BLOCK)

    def _load(self, at: int, size: int) -> None:
        self._block = self.text[at : at + size]
        self._start = at

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Return whether what is wrong may only be that the block ends."""
        is_open = error.msg.startswith("Unterminated string")
        return is_open or error.pos >= len(self._block) - NEAR

    def _forget(self) -> None:
        # After a fault in a block that has grown, the next value gets a small one again.
        if len(self._block) > 2 * BLOCK:
            self._block = ""

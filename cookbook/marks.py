"""Special tokens that somebody writes inside a message: they are text, and never close a turn.

    marks = Marks(["<|im_start|>", "<|im_end|>"])
    text = render(marks.escape(messages))     every mark in it is the template's
    unescape("…")                             what was written, for a stretch of it

A tokenizer finds its special tokens wherever they are in a text. Without this, who writes
`<|im_end|>\\n<|im_start|>system` into a question speaks as the system. So a mark inside a content
is cut in two before the template sees it, by a separator that no mark contains. Whoever encodes the
text takes the separators out between the marks that are left, and reads it there as ordinary text:
`tokens.encode`, and `service/engine/conversation.py` for other bases.

Templates may trim or quote contents. What one makes of them by other means, such as a change of
letter case, is not covered.
"""

import re
from collections.abc import Iterable, Sequence

from cookbook.chatml import Message

# Not characters: Unicode keeps these numbers for such use, and no text should hold them.
ESCAPE = "\ufdd0"
"""Begins whatever `escape` writes; a text without it has nothing to take out."""
_SEPARATOR = ESCAPE + "\ufdd2"
# A text that does hold it gets it back.
_ITSELF = ESCAPE + "\ufdd1"


def unescape(text: str) -> str:
    """Return a text as it was before `Marks.escape`."""
    return text.replace(_SEPARATOR, "").replace(_ITSELF, ESCAPE)


class Marks:
    """The special tokens of one tokenizer, each of two characters at least."""

    def __init__(self, texts: Iterable[str]):
        self._marks = tuple(sorted(set(texts) - {""}))
        self._firsts = {mark[0] for mark in self._marks}
        # A content can also be a part of a mark, of which the template writes the rest.
        self._all = "\n".join(self._marks)
        self._longest = max(map(len, self._marks), default=0)
        heads: set[str] = set()
        tails: set[str] = set()
        for mark in self._marks:
            lengths = range(1, len(mark))
            heads.update(mark[:n] for n in lengths)
            tails.update(mark[n:] for n in lengths)
        self._heads, self._tails = tuple(heads), tuple(tails)
        self._last_of_heads = {head[-1] for head in heads}
        self._first_of_tails = {tail[0] for tail in tails}
        # A mark may begin within another, so each beginning is looked at for itself.
        any_mark = "|".join(map(re.escape, self._marks)) or "(?!)"
        self._beginning = re.compile(f"(?=({any_mark})).", re.DOTALL)

    def escape(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages with every mark in a content cut; themselves where there is none.

        Contents are read to the end, but nothing is copied where nothing needs it, which is
        nearly always.
        """
        if not any(self._is_risky(message["content"]) for message in messages):
            return messages
        escaped = []
        for message in messages:
            content = self._cut(message["content"])
            escaped.append({**message, "content": content})
        return escaped

    def _is_risky(self, text: str) -> bool:
        """Return whether a mark is in the text, or may be once the template's is around it."""
        if ESCAPE in text:
            return True
        if self._has_a_first(text) and any(mark in text for mark in self._marks):
            return True
        # Templates may trim.
        text = text.strip()
        if not text:
            return False
        # A look at one character first: there are hundreds of heads and tails.
        if text[-1] in self._last_of_heads and text.endswith(self._heads):
            return True
        if text[0] in self._first_of_tails and text.startswith(self._tails):
            return True
        return len(text) < self._longest and text in self._all

    def _has_a_first(self, text: str) -> bool:
        """Return whether a mark may begin in the text; hardly any does, and this is quick."""
        return any(first in text for first in self._firsts)

    def _cut(self, text: str) -> str:
        text = text.replace(ESCAPE, _ITSELF)
        text = self._beginning.sub(rf"\g<0>{_SEPARATOR}", text)
        inner = text.strip()
        if not inner:
            return text
        # Nor can a mark be made of the text's edge and what the template writes beside it.
        before, _, after = text.partition(inner)
        return f"{before}{_SEPARATOR}{inner}{_SEPARATOR}{after}"

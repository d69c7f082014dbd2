"""Find texts that are the same, or nearly, as others: drafts, rows, or what the prompt says.

    seen = Seen(others, texts)
    seen.find(i)        what `texts[i]` is like, among `others` and the texts added before
    seen.add(i)

Texts are compared as `data` compares rows (`near_duplicates.py`), but without their questions: one
sentence that fits two words was written without looking at either. Short texts are an exception,
since a label such as 积极, or positive, is right for many inputs: they only repeat each other under
one input.
"""

import re
from collections.abc import Sequence

SHORT = 8  # characters below which texts are labels; `near_duplicates.FEWEST_PIECES` agrees
_FEW_WORDS = re.compile(r"[A-Za-z0-9_'’-]+(?: [A-Za-z0-9_'’-]+){0,2}")  # of Latin letters

_QUOTED = re.compile('"([^"\n]+)"|“([^“”\n]+)”|「([^「」\n]+)」')


class Seen:
    """Texts that were met: `others` from the start, those of `texts` once they are added."""

    def __init__(self, others: Sequence[str], texts: Sequence[str]):
        from cookbook.data.near_duplicates import Index  # loads numpy

        self._others = len(others)
        self._texts = [*others, *texts]
        self._index = Index([_row(text) for text in self._texts])
        self._place_of_text: dict[str, int] = {}
        for i in range(len(others)):
            self._remember(i)

    def add(self, i: int) -> None:
        """Remember `texts[i]`."""
        self._remember(self._others + i)

    def find(self, i: int) -> tuple[str, bool] | None:
        """Return a text that `texts[i]` is like, and whether exactly; None where there is none."""
        at = self._others + i
        text = self._texts[at]
        if is_short(text):
            return None
        same = self._place_of_text.get(text.strip())
        if same is not None:
            return self._texts[same], True
        near = self._index.find(at)
        return (self._texts[near[0]], False) if near else None

    def _remember(self, at: int) -> None:
        if not is_short(self._texts[at]):
            self._place_of_text.setdefault(self._texts[at].strip(), at)
            self._index.add(at)


def is_short(text: str) -> bool:
    """Return whether a text is a label rather than a sentence: a few characters or Latin words."""
    stripped = text.strip()
    return len(stripped) < SHORT or _FEW_WORDS.fullmatch(stripped) is not None


def examples_of(prompt: str) -> list[str]:
    """Return what a draft may have copied from a prompt: its lines, and what it quotes.

    The values of JSON examples are quoted, too.
    """
    found = [line.strip() for line in prompt.splitlines()]
    for match in _QUOTED.finditer(prompt):
        found.append(match[match.lastindex or 0])
    return [text for text in dict.fromkeys(found) if not is_short(text)]


def _row(text: str) -> dict:
    # Equal questions, so that the texts alone decide.
    return {
        "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": text}],
    }

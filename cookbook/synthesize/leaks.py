"""Find evaluation words in what would be trained on.

    leaks = Leaks(["地铁", "cat"])
    leaks.find("公交", "比地铁慢。")      -> "地铁"
    leaks.find("公交", "a category")     -> None

Letters are compared without regard to case and to how Unicode composes them; a word that begins or
ends with a Latin letter or a digit is found as a whole word only.
"""

import re
import unicodedata
from collections.abc import Iterable

from cookbook.errors import ArgumentError


class Leaks:
    """The words that must be neither an input nor in a text.

    Raises:
        ArgumentError: a word is no text, or `held_out` is one text.
    """

    def __init__(self, held_out: Iterable[str]):
        if isinstance(held_out, str | bytes):
            raise ArgumentError(
                zh="held_out 要给一组词，这里是一段文字：held_out=[…]",
                en="held_out takes several words, not one text: held_out=[…]",
            )
        self._words: dict[str, str] = {}
        for i, word in enumerate(held_out):
            if not isinstance(word, str) or not word.strip():
                raise ArgumentError(
                    zh=f"held_out[{i}] 是 {word!r:.40}：每个评测词都要是不空的文字",
                    en=f"held_out[{i}] is {word!r:.40}: each word must be a text that is not blank",
                )
            self._words[_folded(word)] = word.strip()
        # The longest first, so that the detail names 新时代 and not 时代.
        by_length = sorted(self._words, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_whole, by_length)) or r"(?!)")

    def find(self, input: str, text: str) -> str | None:
        """Return the word that the input is, or that the text has; None where there is none."""
        if _folded(input) in self._words:
            return self._words[_folded(input)]
        found = self._pattern.search(_folded(text))
        return self._words[found[0]] if found else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _whole(word: str) -> str:
    before = "(?<![a-z0-9])" if re.match("[a-z0-9]", word) else ""
    after = "(?![a-z0-9])" if re.search("[a-z0-9]$", word) else ""
    return before + re.escape(word) + after

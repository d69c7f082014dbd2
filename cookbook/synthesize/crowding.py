"""Keep one opening, or one frame, from taking over a corpus: what is frequent is learned first.

An opening is how a text begins: its first four characters, or three words where it begins with a
Latin letter. A frame is what clauses begin with, where at least two such beginnings come back in
many texts: 看似…，实则…. Texts that are JSON or the like have neither, since their structure is not
a habit; nor have labels, which are few by their nature.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from cookbook.synthesize.alike import is_short

OPENING = 4  # characters
OPENING_WORDS = 3
FEWEST = 3  # texts with one opening are never too many
_STRUCTURED = ("{", "[", "<", "```")
_FRAMING = 2  # beginnings of clauses that make a frame

Chosen = tuple[set[int], dict[int, str]]  # the numbers that stay; of the others, what they share


def opening(text: str) -> str | None:
    """Return how a text begins, without punctuation; None where it has none."""
    stripped = text.strip()
    if _has_no_habits(stripped):
        return None
    letters = re.findall(r"[A-Za-z'’]+|[^\W_]", stripped)
    if not letters:
        return None
    if re.match("[A-Za-z]", letters[0]):
        return " ".join(letters[:OPENING_WORDS]).casefold()
    return "".join(re.findall(r"[^\W_]", stripped))[:OPENING]


def frames(texts: Mapping[int, str], share: float) -> Callable[[int], str | None]:
    """Return a function that names the frame of each of these texts, None where it has none."""
    beginnings = {i: _clauses(text) for i, text in texts.items()}
    counts: Counter[str] = Counter()
    for found in beginnings.values():
        counts.update(set(found))
    most = allowed(len(texts), share)
    many = {beginning for beginning, n in counts.items() if n > most}

    def frame(i: int) -> str | None:
        shared = [beginning for beginning in beginnings[i] if beginning in many]
        return "…".join(shared) if len(shared) >= _FRAMING else None

    return frame


def _clauses(text: str) -> list[str]:
    """Return what each clause begins with: two characters, or two words of Latin letters.

    One word would be "a" or "but", which is no habit.
    """
    if _has_no_habits(text.strip()):
        return []
    beginnings = []
    for clause in re.findall(r"[^，。；！？,;!?\n]+", text):
        found = re.search(r"[A-Za-z'’]+(?: +[A-Za-z'’]+)?|[^\W_]{1,2}", clause)
        if found:
            beginnings.append(" ".join(found[0].casefold().split()))
    return beginnings


def _has_no_habits(stripped: str) -> bool:
    return is_short(stripped) or stripped.startswith(_STRUCTURED)


def allowed(rows: int, share: float) -> int:
    """Return how many of so many rows may have something in common."""
    return max(FEWEST, int(rows * share))


def thin(
    numbers: Sequence[int], name: Callable[[int], str | None], share: float, rng: random.Random
) -> Chosen:
    """Choose at random which of the texts with one name stay, so that none has more than a share.

    The share is of those that stay, so it holds in the end.
    """
    groups: dict[str, list[int]] = {}
    for i in numbers:
        named = name(i)
        if named is not None:
            groups.setdefault(named, []).append(i)
    most = _settled(len(numbers), [len(group) for group in groups.values()], share)
    dropped: dict[int, str] = {}
    for named, group in groups.items():
        if len(group) > most:
            stay = set(rng.sample(group, most))
            dropped |= {i: named for i in group if i not in stay}
    return {i for i in numbers if i not in dropped}, dropped


def _settled(rows: int, sizes: Sequence[int], share: float) -> int:
    """Return the limit that still holds after the groups above it were cut down to it."""
    alone = rows - sum(sizes)
    left = rows
    while True:
        most = allowed(left, share)
        kept = alone + sum(min(size, most) for size in sizes)
        if kept == left:
            return most
        left = kept

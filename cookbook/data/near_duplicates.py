"""Find rows that are nearly the same, in time that grows with the rows, not with their pairs.

Each row's question and answer become a set of hashed three-character pieces, spaces and punctuation left out. A sketch
of it (one-permutation MinHash, Li, Owen and Zhang 2012: the smallest hash in each of `BINS` ranges) goes into a table
in bands, and so does a sketch of the question alone, since many answers may share their boilerplate. Rows that share a
band, and a good part of their sketches, are compared exactly, by the share of pieces they have in common (Jaccard).
Sketches are made of a part of a long text, the comparison of all of it.

numpy does the work, for all rows at once, because a 10 MB file has millions of pieces.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from cookbook.data.rows import row_key, said

BINS, BAND = 24, 3
PLACES = 4  # rows remembered a band: one that more rows share says little, and must not make the work quadratic
ALIKE, ALIKE_QUESTION = 0.8, 0.6
PROMISING = (
    12,
    8,
)  # equal places of two sketches from which on sets are compared; alike ones share 19 and 14
FEW = (
    8  # sets with fewer pieces must be equal: one character more or less may be all the difference
)
SKETCHED = (
    64  # characters at the beginning, as many in the middle and at the end, of what a side says
)
BATCH = 200  # rows sketched at once

_EMPTY = np.uint32(0xFFFFFFFF)


class Index:
    """Which of some rows are nearly the same; a row is named by its place. Only rows that were added are found."""

    def __init__(self, rows: Sequence[dict]):
        self._rows = rows
        self._sketches = np.concatenate(
            [_sketches(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH) or [0]]
        )
        self._both, self._question = _shared(self._sketches)
        self._places: dict[int, list[int]] = {}
        self._sets: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, i: int) -> None:
        """Remember row `i`."""
        if not self._both[i]:  # nothing is near to it
            return
        for key in (*self._both[i], *self._question[i]):
            places = self._places.setdefault(key, [])
            places.append(i)
            del places[:-PLACES]

    def find(self, i: int) -> list[int]:
        """The remembered rows that are nearly the same as row `i`, in order."""
        both = self._both[i]
        if not both:
            return []
        found = {j for key in both for j in self._places.get(key, ())}
        # A band that many rows share remembers but the last of them; the question may lead to the others.
        asked = {j for key in self._question[i] for j in self._places.get(key, ())} - found
        near = sorted(found | {j for j in asked if not both.isdisjoint(self._both[j])})
        if not near:
            return near
        equal = np.count_nonzero(self._sketches[near] == self._sketches[i], axis=2)
        promising = (equal >= PROMISING).all(axis=1)
        return [
            j for j, worth_it in zip(near, promising, strict=True) if worth_it and self._alike(i, j)
        ]

    def _alike(self, i: int, j: int) -> bool:
        (question, answer), (other, reply) = self._pieces(i), self._pieces(j)
        if not _share_enough(question, other, ALIKE_QUESTION):
            return False
        return _share_enough(np.union1d(question, answer), np.union1d(other, reply), ALIKE)

    def _pieces(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """The hashes of the question and of the answer, sorted and without repeats."""
        if i not in self._sets:
            hashes, sides = _hashes(_sides([self._rows[i]]))
            self._sets[i] = np.unique(hashes[sides == 0]), np.unique(hashes[sides == 1])
        return self._sets[i]


def groups(rows: Sequence[dict]) -> list[list[int]]:
    """Indices of `rows`, gathered so that rows that are the same, or nearly, share a group; likeness is handed on."""
    index, first = Index(rows), {}
    home = list(range(len(rows)))

    def root(i: int) -> int:
        while home[i] != i:
            home[i] = i = home[home[i]]
        return i

    for i, row in enumerate(rows):
        same = first.setdefault(row_key(row), i)
        if same != i:
            home[i] = root(same)
            continue
        for near in index.find(i):
            home[root(near)] = root(i)
        index.add(i)
    gathered: dict[int, list[int]] = {}
    for i in range(len(rows)):
        gathered.setdefault(root(i), []).append(i)
    return list(gathered.values())


def overlap(rows: Sequence[dict], others: Sequence[dict]) -> Iterator[tuple[int, int, bool]]:
    """(index in `rows`, index in `others`, whether exactly) of every row that stands in `others` too, or nearly."""
    index, same = Index([*others, *rows]), {}
    for j, row in enumerate(others):
        same.setdefault(row_key(row), j)
        index.add(j)
    for i, row in enumerate(rows):
        if (j := same.get(row_key(row))) is not None:
            yield i, j, True
        elif near := index.find(len(others) + i):
            yield i, near[0], False


def _sketches(rows: Sequence[dict]) -> np.ndarray:
    """[rows, 2, BINS] of what both sides say and of the question alone."""
    hashes, sides = _hashes([_ends_and_middle(side) for side in _sides(rows)])
    smallest = np.full((2 * len(rows), BINS), _EMPTY)
    bins = (hashes >> np.uint32(16)) * np.uint32(BINS) >> np.uint32(16)
    np.minimum.at(smallest.reshape(-1), sides * BINS + bins, hashes)
    question, answer = smallest[0::2], smallest[1::2]
    sketches = np.stack([np.minimum(question, answer), question], axis=1)
    # An empty range borrows from the next, as a full one further on would.
    for at in range(2 * BINS - 1, -1, -1):
        here, following = sketches[..., at % BINS], sketches[..., (at + 1) % BINS]
        np.copyto(here, following, where=here == _EMPTY)
    return sketches


def _shared(sketches: np.ndarray) -> tuple[list[frozenset[int]], list[list[int]]]:
    """The bands of what both sides of a row say, and of its question, as numbers that are equal where bands are. Those that
    no other row has are left out; so is the question where nothing is left of both: alike rows share 19 of 24 places of
    what both say, so at least three bands of it."""
    bands = sketches.reshape(len(sketches), 2 * BINS // BAND, BAND).astype(np.uint64)
    keys = np.arange(bands.shape[1], dtype=np.uint64)
    for place in range(BAND):
        keys = (keys ^ bands[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    _, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
    which = which.reshape(len(sketches), 2, BINS // BAND)
    several = counts[which] > 1
    both, question = [frozenset()] * len(sketches), [[]] * len(sketches)
    for i in np.flatnonzero(several[:, 0].any(axis=1)):  # few, as a rule
        both[i], question[i] = (
            frozenset(which[i, 0, several[i, 0]].tolist()),
            which[i, 1, several[i, 1]].tolist(),
        )
    return both, question


def _sides(rows: Sequence[dict]) -> list[str]:
    """What each row's two sides say: question, answer, question, answer, …"""
    return [said(row, role) for row in rows for role in ("user", "assistant")]


def _hashes(sides: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(hash, number of its side) of every piece."""
    sides = [side.replace("\0", " ") for side in sides]
    text = "\0\0".join([*sides, ""])
    codes = _folded()[np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)]
    codes = codes[codes != _DROPPED]
    mixed = (
        codes[:-2] * np.uint32(0x9E3779B1)
        ^ codes[1:-1] * np.uint32(0x85EBCA77)
        ^ codes[2:] * np.uint32(0xC2B2AE3D)
    )
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x2C1B3C6D)
    mixed ^= mixed >> np.uint32(16)
    # Two zeros close each side, so that its last characters make pieces too and none reaches into the next side.
    ends = np.flatnonzero(codes == 0)[::2]
    belongs = np.repeat(np.arange(len(sides)), np.diff(ends, prepend=0))[: len(mixed)]
    inside = codes[:-2] != 0
    return mixed[inside], belongs[inside]


def _ends_and_middle(text: str) -> str:
    if len(text) <= 3 * SKETCHED:
        return text
    middle = (len(text) - SKETCHED) // 2
    return text[:SKETCHED] + text[middle : middle + SKETCHED] + text[-SKETCHED:]


_DROPPED = 0xFFFF


@cache
def _folded() -> np.ndarray:
    """What each UTF-16 unit counts as. Case does not count, nor do spaces and punctuation; signs of arithmetic do,
    since 12+3 is not 12-3."""
    fold = lambda c: c.casefold() if len(c.casefold()) == 1 else c
    table = np.array([ord(fold(chr(code))) for code in range(0x10000)], dtype=np.uint32)
    table[[ord(c) for c in " \t\r\n\u00a0.,;:!?\"'()[]{}，。；：！？（）"]] = _DROPPED
    table[0x2000:0x2070] = table[0x3000:0x3021] = _DROPPED
    return table


def _share_enough(a: np.ndarray, b: np.ndarray, wanted: float) -> bool:
    """Whether two sets, sorted and without repeats, share enough."""
    if min(len(a), len(b)) < FEW:
        return np.array_equal(a, b)
    if not wanted <= len(a) / len(b) <= 1 / wanted:
        return False
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common >= wanted * (len(a) + len(b) - common)

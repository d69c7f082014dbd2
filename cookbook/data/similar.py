"""Find rows that are nearly the same, in time that grows with the rows, not with their pairs.

Each row's question and answer become a set of hashed three-character pieces, spaces and punctuation left out. A sketch
of it (one-permutation MinHash, Li, Owen and Zhang 2012: the smallest hash in each of `BINS` ranges) goes into a table
in bands, and so does a sketch of the question alone, since many answers may share their boilerplate. Rows that share a
band are compared exactly, by the share of pieces they have in common (Jaccard).

numpy does the work, because a 10 MB file has millions of pieces: a hash a piece in Python would take seconds.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS, BAND = 24, 3
PLACES = 4  # rows remembered a band: one that more rows share says little, and must not make the work quadratic
ALIKE, ALIKE_QUESTION = 0.8, 0.6
FEW = 8  # sets with fewer pieces must be equal: one character more or less may be all the difference
LOOKED_AT = 1000  # characters at the beginning, and as many at the end, of what a side says


def row_key(row: dict) -> tuple[tuple[str, str], ...]:
    """What makes two rows the same: their roles and contents."""
    return tuple((m["role"], m["content"]) for m in row["messages"])


class Index:
    """Rows seen so far, each under a name of the caller's."""

    def __init__(self):
        self._bands: list[dict[bytes, deque[int]]] = [{} for _ in range(2 * BINS // BAND)]
        self._rows: list[tuple[object, _Pieces]] = []

    def add(self, name, pieces: "_Pieces") -> None:
        """Remember a row."""
        for key, band in zip(pieces.keys, self._bands, strict=True):
            band.setdefault(key, deque(maxlen=PLACES)).append(len(self._rows))
        self._rows.append((name, pieces))

    def find(self, pieces: "_Pieces") -> list:
        """The names of the remembered rows that are nearly the same, in the order they came."""
        near = {i for key, band in zip(pieces.keys, self._bands, strict=True) for i in band.get(key, ())}
        return [name for name, others in map(self._rows.__getitem__, sorted(near)) if pieces.alike(others)]


@dataclass(frozen=True)
class _Pieces:
    """Hashes of three characters each, sorted and without repeats: of what both sides say, and of the question alone."""

    both: np.ndarray
    question: np.ndarray
    keys: list[bytes]

    def alike(self, other: "_Pieces") -> bool:
        return _alike(self.question, other.question, ALIKE_QUESTION) and _alike(self.both, other.both, ALIKE)


def pieces_of(row: dict) -> _Pieces:
    """What `Index` compares of a row."""
    question, answer = _hashes(_said(row, "user")), _hashes(_said(row, "assistant"))
    both = _distinct(np.concatenate([question, answer]))
    question = _distinct(question)
    return _Pieces(both, question, _sketch(both) + _sketch(question))


def groups(rows: Sequence[dict]) -> list[list[int]]:
    """Indices of `rows`, gathered so that rows that are the same, or nearly, share a group; likeness is handed on."""
    index, first = Index(), {}
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
        pieces = pieces_of(row)
        for other in index.find(pieces):
            home[root(other)] = root(i)
        index.add(i, pieces)
    gathered: dict[int, list[int]] = {}
    for i in range(len(rows)):
        gathered.setdefault(root(i), []).append(i)
    return list(gathered.values())


def _said(row: dict, role: str) -> str:
    text = "".join([m["content"] for m in row["messages"] if m["role"] == role])
    return text if len(text) <= 2 * LOOKED_AT else text[:LOOKED_AT] + text[-LOOKED_AT:]


def _hashes(text: str) -> np.ndarray:
    codes = np.frombuffer(text.casefold().encode("utf-32-le"), dtype=np.uint32)
    kept = codes[_KEPT[np.minimum(codes, 0xFFFF)]].astype(np.uint64)
    if len(kept) < 3:
        return kept
    mixed = kept[:-2] * np.uint64(0x9E3779B97F4A7C15) ^ kept[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ kept[2:] * np.uint64(0x165667B19E3779F9)) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))


def _distinct(values: np.ndarray) -> np.ndarray:
    """Sorted, without repeats (`np.unique` hashes first, which takes three times as long here)."""
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


# Characters that count. Spaces and punctuation do not; signs of arithmetic do, since 12+3 is not 12-3.
_KEPT = np.ones(0x10000, dtype=bool)
_KEPT[[ord(c) for c in " \t\r\n\u00a0.,;:!?\"'()[]{}，。；：！？（）"]] = False
_KEPT[0x2000:0x2070] = _KEPT[0x3000:0x3021] = False


def _sketch(pieces: np.ndarray) -> list[bytes]:
    """One key a band. `pieces` are sorted, so the smallest of each range stands where the range begins."""
    if not len(pieces):
        return [b""] * (BINS // BAND)
    # An empty range borrows the next piece, as a full one further on would.
    smallest = pieces[np.searchsorted(pieces, _EDGES) % len(pieces)].tobytes()
    return [smallest[i : i + 8 * BAND] for i in range(0, 8 * BINS, 8 * BAND)]


_EDGES = np.arange(BINS, dtype=np.uint64) * np.uint64(2**64 // BINS)


def _alike(a: np.ndarray, b: np.ndarray, wanted: float) -> bool:
    if min(len(a), len(b)) < FEW:
        return np.array_equal(a, b)
    if not wanted <= len(a) / len(b) <= 1 / wanted:
        return False
    common = len(a) + len(b) - len(_distinct(np.concatenate([a, b])))
    return common >= wanted * (len(a) + len(b) - common)

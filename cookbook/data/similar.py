"""Find rows that are nearly the same, in time that grows with the rows, not with their pairs.

Each row's question and answer become a set of hashed three-character pieces, spaces and punctuation left out. A sketch
of it (one-permutation MinHash, Li, Owen and Zhang 2012: the smallest hash in each of `BINS` ranges) goes into a table
in bands, and so does a sketch of the question alone, since many answers may share their boilerplate. Rows that share a
band are compared exactly, by the share of pieces they have in common (Jaccard).

numpy does the work, because a 10 MB file has millions of pieces: a hash a piece in Python would take seconds.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

BINS, BAND = 24, 3
PLACES = 16  # rows remembered a band: one that more rows share says little, and must not make the work quadratic
ALIKE, ALIKE_QUESTION = 0.8, 0.6
FEW = 8  # sets with fewer pieces must be equal: one character more or less may be all the difference
MAX_CHARACTERS = 20_000  # of one row that are looked at


def row_key(row: dict) -> tuple[tuple[str, str], ...]:
    """What makes two rows the same: their roles and contents."""
    return tuple((m["role"], m["content"]) for m in row["messages"])


class Index:
    """Rows seen so far, each under a name of the caller's."""

    def __init__(self):
        self._bands: list[dict[bytes, deque[int]]] = [{} for _ in range(2 * BINS // BAND)]
        self._rows: list[tuple[object, np.ndarray, np.ndarray]] = []

    def add(self, name, row: dict) -> None:
        """Remember a row."""
        pieces, question = _pieces_of(row)
        for key, band in zip(_sketch(pieces) + _sketch(question), self._bands, strict=True):
            band.setdefault(key, deque(maxlen=PLACES)).append(len(self._rows))
        self._rows.append((name, pieces, question))

    def find(self, row: dict) -> list:
        """The names of the remembered rows that are nearly the same, in the order they came."""
        pieces, question = _pieces_of(row)
        keys = _sketch(pieces) + _sketch(question)
        near = {i for key, band in zip(keys, self._bands, strict=True) for i in band.get(key, ())}
        return [
            name
            for name, others, other_question in map(self._rows.__getitem__, sorted(near))
            if _alike(pieces, others, ALIKE) and _alike(question, other_question, ALIKE_QUESTION)
        ]


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
        for other in index.find(row):
            home[root(other)] = root(i)
        index.add(i, row)
    gathered: dict[int, list[int]] = {}
    for i in range(len(rows)):
        gathered.setdefault(root(i), []).append(i)
    return list(gathered.values())


def _pieces_of(row: dict) -> tuple[np.ndarray, np.ndarray]:
    """(pieces of all that user and assistant say, pieces of what the user says), sorted and without repeats."""
    asked = "".join(m["content"] for m in row["messages"] if m["role"] == "user")[: MAX_CHARACTERS // 2]
    said = "".join(m["content"] for m in row["messages"] if m["role"] == "assistant")[: MAX_CHARACTERS // 2]
    question = _pieces(asked)
    return np.union1d(question, _pieces(said)), question


def _pieces(text: str) -> np.ndarray:
    codes = np.frombuffer(text.casefold().encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    kept = codes[~_dropped(codes)]
    if len(kept) < 3:
        return np.unique(kept)
    mixed = kept[:-2] * np.uint64(0x9E3779B97F4A7C15) ^ kept[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ kept[2:] * np.uint64(0x165667B19E3779F9)) * np.uint64(0xD6E8FEB86659FD93)
    return np.unique(mixed ^ (mixed >> np.uint64(32)))


_ASCII_DROPPED = np.zeros(256, dtype=bool)
_ASCII_DROPPED[[ord(c) for c in " \t\r\n\u00a0.,;:!?\"'()[]{}"]] = True


def _dropped(codes: np.ndarray) -> np.ndarray:
    """Spaces and punctuation, Western and Chinese; signs of arithmetic are kept, since 12+3 is not 12-3."""
    full_width = np.isin(codes, np.array([ord(c) for c in "，。；：！？（）"], dtype=np.uint64))
    general = ((codes >= 0x2000) & (codes <= 0x206F)) | ((codes >= 0x3000) & (codes <= 0x3020))
    return _ASCII_DROPPED[np.minimum(codes, 255).astype(np.intp)] & (codes < 256) | general | full_width


def _sketch(pieces: np.ndarray) -> list[bytes]:
    """One key a band. `pieces` are sorted, so the smallest of each range stands where the range begins."""
    if not len(pieces):
        return [b""] * (BINS // BAND)
    edges = (np.arange(BINS, dtype=np.uint64) * np.uint64(2**64 // BINS)).astype(np.uint64)
    # An empty range borrows the next piece, as a full one further on would.
    smallest = pieces[np.searchsorted(pieces, edges) % len(pieces)]
    return [smallest[i : i + BAND].tobytes() for i in range(0, BINS, BAND)]


def _alike(a: np.ndarray, b: np.ndarray, wanted: float) -> bool:
    if min(len(a), len(b)) < FEW:
        return np.array_equal(a, b)
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common >= wanted * (len(a) + len(b) - common)

"""Find rows that are nearly the same, in time that grows with the rows, not with their pairs.

Each row's question and answer, letters and digits only, become a set of hashed three-character pieces. A sketch of it
(one-permutation MinHash, Li, Owen and Zhang 2012: the smallest hash in each of `BINS` ranges) goes into a table in
bands; rows that share a band are compared exactly, by the share of pieces they have in common (Jaccard).

numpy does the work, because a 10 MB file has millions of pieces: a hash a piece in Python would take seconds.
"""

from collections.abc import Sequence

import numpy as np

BINS, BAND = 24, 3
ALIKE, ALIKE_QUESTION = 0.8, 0.6
MAX_CHARACTERS = 20_000  # of one row that are looked at


class Index:
    """Rows seen so far, each under a name of the caller's."""

    def __init__(self):
        self._bands: list[dict[bytes, list[int]]] = [{} for _ in range(BINS // BAND)]
        self._rows: list[tuple[object, np.ndarray, np.ndarray]] = []

    def add(self, name, row: dict):
        """The name of a row that is nearly the same, or None; the row is remembered either way."""
        pieces, question = _pieces_of(row)
        sketch = _sketch(pieces)
        found = self._lookup(sketch, pieces, question)
        for key, band in zip(sketch, self._bands, strict=True):
            places = band.setdefault(key, [])
            if len(places) < 8:  # a band that many rows share says little, and must not make the work quadratic
                places.append(len(self._rows))
        self._rows.append((name, pieces, question))
        return found

    def find(self, row: dict):
        """The name of a row that is nearly the same, or None."""
        pieces, question = _pieces_of(row)
        return self._lookup(_sketch(pieces), pieces, question)

    def _lookup(self, sketch: list[bytes], pieces: np.ndarray, question: np.ndarray):
        seen = {i for key, band in zip(sketch, self._bands, strict=True) for i in band.get(key, ())}
        for i in sorted(seen):
            name, others, other_question = self._rows[i]
            if _jaccard(pieces, others) >= ALIKE and _jaccard(question, other_question) >= ALIKE_QUESTION:
                return name
        return None


def groups(rows: Sequence[dict]) -> list[list[int]]:
    """Indices of `rows`, gathered so that rows that are the same or nearly the same share a group; in order."""
    index, home = Index(), {}
    gathered: list[list[int]] = []
    for i, row in enumerate(rows):
        first = index.add(i, row)
        if first is None:
            home[i] = len(gathered)
            gathered.append([i])
        else:
            home[i] = home[first]
            gathered[home[i]].append(i)
    return gathered


def _pieces_of(row: dict) -> tuple[np.ndarray, np.ndarray]:
    """(pieces of all that user and assistant say, pieces of what the user says), sorted and without repeats."""
    asked = "".join(m["content"] for m in row["messages"] if m["role"] == "user")[: MAX_CHARACTERS // 2]
    said = "".join(m["content"] for m in row["messages"] if m["role"] == "assistant")[: MAX_CHARACTERS // 2]
    question = _pieces(asked)
    return np.union1d(question, _pieces(said)), question


def _pieces(text: str) -> np.ndarray:
    codes = np.frombuffer(text.casefold().encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    # ASCII letters and digits, and everything from the CJK letters on, but no full-width punctuation.
    kept = codes[
        ((codes >= 0x61) & (codes <= 0x7A))
        | ((codes >= 0x30) & (codes <= 0x39))
        | ((codes >= 0xC0) & ~_punctuation(codes))
    ]
    if len(kept) < 3:
        return np.unique(kept)
    mixed = kept[:-2] * np.uint64(0x9E3779B97F4A7C15) ^ kept[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ kept[2:] * np.uint64(0x165667B19E3779F9)) * np.uint64(0xD6E8FEB86659FD93)
    return np.unique(mixed ^ (mixed >> np.uint64(32)))


def _punctuation(codes: np.ndarray) -> np.ndarray:
    return (
        ((codes >= 0x2000) & (codes <= 0x206F))
        | ((codes >= 0x3000) & (codes <= 0x303F))
        | (codes >= 0xFF00) & (codes <= 0xFF0F)
    )


def _sketch(pieces: np.ndarray) -> list[bytes]:
    """One key a band. `pieces` are sorted, so the smallest of each range stands where the range begins."""
    if not len(pieces):
        return [b""] * (BINS // BAND)
    edges = (np.arange(BINS, dtype=np.uint64) * np.uint64(2**64 // BINS)).astype(np.uint64)
    # An empty range borrows the next piece, as a full one further on would.
    smallest = pieces[np.searchsorted(pieces, edges) % len(pieces)]
    return [smallest[i : i + BAND].tobytes() for i in range(0, BINS, BAND)]


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    if not len(a) or not len(b):
        return float(len(a) == len(b))
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)

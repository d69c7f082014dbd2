"""Find rows that are nearly the same, in time that grows with the rows, not with their pairs.

    groups(rows)             rows that belong together
    overlap(rows, others)    rows that are in both
    Index(rows)              one row after the other: `add`, and `find` among those added

1. **Pieces.** The question and the answer each become a set of hashed pieces of three characters.
   Case, spaces and punctuation do not count. `修改地址。` has the pieces 修改地, 改地址, 地址·,
   址·· (· is the end).
2. **Sketch.** Of the hashes, the smallest in each of `BINS` ranges is kept (one-permutation
   MinHash, Li, Owen and Zhang 2012). The sketches of two sets have about the same share of equal
   numbers as the sets have of pieces in common. A row has two sketches: one of both sides together,
   and one of the question alone, since many answers share boilerplate. Of a long text only the
   beginning, the middle and the end are sketched.
3. **Bands.** Each sketch is cut into bands of `BAND` numbers. A row is compared only with rows that
   share a band with it, and of those only with the ones that share enough of their sketches.
4. **Comparison.** What is left is compared exactly, all pieces of all the text: the pieces in
   common as a share of the pieces of either (Jaccard), `ALIKE_QUESTION` for the questions and
   `ALIKE` for both sides together.

An example, for the rows

    怎样修改订单的收货地址？    进入订单详情，点击修改地址，输入新的地址，然后保存。
    怎样修改订单的收货地址      进入订单详情、点击修改地址、输入新地址、然后保存。

the questions have 11 pieces each, all in common, since punctuation does not count. Their sketches
are equal. Both sides together have 33 and 32 pieces, 30 of them in common: 30 / 35 = 0.86, which is
over 0.8. Of the 24 numbers of these sketches 20 are equal, and 6 of the 8 bands.

numpy does the work, for many rows at once, because a 10 MB file has millions of pieces. The library
`datasketch` was tried: it takes 5 to 14 times as long on 1,000 rows of 10 KB, and steps 1 and 4
would still be ours.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from cookbook.data.rows import RowKey, row_key, text_of

ALIKE = 0.8
ALIKE_QUESTION = 0.6
FEWEST_PIECES = 8  # smaller sets must be equal: one character may be all the difference

BINS = 24
BAND = 3
BANDS = BINS // BAND
# Equal numbers of two sketches, of both sides and of the question, from which on the pieces are
# compared. Rows that are alike share about 19 (0.8 * BINS) and 14 (0.6 * BINS); with fewer than
# these they hardly ever are.
ENOUGH_EQUAL = (12, 8)
# Rows that a band remembers. One that more rows share says little, and must not make the work
# quadratic.
ROWS_PER_BAND = 4

# Characters that are sketched of a side at its beginning, as many in the middle and at the end.
SKETCHED = 64
ROWS_AT_ONCE = 200  # sketched together: the arrays stay small

# Multipliers that spread numbers which lie close together: 2**32 and 2**64 divided by the golden
# ratio, made odd (Knuth, The Art of Computer Programming, vol. 3, 6.4), and two more primes from
# xxHash.
SPREAD_64 = np.uint64(0x9E3779B97F4A7C15)
SPREAD_FIRST = np.uint32(0x9E3779B1)
SPREAD_SECOND = np.uint32(0x85EBCA77)
SPREAD_THIRD = np.uint32(0xC2B2AE3D)
# Any odd number mixes; between two shifts, as in MurmurHash3, the high bits come to depend on the
# low ones.
MIX_32 = np.uint32(0x2C1B3C6D)

# Marks a range without a hash: a minimum with it is the other number.
_EMPTY = np.uint32(0xFFFFFFFF)
_END = 0  # closes a text, twice
_IGNORED = 0xFFFF  # a character that does not count


class Index:
    """Find rows that are nearly the same, among those that were added.

    A row is named by its place in `rows`.
    """

    def __init__(self, rows: Sequence[dict]):
        self._rows = rows
        self._sketches = _sketches(rows)
        self._bands, self._question_bands = _shared_bands(self._sketches)
        self._rows_of_band: dict[int, list[int]] = {}
        self._pieces_of_row: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, i: int) -> None:
        """Remember row `i`."""
        if not self._bands[i]:  # no row at all is near to it
            return
        bands = [*self._bands[i], *self._question_bands[i]]
        for band in bands:
            remembered = self._rows_of_band.setdefault(band, [])
            remembered.append(i)
            del remembered[:-ROWS_PER_BAND]

    def is_alone(self, i: int) -> bool:
        """Return whether no other of all rows can be the same as row `i`, or nearly the same."""
        return not self._bands[i]

    def find(self, i: int) -> list[int]:
        """Return the remembered rows that are nearly the same as row `i`, in order."""
        candidates = self._candidates(i)
        if not candidates:
            return []
        same = self._sketches[candidates] == self._sketches[i]  # [candidates, 2, BINS]
        enough = np.count_nonzero(same, axis=2) >= ENOUGH_EQUAL
        promising = np.array(candidates)[enough.all(axis=1)].tolist()
        return [j for j in promising if self._alike(i, j)]

    def _candidates(self, i: int) -> list[int]:
        """Return the remembered rows that share a band of both sides with row `i`."""
        bands = self._bands[i]
        if not bands:
            return []
        sharing = self._remembered(bands)
        # A band that many rows share remembers only the last of them; the question may lead to the
        # others.
        by_question = self._remembered(self._question_bands[i]) - sharing
        for j in by_question:
            if not bands.isdisjoint(self._bands[j]):
                sharing.add(j)
        return sorted(sharing)

    def _remembered(self, bands: Sequence[int] | frozenset[int]) -> set[int]:
        rows: set[int] = set()
        for band in bands:
            rows.update(self._rows_of_band.get(band, ()))
        return rows

    def _alike(self, i: int, j: int) -> bool:
        question, answer = self._pieces(i)
        other_question, other_answer = self._pieces(j)
        if not _share_enough(question, other_question, ALIKE_QUESTION):
            return False
        both = np.union1d(question, answer)
        other_both = np.union1d(other_question, other_answer)
        return _share_enough(both, other_both, ALIKE)

    def _pieces(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the hashes of the question and of the answer, each sorted and without repeats."""
        if i not in self._pieces_of_row:
            hashes, sides = _hashes(_sides([self._rows[i]]))
            question, answer = hashes[sides == 0], hashes[sides == 1]
            self._pieces_of_row[i] = np.unique(question), np.unique(answer)
        return self._pieces_of_row[i]


def groups(rows: Sequence[dict]) -> list[list[int]]:
    """Return the indices of `rows`, so that rows that are the same, or nearly, are in one group.

    Likeness is handed on: if b is near to a, and c to b, all three are in one group.
    """
    index = Index(rows)
    first_of_key: dict[RowKey, int] = {}
    parent = list(range(len(rows)))  # a forest: the rows of one tree are one group

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]  # halves the way for the next search
            i = parent[i]
        return i

    for i, row in enumerate(rows):
        first = first_of_key.setdefault(row_key(row), i)
        if first != i:
            parent[i] = root(first)
            continue
        for near in index.find(i):
            parent[root(near)] = root(i)
        index.add(i)

    members: dict[int, list[int]] = {}
    for i in range(len(rows)):
        members.setdefault(root(i), []).append(i)
    return list(members.values())


def overlap(rows: Sequence[dict], others: Sequence[dict]) -> Iterator[tuple[int, int, bool]]:
    """Find the rows that are among `others` too, exactly or nearly.

    Yields (index in `rows`, index in `others`, whether exactly).
    """
    index = Index([*others, *rows])
    first_of_key: dict[RowKey, int] = {}
    for j, row in enumerate(others):
        first_of_key.setdefault(row_key(row), j)
        index.add(j)
    for i, row in enumerate(rows):
        same = first_of_key.get(row_key(row))
        if same is not None:
            yield i, same, True
            continue
        near = index.find(len(others) + i)
        if near:
            yield i, near[0], False


def _sides(rows: Sequence[dict]) -> list[str]:
    """Return what each row's two sides say: question, answer, question, answer, …"""
    return [text_of(row, role) for row in rows for role in ("user", "assistant")]


def _sketches(rows: Sequence[dict]) -> np.ndarray:
    """Return the sketches, [rows, 2, BINS]: of both sides together, of the question alone."""
    batches = [np.empty((0, 2, BINS), dtype=np.uint32)]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        batch = rows[start : start + ROWS_AT_ONCE]
        sides = [_sketched_part(side) for side in _sides(batch)]
        batches.append(_sketches_of_sides(sides))
    return np.concatenate(batches)


def _sketched_part(text: str) -> str:
    if len(text) <= 3 * SKETCHED:
        return text
    middle = (len(text) - SKETCHED) // 2
    in_middle = text[middle : middle + SKETCHED]
    return text[:SKETCHED] + in_middle + text[-SKETCHED:]


def _sketches_of_sides(sides: Sequence[str]) -> np.ndarray:
    hashes, side_of_hash = _hashes(sides)
    # The upper 16 bits of a hash, scaled to the number of ranges.
    upper = hashes >> np.uint32(16)
    ranges = upper * np.uint32(BINS) >> np.uint32(16)
    smallest_of_range = np.full(len(sides) * BINS, _EMPTY)
    np.minimum.at(smallest_of_range, side_of_hash * BINS + ranges, hashes)
    smallest = smallest_of_range.reshape(len(sides), BINS)
    question, answer = smallest[0::2], smallest[1::2]
    both = np.minimum(question, answer)
    sketches = np.stack([both, question], axis=1)

    # An empty range borrows from the next full one. Twice around, since the next may be at the
    # beginning.
    for at in reversed(range(2 * BINS)):
        here = sketches[..., at % BINS]
        following = sketches[..., (at + 1) % BINS]
        np.copyto(here, following, where=here == _EMPTY)
    return sketches


def _shared_bands(sketches: np.ndarray) -> tuple[list[frozenset[int]], list[list[int]]]:
    """Return the bands of each row's both sides, and of its question, that another row has too.

    Bands are numbers; equal bands have equal numbers. A row without a shared band of both sides has
    none of the question either: alike rows share 19 of 24 numbers of both sides, so at least three
    bands.
    """
    hashes = _band_hashes(sketches)
    _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    numbers = numbers.reshape(hashes.shape)
    shared = counts[numbers] > 1

    nothing: frozenset[int] = frozenset()
    both = [nothing] * len(sketches)
    question: list[list[int]] = [[] for _ in sketches]
    rows_that_share = np.flatnonzero(shared[:, 0].any(axis=1))  # few, as a rule
    for i in rows_that_share:
        of_both, of_question = (numbers[i, k, shared[i, k]].tolist() for k in (0, 1))
        both[i] = frozenset(of_both)
        question[i] = of_question
    return both, question


def _band_hashes(sketches: np.ndarray) -> np.ndarray:
    """Return a number for each band, [rows, 2, BANDS].

    The place of a band counts, so that one of both sides never equals one of a question.
    """
    parts = sketches.reshape(len(sketches), 2 * BANDS, BAND).astype(np.uint64)
    hashes = np.arange(2 * BANDS, dtype=np.uint64)
    for k in range(BAND):
        hashes = (hashes ^ parts[:, :, k]) * SPREAD_64
        hashes ^= hashes >> np.uint64(29)
    return hashes.reshape(len(sketches), 2, BANDS)


def _hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of every piece of every text, and the number of the text it is from."""
    # Two ends close each text, so that its last characters begin pieces too and none reaches into
    # the next text.
    without_ends = [text.replace("\0", " ") for text in texts]
    joined = "\0\0".join([*without_ends, ""])
    units = np.frombuffer(joined.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    codes = _codes().take(units, mode="wrap")  # in half the time of an index
    codes = codes[codes != _IGNORED]

    first = codes[:-2]
    second = codes[1:-1]
    third = codes[2:]
    # One multiplier for each place, so that the order of the characters counts.
    hashes = first * SPREAD_FIRST ^ second * SPREAD_SECOND ^ third * SPREAD_THIRD
    hashes ^= hashes >> np.uint32(15)
    hashes *= MIX_32
    hashes ^= hashes >> np.uint32(16)

    ends = np.flatnonzero(codes == _END)[::2]
    lengths = np.diff(ends, prepend=0)
    text_of_code = np.repeat(np.arange(len(texts)), lengths)
    text_of_hash = text_of_code[: len(hashes)]
    begins_in_text = first != _END
    return hashes[begins_in_text], text_of_hash[begins_in_text]


@cache
def _codes() -> np.ndarray:
    """Return what each UTF-16 unit counts as. Arithmetic signs do count, since 12+3 is not 12-3."""
    table = np.arange(0x10000, dtype=np.uint32)
    for unit in range(0x10000):
        folded = chr(unit).casefold()
        if len(folded) == 1:
            table[unit] = ord(folded)
    ignored = " \t\r\n\u00a0.,;:!?\"'()[]{}，。；：！？（）"
    table[[ord(character) for character in ignored]] = _IGNORED
    table[0x2000:0x2070] = _IGNORED  # general punctuation
    table[0x3000:0x3021] = _IGNORED  # CJK punctuation
    return table


def _share_enough(a: np.ndarray, b: np.ndarray, share: float) -> bool:
    """Return whether two sets have this share of their union in common.

    Sets are arrays, sorted and without repeats.
    """
    if min(len(a), len(b)) < FEWEST_PIECES:
        return np.array_equal(a, b)
    # Sets of very different sizes cannot share enough.
    if not share <= len(a) / len(b) <= 1 / share:
        return False
    common = len(np.intersect1d(a, b, assume_unique=True))
    union = len(a) + len(b) - common
    return common >= share * union

"""What a figure is worth: shares with their interval, similarity of texts, and paired tests between two columns.

Nothing here knows what the texts are about; `zhishuo` does.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cookbook.errors import ArgumentError
from cookbook.i18n import tr

RESAMPLES = 2000


@dataclass(frozen=True, order=True)
class Share:
    """`hits` of `n`, with the 95 % interval of Wilson (1927), which holds for few cases and near 0 and 1 too."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.n:
            return 0.0, 1.0
        p, n, z = self.value, self.n, 1.96
        middle, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
        return max(0.0, (middle - half) / (1 + z * z / n)), min(
            1.0, (middle + half) / (1 + z * z / n)
        )

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.0%} ({low:.0%}–{high:.0%})" if self.n else "–"

    __repr__ = __str__


def share(flags: Iterable) -> Share:
    """How many of `flags` are true."""
    flags = [bool(flag) for flag in flags]
    return Share(sum(flags), len(flags))


def similarity(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """How alike the wording of each text is to that of all `references` together: the cosine of counts of two characters
    in a row, marks included. A text that stands among the references itself is compared with the others."""
    pairs = [Counter(text[i : i + 2] for i in range(len(text) - 1)) for text in references]
    total, own = sum(pairs, Counter()), dict(zip(references, pairs, strict=True))
    return [
        _cosine(
            c := Counter(t[i : i + 2] for i in range(len(t) - 1)), total - c if t in own else total
        )
        for t in texts
    ]


def _cosine(a: Counter, b: Counter) -> float:
    sizes = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return sum(n * b[pair] for pair, n in a.items()) / sizes if sizes else 0.0


def longest_shared_run(text: str, sources: Sequence[str]) -> int:
    """Characters of the longest piece of `text` that stands in one of `sources`."""
    longest, joined = 0, "\0".join(sources)
    for start in range(len(text)):
        while start + longest < len(text) and text[start : start + longest + 1] in joined:
            longest += 1
    return longest


@dataclass(frozen=True)
class Paired:
    """The difference of two columns over the same inputs, b minus a.

    `kind` tells how `p` was found: "mcnemar" (exact, for yes and no) or "bootstrap" (of the mean difference; `low` and
    `high` are its 95 % interval). `gained` and `lost` count the inputs where b is higher, and where a is.
    """

    measure: str
    a: str
    b: str
    n: int
    means: tuple[float, float]
    gained: int
    lost: int
    p: float
    kind: str
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether chance alone would hardly do this (p < 0.05)."""
        return self.p < 0.05

    @property
    def direction(self) -> int:
        """1 where b is higher, -1 where it is lower, 0 where the difference is not certain."""
        return (
            (self.means[1] > self.means[0]) - (self.means[1] < self.means[0]) if self.certain else 0
        )

    def __str__(self) -> str:
        (a, b), p = self.means, "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        if self.certain:
            verdict = tr(f"差别可信（{p}）", f"hardly chance ({p})")
        else:
            verdict = tr(f"看不出差别（{p}）", f"no certain difference ({p})")
        if self.kind == "mcnemar":
            return tr(
                f"{self.measure}：“{self.a}”{a:.0%}，“{self.b}”{b:.0%}。{self.n} 个词里，只有后者做到的 {self.gained} 个，"
                f"只有前者做到的 {self.lost} 个；{verdict}。",
                f"{self.measure}: {self.a} {a:.0%}, {self.b} {b:.0%}; of {self.n} words {self.gained} only by the latter, "
                f"{self.lost} only by the former: {verdict}.",
            )
        return tr(
            f"{self.measure}：“{self.a}”平均 {a:.2f}，“{self.b}”平均 {b:.2f}。逐词相减平均 {b - a:+.2f}，"
            f"95% 区间 {self.low:+.2f} 到 {self.high:+.2f}；{verdict}。",
            f"{self.measure}: {self.a} {a:.2f} on average, {self.b} {b:.2f}; difference by word {b - a:+.2f} "
            f"({self.low:+.2f} to {self.high:+.2f}): {verdict}.",
        )

    __repr__ = __str__


def paired(frame, measure: str, a: str, b: str) -> Paired:
    """Whether columns `a` and `b` differ in `measure` over the inputs that both have.

    Yes and no: McNemar's exact test. Numbers: percentile bootstrap of the mean difference, 2,000 resamples, seeded.

    Raises:
        ValueError: the two have no input in common.
    """
    import pandas as pd

    known = frame.assign(**{measure: pd.to_numeric(frame[measure])})
    # Where a word was asked several times, its mean counts once.
    sides = [
        known[known["column"] == name].groupby("input", sort=False)[measure].mean()
        for name in (a, b)
    ]
    both = pd.concat(sides, axis=1, keys=["a", "b"], join="inner").dropna()
    if both.empty:
        raise ArgumentError(
            zh=f"“{a}”与“{b}”没有共同的词可比 {measure}",
            en=f"{a} and {b} have no input in common to compare {measure} on",
        )
    difference = both.b - both.a
    gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
    if set(both.to_numpy().ravel()) <= {0, 1}:
        p, (low, high), kind = mcnemar(gained, lost), (math.nan, math.nan), "mcnemar"
    else:
        (p, low, high), kind = _bootstrap(difference.to_numpy()), "bootstrap"
    means = (float(both.a.mean()), float(both.b.mean()))
    return Paired(measure, a, b, len(both), means, gained, lost, p, kind, low, high)


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of McNemar's exact test: as likely as heads and tails."""
    n, k = gained + lost, min(gained, lost)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


def _bootstrap(difference) -> tuple[float, float, float]:
    """(two-sided p, lower and upper end of the 95 % interval) of the mean."""
    import numpy as np

    rng = np.random.default_rng(0)
    means = rng.choice(difference, (RESAMPLES, len(difference))).mean(axis=1)
    p = 2 * min((means <= 0).sum() + 1, (means >= 0).sum() + 1) / (RESAMPLES + 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return min(1.0, float(p)), float(low), float(high)

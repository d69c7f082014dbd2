"""Say what a figure is worth: shares with their interval, similarity of texts, paired tests.

The interval, the exact test and the bootstrap are SciPy's. Importing this module does not load it:
the first figure that needs it does, which takes about half a second. Nothing here knows what the
texts are about; `zhishuo` does.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from cookbook.errors import ArgumentError
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 2000  # of the bootstrap: enough for two digits of an interval, and for p < 0.001
CERTAIN = 0.05  # the p below which a difference is called certain


@dataclass(frozen=True, order=True)
class Share:
    """`hits` of `n` cases, shown with a 95 % interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share itself, from 0 to 1; NaN where there is no case."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % score interval of Wilson (1927): valid for few cases and near 0 and 1 too."""
        # Nothing was seen, so nothing is excluded.
        if self.n == 0:
            return 0.0, 1.0
        from scipy.stats import binomtest

        interval = binomtest(self.hits, self.n).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        if self.n == 0:
            return "–"
        low, high = self.interval
        return f"{self.value:.0%} ({low:.0%}–{high:.0%})"

    __repr__ = __str__


def share(flags: Iterable[object]) -> Share:
    """Return how many of `flags` are true."""
    values = [bool(flag) for flag in flags]
    return Share(sum(values), len(values))


def similarity(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """Return how similar each text's wording is to that of all `references`, from 0 to 1.

    It is the cosine of the counts of two characters in a row, punctuation included. A text that is
    itself one of the references is compared with the others only.
    """
    together: Counter[str] = Counter()
    for reference in references:
        together.update(_character_pairs(reference))
    known = set(references)
    result = []
    for text in texts:
        # Otherwise every reference would be found similar to itself.
        pairs = _character_pairs(text)
        others = together - pairs if text in known else together
        result.append(_cosine(pairs, others))
    return result


def _character_pairs(text: str) -> Counter[str]:
    return Counter(map("".join, pairwise(text)))


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    product = 0
    for pair, n in a.items():
        product += n * b[pair]
    # Whole numbers up to the root, so that equal texts are similar by exactly 1.
    squares_a = _sum_of_squares(a)
    squares_b = _sum_of_squares(b)
    # A text of fewer than two characters has no pair and is similar to nothing.
    if squares_a == 0 or squares_b == 0:
        return 0.0
    return product / math.sqrt(squares_a * squares_b)


def _sum_of_squares(counts: Counter[str]) -> int:
    return sum(n * n for n in counts.values())


def longest_shared_run(text: str, sources: Sequence[str]) -> int:
    """Return how many characters of `text` in a row are also in one of `sources`, at most."""
    # No text contains \0, so no piece reaches across two sources.
    joined = "\0".join(sources)
    longest = 0
    for start in range(len(text)):
        # Only a piece longer than the longest so far matters.
        end = start + longest + 1
        while end <= len(text) and text[start:end] in joined:
            longest += 1
            end += 1
    return longest


@dataclass(frozen=True)
class Paired:
    """The difference of two columns over the same inputs, `b` minus `a`.

    `kind` names the test that gave `p`: "mcnemar" (exact, for yes and no) or "bootstrap" (of the
    mean difference; `low` and `high` are its 95 % interval, NaN for McNemar). `gained` and `lost`
    count the inputs for which `b` is higher, and lower.
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
        """Return whether chance alone is an unlikely explanation (p < 0.05)."""
        return self.p < CERTAIN

    @property
    def direction(self) -> int:
        """Return 1 where `b` is higher, -1 where it is lower, 0 where nothing is certain."""
        a, b = self.means
        if not self.certain or a == b:
            return 0
        return 1 if b > a else -1

    def __str__(self) -> str:
        if self.n == 0:
            sentence = tr(
                f"{self.measure}：没有一个词两边都有值，没法比。",
                f"{self.measure}: no input has a value on both sides, so nothing is compared.",
            )
            return printable(sentence)
        flags = self.kind == "mcnemar"
        sentence = self._flags_sentence() if flags else self._numbers_sentence()
        return printable(sentence)

    __repr__ = __str__

    def _flags_sentence(self) -> str:
        a, b = self.means
        zh = (
            f"{self.measure}：“{self.a}”{a:.0%}，"
            f"“{self.b}”{b:.0%}。"
            f"{self.n} 个词里，只有后者做到的 {self.gained} 个，"
            f"只有前者做到的 {self.lost} 个；"
        )
        en = (
            f"{self.measure}: {self.a} {a:.0%}, "
            f"{self.b} {b:.0%}; "
            f"of {self.n} words, {self.gained} only in the latter, "
            f"{self.lost} only in the former: "
        )
        return tr(zh, en) + self._verdict()

    def _numbers_sentence(self) -> str:
        a, b = self.means
        zh = (
            f"{self.measure}：“{self.a}”平均 {a:.2f}，"
            f"“{self.b}”平均 {b:.2f}。"
            f"逐词相减平均 {b - a:+.2f}，"
            f"95% 区间 {self.low:+.2f} 到 {self.high:+.2f}；"
        )
        en = (
            f"{self.measure}: mean of {self.a} {a:.2f}, "
            f"of {self.b} {b:.2f}; "
            f"mean difference by word {b - a:+.2f} "
            f"({self.low:+.2f} to {self.high:+.2f}): "
        )
        return tr(zh, en) + self._verdict()

    def _verdict(self) -> str:
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        if self.certain:
            return tr(f"差别可信（{p}）。", f"unlikely to be chance ({p}).")
        return tr(f"看不出差别（{p}）。", f"no certain difference ({p}).")


def paired(frame: "pd.DataFrame", measure: str, a: str, b: str) -> Paired:
    """Return whether columns `a` and `b` differ in `measure` over the inputs that both have.

    Yes and no: McNemar's exact test. Numbers: `mean_difference`.

    Args:
        frame: one answer a row, with `column`, `input` and the measure.
        measure: a column of `frame`, of flags or of numbers. Rows without a value are left out;
            where none is left, as with the first token of empty answers, `n` is 0.

    Raises:
        ArgumentError: the two have no input in common.
    """
    import pandas as pd

    # Paired, because words differ more from each other than models do on the same word.
    sides = {"a": _mean_by_input(frame, measure, a), "b": _mean_by_input(frame, measure, b)}
    common = pd.concat(sides, axis=1, join="inner")
    if common.empty:
        raise ArgumentError(
            zh=f"“{a}”与“{b}”没有共同的词可比 {measure}",
            en=f"{a} and {b} have no input in common on which to compare {measure}",
        )
    both = common.dropna()
    difference = both["b"] - both["a"]
    gained = int((difference > 0).sum())
    lost = int((difference < 0).sum())
    # Flags whose words were asked several times are shares, so they are compared as numbers; and a
    # number that happens to be 0 or 1 everywhere is no flag.
    is_number = pd.api.types.is_float_dtype(frame[measure])
    if not is_number and both.isin([0, 1]).all(axis=None):
        kind = "mcnemar"
        p = mcnemar(gained, lost)
        low = high = math.nan
    else:
        kind = "bootstrap"
        p, low, high = mean_difference(difference.to_list())
    return Paired(
        measure=measure,
        a=a,
        b=b,
        n=len(both),
        means=(float(both["a"].mean()), float(both["b"].mean())),
        gained=gained,
        lost=lost,
        p=p,
        kind=kind,
        low=low,
        high=high,
    )


def _mean_by_input(frame: "pd.DataFrame", measure: str, column: str) -> "pd.Series":
    """Return one value for each input of a column."""
    import pandas as pd

    # Several answers to one word are not independent cases, so their mean counts once.
    rows = frame[frame["column"] == column]
    values = pd.to_numeric(rows[measure])
    return values.groupby(rows["input"], sort=False).mean()


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p of McNemar's exact test (1947).

    The question: if a gain and a loss were equally likely, how often would the two counts be at
    least as uneven?
    """
    # No word on which the two differ: nothing to test.
    if gained + lost == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost, p=0.5).pvalue)


def mean_difference(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return the two-sided p of a mean of 0, and the two ends of the mean's 95 % interval.

    Percentile bootstrap (Efron and Tibshirani 1993), 2,000 resamples, seeded, so the same
    differences always give the same figures. p is twice the share of resampled means on the rarer
    side of 0; both shares count the observed case too, so that p is never 0 (Davison and Hinkley
    1997, section 4.2). One difference shows nothing: p is 1 then and the interval has no ends.
    """
    if len(differences) < 2:
        return 1.0, -math.inf, math.inf
    import numpy as np
    from scipy.stats import bootstrap

    result = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    # SciPy has no test for this; the same resampled means give the interval and p.
    means = result.bootstrap_distribution
    at_most_zero = int((means <= 0).sum())
    at_least_zero = int((means >= 0).sum())
    rarer_side = min(at_most_zero, at_least_zero)
    p = 2 * (rarer_side + 1) / (RESAMPLES + 1)
    interval = result.confidence_interval
    return min(1.0, p), float(interval.low), float(interval.high)

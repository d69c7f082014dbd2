"""Set the guide's claims (section 5.2.3) against what was measured.

The claims: 风格更统一, 更稳定可控, 输入更短, 速度更快, 成本更低. Each is one or more measures of
which it is known which way is better. What the guide does not mention is measured too, since a
style that is learned at the price of sense is not an improvement.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

from cookbook.compare.stats import Paired, paired
from cookbook.i18n import Text, tr

if TYPE_CHECKING:
    import pandas as pd

UP = 1
DOWN = -1


# What the guide says of fine-tuning.
STYLE = Text("风格更统一", "a more uniform style")
STABLE = Text("更稳定可控", "more stable output")
SHORTER = Text("输入更短", "a shorter input")
FASTER = Text("速度更快", "faster")
CHEAPER = Text("成本更低", "cheaper")
UNCLAIMED = Text("指南没提", "not in the guide")


class Measure(NamedTuple):
    """One measure of a claim: the table and the column it is in, and which way is better."""

    claim: Text
    table: str
    name: str
    better: int


MEASURES = [
    Measure(STYLE, "answers", "rules_passed", UP),
    Measure(STYLE, "answers", "self_similarity", UP),
    Measure(STYLE, "answers", "similarity", UP),
    Measure(STYLE, "answers", "length_deviation", DOWN),
    Measure(STABLE, "samples", "always", UP),
    Measure(SHORTER, "answers", "prompt_tokens", DOWN),
    Measure(FASTER, "timed", "first_token_seconds", DOWN),
    Measure(FASTER, "timed", "seconds", DOWN),
    Measure(CHEAPER, "answers", "tokens", DOWN),
    Measure(UNCLAIMED, "answers", "relevant", UP),
    Measure(UNCLAIMED, "answers", "fluent", UP),
    Measure(UNCLAIMED, "answers", "other_word", DOWN),
    Measure(UNCLAIMED, "answers", "repeats", DOWN),
    Measure(UNCLAIMED, "answers", "completion_tokens", DOWN),
]


def claims(
    answers: "pd.DataFrame",
    samples: "pd.DataFrame",
    timed: "pd.DataFrame",
    *,
    before: str,
    after: str,
    control: str,
) -> "pd.DataFrame":
    """Return one measure a row: the three means, and what became of it in two comparisons.

    A measure that does not suit the base (`measure`) has no row.

    From `before` to `after` model and prompt change together, as in the guide. From `control` to
    `after` the model alone changes.

    Args:
        answers: what `measure` returned for one answer a word.
        samples: the same for several answers a word, sampled at a temperature above 0.
        timed: what `ask` returned when it sent one request after another.

    Raises:
        ArgumentError: two columns have no word in common.
    """
    import pandas as pd

    tables = {
        "answers": answers.assign(tokens=answers["prompt_tokens"] + answers["completion_tokens"]),
        "samples": _always(samples),
        "timed": timed,
    }
    rows = []
    for measure in MEASURES:
        table = tables[measure.table]
        # `measure` left out what does not suit the base.
        if measure.name not in table:
            continue
        # Two comparisons with the same answers; the guide makes only the first.
        both = paired(table, measure.name, before, after)
        model_alone = paired(table, measure.name, control, after)
        row = {"claim": str(measure.claim), "measure": measure.name, "n": both.n}
        # Columns are named by their letter: “A 微调前 + 短提示词” is too wide for a table head.
        row[_letter(control)] = _figure(model_alone.means[0])
        row[_letter(before)] = _figure(both.means[0])
        row[_letter(after)] = _figure(both.means[1])
        for pair in (both, model_alone):
            arrow = f"{_letter(pair.a)} → {_letter(pair.b)}"
            row[arrow] = _verdict(pair, measure.better)
        rows.append(row)
    return pd.DataFrame(rows)


def _always(samples: "pd.DataFrame") -> "pd.DataFrame":
    """Return for each word of each column whether every sample passes every rule, as `always`."""
    # One sentence that breaks a rule is enough to break a program that relies on it.
    by_word = samples.groupby(["column", "input"], sort=False)["rules_passed"]
    return by_word.all().rename("always").reset_index()


def _letter(column: str) -> str:
    return column.split()[0]


def _figure(mean: float) -> str:
    return "–" if math.isnan(mean) else f"{mean:.3g}"


def _verdict(pair: Paired, better: int) -> str:
    if pair.n == 0:
        return tr("没法比", "no values")
    if pair.direction == 0:
        return tr("看不出差别", "no certain difference")
    if pair.direction == better:
        return tr("更好", "better")
    return tr("更差", "worse")

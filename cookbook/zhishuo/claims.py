"""The guide's claims (§5.2.3), each against what was measured: 风格更统一, 更稳定可控, 输入更短, 速度更快, 成本更低."""

from cookbook.compare.stats import Paired, paired
from cookbook.i18n import tr

UP, DOWN = 1, -1
UNCLAIMED = "指南没提"

# (the claim, or UNCLAIMED for what the guide does not speak of; where it was measured; the measure; which way is better)
MEASURES = [
    ("风格更统一", "answers", "rules_passed", UP),
    ("风格更统一", "answers", "self_similarity", UP),
    ("风格更统一", "answers", "similarity", UP),
    ("风格更统一", "answers", "length_deviation", DOWN),
    ("更稳定可控", "samples", "always", UP),
    ("输入更短", "answers", "prompt_tokens", DOWN),
    ("速度更快", "timed", "first_token_seconds", DOWN),
    ("速度更快", "timed", "seconds", DOWN),
    ("成本更低", "answers", "tokens", DOWN),
    (UNCLAIMED, "answers", "relevant", UP),
    (UNCLAIMED, "answers", "fluent", UP),
    (UNCLAIMED, "answers", "other_word", DOWN),
    (UNCLAIMED, "answers", "repeats", DOWN),
    (UNCLAIMED, "answers", "completion_tokens", DOWN),
]


def claims(answers, samples, timed, *, before: str, after: str, control: str):
    """One measure a line: the means, then what became of it from `before` to `after`, as the guide compares (model and
    prompt change together), and from `control` to `after`, where the model alone changes. A DataFrame.

    Args:
        answers: what `measure` returned for one answer a word.
        samples: the same for several samples a word; `always` is whether all of them keep every rule.
        timed: answers asked one after another.
    """
    import pandas as pd

    always = (
        samples.groupby(["column", "input"], sort=False)["rules_passed"]
        .all()
        .rename("always")
        .reset_index()
    )
    answers = answers.assign(tokens=answers.prompt_tokens + answers.completion_tokens)
    tables = {"answers": answers, "samples": always, "timed": timed}
    letter = lambda column: column.split()[0]
    lines = []
    for claim, where, name, better in MEASURES:
        guide, model = (paired(tables[where], name, column, after) for column in (before, control))
        means = {control: model.means[0], before: guide.means[0], after: guide.means[1]}
        lines.append(
            {"claim": claim, "measure": name, "n": guide.n}
            | {letter(column): f"{value:.3g}" for column, value in means.items()}
            | {f"{letter(p.a)} → {letter(p.b)}": _verdict(p, better) for p in (guide, model)}
        )
    return pd.DataFrame(lines)


def _verdict(found: Paired, better: int) -> str:
    words = {1: tr("更好", "better"), -1: tr("更差", "worse"), 0: tr("看不出差别", "not shown")}
    return words[found.direction * better]

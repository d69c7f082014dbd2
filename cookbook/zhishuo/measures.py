"""What can be counted of answers beyond their form, and how a whole column did.

`relevant`, `other_word` and `fluency` compare with the lexicon that the tiny base was taught, `pattern_ok` with the patterns of its
training file: made for it alone. A large model says good things that no lexicon foresees; there a judge is to be asked.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from cookbook.compare.stats import longest_shared_run, share, similarity
from cookbook.zhishuo.patterns import pattern_ok
from cookbook.zhishuo.rules import is_json, rules_broken, score, unwrap
from cookbook.zhishuo.texts import corpus, lexicon, prompt_examples


def relevant(word: str, output: str, *, run: int = 6) -> bool:
    """Whether `output` holds at least `run` characters in a row of what the lexicon says of this very word.

    Only words of the lexicon can be judged; for others the answer is False.
    """
    return any(piece in output for piece in _pieces(word, run))


@cache
def _pieces(word: str, run: int) -> frozenset[str]:
    entry = lexicon().get(word, {})
    phrases = [entry.get(name, "") for name in ("image", "praise", "criticism")]
    # A shorter phrase counts when it stands there whole.
    return frozenset(
        phrase[i : i + run]
        for phrase in phrases
        if phrase
        for i in range(max(1, len(phrase) - run + 1))
    )


def other_word(word: str, output: str) -> bool:
    """Whether it holds what the lexicon says of another word."""
    return any(other != word and relevant(other, output) for other in lexicon())


def fluency(sentences: Iterable[str]) -> float:
    """Share of the sentences' runs of four characters within a clause that stand in the lexicon or the tiny base's
    training file. (Across a comma two phrases meet, which no corpus can foresee.) NaN where there is no such run.

    Made for the tiny base, which can only say what it has read; a large model's good sentence has a low figure.
    """
    runs = [run for sentence in sentences for run in _runs(sentence)]
    return sum(run in _known_runs() for run in runs) / len(runs) if runs else math.nan


def _runs(text: str, length: int = 4) -> list[str]:
    """Every `length` characters in a row within a clause."""
    return [part[i : i + length] for part in _clauses(text) for i in range(len(part) - length + 1)]


def _clauses(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@cache
def _known_runs() -> frozenset[str]:
    known = [
        e[k] for e in lexicon().values() for k in ("definition", "image", "praise", "criticism")
    ]
    return frozenset(
        run for text in [*known, *corpus("train_tiny.jsonl").values()] for run in _runs(text)
    )


def repeats(text: str) -> bool:
    """Whether two characters in a row, punctuation aside, come three times or more, or a whole clause does.

    A sign of trouble in a column, not in a sentence: an author says 不敢 three times on purpose (17 of the 990 in train.jsonl).
    """
    return max((Counter(_runs(text, 2)) | Counter(_clauses(text))).values(), default=0) >= 3


def measure(answers, *, held_out: Sequence[str], trained: Sequence[str]):
    """`answers` (column, input, answer …) with one column a measure, for each answer by itself.

    Columns: `sentence` (taken out of JSON), `rules_broken`; `rules_passed` (every rule kept), `json`, `relevant`, `other_word`, `fluent`,
    `repeats`, `pattern_ok` (the pattern that its image asks for), `characters`, and `length_deviation`, how far they are from the
    column's median; `self_similarity`, similarity to the other answers of its column; `similarity`, to `held_out`; `copied`, the whole
    sentence stands in `trained`, `shared_run`, how much of it in one piece does, and `from_prompt`, it stands among the
    long prompt's examples. A request that failed is left out.

    Args:
        held_out: sentences of the style that no model was trained on.
        trained: the sentences that it was trained on.
    """
    found = answers[answers["error"].isna()] if "error" in answers else answers
    pairs = list(zip(found["input"], found["answer"], strict=True))
    text = [unwrap(answer) for _, answer in pairs]
    examples, known = prompt_examples(), set(trained)
    found = found.assign(
        sentence=text,
        rules_broken=[rules_broken(word, answer) for word, answer in pairs],
        rules_passed=[all(score(word, answer).values()) for word, answer in pairs],
        json=[is_json(word, answer) for word, answer in pairs],
        relevant=[relevant(word, t) for (word, _), t in zip(pairs, text, strict=True)],
        other_word=[other_word(word, t) for (word, _), t in zip(pairs, text, strict=True)],
        fluent=[fluency([t]) for t in text],
        repeats=list(map(repeats, text)),
        pattern_ok=list(map(pattern_ok, text)),
        characters=list(map(len, text)),
        similarity=similarity(text, held_out),
        copied=[t in known for t in text],
        shared_run=[longest_shared_run(t, trained) for t in text],
        from_prompt=[t in examples for t in text],
    )
    columns = found.groupby("column", sort=False)
    found["length_deviation"] = (found.characters - columns["characters"].transform("median")).abs()
    found["self_similarity"] = columns["sentence"].transform(
        lambda part: similarity(list(part), list(part))
    )
    return found


def summary(measured):
    """How each column of `measure` did, a DataFrame with one measure a line.

    Shares have their 95 % Wilson interval; `shared_run` is median and longest, `characters` median and middle half, the
    similarities are means, `fluent` is the share over all answers together.
    """
    import pandas as pd

    lines = {}
    for name, part in measured.groupby("column", sort=False):
        flags = (
            "rules_passed",
            "json",
            "relevant",
            "pattern_ok",
            "other_word",
            "repeats",
            "copied",
            "from_prompt",
        )
        shares = {key: share(part[key]) for key in flags}
        low, middle, high = part.characters.quantile([0.25, 0.5, 0.75])
        lines[name] = {"n": len(part)} | shares
        lines[name] |= {
            "fluent": f"{fluency(part.sentence):.0%}",
            "distinct": share(~part.sentence.duplicated()),
        }
        lines[name] |= {"shared_run": f"{part.shared_run.median():.0f}, {part.shared_run.max()}"}
        lines[name] |= {"characters": f"{middle:.0f} ({low:.0f}–{high:.0f})"}
        lines[name] |= {key: f"{part[key].mean():.2f}" for key in ("self_similarity", "similarity")}
    return pd.DataFrame(lines)

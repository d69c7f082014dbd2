"""Measure what can be counted of answers beyond the rules, and how a whole column did.

`relevant`, `other_word` and `fluency` compare with the lexicon that the tiny base was taught, and
`pattern_ok` with the patterns of its training file: they suit that base alone, and `measure` leaves
them out for any other. A large model says good things that no lexicon foresees; let readers or a
model judge those (`compare.blind`, `judge`).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from cookbook.bases import TEACHING_MEASURES, Base
from cookbook.compare.ask import answered
from cookbook.compare.stats import longest_shared_run, share, similarity
from cookbook.zhishuo.patterns import pattern_ok
from cookbook.zhishuo.rules import is_json, rules_broken, unwrap
from cookbook.zhishuo.texts import corpus, lexicon, prompt_examples

if TYPE_CHECKING:
    import pandas as pd

RELEVANT_RUN = 6  # characters in a row that show what a sentence is about
FLUENT_RUN = 4  # characters in a row that were read before, or were not
REPEATS = 3  # times that the same piece makes a sentence repetitive
PHRASES = ("image", "praise", "criticism")  # fields of the lexicon that a sentence may use


def relevant(word: str, output: str) -> bool:
    """Return whether `output` has six characters in a row of what the lexicon says of this word.

    A shorter phrase counts where the whole of it is there. Only words of the lexicon can be judged;
    for others the result is False.
    """
    return any(piece in output for piece in _pieces(word))


# Cached: `other_word` asks for all words of the lexicon with every answer.
@cache
def _pieces(word: str) -> frozenset[str]:
    """Return the pieces of the word's phrases, one of which a relevant sentence has."""
    entry = lexicon().get(word, {})
    pieces: set[str] = set()
    for name in PHRASES:
        phrase = entry.get(name, "")
        if 0 < len(phrase) < RELEVANT_RUN:
            pieces.add(phrase)
        pieces.update(_runs_within(phrase, RELEVANT_RUN))
    return frozenset(pieces)


def other_word(word: str, output: str) -> bool:
    """Return whether `output` has what the lexicon says of another word."""
    return any(other != word and relevant(other, output) for other in lexicon())


def fluency(sentences: Iterable[str]) -> float:
    """Return the share of the sentences' runs of four characters that the tiny base has read.

    That is: in the lexicon or in its training file. Runs are taken within clauses, since two
    phrases meet at a comma, which no corpus can foresee. NaN where no clause has four characters.

    Made for the tiny base, which can only say what it has read: a good sentence of a large model
    has a low figure.
    """
    # Over all sentences together, so a long one counts for more than a short one.
    known = _known_runs()
    total = found = 0
    for sentence in sentences:
        for run in _runs(sentence, FLUENT_RUN):
            total += 1
            found += run in known
    return found / total if total else math.nan


@cache
def _known_runs() -> frozenset[str]:
    """Return every run of the lexicon and of the tiny base's training file."""
    texts = list(corpus("train_tiny.jsonl").values())
    for entry in lexicon().values():
        texts += [entry[name] for name in ("definition", *PHRASES)]
    known: set[str] = set()
    for text in texts:
        known.update(_runs(text, FLUENT_RUN))
    return frozenset(known)


def _clauses(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _runs(text: str, length: int) -> list[str]:
    """Return every `length` characters in a row within a clause."""
    runs = []
    for clause in _clauses(text):
        runs += _runs_within(clause, length)
    return runs


def _runs_within(text: str, length: int) -> list[str]:
    starts = range(len(text) - length + 1)
    return [text[start : start + length] for start in starts]


def repeats(text: str) -> bool:
    """Return whether two characters in a row, or a whole clause, come three times or more.

    A sign of trouble in a column, not in a sentence: an author says 不敢 three times on purpose (17
    of the 990 sentences in train.jsonl do so).
    """
    # Of a clause of two characters, which is also a run, the higher count is taken, not the sum.
    counts = Counter(_runs(text, 2)) | Counter(_clauses(text))
    return max(counts.values(), default=0) >= REPEATS


def _fluent(word: str, sentence: str) -> float:
    return fluency([sentence])


def _keeps_pattern(word: str, sentence: str) -> bool:
    return pattern_ok(sentence)


# In the order of a table's rows; all are called alike, though only two need the word.
_OF_TEACHING_BASE: dict[str, Callable[[str, str], bool | float]] = {
    "relevant": relevant,
    "other_word": other_word,
    "pattern_ok": _keeps_pattern,
    "fluent": _fluent,
}


def measure(
    answers: "pd.DataFrame",
    *,
    held_out: Sequence[str],
    trained: Sequence[str],
    base: Base | None = None,
) -> "pd.DataFrame":
    """Return `answers` with a column for each measure. Requests that failed are left out.

    Of the answer alone:
        sentence: the text, taken out of JSON.
        rules_broken: the rules it breaks, in words. rules_passed: none is broken.
        json: it is the JSON of the long prompt.
        characters: its length.
        relevant, other_word, repeats, pattern_ok: see the functions. fluent: see `fluency`.

    Compared with other sentences:
        length_deviation: characters away from the median of its column. self_similarity:
        similarity to the other answers of its column. similarity: the same to `held_out`.
        copied: the whole sentence is in `trained`. shared_run: the longest piece that is,
        characters. from_prompt: it is one of the long prompt's examples.

    Args:
        answers: what `ask` returned, or any DataFrame with `column`, `input` and `answer`.
        held_out: sentences of the style that no model was trained on.
        trained: the sentences that the model was trained on.
        base: the card of the base that was asked; measures that do not suit it are left out.
    """
    # An answer that never came says nothing about a model.
    measured = answered(answers)
    words = measured["input"].tolist()
    outputs = measured["answer"].tolist()
    sentences = [unwrap(output) for output in outputs]
    broken = list(map(rules_broken, words, outputs))
    taught = {}
    for name in TEACHING_MEASURES if base is None else base.measures:
        taught[name] = list(map(_OF_TEACHING_BASE[name], words, sentences))
    # A prompt's example given back is a copy too, though nothing was trained.
    examples = prompt_examples()
    known = set(trained)
    measured = measured.assign(
        sentence=sentences,
        rules_broken=broken,
        rules_passed=[not names for names in broken],
        json=list(map(is_json, words, outputs)),
        **taught,
        repeats=list(map(repeats, sentences)),
        characters=list(map(len, sentences)),
        similarity=similarity(sentences, held_out),
        copied=[sentence in known for sentence in sentences],
        shared_run=[longest_shared_run(sentence, trained) for sentence in sentences],
        from_prompt=[sentence in examples for sentence in sentences],
    )
    # These two need all answers of a column.
    columns = measured.groupby("column", sort=False)
    median = columns["characters"].transform("median")
    measured["length_deviation"] = (measured["characters"] - median).abs()
    measured["self_similarity"] = columns["sentence"].transform(_self_similarity)
    return measured


def _self_similarity(sentences: "pd.Series[str]") -> list[float]:
    texts = sentences.tolist()
    return similarity(texts, texts)


SHARES = (
    "rules_passed",
    "json",
    "relevant",
    "pattern_ok",
    "other_word",
    "repeats",
    "copied",
    "from_prompt",
)


def summary(measured: "pd.DataFrame") -> "pd.DataFrame":
    """Return how each column of `measure` did: a DataFrame with a row for each measure.

    Measures that `measure` left out have no row. Shares have their 95 % Wilson interval. `fluent`
    is over all answers together, `distinct` the share of different sentences. `shared_run` is
    median and longest, `characters` median and middle half, the similarities are means.
    """
    import pandas as pd

    # Columns side by side, as in the other tables, and measures from top to bottom.
    columns = {}
    for name, part in measured.groupby("column", sort=False):
        columns[name] = _column_summary(part)
    return pd.DataFrame(columns)


def _column_summary(part: "pd.DataFrame") -> dict[str, object]:
    result: dict[str, object] = {"n": len(part)}
    for name in SHARES:
        if name in part:
            result[name] = share(part[name])
    if "fluent" in part:
        fluent = fluency(part["sentence"])
        result["fluent"] = "–" if math.isnan(fluent) else f"{fluent:.0%}"
    result["distinct"] = share(~part["sentence"].duplicated())
    runs = part["shared_run"]
    result["shared_run"] = f"{runs.median():.0f}, {runs.max()}"
    low, middle, high = part["characters"].quantile([0.25, 0.5, 0.75])
    result["characters"] = f"{middle:.0f} ({low:.0f}–{high:.0f})"
    for name in ("self_similarity", "similarity"):
        result[name] = f"{part[name].mean():.2f}"
    return result

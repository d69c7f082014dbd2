"""Which of two answers is better, judged without knowing which is which: by the reader's clicks, and by a model.

Where a rule can decide, count (see `zhishuo.rules`); wit is for readers. A model as judge favours the first place and
the longer answer (Zheng et al. 2023), so it sees each pair twice, the places swapped; where it then changes its mind,
that is a tie.
"""

import html
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cookbook.compare.ask import ask
from cookbook.compare.stats import Share, mcnemar
from cookbook.errors import ArgumentError
from cookbook.i18n import tr

TIE = "tie"


@dataclass(frozen=True)
class Tally:
    """Judgements counted: how often `a` and `b` were found better, ties, and verdicts that could not be read."""

    a: str
    b: str
    wins_a: int
    wins_b: int
    ties: int
    unread: int = 0

    @property
    def share(self) -> Share:
        """Of the decided pairs, how many `b` won."""
        return Share(self.wins_b, self.wins_a + self.wins_b)

    @property
    def p(self) -> float:
        """Sign test, two-sided."""
        return mcnemar(self.wins_a, self.wins_b)

    def __str__(self) -> str:
        if not self.wins_a + self.wins_b + self.ties + self.unread:
            return tr("还没有评过", "nothing judged yet")
        text = tr(
            f"“{self.b}”胜 {self.wins_b}，“{self.a}”胜 {self.wins_a}，平 {self.ties}",
            f"{self.b} won {self.wins_b}, {self.a} won {self.wins_a}, ties {self.ties}",
        )
        if self.unread:
            text += tr(f"，读不出 {self.unread}", f", not readable {self.unread}")
        if self.share.n:
            text += tr(
                f"；分出胜负的里，“{self.b}”占 {self.share}，p = {self.p:.3f}",
                f"; of those decided {self.b} has {self.share}, p = {self.p:.3f}",
            )
        return text

    __repr__ = __str__


def tally(winners: Sequence[str | None], a: str, b: str) -> Tally:
    """Count a list of winners (a column's name, "tie", or anything else where a verdict could not be read)."""
    winners = list(winners)
    counts = [winners.count(name) for name in (a, b, TIE)]
    return Tally(a, b, *counts, unread=len(winners) - sum(counts))


class Blind:
    """A page that shows a word and two answers in random order; the better one is clicked. Show it again, in any cell,
    and it goes on where it was. `choose` does what a click does."""

    def __init__(self, pairs: list[tuple[str, str, str]], a: str, b: str, seed: int):
        self.pairs, self.a, self.b = pairs, a, b
        rng = random.Random(seed)
        rng.shuffle(self.pairs)
        self._swapped = [rng.random() < 0.5 for _ in pairs]
        self.winners: dict[str, str] = {}  # input: a, b or TIE
        self._page = None

    @property
    def tally(self) -> Tally:
        return tally(self.winners.values(), self.a, self.b)

    @property
    def current(self) -> int:
        """The number of the pair that is shown; the number of all pairs at the end."""
        return len(self.winners)

    def shown(self) -> tuple[str, str, str]:
        """The word, what stands on the left, what stands on the right."""
        text, a, b = self.pairs[self.current]
        return (text, b, a) if self._swapped[self.current] else (text, a, b)

    def choose(self, place: str) -> None:
        """Judge the pair that is shown: "left", "right" or "tie"."""
        if self.current < len(self.pairs):
            names = {"left": self.a, "right": self.b, TIE: TIE}
            if self._swapped[self.current]:
                names |= {"left": self.b, "right": self.a}
            self.winners[self.pairs[self.current][0]] = names[place]
        self._draw()

    def undo(self) -> None:
        """Take the last judgement back."""
        if self.winners:
            self.winners.popitem()
        self._draw()

    def __repr__(self) -> str:
        return tr(
            f"已评 {self.current}/{len(self.pairs)}", f"{self.current}/{len(self.pairs)} judged"
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if self._page is None:
            self._build()
        # Where no widget can live (a stored notebook, a web page), the first pair is shown as it stands.
        still = f"<p>{self._word.value}</p>{self._left.value}<hr>{self._right.value}"
        return self._page._repr_mimebundle_() | {"text/plain": repr(self), "text/html": still}

    def _build(self) -> None:
        import ipywidgets as w

        half = w.Layout(width="48%", padding="0 1em 0 0")
        self._word, self._left, self._right = w.HTML(), w.HTML(layout=half), w.HTML(layout=half)
        names = {
            "left": tr("左边好", "left"),
            TIE: tr("不分上下", "tie"),
            "right": tr("右边好", "right"),
        }
        self._buttons = [w.Button(description=text) for text in names.values()]
        for place, button in zip(names, self._buttons, strict=True):
            button.on_click(lambda _, place=place: self.choose(place))
        undo = w.Button(description=tr("退回一个", "back"))
        undo.on_click(lambda _: self.undo())
        self._page = w.VBox(
            [self._word, w.HBox([self._left, self._right]), w.HBox([*self._buttons, undo])]
        )
        self._draw()

    def _draw(self) -> None:
        if self._page is None:
            return
        over = self.current == len(self.pairs)
        text, left, right = ("", "", "") if over else self.shown()
        # Which column leads is told only at the end, so that it sways nobody.
        head = str(self.tally) if over else f"{self.current + 1}/{len(self.pairs)} · 【{text}】"
        self._word.value = f"<b>{html.escape(head)}</b>"
        for box, answer in ((self._left, left), (self._right, right)):
            box.value = f'<div lang="zh" style="line-height:1.6;white-space:pre-wrap">{html.escape(answer)}</div>'
        for button in self._buttons:
            button.disabled = over


def blind(answers, a: str, b: str, *, text: str = "answer", seed: int = 42) -> Blind:
    """A page to judge columns `a` and `b` blind.

    Args:
        text: the column of the DataFrame to show; a form that gives the column away (JSON) should be taken off first.
    """
    return Blind(_pairs(answers, a, b, text), a, b, seed)


def _pairs(answers, a: str, b: str, text: str) -> list[tuple[str, str, str]]:
    """(input, text of a, text of b) of every input that both answered."""
    kept = answers[answers["error"].isna()] if "error" in answers else answers
    sides = [
        dict(zip(part["input"], part[text], strict=True))
        for part in (kept[kept["column"] == c] for c in (a, b))
    ]
    if not sides[0].keys() & sides[1].keys():
        raise ArgumentError(
            zh=f"“{a}”与“{b}”没有共同的词可评", en=f"{a} and {b} have no input in common to judge"
        )
    return [(word, x, sides[1][word]) for word, x in sides[0].items() if word in sides[1]]


JUDGE_PROMPT = """你是严格的中文编辑。给你一个词和两句话，判断哪一句更好。
{criteria}
不要因为先后次序或长短偏向哪一句；难分高下就判平。只输出 JSON：{{"winner": "甲"}}、{{"winner": "乙"}} 或 {{"winner": "平"}}。"""


def judge(
    client, model: str, answers, a: str, b: str, *, criteria: str, text: str = "answer", **settings
):
    """Let a model judge columns `a` and `b`, each pair twice with the places swapped.

    Args:
        criteria: what makes an answer good, in a sentence or two.
        settings: what `ask` takes (concurrency, retries …).

    Returns:
        DataFrame with input, winner (a, b or "tie"; missing where a verdict cannot be read), first and second (the verdicts
        with `a` in the first and in the second place), consistent, error.
    """
    import pandas as pd

    pairs = _pairs(answers, a, b, text)
    questions = [_question(word, *sides) for word, x, y in pairs for sides in ((x, y), (y, x))]
    column = {"judge": (model, JUDGE_PROMPT.format(criteria=criteria))}
    said = ask(client, column, questions, **settings)
    rows = []
    for i, (word, _, _) in enumerate(pairs):
        one, two = said.iloc[2 * i], said.iloc[2 * i + 1]
        first = _verdict(one.answer, {"甲": a, "乙": b, "平": TIE})
        second = _verdict(two.answer, {"甲": b, "乙": a, "平": TIE})
        winner = None if first is None or second is None else first if first == second else TIE
        error = next((e for e in (one.error, two.error) if isinstance(e, str)), None)
        verdict = {
            "winner": winner,
            "first": first,
            "second": second,
            "consistent": first == second,
        }
        rows.append({"input": word} | verdict | {"error": error})
    return pd.DataFrame(rows)


def _question(word: str, first: str, second: str) -> str:
    return f"词：{word}\n甲：{first}\n乙：{second}"


def _verdict(answer: str, names: dict[str, str]) -> str | None:
    """The winner that the model named, also where it wrote more than was asked for."""
    for found in re.findall(r"\{[^{}]*\}", answer):
        try:
            return names.get(str(json.loads(found).get("winner")))
        except ValueError:
            continue
    return None


def agreement(winners: dict[str, str], verdicts) -> Share:
    """Of the pairs that both judged, how often the model's winner is the reader's.

    Args:
        winners: `Blind.winners`.
        verdicts: what `judge` returned.
    """
    both = [
        (winners[r.input], r.winner)
        for r in verdicts.itertuples()
        if r.input in winners and isinstance(r.winner, str)
    ]
    return Share(sum(mine == its for mine, its in both), len(both))

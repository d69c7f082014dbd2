"""Judge which of two answers is better, blind: by the reader's clicks, and by a model.

Where a rule can decide, count (see `zhishuo.rules`); wit is for readers. A model as judge favours
the first place and the longer answer (Zheng et al. 2023, "Judging LLM-as-a-Judge"). So it sees each
pair twice with the places swapped; where it then changes its mind, the pair is a tie. Its taste is
not checked here: compare it with yours, by `agreement`.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cookbook.compare.ask import answered, ask
from cookbook.compare.stats import Share, mcnemar
from cookbook.errors import ArgumentError
from cookbook.html import Displayed, template, widget_bundle
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd
    from openai import OpenAI

TIE = "tie"
Pair = tuple[str, str, str]  # input, text of a, text of b

HEAD = "<b>{{ head }}</b>"
ANSWER = '<div{{ lang(text) }} style="line-height:1.6;white-space:pre-wrap">{{ text }}</div>'
STILL = "<p>{{ head | safe }}</p>{{ left | safe }}<hr>{{ right | safe }}"


@dataclass(frozen=True)
class Tally:
    """How often `a` and `b` were better, the ties, and the verdicts that could not be read."""

    a: str
    b: str
    wins_a: int
    wins_b: int
    ties: int
    unread: int = 0

    @property
    def share(self) -> Share:
        """Return the share of the decided pairs that `b` won."""
        return Share(self.wins_b, self.wins_a + self.wins_b)

    @property
    def p(self) -> float:
        """The two-sided p of the sign test, which is McNemar's on the decided pairs."""
        return mcnemar(self.wins_b, self.wins_a)

    def __str__(self) -> str:
        decided = self.share.n
        if decided + self.ties + self.unread == 0:
            return tr("还没有评过", "nothing judged yet")
        text = tr(
            f"“{self.b}”胜 {self.wins_b}，“{self.a}”胜 {self.wins_a}，平 {self.ties}",
            f"{self.b} won {self.wins_b}, {self.a} won {self.wins_a}, ties {self.ties}",
        )
        if self.unread:
            text += tr(f"，读不出 {self.unread}", f", unreadable {self.unread}")
        if decided:
            text += tr(
                f"；分出胜负的里，“{self.b}”占 {self.share}，p = {self.p:.3f}",
                f"; of those decided, {self.b} won {self.share}, p = {self.p:.3f}",
            )
        return printable(text)

    __repr__ = __str__


def tally(winners: Iterable[str | None], a: str, b: str) -> Tally:
    """Count winners: a column's name, "tie", or anything else where a verdict could not be read."""
    given = list(winners)
    counts = Counter(given)
    read = counts[a] + counts[b] + counts[TIE]
    return Tally(
        a=a,
        b=b,
        wins_a=counts[a],
        wins_b=counts[b],
        ties=counts[TIE],
        unread=len(given) - read,
    )


class Blind(Displayed):
    """A page that shows a word and two answers in random order; the reader clicks the better one.

    Shown again, in any cell, it continues where it was. `choose` does what a click does. `winners`
    maps each judged input to a column's name or "tie".
    """

    def __init__(self, pairs: list[Pair], a: str, b: str, seed: int):
        # Seeded, so that a page that is run again shows the same pairs in the same places.
        rng = random.Random(seed)
        self.a = a
        self.b = b
        self.pairs = pairs
        rng.shuffle(self.pairs)
        self._swapped = [rng.random() < 0.5 for _ in pairs]
        self.winners: dict[str, str] = {}
        self._page: Any = None  # the widget, built when it is first shown

    @property
    def tally(self) -> Tally:
        """The judgements so far."""
        return tally(self.winners.values(), self.a, self.b)

    @property
    def current(self) -> int:
        """The index of the pair that is shown; the number of pairs once all are judged."""
        return len(self.winners)

    def shown(self) -> Pair:
        """Return the word, the left answer and the right answer."""
        word, a, b = self.pairs[self.current]
        if self._swapped[self.current]:
            return word, b, a
        return word, a, b

    def choose(self, place: str) -> None:
        """Judge the pair that is shown: "left", "right" or "tie"."""
        if self.current < len(self.pairs):
            # The reader chooses a place; which column was there is known only here.
            names = {"left": self.a, "right": self.b, TIE: TIE}
            if self._swapped[self.current]:
                names |= {"left": self.b, "right": self.a}
            word = self.pairs[self.current][0]
            self.winners[word] = names[place]
        self._draw()

    def undo(self) -> None:
        """Take the last judgement back."""
        # Pairs are judged in order, so the last one added is the last one judged.
        if self.winners:
            self.winners.popitem()
        self._draw()

    def __repr__(self) -> str:
        count = f"{self.current}/{len(self.pairs)}"
        return tr(f"已评 {count}", f"{count} judged")

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        if self._page is None:
            self._build()
        # Where widgets do not work (a stored notebook, a web page), the current pair is shown.
        still = template(STILL).render(
            head=self._word.value, left=self._left.value, right=self._right.value
        )
        return widget_bundle(self._page, text=repr(self), html=still)

    def _build(self) -> None:
        import ipywidgets as widgets

        # Built when first shown: `choose` and `winners` need no widget.
        half = widgets.Layout(width="48%", padding="0 1em 0 0")
        self._word = widgets.HTML()
        self._left = widgets.HTML(layout=half)
        self._right = widgets.HTML(layout=half)
        labels = {
            "left": tr("左边好", "left"),
            TIE: tr("不分上下", "tie"),
            "right": tr("右边好", "right"),
        }
        self._buttons = []
        for place, label in labels.items():
            button = widgets.Button(description=label)
            button.on_click(partial(self._clicked, place))
            self._buttons.append(button)
        undo = widgets.Button(description=tr("退回一个", "back"))
        undo.on_click(lambda _: self.undo())
        answers = widgets.HBox([self._left, self._right])
        buttons = widgets.HBox([*self._buttons, undo])
        self._page = widgets.VBox([self._word, answers, buttons])
        self._draw()

    def _clicked(self, place: str, button: Any) -> None:
        self.choose(place)

    def _draw(self) -> None:
        if self._page is None:
            return
        over = self.current == len(self.pairs)
        if over:
            # Only now, so that nobody is swayed by the column that leads.
            head, left, right = str(self.tally), "", ""
        else:
            word, left, right = self.shown()
            number = self.current + 1
            head = f"{number}/{len(self.pairs)} · 【{word}】"
        self._word.value = template(HEAD).render(head=head)
        self._left.value = template(ANSWER).render(text=left)
        self._right.value = template(ANSWER).render(text=right)
        for button in self._buttons:
            button.disabled = over


def blind(
    answers: "pd.DataFrame", a: str, b: str, *, text: str = "answer", seed: int = 42
) -> Blind:
    """Return a page on which to judge columns `a` and `b` blind.

    Args:
        answers: what `ask` returned. Requests that failed are left out.
        text: the column of the DataFrame to show. Where the format of the answers gives their
            column away (JSON), use a column without it.
        seed: of the order of the pairs and the places.

    Raises:
        ArgumentError: the two have no input in common.
    """
    return Blind(_pairs(answers, a, b, text), a, b, seed)


def _pairs(answers: "pd.DataFrame", a: str, b: str, text: str) -> list[Pair]:
    """Return every input that both columns answered, with the two texts."""
    of_a = _texts(answers, a, text)
    of_b = _texts(answers, b, text)
    pairs = [(word, of_a[word], of_b[word]) for word in of_a if word in of_b]
    if not pairs:
        raise ArgumentError(
            zh=f"“{a}”与“{b}”没有共同的词可评",
            en=f"{a} and {b} have no input in common to judge",
        )
    return pairs


def _texts(answers: "pd.DataFrame", column: str, text: str) -> dict[str, str]:
    rows = answered(answers)
    rows = rows[rows["column"] == column]
    return dict(zip(rows["input"], rows[text], strict=True))


JUDGE_PROMPT = """\
你是严格的中文编辑。给你一个词和两句话，判断哪一句更好。
{criteria}
不要因为先后次序或长短偏向哪一句；难分高下就判平。\
只输出 JSON：{{"winner": "甲"}}、{{"winner": "乙"}} 或 {{"winner": "平"}}。"""


def judge(
    client: "OpenAI",
    model: str,
    answers: "pd.DataFrame",
    a: str,
    b: str,
    *,
    criteria: str,
    text: str = "answer",
    **settings: Any,
) -> "pd.DataFrame":
    """Let a model judge columns `a` and `b`, each pair twice with the places swapped.

    Args:
        model: the judge, best not one of the judged.
        criteria: what makes an answer good, in a sentence or two.
        text: the column of the DataFrame to judge, see `blind`.
        settings: passed on to `ask` (concurrency, retries …).

    Returns:
        DataFrame with input, winner (a, b or "tie"; missing where a verdict cannot be read), first
        and second (the verdicts with `a` in the first and in the second place), consistent, error.

    Raises:
        ArgumentError: the two have no input in common, or `model` is not a name.
    """
    import pandas as pd

    pairs = _pairs(answers, a, b, text)
    questions = []
    for word, of_a, of_b in pairs:
        questions.append(_question(word, of_a, of_b))
        questions.append(_question(word, of_b, of_a))
    # Asked as one more column, so retries, interrupts and errors are those of `ask`.
    column = {"judge": (model, JUDGE_PROMPT.format(criteria=criteria))}
    replies = ask(client, column, questions, **settings).to_dict("records")

    rows = []
    # The replies come in the order of the questions, so two belong to each pair.
    a_first, b_first = replies[::2], replies[1::2]
    for (word, _, _), one, two in zip(pairs, a_first, b_first, strict=True):
        first = _verdict(one["answer"], {"甲": a, "乙": b, "平": TIE})
        second = _verdict(two["answer"], {"甲": b, "乙": a, "平": TIE})
        row = {
            "input": word,
            "winner": _winner(first, second),
            "first": first,
            "second": second,
            "consistent": first == second,
            "error": _first_text(one["error"], two["error"]),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _question(word: str, first: str, second: str) -> str:
    return f"词：{word}\n甲：{first}\n乙：{second}"


def _verdict(answer: str, names: Mapping[str, str]) -> str | None:
    """Return the winner that the model named, also where it wrote more than it was asked for."""
    # Models wrap the JSON in code fences or add a sentence, whatever the prompt says.
    for candidate in re.findall(r"\{[^{}]*\}", answer):
        try:
            verdict = json.loads(candidate)
        except (ValueError, RecursionError):  # brackets nested too deep
            continue
        return names.get(str(verdict.get("winner")))
    return None


def _winner(first: str | None, second: str | None) -> str | None:
    # One order alone would count the preference for a place as a preference for an answer.
    if first is None or second is None:
        return None
    return first if first == second else TIE


def _first_text(*values: object) -> str | None:
    """Return the first value that is a string."""
    # What is missing in a DataFrame may be None or NaN.
    for value in values:
        if isinstance(value, str):
            return value
    return None


def agreement(winners: Mapping[str, str], verdicts: "pd.DataFrame") -> Share:
    """Return how often the model's winner is the reader's, of the pairs that both judged.

    Args:
        winners: `Blind.winners`.
        verdicts: what `judge` returned.
    """
    both = same = 0
    for word, winner in zip(verdicts["input"], verdicts["winner"], strict=True):
        if word in winners and isinstance(winner, str):
            both += 1
            same += winners[word] == winner
    return Share(same, both)

"""Choose among drafts: what passes becomes rows, everything else is dropped with its reason.

Every draft is in `Kept.rows` or in `Kept.dropped`, exactly once, under the first reason that
applies (`reasons.py` has the order). Nothing is rewritten: a text is kept as it is, or not at all.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cookbook.data.rows import listed as listed_rows
from cookbook.data.rows import text_of
from cookbook.errors import ArgumentError, DataError
from cookbook.html import template
from cookbook.i18n import tr
from cookbook.synthesize import texts as reading
from cookbook.synthesize.alike import Seen, examples_of, is_short
from cookbook.synthesize.crowding import frames, opening, thin
from cookbook.synthesize.leaks import Leaks
from cookbook.synthesize.reasons import AFTER_RULES, BEFORE_RULES, KEPT, RULE, title
from cookbook.synthesize.texts import Draft, Fault, Read
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLE = 60  # characters of a draft in the report

_TABLE = """\
<p><b>{{ verdict }}</b></p>
<table><thead><tr>
{%- for head in (tr("结果", "result"), tr("草稿", "drafts"), tr("例子", "example")) %}
<th style="text-align:left">{{ head }}</th>
{%- endfor %}
</tr></thead><tbody>
{%- for reason, title, drafts, example in lines %}
<tr><td style="text-align:left"><code>{{ reason }}</code> {{ title }}</td>
<td style="text-align:right">{{ drafts }}</td>
<td style="text-align:left">{{ example }}</td></tr>
{%- endfor %}
</tbody></table>"""


@dataclass(frozen=True)
class Kept:
    """What became of drafts.

    Attributes:
        rows: in the guide's format, ready for `data.check`.
        dropped: DataFrame with input, attempt, draft, reason, detail.
        report: DataFrame with reason, drafts, example, in the order of the checks; kept comes last,
            and the counts sum to all drafts.
    """

    rows: list[dict]
    dropped: "pd.DataFrame"
    report: "pd.DataFrame"

    def __str__(self) -> str:
        lines = [self._verdict()]
        for reason, named, n, example in self._lines():
            lines.append(f"  {n:>5}  {reason}  {named}  {example}")
        return printable("\n".join(lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return template(_TABLE).render(verdict=self._verdict(), lines=self._lines())

    def _verdict(self) -> str:
        kept, all_drafts = len(self.rows), int(self.report["drafts"].sum())
        return tr(
            f"{all_drafts} 条草稿，留下 {kept} 条，去掉 {all_drafts - kept} 条",
            f"{all_drafts} drafts: {kept} kept, {all_drafts - kept} dropped",
        )

    def _lines(self) -> list[tuple[str, str, int, str]]:
        lines = []
        for line in self.report.to_dict("records"):
            reason = line["reason"]
            lines.append((reason, title(reason), line["drafts"], line["example"]))
        return lines


def keep(
    drafts: "pd.DataFrame",
    *,
    prompt: str,
    system: str | None,
    rules: Mapping[str, Any] | None = None,
    read: Read | None = None,
    against: Iterable[dict] = (),
    held_out: Iterable[str] = (),
    per_input: int | None = None,
    same_opening: float = 0.1,
    seed: int = 42,
) -> Kept:
    """Return the drafts that may become rows, and why each of the others may not.

    Args:
        drafts: what `drafts` returned.
        prompt: the long prompt that they were written with; its examples are no rows.
        system: the short prompt that the rows are to have; None for none.
        rules: a function for each rule's name, (input, text) -> whether it is kept.
        read: takes the text out of a draft, and raises ValueError where it cannot, such as a field
            of JSON. None keeps a draft as it is.
        against: rows that there are already.
        held_out: evaluation words: neither an input nor in a text.
        per_input: rows for one input at most, chosen at random; None for all.
        same_opening: the share of rows that may have one opening, or one frame, and never fewer
            than three; 1 for any.
        seed: of the random choices; the same drafts and seed give the same rows.

    Raises:
        ArgumentError: an argument cannot be used, or a rule fails.
        DataError: `against` does not hold rows.
    """
    _check(per_input, same_opening)
    choice = _Choice(reading.listed(drafts))
    functions = reading.functions(rules or {})
    choice.each(partial(_read, choice, read))
    choice.each(partial(_rule, choice, functions))
    choice.each(partial(_leak, choice, Leaks(held_out)))
    choice.each(partial(_copied, choice, prompt, Seen(examples_of(prompt), choice.texts)))
    choice.each(partial(_repeated, choice, set(), Seen([], choice.texts)))
    existing = _existing_rows(against)
    choice.each(partial(_existing, choice, _pairs(existing), _seen_rows(existing, choice.texts)))
    rng = random.Random(seed)
    if per_input is not None:
        _thin_inputs(choice, per_input, rng)
    _thin_habits(choice, same_opening, rng)
    return _kept(choice, system, list(functions))


def _check(per_input: int | None, same_opening: float) -> None:
    if per_input is not None and (not isinstance(per_input, int) or per_input < 1):
        raise ArgumentError(
            zh=f"per_input={per_input!r}：每个输入至多留几条，应当是 1 或更大的整数；None 是不限",
            en=f"per_input={per_input!r} must be a whole number of at least 1, or None for all",
        )
    if not isinstance(same_opening, int | float) or not 0 < same_opening <= 1:
        raise ArgumentError(
            zh=f"same_opening={same_opening!r}：同一开头至多占的比例，应当大于 0、不超过 1",
            en=f"same_opening={same_opening!r} must be a share above 0 and at most 1",
        )


def _existing_rows(against: Iterable[dict]) -> list[dict]:
    rows = listed_rows(against)
    for i, row in enumerate(rows):
        try:
            text_of(row, "user"), text_of(row, "assistant")
        except (LookupError, TypeError) as error:
            raise DataError(
                zh=f"against 的第 {i + 1} 条不是合格的数据：先用 data.check(rows) 看哪里不对",
                en=f"row {i + 1} of `against` is not a sound row: data.check(rows) says why",
            ) from error
    return rows


class _Choice:
    """The drafts, the text of each once it is read, and the fault of each that is dropped."""

    def __init__(self, drafts: Sequence[Draft]):
        self.drafts = drafts
        self.texts = [""] * len(drafts)
        self.faults: dict[int, Fault] = {}

    def left(self) -> list[int]:
        """Return the numbers of the drafts that are not dropped yet, in order."""
        return [i for i in range(len(self.drafts)) if i not in self.faults]

    def each(self, fault_of: "partial[Fault | None]") -> None:
        """Drop the drafts that have a fault, one after the other."""
        for i in self.left():
            fault = fault_of(i)
            if fault is not None:
                self.faults[i] = fault


def _read(choice: _Choice, read: Read | None, i: int) -> Fault | None:
    choice.texts[i], fault = reading.read_text(choice.drafts[i], read)
    return fault


def _rule(choice: _Choice, rules: Mapping[str, reading.Holds], i: int) -> Fault | None:
    return reading.broken_rule(choice.drafts[i], choice.texts[i], rules)


def _leak(choice: _Choice, leaks: Leaks, i: int) -> Fault | None:
    word = leaks.find(choice.drafts[i].input, choice.texts[i])
    return None if word is None else ("leak", word)


def _copied(choice: _Choice, prompt: str, examples: Seen, i: int) -> Fault | None:
    text = choice.texts[i].strip()
    if not is_short(text) and text in prompt:
        return "copy_of_prompt", text
    like = examples.find(i)
    return None if like is None else ("copy_of_prompt", like[0])


def _repeated(choice: _Choice, pairs: set[tuple[str, str]], seen: Seen, i: int) -> Fault | None:
    text = choice.texts[i].strip()
    pair = choice.drafts[i].input, text
    if pair in pairs:
        return "duplicate", text
    like = seen.find(i)
    if like is not None:
        other, exactly = like
        return ("duplicate" if exactly else "near_duplicate"), other
    pairs.add(pair)
    seen.add(i)
    return None


def _pairs(rows: Iterable[dict]) -> set[tuple[str, str]]:
    return {(text_of(row, "user"), text_of(row, "assistant").strip()) for row in rows}


def _seen_rows(rows: Iterable[dict], texts: Sequence[str]) -> Seen:
    return Seen([text_of(row, "assistant") for row in rows], texts)


def _existing(choice: _Choice, pairs: set[tuple[str, str]], seen: Seen, i: int) -> Fault | None:
    text = choice.texts[i].strip()
    if (choice.drafts[i].input, text) in pairs:
        return "in_existing", text
    like = seen.find(i)
    return None if like is None else ("in_existing", like[0])


def _thin_inputs(choice: _Choice, per_input: int, rng: random.Random) -> None:
    of_input: dict[str, list[int]] = {}
    for i in choice.left():
        of_input.setdefault(choice.drafts[i].input, []).append(i)
    for text, numbers in of_input.items():
        if len(numbers) > per_input:
            stay = set(rng.sample(numbers, per_input))
            for i in numbers:
                if i not in stay:
                    choice.faults[i] = "too_many_of_input", text


def _thin_habits(choice: _Choice, share: float, rng: random.Random) -> None:
    def opening_of(i: int) -> str | None:
        return opening(choice.texts[i])

    _, dropped = thin(choice.left(), opening_of, share, rng)
    choice.faults |= {i: ("same_opening", shared) for i, shared in dropped.items()}
    left = {i: choice.texts[i] for i in choice.left()}
    _, dropped = thin(choice.left(), frames(left, share), share, rng)
    choice.faults |= {i: ("same_frame", shared) for i, shared in dropped.items()}


def _kept(choice: _Choice, system: str | None, rules: Sequence[str]) -> Kept:
    import pandas as pd

    rows = [_row(system, choice.drafts[i].input, choice.texts[i]) for i in choice.left()]
    dropped = []
    for i in sorted(choice.faults):
        draft, (reason, detail) = choice.drafts[i], choice.faults[i]
        dropped.append((draft.input, draft.attempt, draft.draft, reason, detail))
    columns = ["input", "attempt", "draft", "reason", "detail"]
    return Kept(rows, pd.DataFrame(dropped, columns=columns), _report(choice, rules))


def _row(system: str | None, question: str, answer: str) -> dict:
    row = [{"role": "system", "content": system}] if system else []
    row.append({"role": "user", "content": question})
    row.append({"role": "assistant", "content": answer})
    return {"messages": row}


def _report(choice: _Choice, rules: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    order = [*BEFORE_RULES, *(RULE + name for name in rules), *AFTER_RULES]
    of_reason: dict[str, list[int]] = {}
    for i in sorted(choice.faults):
        of_reason.setdefault(choice.faults[i][0], []).append(i)
    of_reason[KEPT] = choice.left()
    lines = []
    for reason in [*order, KEPT]:
        numbers = of_reason.get(reason, [])
        if numbers or reason == KEPT:
            lines.append((reason, len(numbers), _example(choice, numbers)))
    return pd.DataFrame(lines, columns=["reason", "drafts", "example"])


def _example(choice: _Choice, numbers: Sequence[int]) -> str:
    """Return the first of these drafts in short; the error where a request failed."""
    if not numbers:
        return ""
    draft = choice.drafts[numbers[0]]
    text = " ".join((draft.error or draft.draft).split())
    shortened = text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + "…"
    return printable(f"{draft.input:.20}: {shortened}")

"""What the rows of a file say together: repeats, contradictions, habits, secrets, length in tokens.

Every function takes the rows that are sound in themselves, each with its line number, and adds to a `Report`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cookbook import tokens
from cookbook.data.report import Report, around
from cookbook.data.rows import row_key
from cookbook.data.sensitive import find_secrets, may_hold_secrets

Numbered = list[tuple[int, dict]]

UNIFORM = 0.95  # a habit that this share of the answers keeps is the file's habit
FEW = 20  # with fewer answers there is no habit to speak of
TOGETHER = 50  # rows looked over for secrets at once


def judge(report: Report, kept: Numbered, max_tokens: int | None) -> None:
    """All of it; `max_tokens` None leaves the tokens uncounted. The rows go into `report` too."""
    report.rows, report.row_lines = [row for _, row in kept], [number for number, _ in kept]
    _repeats(report, kept)
    _system_prompts(report, kept)
    answers = []
    for number, row in kept:
        _repeated_input(report, number, row["messages"])
        for i, message in enumerate(row["messages"]):
            if message["role"] == "assistant":
                answers.append((number, i, message["content"].strip()))
    _secrets(report, kept)
    if len(answers) >= FEW:
        _style(report, answers)
    if max_tokens is not None:
        lengths(report, kept, max_tokens)


def _secrets(report: Report, kept: Numbered) -> None:
    for start in range(0, len(kept), TOGETHER):
        some = kept[start : start + TOGETHER]
        if may_hold_secrets("\0".join([m["content"] for _, row in some for m in row["messages"]])):
            for number, row in some:
                for i, message in enumerate(row["messages"]):
                    secrets(report, number, i, message["content"])


def secrets(report: Report, number: int, index: int | None, text: str) -> None:
    """Keys, phone numbers and the like in one text."""
    for (kind, kind_en), start, end in find_secrets(text):
        excerpt = around(text, start, end)
        zh, en = f"像是{kind}：{excerpt[1]}", f"looks like {kind_en}: {excerpt[1]}"
        report.add(number, "secret", zh, en, index=index, excerpt=excerpt)


def overlap(report: Report, held: Report) -> None:
    """Rows of `report` that stand in `held` too, exactly or nearly."""
    from cookbook.data import near_duplicates as similar

    for i, j, exact in similar.overlap(report.rows, held.rows):
        number, other = report.row_lines[i], held.row_lines[j]
        if exact:
            zh, en = (
                f"验证集第 {other} 行与它完全相同",
                f"line {other} of the validation set is the same",
            )
        else:
            zh, en = (
                f"验证集第 {other} 行与它几乎相同",
                f"line {other} of the validation set is nearly the same",
            )
        code = "duplicate-row" if exact else "near-duplicate"
        report.add(number, code, zh, en, excerpt=_ends(report.rows[i]))


def _repeats(report: Report, kept: Numbered) -> None:
    from cookbook.data.near_duplicates import (
        Index,  # numpy, which a service that only starts can do without
    )

    # The first answer to each question, and the others; a question asked once never has its answer hashed.
    answers: dict[tuple, tuple[int, str]] = {}
    others: dict[tuple, dict[str, int]] = {}
    index = Index([row for _, row in kept])
    for i, (number, row) in enumerate(kept):
        *question, (_, answer) = row_key(row)
        asked = tuple(question)
        line, other = answers.setdefault(asked, (number, answer))
        if line != number:
            first = (
                line if answer == other else others.setdefault(asked, {}).setdefault(answer, number)
            )
            if first != number:
                zh, en = f"与第 {first} 行完全相同", f"the same as line {first}"
                report.add(number, "duplicate-row", zh, en, excerpt=_ends(row))
                continue
            zh, en = (
                f"与第 {line} 行问题相同，回答不同",
                f"the same question as line {line}, another answer",
            )
            report.add(number, "conflict", zh, en, index=len(asked), excerpt=_ends(row))
        if alike := index.find(i):
            line = kept[alike[0]][0]
            zh, en = f"与第 {line} 行几乎相同", f"nearly the same as line {line}"
            report.add(number, "near-duplicate", zh, en, excerpt=_ends(row))
        else:
            index.add(i)  # only what would be kept is compared with


def _ends(row: dict) -> Callable[[], tuple[str, str, str]]:
    """An excerpt: the end of the last question, the beginning of its answer."""
    question, answer = (m["content"] for m in row["messages"][-2:])
    return lambda: (
        around(question, len(question), len(question))[0] + " → ",
        around(answer, 0, len(answer))[1],
        "",
    )


def _system_prompts(report: Report, kept: Numbered) -> None:
    first = (row["messages"][0] for _, row in kept)
    systems = Counter(m["content"] if m["role"] == "system" else "" for m in first)
    if len(systems) > 1:
        n = systems.most_common(1)[0][1]
        zh = f"有 {len(systems)} 种系统提示词，最常见的一种占 {n} 行"
        report.add(
            None,
            "system-varies",
            zh,
            f"{len(systems)} different system prompts, the commonest in {n} rows",
        )


def _repeated_input(report: Report, number: int, messages: list[dict]) -> None:
    for i, (ask, reply) in enumerate(zip(messages, messages[1:], strict=False)):
        if ask["role"] != "user" or not 1 < len(word := ask["content"].strip()) <= 6:
            continue
        if (at := reply["content"].find(word)) >= 0:
            zh, en = f"回答里出现了输入的词“{word}”", f"the answer contains the input {word!r}"
            excerpt = partial(around, reply["content"], at, at + len(word))
            report.add(number, "answer-repeats-input", zh, en, index=i + 1, excerpt=excerpt)


@dataclass(frozen=True)
class _Habit:
    """Something that the answers of a file have in common; `kind` names an answer's way of doing it."""

    zh: str
    en: str
    kind: Callable[[str], str]
    at_end: bool = False


def _wide(text: str) -> int:
    """How many characters are Chinese: those that take three bytes in UTF-8, where a Latin letter takes one."""
    return (len(text.encode("utf-8")) - len(text)) // 2


_CLOSES = frozenset("。！？!?.…”」』）)")
_HABITS = [
    _Habit(
        "结尾的标点",
        "the punctuation at its end",
        lambda a: "closed" if a[-1] in _CLOSES else "open",
        at_end=True,
    ),
    _Habit(
        "的语言",
        "its language",
        lambda a: "Latin" if 4 * _wide(a[:100]) < len(a[:100]) else "Han",
    ),
]


def _style(report: Report, answers: list[tuple[int, int, str]]) -> None:
    """Report each answer that breaks a habit which nearly all the others keep."""
    lengths = sorted(len(answer) for *_, answer in answers)
    low, median, high = (lengths[int(q * (len(lengths) - 1))] for q in (0.05, 0.5, 0.95))
    habits = list(_HABITS)
    if high <= 4 * low:  # lengths are alike, so one that is far off stands out
        habits.append(
            _Habit(
                "的长度",
                "its length",
                lambda a: "like" if median / 6 <= len(a) <= median * 6 else "far",
            )
        )
    broken: dict[tuple[int, int, str], list[_Habit]] = {}
    for habit in habits:
        kinds = [habit.kind(answer) for *_, answer in answers]
        usual, n = Counter(kinds).most_common(1)[0]
        if UNIFORM * len(answers) <= n < len(answers):
            for place, kind in zip(answers, kinds, strict=True):
                if kind != usual:
                    broken.setdefault(place, []).append(habit)
    for (number, i, answer), found in broken.items():
        start = len(answer) - 1 if found[0].at_end else 0
        zh = f"回答{'、'.join(h.zh for h in found)}与其他回答不同"
        en = f"the answer differs from the others in {' and '.join(h.en for h in found)}"
        report.add(
            number,
            "answer-style",
            zh,
            en,
            index=i,
            excerpt=partial(around, answer, start, len(answer)),
        )


def lengths(report: Report, kept: Numbered, max_tokens: int) -> None:
    """Rows over `max_tokens`, and an error for those of which nothing would be learned."""
    counted = tokens.count_conversations(row["messages"] for _, row in kept)
    totals = [tokens_of_row.total for tokens_of_row in counted]
    for (number, _), row_tokens in zip(kept, counted, strict=True):
        total, before = row_tokens.total, row_tokens.before_answer
        if total <= max_tokens:
            continue
        if before is not None and before >= max_tokens:
            zh = f"回答之前已有 {before} 个 token，max_tokens = {max_tokens}，这一行一个 token 也学不到"
            en = f"{before} tokens come before the answer and max_tokens is {max_tokens}: nothing of this row is learned"
            report.add(number, "too-long", zh, en, severity="error")
        else:
            zh = f"{total} 个 token，超过 max_tokens = {max_tokens}：内嵌服务截掉多出的部分，平台怎样处理没有公布"
            en = f"{total} tokens, more than max_tokens = {max_tokens}: the embedded service cuts the rest off; what the platform does is not published"
            report.add(number, "too-long", zh, en)
    if totals:
        ordered = sorted(totals)
        report.stats |= {
            "tokens": sum(totals),
            "median_tokens": ordered[len(ordered) // 2],
            "max_tokens": ordered[-1],
        }

"""What the rows of a file say together: repeats, contradictions, habits, secrets, length in tokens.

Every function takes rows that are sound in themselves, each with its line number, and adds to a
`Report`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from cookbook import chatml, tokens
from cookbook.data.report import Report, counted
from cookbook.data.report.excerpt import around
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import check_secrets
from cookbook.data.rules.repeats import check_repeats, report_row
from cookbook.data.rules.text_check import check_texts
from cookbook.data.sensitive import may_hold_secrets

MAX_ROWS = 1000  # guide §2.1, as is the next
ADVISED_ROWS = 100

ROWS_AT_ONCE = 50  # searched for secrets together: nearly always there are none
LONGEST_WORD = 6  # characters; a longer question is not a word that an answer should avoid

# A habit is what this share of the answers keeps to. Among fewer answers than this there is none to
# speak of.
HABIT_SHARE = 0.95
FEWEST_ANSWERS = 20
# Lengths are a habit where the 95th percentile is at most so many times the 5th. An answer breaks
# it that is so many times longer or shorter than the median.
ALIKE_LENGTHS = 4
_PERCENTILES = (0.05, 0.5, 0.95)
FAR_LENGTH = 6


def check_count(report: Report, rows: int, *, compared: int | None = None) -> None:
    """Report too many rows, too few, or none.

    Args:
        compared: how many were compared with each other, if there are too many.
    """
    if rows == 0:
        report.add(None, "file-empty", zh="没有数据", en="no rows")
    elif rows > MAX_ROWS:
        zh = f"有 {rows} 条，上限 {MAX_ROWS} 条"
        en = f"{rows} rows; the limit is {MAX_ROWS}"
        if compared:
            zh += f"；重复、写法、token 数只看了前 {compared} 条"
            en += f"; only the first {compared} were compared and counted in tokens"
        report.add(None, "row-count", zh=zh, en=en)
    elif rows < ADVISED_ROWS:
        zh = f"只有 {rows} 条，建议 100–1000 条"
        en = f"only {counted(rows, 'row')}; 100–1000 are recommended"
        report.add(None, "row-count-low", zh=zh, en=en)


def check_together(report: Report, sound: Sequence[NumberedRow]) -> None:
    """Report everything that the rows say together, except their length in tokens."""
    check_repeats(report, sound)
    _check_system_prompts(report, sound)
    for number, row in sound:
        _check_repeated_input(report, number, row["messages"])
    _check_secrets(report, sound)
    check_texts(report, sound)
    _check_style(report, _answers(sound))


def check_lengths(report: Report, sound: Sequence[NumberedRow], max_tokens: int) -> None:
    """Report rows over `max_tokens`, and put the counts into `stats`.

    A row is an error where the answer begins beyond `max_tokens`: nothing of it would be learned.
    """
    counts = tokens.count_conversations(row["messages"] for _, row in sound)
    for (number, _), count in zip(sound, counts, strict=True):
        if count.total <= max_tokens:
            continue
        before = count.before_answer
        if before is not None and before >= max_tokens:
            zh = (
                f"回答之前已有 {before} 个 token，max_tokens = {max_tokens}，"
                "这一条一个 token 也学不到"
            )
            en = (
                f"{before} tokens come before the answer and max_tokens is {max_tokens}: "
                "nothing of this row is learned"
            )
            report.add(number, "too-long", zh=zh, en=en, severity="error")
        else:
            zh = (
                f"{count.total} 个 token，超过 max_tokens = {max_tokens}："
                "内嵌服务截掉多出的部分，平台怎样处理没有公布"
            )
            en = (
                f"{count.total} tokens, more than max_tokens = {max_tokens}: the embedded service "
                "cuts the rest off; what the platform does is not published"
            )
            report.add(number, "too-long", zh=zh, en=en)
    totals = sorted(count.total for count in counts)
    if totals:
        report.stats["tokens"] = sum(totals)
        report.stats["median_tokens"] = totals[len(totals) // 2]
        report.stats["max_tokens"] = totals[-1]


def check_overlap(report: Report, validation: Report) -> None:
    """Report rows of `report` that are among the validation rows too, exactly or nearly."""
    from cookbook.data import near_duplicates

    rows, others = report.rows[:MAX_ROWS], validation.rows[:MAX_ROWS]
    for i, j, exact in near_duplicates.overlap(rows, others):
        row = (report.row_lines[i], report.rows[i])
        other_zh, other_en = validation.where(validation.row_lines[j])
        if exact:
            zh = f"验证集{other_zh}与它完全相同"
            en = f"the same as {other_en} of validation"
            report_row(report, row, "duplicate-row", zh=zh, en=en)
        else:
            zh = f"验证集{other_zh}与它几乎相同"
            en = f"nearly the same as {other_en} of validation"
            report_row(report, row, "near-duplicate", zh=zh, en=en)


def _check_system_prompts(report: Report, sound: Sequence[NumberedRow]) -> None:
    prompts: Counter[str] = Counter()
    for _, row in sound:
        first = row["messages"][0]
        # A row without a system message has a prompt of its own, the empty one.
        prompts[first["content"] if first["role"] == "system" else ""] += 1
    if len(prompts) > 1:
        n = prompts.most_common(1)[0][1]
        zh = f"有 {len(prompts)} 种系统提示词，最常见的一种占 {n} 条"
        en = f"{len(prompts)} different system prompts, the most common in {counted(n, 'row')}"
        report.add(None, "system-varies", zh=zh, en=en)


def _check_repeated_input(report: Report, line: int, messages: list[dict]) -> None:
    """Report an answer that contains the word it was asked about."""
    for i in range(1, len(messages)):
        question, answer = messages[i - 1], messages[i]["content"]
        if question["role"] != "user":
            continue
        word = question["content"].strip()
        # A single character is in too many answers by chance.
        if not 1 < len(word) <= LONGEST_WORD:
            continue
        at = answer.find(word)
        if at >= 0 and chatml.is_trained(messages[i]):
            report.add(
                line,
                "answer-repeats-input",
                zh=f"回答里出现了输入的词“{word}”",
                en=f"the answer contains the input {word!r}",
                index=i,
                excerpt=partial(around, answer, at, at + len(word)),
                at=("content", at),
            )


def _check_secrets(report: Report, sound: Sequence[NumberedRow]) -> None:
    for start in range(0, len(sound), ROWS_AT_ONCE):
        some = sound[start : start + ROWS_AT_ONCE]
        # With a NUL between them, two texts do not look like one secret.
        texts = [message["content"] for _, row in some for message in row["messages"]]
        if not may_hold_secrets("\0".join(texts)):
            continue
        for number, row in some:
            for i, message in enumerate(row["messages"]):
                check_secrets(report, number, i, message["content"])


class _Answer(NamedTuple):
    line: int
    message_index: int
    text: str  # without surrounding white space


def _answers(sound: Sequence[NumberedRow]) -> list[_Answer]:
    """Return the answers that are learned: one of weight 0 makes no habit, and breaks none."""
    answers = []
    for number, row in sound:
        for i, message in enumerate(row["messages"]):
            if chatml.is_trained(message):
                answers.append(_Answer(number, i, message["content"].strip()))
    return answers


@dataclass(frozen=True)
class _Trait:
    """Something that can be a habit of the answers; `of` names an answer's way of doing it."""

    zh: str
    en: str
    of: Callable[[str], str]
    at_end: bool = False  # whether it is seen at the end of an answer


_CLOSING = frozenset("。！？!?.…”」』）)")


def _ending(answer: str) -> str:
    return "closed" if answer[-1] in _CLOSING else "open"


def _language(answer: str) -> str:
    """Return "Chinese" if at least a quarter of the characters are."""
    head = answer[:100]
    # A Chinese character takes three bytes in UTF-8, a Latin letter one.
    chinese = (len(head.encode("utf-8")) - len(head)) // 2
    return "Chinese" if 4 * chinese >= len(head) else "Latin"


def _traits(answers: Sequence[_Answer]) -> list[_Trait]:
    traits = [
        _Trait("结尾的标点", "its final punctuation", _ending, at_end=True),
        _Trait("的语言", "its language", _language),
    ]
    lengths = sorted(len(answer.text) for answer in answers)
    last = len(lengths) - 1
    low, median, high = (lengths[int(share * last)] for share in _PERCENTILES)

    def length(answer: str) -> str:
        near = median / FAR_LENGTH <= len(answer) <= median * FAR_LENGTH
        return "near" if near else "far"

    if high <= ALIKE_LENGTHS * low:
        traits.append(_Trait("的长度", "its length", length))
    return traits


def _check_style(report: Report, answers: Sequence[_Answer]) -> None:
    """Report each answer that breaks a habit which nearly all the others keep."""
    if len(answers) < FEWEST_ANSWERS:
        return
    broken: dict[_Answer, list[_Trait]] = {}
    for trait in _traits(answers):
        ways = [trait.of(answer.text) for answer in answers]
        usual, n = Counter(ways).most_common(1)[0]
        if n < HABIT_SHARE * len(answers):
            continue
        for answer, way in zip(answers, ways, strict=True):
            if way != usual:
                broken.setdefault(answer, []).append(trait)
    for answer, traits in broken.items():
        start = len(answer.text) - 1 if traits[0].at_end else 0
        zh = f"回答{'、'.join(trait.zh for trait in traits)}与其他回答不同"
        en = f"the answer differs from the others in {' and '.join(trait.en for trait in traits)}"
        excerpt = partial(around, answer.text, start, len(answer.text))
        report.add(
            answer.line,
            "answer-style",
            zh=zh,
            en=en,
            index=answer.message_index,
            excerpt=excerpt,
            at=("content", 0),
        )

"""Report what is damaged in the texts of sound rows, and thinking that only some answers have.

Which damage there is, and what is none, is in `damage/`.
"""

from collections.abc import Sequence
from functools import partial

from cookbook.data import damage
from cookbook.data.damage import REPAIRABLE, Finding, glance, marks
from cookbook.data.report import Report, counted
from cookbook.data.report.excerpt import Excerpt, around
from cookbook.data.rows import NumberedRow
from cookbook.data.rules import key_rules


def check_texts(report: Report, sound: Sequence[NumberedRow]) -> None:
    """Report the damage of each text, and whether all answers think or none."""
    texts = [message["content"] for _, row in sound for message in row["messages"]]
    flags = glance.flags(texts)
    thinking: list[int] = []
    at = 0
    for i, (number, row) in enumerate(sound):
        messages = row["messages"]
        end = at + len(messages)
        for index, some in enumerate(flags[at:end]):
            # Nearly always there is nothing to look for.
            if some:
                _report_damage(report, number, index, texts[at + index], some)
        if _thinks(messages[-1], flags[end - 1]):
            thinking.append(i)
        at = end
    _report_mixed_thinking(report, sound, thinking)


def _thinks(answer: dict, flags: int) -> bool:
    """Return whether an answer thinks, in its text or under a key of its own."""
    # `<` is among the marks that `glance` sees.
    if flags & glance.MARKUP and marks.has_thinking(answer["content"]):
        return True
    return len(answer) > 2 and key_rules.thinks(answer)


def report_finding(
    report: Report,
    number: int,
    index: int,
    text: str,
    finding: Finding,
    *,
    severity: str | None = None,
) -> None:
    """Report the damage of one message."""
    zh, en = finding.zh, finding.en
    if finding.count > 1:
        zh = f"{zh}，共 {finding.count} 处"
        en = f"{en}, {finding.count} times"
    report.add(
        number,
        finding.code,
        zh=zh,
        en=en,
        index=index,
        excerpt=partial(around, text, finding.start, finding.end),
        severity=severity,
        fix=_remedy(finding),
        at=("content", finding.start),
    )


def _report_damage(report: Report, number: int, index: int, text: str, flags: int) -> None:
    for finding in damage.find_flagged(text, flags):
        report_finding(report, number, index, text, finding)


def _remedy(finding: Finding) -> tuple[str, str] | None:
    """Return the remedy where it is not the usual one of the code."""
    if finding.code not in REPAIRABLE:
        return None
    call = f'data.clean(path, fix=["{finding.code}"])'
    if not finding.repairable:
        # The usual one of `mojibake` says so itself.
        if finding.code == "mojibake":
            return None
        return "人工改：自动改只能靠猜", "fix it by hand: an automatic fix would be a guess"
    if finding.code == "mojibake":
        return f"用 {call} 还原", f"restore it: {call}"
    if finding.code == "thinking":
        return f"用 {call} 去掉", f"remove it: {call}"
    return None


def _report_mixed_thinking(
    report: Report, sound: Sequence[NumberedRow], thinking: Sequence[int]
) -> None:
    """Report answers that think, where others do not; of a row the last answer counts.

    Templates leave out the thinking of earlier answers.
    """
    n = len(thinking)
    if 0 < n < len(sound):
        number, row = sound[thinking[0]]
        line = report.line_of(number)
        answer = row["messages"][-1]["content"]
        # In which of them is the mistake nobody knows: it is one of the file.
        rest = len(sound) - n
        report.add(
            None,
            "thinking",
            zh=f"{n} 条的回答带思考过程（最先是第 {line} 行），另外 {rest} 条没有",
            en=f"{counted(n, 'answer')} with thinking (first on line {line}), {rest} without",
            excerpt=_beginning(answer),
        )


def _beginning(answer: str) -> Excerpt | None:
    """Return where an answer begins to think; None where it does so under another key."""
    at = answer.find("<think>")
    return around(answer, at, at + len("<think>")) if at >= 0 else None

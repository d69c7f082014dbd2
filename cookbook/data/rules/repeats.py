"""Find the rows that say again what an earlier one says: the same, nearly, or with another answer.

    check_repeats(report, rows)     reports `duplicate-row`, `conflict` and `near-duplicate`

What is nearly the same is found by `near_duplicates.py`.
"""

from collections.abc import Sequence
from functools import partial

from cookbook.data.report import Report
from cookbook.data.report.excerpt import last_turn
from cookbook.data.rows import NumberedRow, RowKey, row_key


def check_repeats(report: Report, sound: Sequence[NumberedRow]) -> None:
    """Report rows that are the same as an earlier one, contradict one, or are nearly the same."""
    earlier = _Earlier(report, sound)
    for i in range(len(sound)):
        earlier.compare(i)


def report_row(
    report: Report, numbered: NumberedRow, code: str, *, zh: str, en: str, index: int | None = None
) -> None:
    """Report a problem of a whole row, shown by its last question and answer."""
    line, row = numbered
    excerpt = partial(last_turn, row)
    report.add(line, code, zh=zh, en=en, index=index, excerpt=excerpt)


class _Earlier:
    """The rows before the one that is looked at."""

    def __init__(self, report: Report, sound: Sequence[NumberedRow]):
        from cookbook.data.near_duplicates import Index  # loads numpy

        self._report = report
        self._sound = sound
        rows = [row for _, row in sound]
        self._index = Index(rows)
        self._number_of_row: dict[RowKey, int] = {}
        # question -> the first line that has it, and its answer. Earlier turns belong to the
        # question.
        self._first_of_question: dict[tuple, tuple[int, str]] = {}
        # The same for all answers, where a question has several: long ones take time to hash.
        self._answers_to: dict[tuple, set[str]] = {}

    def compare(self, i: int) -> None:
        """Report what a row has in common with earlier ones, and remember it."""
        key = row_key(self._sound[i][1])
        # The same row again is reported once, and not as anything else.
        if self._is_same(i, key):
            return
        self._look_for_conflict(i, key)
        # A contradiction may be nearly the same, too.
        self._look_for_near(i)

    def _is_same(self, i: int, key: RowKey) -> bool:
        line = self._sound[i][0]
        if self._index.is_alone(i):
            return False
        number = self._number_of_row.setdefault(key, line)
        if number == line:
            return False
        first_zh, first_en = self._report.where(number)
        zh = f"与{first_zh}完全相同"
        en = f"the same as {first_en}"
        report_row(self._report, self._sound[i], "duplicate-row", zh=zh, en=en)
        return True

    def _look_for_conflict(self, i: int, key: RowKey) -> None:
        """Report the same question, answered in another way."""
        line = self._sound[i][0]
        *turns, (_, answer, learned) = key
        # From an answer of weight 0 nothing is learned, so it contradicts none.
        if not learned:
            return
        question = tuple(text for _, text, _ in turns)
        number, first_answer = self._first_of_question.setdefault(question, (line, answer))
        if number == line:
            return
        answers = self._answers_to.setdefault(question, {first_answer})
        if answer not in answers:
            first_zh, first_en = self._report.where(number)
            zh = f"与{first_zh}问题相同，回答不同"
            en = f"the same question as {first_en}, another answer"
            row = self._sound[i]
            report_row(self._report, row, "conflict", zh=zh, en=en, index=len(question))
        answers.add(answer)

    def _look_for_near(self, i: int) -> None:
        near = self._index.find(i)
        if not near:
            self._index.add(i)  # only what would be kept is compared with
            return
        number, _ = self._sound[near[0]]
        other_zh, other_en = self._report.where(number)
        zh = f"与{other_zh}几乎相同"
        en = f"nearly the same as {other_en}"
        report_row(self._report, self._sound[i], "near-duplicate", zh=zh, en=en)

"""What is wrong at a place of a text that is not JSON.

fault(17, 18, marks.COMMA)      the reason at a place
odd_character(text, 17)         that of a character which is known by itself
"""

from dataclasses import dataclass

from cookbook.data.json_text import marks
from cookbook.data.json_text.marks import Reason


@dataclass(frozen=True)
class Fault:
    """What is wrong, in both languages, and where; `fix` is its remedy if it has its own."""

    zh: str
    en: str
    start: int
    end: int
    fix: tuple[str, str] | None = None
    is_cut: bool = False


def fault(start: int, end: int, reason: Reason) -> Fault:
    """Return the fault of a place: never of less than a character."""
    fix = (reason.fix_zh, reason.fix_en) if reason.fix_zh else None
    zh, en = f"不是合法的 JSON：{reason.zh}", f"not valid JSON: {reason.en}"
    # Only a text that ends too early may be the last entry of a file that is cut.
    is_cut = reason in (marks.CUT, marks.CUT_STRING)
    return Fault(zh, en, start, max(end, start + 1), fix, is_cut)


def odd_character(text: str, at: int) -> Fault | None:
    """Return the fault of a character that looks like one of JSON's, or that nobody sees."""
    mark = text[at]
    # Those that are known by themselves come first: `…` is more than the dots of `...`.
    reason = marks.of_character(mark)
    if reason is not None:
        return fault(at, at + 1, reason)
    if text.startswith(("//", "/*", "#"), at):
        line_end = text.find("\n", at)
        end = line_end if line_end >= 0 else len(text)
        return fault(at, end, marks.COMMENT)
    if text.startswith("```", at):
        return fault(at, at + 3, marks.FENCE)
    if text.startswith("..", at):
        return fault(at, at + 3, marks.ELLIPSIS)
    if mark == "\\":
        return fault(at, at + 1, marks.ESCAPED)
    return None

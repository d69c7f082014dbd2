"""Read the text out of each draft, and find what is wrong with it by itself.

What is wrong is a reason of `reasons.py` and a detail. Drafts are compared with each other in
`alike.py` and `crowding.py`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cookbook.errors import ArgumentError
from cookbook.i18n import tr
from cookbook.synthesize.reasons import RULE
from cookbook.synthesize.refusals import refusal

if TYPE_CHECKING:
    import pandas as pd

Holds = Callable[[str, str], bool]
Read = Callable[[str], Any]  # a text, as far as the reader's function keeps its word
Fault = tuple[str, str]  # the reason, and a detail


@dataclass(frozen=True)
class Draft:
    """One line of the table of drafts; `draft` is the answer as it came."""

    input: str
    attempt: int
    draft: str
    finish_reason: str | None
    error: str | None


def listed(frame: "pd.DataFrame") -> list[Draft]:
    """Return the lines of a table of drafts; the answers of `compare.ask` will do, too.

    Raises:
        ArgumentError: it is no such table.
    """
    columns = getattr(frame, "columns", ())
    name = "draft" if "draft" in columns else "answer"
    lacking = [column for column in ("input", name) if column not in columns]
    if lacking:
        raise ArgumentError(
            zh=f"这里要 drafts() 返回的表，而它没有列 {'、'.join(lacking)}",
            en=f"this takes the table that drafts() returned; the one given has no column "
            f"{', '.join(lacking)}",
        )
    result = []
    for i, line in enumerate(frame.to_dict("records")):
        draft = _text(line[name]) or ""
        finish_reason, error = _text(line.get("finish_reason")), _text(line.get("error"))
        result.append(Draft(line["input"], line.get("attempt", i), draft, finish_reason, error))
    return result


def _text(value: Any) -> str | None:
    # pandas has NaN where a value is missing.
    return value if isinstance(value, str) else None


def functions(rules: Mapping[str, Any]) -> dict[str, Holds]:
    """Return the function of each rule; one that is an object with `holds`, as in `zhishuo`, too.

    Raises:
        ArgumentError: a rule is neither, or `rules` is no dict.
    """
    if not isinstance(rules, Mapping):
        raise ArgumentError(
            zh=f'rules 要给 {{"名字": 函数}}，这里是 {type(rules).__name__}',
            en=f'rules takes {{"name": function}}, not a {type(rules).__name__}',
        )
    result = {}
    for name, rule in rules.items():
        holds = getattr(rule, "holds", rule)
        if not callable(holds):
            raise ArgumentError(
                zh=f"规则 {name!r} 不是函数：应当是 (输入, 文字) -> True 或 False",
                en=f"the rule {name!r} is not a function of (input, text) that returns a bool",
            )
        result[name] = holds
    return result


def read_text(draft: Draft, read: Read | None) -> tuple[str, Fault | None]:
    """Return the text of a draft, and what is wrong with it before any rule."""
    if draft.error is not None:
        return "", ("failed", draft.error)
    if draft.finish_reason == "length":
        return draft.draft, ("cut_off", tr("增大 max_tokens", "raise max_tokens"))
    if not draft.draft.strip():
        return "", ("empty", "")
    declined = refusal(draft.draft)
    if declined or draft.finish_reason == "content_filter":
        return draft.draft, ("refused", declined or "content_filter")
    if read is None:
        return draft.draft, _broken_character(draft.draft)
    return _read(draft.draft, read)


def _broken_character(text: str) -> Fault | None:
    """Return the fault of a text that has half a character, or what is written for one."""
    found = re.search("[\ud800-\udfff\ufffd]", text)
    if found is None:
        return None
    at = found.start() + 1
    return "unreadable", tr(f"第 {at} 个字符是坏的", f"character {at} is broken")


def _read(draft: str, read: Read) -> tuple[str, Fault | None]:
    try:
        text = read(draft)
    # A field that is missing, or a list instead of an object, is as unreadable as broken JSON.
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return draft, ("unreadable", f"{type(error).__name__}: {error}")
    if not isinstance(text, str):
        kind = type(text).__name__
        detail = tr(f"read 返回的是 {kind}，不是文字", f"read returned {kind}, not a text")
        return draft, ("unreadable", detail)
    if not text.strip():
        return text, ("empty", tr("read 之后", "after read"))
    declined = refusal(text)
    return text, (("refused", declined) if declined else _broken_character(text))


def broken_rule(draft: Draft, text: str, rules: Mapping[str, Holds]) -> Fault | None:
    """Return the first rule that a text breaks; the detail names all of them.

    Raises:
        ArgumentError: a rule fails, which is a mistake in the rule.
    """
    broken = []
    for name, holds in rules.items():
        try:
            passed = holds(draft.input, text)
        except Exception as error:
            raise ArgumentError(
                zh=f"规则 {name!r} 自己出错了（输入 {draft.input!r:.40}，文字 {text!r:.60}）："
                f"{type(error).__name__}: {error}",
                en=f"the rule {name!r} itself failed (input {draft.input!r:.40}, text "
                f"{text!r:.60}): {type(error).__name__}: {error}",
            ) from error
        if not passed:
            broken.append(name)
    if not broken:
        return None
    return RULE + broken[0], tr("、", ", ").join(broken)

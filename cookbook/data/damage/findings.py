r"""Find texts that were damaged on the way: escapes, markup, mis-decoded and invisible characters.

    find(text)                            what is wrong, by kind
    repair(text, frozenset({"markup"}))   the text without it, where nothing has to be guessed

Each kind is a module of `damage`. Text that only looks damaged is left alone: code, LaTeX, paths,
other languages. Everything here takes time that grows with the text alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cookbook.data.damage import escapes, glance, invisible, marks, markup, mojibake
from cookbook.data.damage.spot import Spot

# What `repair` knows; a template's mark may be meant as a text.
REPAIRABLE = ("escape-text", "markup", "mojibake", "invisible", "thinking")

MAX_ROUNDS = 4  # `&amp;amp;lt;` takes three: what is deeper is no accident


@dataclass(frozen=True)
class Finding:
    """Damage at `text[start:end]`: one of the codes `escape-text`, `markup`, `mojibake`,
    `invisible`, `template-mark`, `thinking`, with what was found.

    `count` is how many such places the text has, `repairable` whether `repair` knows what belongs
    in all of them.
    """

    code: str
    start: int
    end: int
    zh: str
    en: str
    count: int = 1
    repairable: bool = True


class _Kind(NamedTuple):
    code: str
    flags: int  # of `glance`: without any of them there is nothing to search for
    spots: Callable[[str], Iterator[Spot]]
    describe: Callable[[str, Spot], tuple[str, str]]


def _invisible_spots(text: str) -> Iterator[Spot]:
    """Yield invisible characters, without those that are a part of mis-read text."""
    taken = iter(sorted(mojibake.spots(text)))
    piece = next(taken, None)
    for spot in invisible.spots(text):
        while piece and piece.end <= spot.start:
            piece = next(taken, None)
        if not piece or spot.start < piece.start:
            yield spot


# In the order in which they are repaired: what is mis-decoded hides all else.
_KINDS = (
    _Kind("mojibake", glance.MOJIBAKE, mojibake.spots, mojibake.describe),
    _Kind("escape-text", glance.BACKSLASH, escapes.spots, escapes.describe),
    _Kind("markup", glance.MARKUP, markup.spots, markup.describe),
    _Kind("invisible", glance.INVISIBLE, _invisible_spots, invisible.describe),
    _Kind(
        "template-mark",
        glance.MARKUP | glance.MARK,
        marks.template_spots,
        marks.describe_template,
    ),
    _Kind("thinking", glance.MARKUP, marks.thinking_spots, marks.describe_thinking),
)


def find(text: str) -> list[Finding]:
    """Return the damage of a text, the first place of each code."""
    return find_flagged(text, glance.flags([text])[0])


def find_flagged(text: str, flags: int) -> list[Finding]:
    """Return the damage of a text of which `glance.flags` are known."""
    findings = []
    for kind in _KINDS:
        # Searching takes long, and nearly no text has any of these characters.
        if flags & kind.flags:
            finding = _first(kind, text)
            if finding:
                findings.append(finding)
    return findings


def _first(kind: _Kind, text: str) -> Finding | None:
    first: Spot | None = None
    count = 0
    repairable = True
    for spot in kind.spots(text):
        count += 1
        repairable = repairable and spot.repaired is not None
        if first is None or spot.start < first.start:
            first = spot
    if first is None:
        return None
    zh, en = kind.describe(text, first)
    return Finding(kind.code, first.start, first.end, zh, en, count, repairable)


def repair(text: str, codes: frozenset[str]) -> str:
    """Return the text with the damage of these codes repaired where nothing has to be guessed."""
    # What was escaped twice is damage again after the first round.
    for _ in range(MAX_ROUNDS):
        repaired = _repair_once(text, codes)
        if repaired == text:
            break
        text = repaired
    return text


def _repair_once(text: str, codes: frozenset[str]) -> str:
    for kind in _KINDS:
        if kind.code not in codes or kind.code not in REPAIRABLE:
            continue
        if glance.flags([text])[0] & kind.flags:
            # All thinking goes, not only what is uneven.
            spots = marks.blocks if kind.code == "thinking" else kind.spots
            text = _replaced(text, spots(text))
    return text


def _replaced(text: str, spots: Iterator[Spot]) -> str:
    parts = []
    done = 0
    for spot in sorted(spots):
        # A piece within a piece that is repaired already is gone with it.
        if spot.repaired is None or spot.start < done:
            continue
        parts += [text[done : spot.start], spot.repaired]
        done = spot.end
    return "".join([*parts, text[done:]])

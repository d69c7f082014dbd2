"""Find texts that were damaged on the way: escapes, markup, mis-decoded and invisible characters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Damage at `text[start:end]`: one of the codes `escape-text`, `markup`, `mojibake`,
    `invisible`, `template-mark`, `thinking`, with what was found."""

    code: str
    start: int
    end: int
    zh: str
    en: str


def find(text: str) -> list[Finding]:
    """Return the damage of a text, the first place of each code."""
    return []


def repair(text: str, codes: frozenset[str]) -> str:
    """Return the text with the damage of these codes repaired where nothing has to be guessed."""
    return text

"""Cut excerpts for a report: the offending text with a little on either side, safe to show.

Secrets are masked and control characters made visible here, where an excerpt is cut, so that
whatever shows it later has nothing to look for.
"""

import json

from cookbook.data.sensitive import mask

Excerpt = tuple[str, str, str]  # text before, offending text, text after

MARGIN = 24  # characters shown on either side of the offending text
LONGEST = 2 * MARGIN  # characters shown of the offending text itself
LONGEST_VALUE = 40  # characters shown of a value that should not be there
TERMINAL = 72  # columns that an excerpt may take in a terminal: a broken line would move the caret
# A secret is masked before it is cut; this much is searched on either side, so that half of a
# number is known as such.
MASK_MARGIN = 512


def around(text: str, start: int, end: int) -> Excerpt:
    """Return `text[start:end]` with a little of what surrounds it."""
    end = min(end, len(text))
    cut = min(end, start + LONGEST)
    left = max(0, start - MARGIN)
    right = cut + MARGIN
    masked = _masked(text, left, right)

    first, last = start - left, cut - left  # of the offending text within `masked`
    before = visible(masked[:first])
    inside = visible(masked[first:last])
    after = visible(masked[last:])
    # An ellipsis shows where text is left out; what follows a cut text is left out with it.
    if left > 0:
        before = "…" + before
    if cut < end:
        return before, inside + "…", ""
    if right < len(text):
        after += "…"
    return before, inside, after


def _masked(text: str, left: int, right: int) -> str:
    """Return `text[left:right]` with secrets masked, also those that reach over its ends."""
    first = max(0, left - MASK_MARGIN)
    masked = mask(text[first : right + MASK_MARGIN])
    return masked[left - first : right - first]


def value(content: object, before: str = "") -> Excerpt:
    """Return the beginning of a value of any type, with `before` in front."""
    # As the file has it, if it is one of JSON's constants.
    constants = {None: "null", True: "true", False: "false"}
    if content is None or isinstance(content, bool):
        text = constants[content]
    else:
        text = content if isinstance(content, str) else _as_json(content)[:80]
    _, inside, after = around(text, 0, LONGEST_VALUE)
    return before, inside, after


def _as_json(content: object) -> str:
    """Return a value as a file has it, or as Python writes it where JSON has no such value."""
    try:
        return json.dumps(content, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return written(content)


def written(content: object) -> str:
    """Return a value as Python writes it, or its type where it is nested too deep for that."""
    try:
        return repr(content)
    except RecursionError:
        return f"{type(content).__name__} …"


def ending(text: str) -> str:
    """Return the end of a text."""
    before, _, _ = around(text, len(text), len(text))
    return before


def last_turn(row: dict) -> Excerpt:
    """Return the end of a row's last question and the beginning of its answer."""
    question, answer = (message["content"] for message in row["messages"][-2:])
    _, start_of_answer, _ = around(answer, 0, len(answer))
    return ending(question) + " → ", start_of_answer, ""


def visible(text: str) -> str:
    """Return the text with everything that does not print written as an escape.

    A control character is shown, never obeyed.
    """
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def shortened(text: str, longest: int) -> str:
    """Return the text, with "…" in its middle where it has more characters than `longest`."""
    if len(text) <= longest:
        return text
    # The beginning says more than the end.
    end = longest // 3
    beginning = text[: longest - end - 1]
    return beginning + "…" + text[len(text) - end :]


def pointed(excerpt: Excerpt, columns: int = TERMINAL) -> list[str]:
    """Return an excerpt as a line, and the line below it with carets under the offending text.

    The two are aligned by the width of the characters: a Chinese one takes two columns. An excerpt
    that is nothing but the offending text needs no carets.
    """
    before, inside, after = (visible(part) for part in excerpt)
    inside = _cut(inside, columns // 2)
    before = _cut(before[::-1], columns // 3)[::-1]
    used = width(before) + width(inside)
    line = before + inside + _cut(after, columns - used)
    if line == inside:
        return [line] if line else []
    carets = "^" * max(1, width(inside))
    return [line, " " * width(before) + carets]


def _cut(text: str, columns: int) -> str:
    """Return the beginning of a text that takes no more than so many columns."""
    if width(text) <= columns:
        return text
    taken = 1  # of the ellipsis
    for i, character in enumerate(text):
        taken += width(character)
        if taken > columns:
            return text[:i].rstrip("…") + "…"
    return text


def width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    from wcwidth import wcwidth

    return sum(max(0, wcwidth(character)) for character in text)

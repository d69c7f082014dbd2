"""Cut excerpts for a report: the offending text with a little on either side, safe to show.

Secrets are masked and control characters made visible here, where an excerpt is cut, so that
whatever shows it later has nothing to look for.
"""

from cookbook.data.sensitive import mask

Excerpt = tuple[str, str, str]  # text before, offending text, text after

MARGIN = 24  # characters shown on either side of the offending text
LONGEST = 2 * MARGIN  # characters shown of the offending text itself
LONGEST_VALUE = 40  # characters shown of a value that should not be there
# A secret is masked before it is cut; this much is searched on either side, so that half of a
# number is known as such.
MASK_MARGIN = 512


def around(text: str, start: int, end: int) -> Excerpt:
    """Return `text[start:end]` with a little of what surrounds it."""
    end = min(end, len(text))
    cut = min(end, start + LONGEST)
    left, right = max(0, start - MARGIN), cut + MARGIN
    first = max(0, left - MASK_MARGIN)
    masked = mask(text[first : right + MASK_MARGIN])

    before = visible(masked[left - first : start - first])
    if left > 0:
        before = "…" + before
    inside = visible(masked[start - first : cut - first])
    if cut < end:
        return before, inside + "…", ""
    after = visible(masked[cut - first : right - first])
    if right < len(text):
        after += "…"
    return before, inside, after


def value(content: object, before: str = "") -> Excerpt:
    """Return the beginning of a value of any type, with `before` in front."""
    text = content if isinstance(content, str) else repr(content)[:80]
    _, inside, after = around(text, 0, LONGEST_VALUE)
    return before, inside, after


def last_turn(row: dict) -> Excerpt:
    """Return the end of a row's last question and the beginning of its answer."""
    question, answer = (message["content"] for message in row["messages"][-2:])
    end_of_question, _, _ = around(question, len(question), len(question))
    _, start_of_answer, _ = around(answer, 0, len(answer))
    return end_of_question + " → ", start_of_answer, ""


def visible(text: str) -> str:
    """Return the text with everything that does not print written as an escape.

    A control character is shown, never obeyed.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

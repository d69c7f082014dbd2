"""Quote what a server has answered that is not ours: on one line, short, safe to print."""

import re

from cookbook.terminal import printable

LONGEST = 300  # characters
_TITLE = re.compile(r"<title>([^<]{1,100})", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return the beginning of a text as one line."""
    return printable(" ".join(text.split())[:LONGEST])


def page_title(text: str) -> str | None:
    """Return the title of a web page; None where a text is none, or has no title."""
    found = _TITLE.search(text)
    return one_line(found[1]) if found else None

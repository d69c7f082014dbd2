"""Make text of others safe to print: control sequences are shown, never obeyed.

    print(printable(answer))          "\\x1b[2J" is read as these characters and clears no screen

An answer, a training row, a task name or a file name may hold what a terminal obeys (it clears the
screen, sets the title, hides a line), and marks that reorder text so that it reads as something
else. Whatever the package prints or returns as `repr` passes through here. Line breaks and tabs
keep their meaning; so do the joiners inside emoji and the scripts of Asia.
"""

import re

_OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f"  # control characters but tab and line feed
    "\x7f-\x9f"  # delete, and the control characters of eight bits
    "\u202a-\u202e\u2066-\u2069"  # reorder what follows, see Unicode's report 9
    "\ud800-\udfff"  # half characters, which no terminal can be sent
    "]"
)


def printable(text: str) -> str:
    """Return the text with everything that a terminal would obey written as an escape."""
    if _OBEYED.search(text) is None:
        return text
    # The line break of Windows is one, too.
    return _OBEYED.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]

"""Quote what is not ours: a server's answer on one line, an address without its password."""

import re

from cookbook.terminal import printable

LONGEST = 300  # characters
_USER_INFO = re.compile(r"//[^/\s]{1,1000}@")
_TITLE = re.compile(r"<title>([^<]{1,100})", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return the beginning of a text as one line."""
    return printable(" ".join(text.split())[:LONGEST])


def page_title(text: str) -> str | None:
    """Return the title of a web page; None where a text is none, or has no title."""
    found = _TITLE.search(text)
    return one_line(found[1]) if found else None


def without_password(url: str) -> str:
    """Return the URL that somebody has set or typed, as it may appear in a notebook."""
    # Up to the last @: a password may have others, and slashes.
    user_info, at, host = url.rpartition("@")
    scheme, separator, _ = user_info.partition("://")
    if not at:
        return url
    return f"{scheme}://***@{host}" if separator else f"***@{host}"


def without_passwords(text: str) -> str:
    """Return a library's text without the user and password of any address in it."""
    return _USER_INFO.sub("//", text)

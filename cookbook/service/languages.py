"""Know in which language to answer whom.

    accepted(header)              the language that an `Accept-Language` asks for
    asked_by(request)             the same, of a request
    languages.note(name, "en")    somebody's notebook has connected
    languages.of(name)            its language, for requests that ask for none

The `openai` client asks for no language, so `connect()` says once in which one a notebook is. Of
two notebooks with the same key the last one counts. That of a room's people is in the store, so
that the next service knows it, too.
"""

import contextlib
import sqlite3

from starlette.requests import Request

from cookbook.errors import DiskFull
from cookbook.i18n import LANGUAGES
from cookbook.service.store import LOCAL, Store

_MOST = 20  # languages of a header that are read


def accepted(header: bytes) -> str | None:
    """Return which of our languages a header prefers; None if it accepts neither by name."""
    best, best_quality = None, 0.0
    for entry in header.decode("latin-1").lower().split(",")[:_MOST]:
        name, *parameters = (part.strip() for part in entry.split(";"))
        main = name.partition("-")[0]
        quality = _quality(parameters)
        # Of equal ones the first.
        if main in LANGUAGES and quality > best_quality:
            best, best_quality = main, quality
    return best


def asked_by(request: Request) -> str | None:
    """Return the language that a request asks for; None if it asks for neither by name."""
    return accepted(request.headers.get("accept-language", "").encode("latin-1"))


def _quality(parameters: list[str]) -> float:
    """Return the weight of a language, from 0 for "not this one" to 1."""
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            digits = value.strip()
            is_number = digits.replace(".", "", 1).isdecimal() and digits.isascii()
            return min(float(digits), 1.0) if is_number and len(digits) <= 5 else 0.0
    return 1.0


class Languages:
    """The languages of those who have connected, by their names; for many threads."""

    def __init__(self, store: Store):
        self._store = store
        self._known = store.languages()

    def of(self, name: str) -> str | None:
        """Return the language of somebody's notebook; None where none has connected."""
        return self._known.get(name)

    def note(self, name: str, language: str) -> None:
        """Answer somebody in this language from now on."""
        self._known[name] = language
        # That of a person is for the next service, too. It is written each time: whoever was
        # removed and added again has lost it.
        if name == LOCAL:
            return
        with contextlib.suppress(DiskFull, sqlite3.Error):
            self._store.keep_language(name, language)

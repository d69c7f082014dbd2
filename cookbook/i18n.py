"""Choose the language of what the reader sees, "zh" or "en".

    use_language("en")      a notebook declares its own
    tr(zh, en)              a text in the reader's language
    Text(zh, en)            a text in both, for what is stored now and read later
    Text.of(error)          the same, of what has a text in the reader's language
    both(describe)          the same, of what a function returns in it

The first of these that says a language decides: the request that is being answered (in the service
alone), `COOKBOOK_LANG`, what the notebook declared, the locale. A locale that says nothing (C,
POSIX) is Chinese, every other but a Chinese one English.
"""

import locale
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from cookbook import environment

VARIABLE = "COOKBOOK_LANG"
LANGUAGES = ("zh", "en")

# As POSIX orders them.
_LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG")
_NO_LOCALE = ("", "c", "posix")
# Windows writes names: "Chinese (Simplified)_China".
_CHINESE = ("zh", "chinese")

# For whom this process writes, where they have said so.
_reader: ContextVar[str | None] = ContextVar("reader", default=None)
_declared: str | None = None


def language() -> str:
    """Return the reader's language, "zh" or "en"."""
    return _reader.get() or _chosen() or _declared or _of_locale()


def use_language(language: str) -> None:
    """Declare the language of a notebook: that of its messages, plots and tables.

    `COOKBOOK_LANG`, where it is set, comes first.

    Args:
        language: "zh" or "en".

    Raises:
        ArgumentError: it is neither.
    """
    global _declared
    if language not in LANGUAGES:
        from cookbook.errors import ArgumentError  # which needs this module

        raise ArgumentError(
            zh=f'没有语言 {language!r}：写 use_language("zh") 或 use_language("en")',
            en=f'unknown language {language!r}: write use_language("zh") or use_language("en")',
        )
    _declared = language


def answer_in(language: str | None) -> None:
    """Write in this language until the current task or thread ends; None: in the process's own."""
    _reader.set(language)


@contextmanager
def in_language(language: str | None) -> Iterator[None]:
    """Write in this language inside the block; None: in the process's own."""
    token = _reader.set(language)
    try:
        yield
    finally:
        _reader.reset(token)


def spaced(zh: str) -> str:
    """Return words as they follow a Chinese character, from which a Latin letter is set apart."""
    return f" {zh}" if zh[:1].isascii() else zh


def tr(zh: str, en: str) -> str:
    """Return the text in the reader's language."""
    return en if language() == "en" else zh


@dataclass(frozen=True)
class Text:
    """A text in both languages; `str` gives the reader's."""

    zh: str
    en: str

    def __str__(self) -> str:
        return tr(self.zh, self.en)

    @classmethod
    def of(cls, value: object) -> "Text":
        """Return the text of an error, or of whatever else speaks the reader's language."""
        return both(lambda: str(value))


def both(describe: Callable[[], str]) -> Text:
    """Return in both languages what a function returns in the reader's.

    It is called twice, so it must do nothing but that.
    """
    with in_language("zh"):
        zh = describe()
    with in_language("en"):
        en = describe()
    return Text(zh, en)


def _chosen() -> str | None:
    """Return what `COOKBOOK_LANG` says; None where it is not set."""
    chosen = environment.value_of(VARIABLE, os.environ)
    if not chosen:
        return None
    return "en" if chosen.lower().startswith("en") else "zh"


def _of_locale() -> str:
    name = _locale().lower()
    is_named = name.partition(".")[0] not in _NO_LOCALE
    return "en" if is_named and not name.startswith(_CHINESE) else "zh"


def _locale() -> str:
    """Return the name of the locale in which messages are shown; "" where none is set."""
    for name in _LOCALES:
        # A variable that is empty is not set.
        if value := environment.value_of(name, os.environ):
            return value
    # Elsewhere the variables say it all, and Python would make one up for "C".
    if sys.platform in ("win32", "darwin"):
        # Python does not know every name that a program may have set.
        with suppress(ValueError):
            return locale.getlocale()[0] or ""
    return ""

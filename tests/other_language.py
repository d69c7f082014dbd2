"""Find the package's own texts of the other language in what a reader is shown.

    sentences(strings(outputs), "en")     the Chinese texts of the package in an English notebook
    sentences([capsys.readouterr().out], "zh")     the English ones in a Chinese terminal

Only texts of the package count, as `texts` reads them: names and data have no language to be
wrong. A text is found by what is between its fields, if that has four Chinese characters or four
English words; a text that is in a shipped file too proves nothing.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import texts

from cookbook import siliconcloud

DATA = texts.PACKAGE.parent / "data"
NAMES = frozenset(siliconcloud.FORM_GLOSSES)  # the console has them in Chinese alone
LEAST = 4  # Chinese characters, or English words

_UNITS = {"zh": texts.HAN, "en": re.compile("[A-Za-z']+")}
_OTHER = {"zh": "en", "en": "zh"}


def edition(path: Path) -> str:
    """Return the language of a notebook: the English ones are in a folder `en`."""
    return "en" if path.parent.name == "en" else "zh"


def sentences(shown: Iterable[str], language: str) -> list[str]:
    """Return the package's texts of the other language that are in what was shown."""
    readable = "\n".join(_readable(text) for text in shown)
    found = [text for text in _known(_OTHER[language]) if text in readable]
    return [text for text in found if text not in NAMES and text not in _shipped()]


@cache
def _known(language: str) -> list[str]:
    known = {_line(text).strip(" ,.:;()，。：；（）、·") for text in texts.of_package(language)}
    return sorted(text for text in known if _units(text, language) >= LEAST)


def _units(text: str, language: str) -> int:
    # Commands are the same in both languages.
    return len(_UNITS[language].findall(text.replace("python -m cookbook", "")))


@cache
def _shipped() -> str:
    """Return the files that the course shows, as one text."""
    files = [p for p in sorted(DATA.rglob("*")) if p.suffix in (".csv", ".json", ".jsonl", ".txt")]
    return "\n".join(_line(path.read_text("utf-8", "replace")) for path in files)


def _readable(text: str) -> str:
    """Return a text as it is read: entities of HTML are characters, a line break is a space."""
    with_attributes = html.unescape(text)
    return _line(with_attributes) + "\n" + _line(html.unescape(re.sub("<[^<>]*>", "", text)))


def _line(text: str) -> str:
    return " ".join(text.split())


def strings(value: object) -> Iterator[str]:
    """Yield every string of an output or a message, but pictures and the names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if not str(key).startswith("image/") or key == "image/svg+xml":
                yield from strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings(part)


@contextmanager
def recorded(notebook: Any) -> Iterator[list[str]]:
    """Record all that the kernel of an nbval notebook sends to be shown, also by widgets."""
    shown: list[str] = []
    receive = notebook.get_kernel_message

    def receive_and_record(*args: Any, **options: Any) -> Any:
        message = receive(*args, **options)
        # The code itself comes back, too.
        if message["msg_type"] not in ("execute_input", "status"):
            shown.extend(strings(message["content"]))
        return message

    notebook.get_kernel_message = receive_and_record
    try:
        yield shown
    finally:
        del notebook.get_kernel_message

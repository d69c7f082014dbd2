"""Choose the language of what the reader sees: `COOKBOOK_LANG=zh` (the default) or `en`."""

import os

from cookbook import environment


def language() -> str:
    """Return the reader's language, "zh" or "en"."""
    chosen = environment.value_of("COOKBOOK_LANG", os.environ)
    return "en" if chosen.lower().startswith("en") else "zh"


def spaced(zh: str) -> str:
    """Return words as they follow a Chinese character, from which a Latin letter is set apart."""
    return f" {zh}" if zh[:1].isascii() else zh


def tr(zh: str, en: str) -> str:
    """Return the text in the reader's language."""
    return en if language() == "en" else zh

"""Choose the language and the font of the words in a picture.

    with fonts.context():                              texts made in it can be Chinese
        axes.set_xlabel(fonts.tr("步数", "step"))
    fonts.drawable(name)                               can a picture show what a reader typed?

Many machines have no Chinese font, and matplotlib would draw boxes. There `tr` returns the English
words. Promises: the reader's own fonts come first, and their `rcParams` are the same afterwards.
matplotlib is loaded by the first text that is not ASCII. Not covered: where the words have room.
"""

import dataclasses
from contextlib import AbstractContextManager
from functools import lru_cache

from cookbook import i18n

FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "HarmonyOS Sans SC",
    "MiSans",
    "DengXian",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Heiti SC",
    "STHeiti",
    "Heiti TC",
    "Arial Unicode MS",
    # Files of several regions, of which older releases of matplotlib read the first one only.
    "Noto Sans CJK JP",
    "Source Han Sans",
    "Noto Sans CJK TC",
    "Droid Sans Fallback",
    "LXGW WenKai",
    "FandolHei",
    "Noto Serif CJK SC",
    "Noto Serif CJK JP",
    "Source Han Serif SC",
    "Songti SC",
    "STSong",
    "SimSun",
    "NSimSun",
    "KaiTi",
    "AR PL UMing CN",
    "AR PL UKai CN",
)
"""Fonts of systems and distributions that have simplified Chinese, the most readable first."""

# Simplified characters, which fonts of other regions may lack, and punctuation.
_SAMPLE = "步轮损检验读占，：（）"
_NORMAL = 400  # the weight of usual text


def language() -> str:
    """Return the language of words in pictures: the reader's, or "en" without a Chinese font."""
    return "zh" if i18n.language() == "zh" and drawable(_SAMPLE) else "en"


def tr(zh: str, en: str) -> str:
    """Return the text in the reader's language; in English if no font draws the Chinese one."""
    return zh if i18n.language() == "zh" and drawable(zh) else en


def drawable(text: str) -> bool:
    """Return whether a picture made in `context()` shows every character of `text`."""
    if text.isascii() or not text.isprintable():
        return text.isprintable()
    from matplotlib.font_manager import FontProperties, findfont

    missing = set(text) - _characters(findfont(FontProperties()))
    chinese = family() if missing else None
    if chinese:
        missing -= _characters(findfont(FontProperties(family=[chinese])))
    return not missing


def context() -> AbstractContextManager[None]:
    """Return a context in which new texts take what their font lacks from a Chinese one.

    What the reader typed is drawn as it is: a dollar sign begins no formula.
    """
    import matplotlib

    families = list(matplotlib.rcParams["font.family"])
    chinese = family()
    if chinese:
        families.append(chinese)
    return matplotlib.rc_context({"font.family": families, "text.parse_math": False})


def family() -> str | None:
    """Return the name of an installed font that draws Chinese; None if there is none.

    The result is kept until matplotlib knows another number of fonts: a reader may add one.
    """
    from matplotlib.font_manager import fontManager

    return _search(len(fontManager.ttflist))


@lru_cache(maxsize=1)
def _search(n_fonts: int) -> str | None:
    """Return the first of `FAMILIES` that draws Chinese; `n_fonts` is the key of the cache."""
    found = _first_known()
    if found is None and _add_new_files():
        found = _first_known()
    return found


def _first_known() -> str | None:
    from matplotlib.font_manager import fontManager

    known = {entry.name for entry in fontManager.ttflist}
    return next((name for name in FAMILIES if name in known and _draws_chinese(name)), None)


def _add_new_files() -> bool:
    """Tell matplotlib of fonts that were installed after it wrote its list of fonts."""
    from matplotlib.font_manager import findSystemFonts, fontManager
    from matplotlib.ft2font import FT2Font

    known = {entry.fname for entry in fontManager.ttflist}
    before = len(known)
    for path in sorted(set(findSystemFonts()) - known):
        # Like matplotlib: a file that cannot be read, for whatever reason, is no font.
        try:
            if FT2Font(path).family_name in FAMILIES:
                fontManager.addfont(path)
                known.add(path)
        except Exception:
            continue
    return len(known) > before


def _draws_chinese(name: str) -> bool:
    """Return whether the font really draws: its file may be gone, or of a kind unknown here."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    _add_normal_weight(name)
    try:
        path = findfont(FontProperties(family=[name]), fallback_to_default=False)
        if not _characters(path).issuperset(_SAMPLE):
            return False
        glyph = get_font(path).load_char(ord(_SAMPLE[0]))
    except Exception:
        return False
    return glyph.width > 0 and glyph.height > 0


def _add_normal_weight(name: str) -> None:
    """Let a font that is only light or bold count as normal, or each text would log a warning."""
    from matplotlib.font_manager import fontManager

    entries = [entry for entry in fontManager.ttflist if entry.name == name]
    if not any(entry.weight in (_NORMAL, "normal", "regular") for entry in entries):
        fontManager.ttflist.append(dataclasses.replace(entries[0], weight=_NORMAL))


@lru_cache(maxsize=8)
def _characters(path: str) -> frozenset[str]:
    """Return the characters of a font; not what matplotlib's font of boxes has in their place."""
    from matplotlib.font_manager import get_font

    return frozenset(chr(code) for code in get_font(path).get_charmap())

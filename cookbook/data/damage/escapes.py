r"""Find escapes that were never read: a backslash and an n where a line should end.

    第一步\n第二步        \"您好\"        \u4e2d\u6587        \xe4\xbd\xa0        _x000D_

LaTeX such as `\nabla`, paths of Windows, code, and texts that speak of escapes are left alone.
"""

import json
import re
from collections.abc import Iterator

from cookbook.data.damage.code import without_strings
from cookbook.data.damage.spot import Spot

_ESCAPE = re.compile(
    r"(?<!\\)\\(?:"
    r"(?P<letter>[nrt])(?P<word>[A-Za-z]{0,20})"
    r'|(?P<quote>")'
    r"|(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?P<code>u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5})"
    r"|(?P<bytes>x[0-9a-fA-F]{2}(?:\\x[0-9a-fA-F]{2})*)"
    r")"
    r"|(?P<office>_x[0-9a-fA-F]{4}_\n?)"
)

# The commands of LaTeX that begin with n, r or t.
_LATEX_COMMANDS = (
    "nabla natural ncong ne nearrow neg neq newcommand newline newpage nexists ngeq ngtr ni nleq "
    "nless nmid nobreak noindent nolimits nonumber norm normalsize not notag notin nparallel nprec "
    "nrightarrow nsim nsubseteq nsucc nu nwarrow raggedright rangle rbrace rbrack rceil ref "
    "renewcommand require rfloor rho right rightarrow rightharpoonup rightleftharpoons rm root "
    "rotatebox rule rvert rVert rtimes tab tabular tag tan tanh tau tbinom text textbf textcolor "
    "textit textrm textsf textstyle texttt textwidth tfrac therefore theta thickapprox thinspace "
    "tilde times tiny title to top triangle triangleleft triangleq triangleright tt"
)
_LATEX = frozenset(_LATEX_COMMANDS.split())

# Whoever writes these speaks of escapes.
_ABOUT = re.compile(r"换行符|转义|制表符|反斜杠|正则|escape|newline|backslash|regex", re.IGNORECASE)

_LETTERS = {"n": "\n", "r": "\n", "t": "\t"}


def spots(text: str) -> Iterator[Spot]:
    """Yield each escape that should be a character."""
    if ("\\" not in text and "_x" not in text) or _ABOUT.search(text):
        return
    for match in _ESCAPE.finditer(without_strings(text)):
        spot = _spot(match)
        if spot:
            yield spot


def describe(text: str, spot: Spot) -> tuple[str, str]:
    """Return what was found, in Chinese and English."""
    written = text[spot.start : spot.end].strip()[:12]
    if spot.repaired == "\n":
        return f"字面的 {written}，应是换行", f"a literal {written} in place of a line break"
    return f"字面的 {written}，应是它代表的字符", f"a literal {written} in place of its character"


def _spot(match: re.Match[str]) -> Spot | None:
    start, end = match.span()
    kind = match.lastgroup
    if kind == "word":
        if match["letter"] + match["word"] in _LATEX:
            return None
        end = start + 2
        # `\r\n` is one line end.
        if match["letter"] == "r" and match.string.startswith("\\n", end):
            return Spot(start, end, "")
        return Spot(start, end, _LETTERS[match["letter"]])
    if kind == "quote" and _is_umlaut(match):
        return None
    meaning = _MEANINGS[str(kind)]
    return Spot(start, end, meaning(match[0]))


def _is_umlaut(match: re.Match[str]) -> bool:
    r"""Return whether `\"` is LaTeX's way to write an umlaut, as in `G\"odel`."""
    text = match.string
    start, end = match.span()
    before = text[max(0, start - 1) : start]
    after = text[end : end + 1]
    follows_letter = before.isascii() and before.isalpha()
    return after == "{" or (follows_letter and after in "aeiouAEIOU")


def _of_code(written: str) -> str | None:
    number = int(written[2:], 16)
    # Half a character cannot be written.
    if 0xD800 <= number <= 0xDFFF or number > 0x10FFFF:
        return None
    return _visible(chr(number))


def _of_pair(written: str) -> str:
    return json.loads(f'"{written}"')


def _of_office(written: str) -> str:
    number = written[2:6]
    character = _visible(chr(int(number, 16)))
    # `_x000D_` and the line end after it are one line end.
    if written.endswith("\n") and character != "\n":
        return character + "\n"
    return character


def _of_bytes(written: str) -> str | None:
    digits = written.replace("\\x", "")
    content = bytes.fromhex(digits)
    try:
        return "".join(map(_visible, content.decode("utf-8")))
    except UnicodeDecodeError:
        # One byte alone is how Python writes a character of Latin-1.
        is_latin = len(content) == 1 and content >= b"\xa0"
        return content.decode("latin-1") if is_latin else None


def _visible(character: str) -> str:
    """Return a character that may be in a text: a line end for `\\r`, nothing for controls."""
    if character in "\r\v\f\u2028\u2029":
        return "\n"
    if character.isprintable() or character in "\n\t\xa0\u3000":
        return character
    return ""


def _of_quote(_: str) -> str:
    return '"'


_MEANINGS = {
    "quote": _of_quote,
    "pair": _of_pair,
    "code": _of_code,
    "bytes": _of_bytes,
    "office": _of_office,
}

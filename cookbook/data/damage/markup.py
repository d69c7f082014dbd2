"""Find what is left of a web page: entities such as `&quot;`, tags such as `<br/>`.

Code is left alone, and so are whole documents, comparisons (`a < b`), generics (`List<int>`) and
placeholders (`<name>`). Markdown is how models write, and no damage.
"""

import html
import re
from collections.abc import Iterator
from html.entities import name2codepoint

from cookbook.data.damage.code import without_code
from cookbook.data.damage.spot import Spot

_MARK = re.compile(
    # After `=` an `&` is an address in C.
    r"(?<!=)(?<!= )&(?:#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,9};"
    r"|nbsp(?![A-Za-z]))"
    r"|<(?P<slash>/?)(?P<name>[A-Za-z][A-Za-z0-9]{0,9})"
    r"(?P<rest>[ \t\n][^<>]{0,2000}|[ ]?/)?>"
)
_NAMES = frozenset(name2codepoint) | {"apos"}

# Tags that are nothing else when they are written alone.
_ALONE = (
    "br p div span strong em font hr ul ol li table tr td th tbody thead h1 h2 h3 h4 h5 h6 pre "
    "blockquote sub sup iframe center strike del small tt img dl dt dd figcaption nobr "
    "script style html body"
)
_TAGS = frozenset(_ALONE.split())
# Tags whose names are also words or variables: only with an attribute, or in a pair.
_ALSO_WORDS = (
    "a b i u ins big code video audio section article header footer main nav figure button form "
    "label input meta link option select textarea q cite mark address abbr kbd"
)
_WORDS = frozenset(_ALSO_WORDS.split())
_ATTRIBUTE = re.compile(r"[ \t\n][A-Za-z-]{1,30}[ ]?=")

# What a tag leaves behind: most end nothing, these end a line or a cell.
_LINE = "br hr p div li tr h1 h2 h3 h4 h5 h6 blockquote ul ol table dl dt dd"
_LINE_TAGS = frozenset(_LINE.split())
_CELL_TAGS = frozenset(("td", "th"))
# What is between these tags is no text, and what it was to show cannot be known.
_NO_TEXT = frozenset(("script", "style", "iframe"))

# Whoever writes this speaks of tags, or writes a whole page.
_ABOUT = re.compile(r"HTML|<!DOCTYPE|<\?xml|<svg|标签[ ]?<|>[ ]?(?:标签|元素)|\btags?\b")


def spots(text: str) -> Iterator[Spot]:
    """Yield each entity and each tag."""
    if "&" not in text and "<" not in text:
        return
    plain = without_code(text)
    about_tags = bool(_ABOUT.search(plain))
    pairs: dict[str, bool] = {}
    for match in _MARK.finditer(plain):
        if match["name"] is None:
            character = _character(match[0])
            if character is not None:
                yield Spot(match.start(), match.end(), character)
        elif not about_tags and _is_tag(match, pairs):
            yield Spot(match.start(), match.end(), _instead_of_tag(match))


def describe(text: str, spot: Spot) -> tuple[str, str]:
    """Return what was found, in Chinese and English."""
    written = text[spot.start : spot.end].replace("\n", " ")[:30]
    if written.startswith("&"):
        return f"HTML 转义 {written}", f"HTML entity {written}"
    return f"HTML 标签 {written}", f"HTML tag {written}"


def _character(entity: str) -> str | None:
    """Return what an entity says; None if it is none."""
    name = entity.strip("&;")
    if name[0] != "#" and name not in _NAMES:
        return None
    character = html.unescape(entity)
    # A space that only kept words together on the page.
    return " " if character == "\xa0" else character


def _is_tag(match: re.Match[str], pairs: dict[str, bool]) -> bool:
    written = match["name"]
    name = written.lower()
    # `List<Object>`: a tag is written all in small letters, or all in capitals.
    if written not in (name, name.upper()):
        return False
    if name in _TAGS:
        return True
    if name not in _WORDS:
        return False
    if _ATTRIBUTE.match(match["rest"] or ""):
        return True
    if name not in pairs:
        start, end = f"<{written}", f"</{written}>"
        pairs[name] = start in match.string and end in match.string
    return pairs[name]


def _instead_of_tag(match: re.Match[str]) -> str | None:
    name = match["name"].lower()
    if name in _NO_TEXT:
        return None
    ends = bool(match["slash"]) or name in ("br", "hr")
    if ends and name in _LINE_TAGS:
        # One line end is enough.
        at_line_end = match.string[match.end() : match.end() + 1] in ("\n", "")
        return "" if at_line_end else "\n"
    return " " if ends and name in _CELL_TAGS else ""

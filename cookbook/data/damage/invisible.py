"""Find characters that cannot be seen, and that a model would learn all the same.

Zero-width characters, direction marks, control characters, soft hyphens, characters for private
use. Not those that a script needs: the joiners of emoji, of Persian and of Indic scripts, the marks
of Arabic and Hebrew, the zero-width spaces of Thai and Khmer.
"""

import re
from collections.abc import Iterator

from cookbook.data.damage.spot import Spot

# Without \t and \n. `glance.py` looks for the same.
RANGES = (
    ("\x00", "\x08"),
    ("\x0b", "\x1f"),
    ("\x7f", "\x9f"),
    ("\xad", "\xad"),
    ("\u061c", "\u061c"),
    ("\u180e", "\u180e"),
    ("\u200b", "\u200f"),
    ("\u2028", "\u202e"),
    ("\u2060", "\u206f"),
    ("\ufeff", "\ufeff"),
    ("\ufff9", "\ufffb"),
    ("\ufffe", "\uffff"),
    ("\ue000", "\uf8ff"),
    ("\U000e0000", "\U000e007f"),
    ("\U000f0000", "\U0010ffff"),
)
_CLASS = "".join(f"{first}-{last}" for first, last in RANGES)
_INVISIBLE = re.compile(f"\r\n?|[{_CLASS}]")

_LINE_ENDS = frozenset("\x0b\x0c\x85\u2028\u2029")
_JOINERS = "\u200c\u200d"
_ZERO_WIDTH_SPACE = "\u200b"
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")

# Arabic, Syriac, Thaana, N'Ko, Hebrew.
_RIGHT_TO_LEFT = re.compile("[\u0590-\u07ff\u0800-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# Scripts with joiners: the above, those of India, Myanmar, Khmer, Mongolian.
_JOINING = re.compile(
    "[\u0600-\u07ff\u0840-\u08ff\ufb50-\ufdff\ufe70-\ufefc\u0900-\u0dff\u1000-\u109f\u1780-\u18af]"
)
_EMOJI = re.compile("[\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f\u20e3\U0001f000-\U0001faff]")
# Scripts that write words without spaces between them, from Thai to Khmer.
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_BLACK_FLAG = "\U0001f3f4"  # followed by invisible letters in the flags of Scotland and Wales

_NAMES = {
    "\u200b": ("零宽空格", "zero-width space"),
    "\u200c": ("零宽不连字", "zero-width non-joiner"),
    "\u200d": ("零宽连字", "zero-width joiner"),
    "\u2060": ("零宽不换行", "word joiner"),
    "\ufeff": ("字节顺序标记", "byte-order mark"),
    "\xad": ("软连字符", "soft hyphen"),
    "\u2028": ("行分隔符", "line separator"),
    "\u2029": ("段分隔符", "paragraph separator"),
    "\r": ("回车，Windows 的换行", "carriage return of a Windows line break"),
}


def spots(text: str) -> Iterator[Spot]:
    """Yield each character that cannot be seen and that nothing needs."""
    right_to_left: bool | None = None
    for match in _INVISIBLE.finditer(text):
        start, end = match.span()
        character = match[0]
        if character[0] == "\r" or character in _LINE_ENDS:
            yield Spot(start, end, "\n")
            continue
        if _DIRECTION.match(character):
            if right_to_left is None:
                right_to_left = bool(_RIGHT_TO_LEFT.search(text))
            if right_to_left:
                continue
        if not _is_needed(text, start):
            yield Spot(start, end, "")


def describe(text: str, spot: Spot) -> tuple[str, str]:
    """Return what was found, in Chinese and English."""
    character = text[spot.start]
    code = f"U+{ord(character):04X}"
    default = ("控制字符", "control character")
    if "\ue000" <= character <= "\uf8ff" or character >= "\U000f0000":
        default = ("私用区字符", "private-use character")
    elif "\u200e" <= character <= "\u206f":
        default = ("控制方向或格式的字符", "direction or format character")
    zh, en = _NAMES.get(character, default)
    return f"不可见字符 {code}（{zh}）", f"invisible character {code} ({en})"


def _is_needed(text: str, at: int) -> bool:
    character = text[at]
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if character in _JOINERS:
        if _JOINING.match(before) or _JOINING.match(after):
            return True
        return character == "\u200d" and bool(_EMOJI.match(before) and _EMOJI.match(after))
    if character == _ZERO_WIDTH_SPACE:
        return bool(_WITHOUT_SPACES.match(before) and _WITHOUT_SPACES.match(after))
    if "\U000e0020" <= character <= "\U000e007f":
        # A flag has at most six such letters.
        return _BLACK_FLAG in text[max(0, at - 7) : at]
    return False

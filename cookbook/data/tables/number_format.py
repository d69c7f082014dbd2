"""Write a cell's number or date as Excel shows it: 0.85 with the format `0%` is 85%.

    shown(value, code)      the text, and whether Excel shows exactly that

Covered: digits, thousands, percent, exponents, fractions, currency and other literal text, the
sections for negative numbers, zero and text, dates and times. What depends on the reader's system
(`[DBNum1]`, conditions, names of months in a language that is not named) is told apart, so that it
can be listed.
"""

import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache

from cookbook.data.tables import date_format

LONGEST_CODE = 255  # Excel's own limit
GENERAL_DIGITS = 11  # characters that `General` shows of a number
EXACT_DIGITS = 15  # that Excel keeps

# For the largest float with the longest format.
DIGITS_ENOUGH = Context(prec=2_000)

Number = int | float
Value = Number | datetime | date | time | timedelta | str

TOKEN = re.compile(
    r'"[^"]*"|\\.|_.|\*.|\[[^\[\]]*\]|General|G/通用格式|AM/PM|A/P|上午/下午|E[+-]|e[+-]'
    r"|y+|m+|d+|h+|s+|a{3,4}|.",
    re.IGNORECASE | re.DOTALL,
)
_CURRENCY = re.compile(r"\[\$([^\-\[\]]*)(?:-[^\[\]]*)?\]")
_COLORS = re.compile(r"\[(?:black|blue|cyan|green|magenta|red|white|yellow|color ?\d+)\]", re.I)
_DIGITS = "0#?"
# What each of them shows where the number has no digit.
NO_DIGIT = {"0": "0", "#": "", "?": " "}


@dataclass
class Section:
    """One of the parts of a format, which `;` separates.

    Each token is (kind, text): `text` as it is shown, `digit`, `point`, `comma`, `percent`,
    `exponent`, `slash`, `date`, `value` for the place of a text, `general`.
    """

    tokens: list[tuple[str, str]] = field(default_factory=list)
    is_exact: bool = True

    def has(self, kind: str) -> bool:
        """Return whether there is a token of a kind."""
        return any(token_kind == kind for token_kind, _ in self.tokens)


def shown(value: Value, code: str) -> tuple[str, bool]:
    """Return a cell's text as Excel shows it, and whether that is exact."""
    if len(code) > LONGEST_CODE:
        return plain(value), False
    sections = _sections(code or "General")
    if isinstance(value, str):
        return _text(value, sections)
    if isinstance(value, datetime | date | time | timedelta):
        return date_format.shown(value, sections[0].tokens, code)
    return _number(value, sections)


def is_date(code: str) -> bool:
    """Return whether a format is of dates or times."""
    if len(code) > LONGEST_CODE:
        return False
    return any(section.has("date") for section in _sections(code))


def plain(value: Value) -> str:
    """Return a value without a format."""
    if isinstance(value, int | float):
        return general(value)
    return str(value)


def general(value: Number) -> str:
    """Return a number as the format `General` shows it, whole numbers with all digits that Excel
    keeps."""
    number = Decimal(f"{value:.{EXACT_DIGITS}g}")
    if number == 0:
        return "0"
    exponent = number.adjusted()
    if number == number.to_integral_value() and exponent < EXACT_DIGITS:
        return f"{number:f}".partition(".")[0]
    if -5 <= exponent < GENERAL_DIGITS - 1:
        # The point takes one of the characters, and so does a 0 in front of it.
        decimals = max(0, GENERAL_DIGITS - 1 - max(1, exponent + 1))
        text = f"{_rounded(number, decimals):f}"
        if text.strip("-0."):
            return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, power = f"{number:.5E}".partition("E")
    mantissa = mantissa.rstrip("0").rstrip(".")
    sign, digits = power[0], power[1:].zfill(2)
    return f"{mantissa}E{sign}{digits}"


def _rounded(number: Decimal, decimals: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, DIGITS_ENOUGH)


@lru_cache(maxsize=256)
def _sections(code: str) -> list[Section]:
    sections = [Section()]
    for token in TOKEN.findall(code):
        if token == ";":
            sections.append(Section())
        else:
            _add_token(sections[-1], token)
    return sections


_KINDS = {".": "point", ",": "comma", "%": "percent", "/": "slash", "@": "value"}


def _add_token(section: Section, token: str) -> None:
    first = token[0]
    if token in _KINDS:
        section.tokens.append((_KINDS[token], token))
    elif first == '"' and len(token) > 1:
        section.tokens.append(("text", token[1:-1]))
    elif first == "\\" and len(token) > 1:
        section.tokens.append(("text", token[1]))
    elif first in "_*" and len(token) > 1:
        # As wide as a character, or repeated to the edge of the cell: white space, or nothing.
        section.tokens.append(("text", " " if first == "_" else ""))
    elif first == "[" and len(token) > 1:
        _add_bracket(section, token)
    elif token.casefold() in ("general", "g/通用格式"):
        section.tokens.append(("general", token))
    elif first in _DIGITS:
        section.tokens.append(("digit", first))
    elif token[:-1] in ("E", "e"):
        section.tokens.append(("exponent", token))
    elif date_format.is_token(token):
        section.tokens.append(("date", token))
    else:
        section.tokens.append(("text", token))


def _add_bracket(section: Section, token: str) -> None:
    currency = _CURRENCY.fullmatch(token)
    if currency:
        section.tokens.append(("text", currency[1]))
    elif date_format.is_elapsed(token):
        section.tokens.append(("date", token.lower()))
    elif not _COLORS.fullmatch(token):
        # A condition, or digits of another script.
        section.is_exact = False


def _text(value: str, sections: list[Section]) -> tuple[str, bool]:
    """Return a text within what its format puts around it."""
    section = sections[3] if len(sections) > 3 else sections[-1]
    if not section.has("value"):
        # `;;;` hides what is there; nobody means to lose it.
        return value, len(sections) < 4
    parts = [value if kind == "value" else text for kind, text in section.tokens]
    return "".join(parts), section.is_exact


def _number(value: Number, sections: list[Section]) -> tuple[str, bool]:
    if any(not section.is_exact for section in sections):
        return plain(value), False
    sections = [section for section in sections if not section.has("value")]
    if not sections:
        return general(value), True  # the format is one of texts
    section = sections[0]
    if value < 0 and len(sections) > 1:
        # Its own section says how a negative number is marked.
        section, value = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    if section.has("date"):
        return plain(value), False  # no date can be that number
    text = _in_section(value, section)
    return (text, True) if text.strip() else (plain(value), False)


def _in_section(value: Number, section: Section) -> str:
    tokens = section.tokens
    sign = "-" if value < 0 else ""
    if section.has("general"):
        texts = [general(abs(value)) if kind == "general" else text for kind, text in tokens]
        return sign + "".join(texts)
    number = abs(Decimal(f"{value:.{EXACT_DIGITS}g}"))
    if section.has("slash") and section.has("digit"):
        text = _fraction(number, tokens)
    elif section.has("exponent"):
        text = _with_exponent(number, tokens)
    else:
        text = _with_digits(number, tokens)
    # What is rounded to nothing has no sign.
    is_zero = not any(c in "123456789" for c in text)
    return text.strip() if is_zero else (sign + text).strip()


def _with_digits(number: Decimal, tokens: list[tuple[str, str]]) -> str:
    """Return digits in their places, literal text between them."""
    kinds = [kind for kind, _ in tokens]
    if "digit" not in kinds:
        return "".join(text for kind, text in tokens if kind in ("text", "percent"))
    number *= 100 ** kinds.count("percent")
    point = kinds.index("point") if "point" in kinds else len(kinds)
    digits = [i for i, kind in enumerate(kinds) if kind == "digit"]
    before_point = [i for i in digits if i < point]
    last_whole = before_point[-1] if before_point else -1
    commas = [i for i, kind in enumerate(kinds) if kind == "comma"]
    # A comma after the last digit, or before the point, divides by a thousand; one between digits
    # groups them.
    number /= 1000 ** sum(last_whole < i < point or i > digits[-1] for i in commas)
    groups = any(i < last_whole for i in commas)
    places = [text for kind, text in tokens[point:] if kind == "digit"]
    written = f"{_rounded(number, len(places)):f}"
    whole, _, decimals = written.partition(".")
    before = _whole(whole, tokens[:point], groups)
    return before + _decimals(decimals, tokens[point:])


def _whole(digits: str, tokens: list[tuple[str, str]], groups: bool) -> str:
    """Return the digits before the point; the first place takes all that are left."""
    digits = digits.lstrip("0")
    places = [i for i, (kind, _) in enumerate(tokens) if kind == "digit"]
    first = places[0] if places else -1
    parts: list[str] = []
    count = 0
    for index in range(len(tokens) - 1, -1, -1):
        kind, text = tokens[index]
        if kind != "digit":
            parts += [text] if kind in ("text", "percent") else []
            continue
        taken = len(digits) if index == first else 1
        # A place without a digit: 0, a blank, or nothing.
        piece = digits[len(digits) - taken :] or NO_DIGIT[text]
        digits = digits[: len(digits) - taken]
        for digit in reversed(piece):
            if groups and count and count % 3 == 0 and digit != " ":
                parts.append(",")
            parts.append(digit)
            count += 1
    return "".join(reversed(parts))


def _decimals(digits: str, tokens: list[tuple[str, str]]) -> str:
    places = [text for kind, text in tokens if kind == "digit"]
    kept = len(digits)
    # Zeros at the end are shown only where the format has a zero.
    while kept and digits[kept - 1] == "0":
        if places[kept - 1] == "0":
            break
        kept -= 1
    parts = []
    at = 0
    for kind, text in tokens:
        if kind == "digit":
            parts.append(digits[at] if at < kept else NO_DIGIT[text])
            at += 1
        elif kind in ("point", "text", "percent"):
            parts.append(text)
    return "".join(parts)


def _with_exponent(number: Decimal, tokens: list[tuple[str, str]]) -> str:
    at = next(i for i, (kind, _) in enumerate(tokens) if kind == "exponent")
    kinds = [kind for kind, _ in tokens[:at]]
    point = kinds.index("point") if "point" in kinds else at
    decimals = kinds[point:].count("digit")
    exponent = number.adjusted() if number else 0
    mantissa = _rounded(number.scaleb(-exponent), decimals)
    if mantissa >= 10:
        mantissa, exponent = mantissa / 10, exponent + 1
    width = sum(kind == "digit" for kind, _ in tokens[at:])
    # `E+` shows the sign always, `E-` only where there is one.
    sign = "-" if exponent < 0 else tokens[at][1][1:].strip("-")
    written = f"{_rounded(mantissa, decimals):f}"
    power = str(abs(exponent)).zfill(width)
    return f"{written}E{sign}{power}"


def _fraction(number: Decimal, tokens: list[tuple[str, str]]) -> str:
    """Return a fraction such as 1 1/2; Excel's blanks for alignment are left out."""
    slash = next(i for i, (kind, _) in enumerate(tokens) if kind == "slash")
    right = [text for _, text in tokens[slash + 1 :]]
    below = "".join(right).strip()
    left = [text for kind, text in tokens[:slash] if kind in ("digit", "text")]
    above = "".join(left).split()
    exact = Fraction(number)
    whole = int(exact) if len(above) > 1 else 0
    rest = exact - whole
    if below.isdecimal() and int(below):
        part_below = int(below)
        part_above = round(rest * part_below)
    else:
        # As many digits as the format has places, five at most.
        digits = min(max(1, len(below)), 5)
        near = rest.limit_denominator(10**digits - 1)
        part_above, part_below = near.numerator, near.denominator
    if len(above) > 1 and part_above == part_below:
        whole, part_above = whole + 1, 0
    if not part_above:
        return str(whole)
    text = f"{part_above}/{part_below}"
    return f"{whole} {text}" if whole else text

"""Write a date, a time or a duration as Excel shows it.

Formats are such as `yyyy"年"m"月"d"日"`, `h:mm AM/PM` and `[h]:mm`.
"""

import re
from datetime import date, datetime, time, timedelta

from cookbook.i18n import tr

Token = tuple[str, str]

_LETTERS = re.compile(r"y+|m+|d+|h+|s+|a{3,4}|AM/PM|A/P|上午/下午", re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)

_MONTHS = """January February March April May June
    July August September October November December"""
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = _MONTHS.split()
DAYS = _DAYS.split()
DAYS_ZH = "一二三四五六日"

# Formats that Excel keeps by number alone, and shows as the reader's country writes dates.
BY_NUMBER = {
    14: ("yyyy/m/d", "m/d/yyyy"),
    22: ("yyyy/m/d h:mm", "m/d/yyyy h:mm"),
}
# Those of a Chinese Excel; openpyxl does not know them.
CHINESE = {
    27: 'yyyy"年"m"月"',
    28: 'm"月"d"日"',
    29: 'm"月"d"日"',
    30: "m-d-yy",
    31: 'yyyy"年"m"月"d"日"',
    32: 'h"时"mm"分"',
    33: 'h"时"mm"分"ss"秒"',
    34: '上午/下午h"时"mm"分"',
    35: '上午/下午h"时"mm"分"ss"秒"',
    36: 'yyyy"年"m"月"',
    50: 'yyyy"年"m"月"',
    51: 'm"月"d"日"',
    52: 'yyyy"年"m"月"',
    53: 'm"月"d"日"',
    54: 'm"月"d"日"',
    55: '上午/下午h"时"mm"分"',
    56: '上午/下午h"时"mm"分"ss"秒"',
    57: 'yyyy"年"m"月"',
    58: 'm"月"d"日"',
}


def by_number(number: int) -> str | None:
    """Return the format that Excel keeps by its number alone, None for all others."""
    if number in BY_NUMBER:
        return tr(*BY_NUMBER[number])
    return CHINESE.get(number)


def is_token(token: str) -> bool:
    """Return whether a token of a format is a part of a date."""
    return _LETTERS.fullmatch(token) is not None


def is_elapsed(token: str) -> bool:
    """Return whether a token is `[h]` or the like: all the hours, and not those of a day."""
    return _ELAPSED.fullmatch(token) is not None


def shown(
    value: datetime | date | time | timedelta, tokens: list[Token], code: str
) -> tuple[str, bool]:
    """Return a date as Excel shows it, and whether that is exact."""
    kinds = [kind for kind, _ in tokens]
    if "date" not in kinds:
        return str(value), False
    moment, is_exact = _moment(value)
    texts = [text.lower() for kind, text in tokens if kind == "date"]
    has_day = any(text[0] in "yd" for text in texts)
    if isinstance(value, time | timedelta) and has_day:
        is_exact = False  # a time alone has no day
    elapsed = value if isinstance(value, timedelta) else _since_midnight(moment)
    is_half = any("/" in text for text in texts)  # AM/PM: hours to 12
    decimals = iter(f"{moment.microsecond:06d}")  # of the seconds: `ss.000`
    parts = []
    for index, (kind, text) in enumerate(tokens):
        if kind != "date":
            parts.append(next(decimals, "0") if kind == "digit" else text)
            continue
        lower = text.lower()
        # `m` is of months or of minutes: its neighbours say which.
        if lower[0] == "[":
            parts.append(_elapsed(elapsed, lower))
        elif lower[0] == "m" and _is_minute(tokens, index):
            parts.append(_padded(moment.minute, len(text)))
        else:
            parts.append(_part(moment, lower, is_half))
            is_exact = is_exact and not _depends(lower, code)
    return "".join(parts).strip(), is_exact


def _moment(value: datetime | date | time | timedelta) -> tuple[datetime, bool]:
    if isinstance(value, datetime):
        return value, True
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day), True
    if isinstance(value, time):
        return datetime.combine(date(1900, 1, 1), value), True
    start = datetime(1900, 1, 1)
    try:
        return start + value, value >= timedelta(0)
    except OverflowError:
        return start, False


def _since_midnight(moment: datetime) -> timedelta:
    # Excel counts its days from there; a time alone has none.
    start = datetime(1899, 12, 30)
    if moment.year == 1900:
        start = datetime(1900, 1, 1)
    return moment - start


def _elapsed(value: timedelta, token: str) -> str:
    unit = {"h": 3600, "m": 60, "s": 1}[token[1]]
    width = len(token) - 2
    count = int(value.total_seconds()) // unit
    return str(count).zfill(width)


def _is_minute(tokens: list[Token], index: int) -> bool:
    """Return whether an `m` is of minutes: hours come before it, or seconds after it."""
    if len(tokens[index][1]) > 2:
        return False
    before = _letters(tokens[:index])
    after = _letters(tokens[index + 1 :])
    return before.endswith("h") or after.startswith("s")


def _letters(tokens: list[Token]) -> str:
    """Return what parts of a date there are, a letter for each."""
    parts = [text.lower().strip("[")[0] for kind, text in tokens if kind == "date"]
    # AM/PM may be between hours and minutes.
    return "".join(letter for letter in parts if letter in "ymdhs")


def _part(moment: datetime, token: str, is_half: bool) -> str:
    letter, size = token[0], len(token)
    if "/" in token:
        return _half(moment, token)
    if letter == "y":
        year = str(moment.year)
        return year if size > 2 else year[-2:]
    if letter == "a":
        day = DAYS_ZH[moment.weekday()]
        return f"星期{day}" if size > 3 else day
    if letter == "m":
        return _numbered(moment.month, MONTHS[moment.month - 1], size)
    if letter == "d":
        return _numbered(moment.day, DAYS[moment.weekday()], size)
    if letter == "h":
        hour = (moment.hour - 1) % 12 + 1 if is_half else moment.hour
        return _padded(hour, size)
    return _padded(moment.second, size)


def _padded(number: int, size: int) -> str:
    return str(number).zfill(min(size, 2))


def _numbered(number: int, name: str, size: int) -> str:
    if size < 3:
        return f"{number:0{size}d}"
    if size == 5:
        return name[0]
    return name[:3] if size == 3 else name


def _half(moment: datetime, token: str) -> str:
    morning, afternoon = token.split("/")
    half = morning if moment.hour < 12 else afternoon
    return half.upper()


def _depends(token: str, code: str) -> bool:
    """Return whether a name is in a language that the format does not name."""
    has_name = token[0] in "md" and len(token) > 2
    return has_name and "-409]" not in code

"""Find what should never be in a training file: keys, phone numbers, identity numbers, e-mail addresses.

Identity numbers must carry the right check digit (GB 11643).
"""

import re
from collections.abc import Iterator

KINDS = {
    "key": ("密钥", "a key"),
    "phone": ("手机号", "a phone number"),
    "identity": ("身份证号", "an identity number"),
    "email": ("邮箱地址", "an e-mail address"),
}
_PATTERN = re.compile(
    r"(?P<email>@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})"
    r"|(?P<key>sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{35}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY[^\0]*?(?:-----END|\Z))"
    r"|(?P<identity>[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx])"
    r"|(?P<phone>1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4})"
)
_MARKS = (
    b"@",
    b"sk-",
    b"AKIA",
    b"AIza",
    b"ghp_",
    b"gho_",
    b"ghu_",
    b"ghs_",
    b"ghr_",
    b"xox",
    b"PRIVATE KEY",
)
# How a phone number or a date of birth begins; two patterns, since one with a literal beginning is searched for faster.
_FROM_1, _FROM_2 = re.compile(rb"1[3-9][0-9][ -]?[0-9]{4}"), re.compile(rb"20[0-9]{6}")
_NAME = re.compile(r"[A-Za-z0-9._%+-]+$")
_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]


def find_secrets(text: str) -> Iterator[tuple[tuple[str, str], int, int]]:
    """((kind in Chinese, in English), start, end) of each, in order."""
    if not may_hold_secrets(text):
        return
    for match in _PATTERN.finditer(text):
        kind, (start, end) = match.lastgroup, match.span()
        before = text[max(0, start - 6) : start]
        # 86 is China's country code, and a digit of a JSON escape such as \u5730 is no digit of the number.
        prefixed = re.search(r"(?:^|[^0-9])86[ -]?$|\\u[0-9a-fA-F]{4}$", before)
        inside_number = before[-1:].isdigit() and not prefixed or text[end : end + 1].isdigit()
        if kind == "email":
            name = _NAME.search(text, max(0, start - 64), start)
            if not name:
                continue
            start = name.start()
        elif (
            kind == "phone"
            and inside_number
            or kind == "identity"
            and (inside_number or not _identity(match[0]))
        ):
            continue
        yield KINDS[kind], start, end


def may_hold_secrets(text: str) -> bool:
    """Whether the text's ASCII characters, of which every match is made, hold what every match holds. Most texts do not,
    and a Chinese one has few of them to look at."""
    few = text.encode("ascii", "ignore")
    letters = b"@" in few or b"-" in few or b"_" in few or b"A" in few
    if letters and any(mark in few for mark in _MARKS):
        return True
    return bool(_FROM_1.search(few) or _FROM_2.search(few))


def mask(text: str) -> str:
    """The text with the middle of every secret made unreadable; its length stays."""
    for _, start, end in find_secrets(text):
        first, last = (3, 2) if end - start > 10 else (1, 0)
        text = text[: start + first] + "*" * (end - start - first - last) + text[end - last :]
    return text


def _identity(text: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _WEIGHTS, strict=True))
    return "10X98765432"[total % 11] == text[17].upper()

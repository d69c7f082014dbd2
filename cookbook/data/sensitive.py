"""Find what should never be in a training file, and mask it: keys, phone numbers, identity numbers,
e-mail addresses.

Only the formats below are known; names and postal addresses are not found. An identity number
counts only with the right check digit (GB 11643). A text is first searched for what every match
contains, since most texts contain nothing. A search takes time that grows with the text alone,
whatever it says: every part of a pattern that repeats has a bound, cannot run into the next match,
or always succeeds.
"""

import re
import string
from collections.abc import Iterator
from typing import NamedTuple

# An e-mail address is searched for from its @ on, and its name is read backwards from there: a
# pattern that begins with the name would try every letter of a text.
_PATTERN = re.compile(
    r"(?P<email>@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})"
    r"|(?P<key>sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{35}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|xox[abeprs]-[A-Za-z0-9-]{10,}"
    # Without an end mark everything that follows counts: a search for it that could fail would be
    # repeated from every beginning.
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?s:.*?)(?:-----END|\Z))"
    r"|(?P<identity>[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx])"
    r"|(?P<phone>1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4})"
)
_NAMES = {
    "email": ("邮箱地址", "an e-mail address"),
    "key": ("密钥", "a key"),
    "identity": ("身份证号", "an identity number"),
    "phone": ("手机号", "a phone number"),
}

_EMAIL_NAME_CHARACTERS = string.ascii_letters + string.digits + "._%+-"
_EMAIL_NAME_LENGTH = 64  # RFC 5321

# Digits before a number that do not belong to it: 86, China's country code, and a JSON escape such
# as \u5730.
_PREFIX = re.compile(r"(?:^|[^0-9])86[ -]?$|\\u[0-9a-fA-F]{4}$")
_PREFIX_LENGTH = 6

# Weights and check characters of the 18-digit identity number, GB 11643.
_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
_CHECK_CHARACTERS = "10X98765432"

_SHORTEST = 5  # characters that every match has: @b.cc

# What every match contains. Of `_KEY_MARKS`, each contains one of `_KEY_LETTERS`, which are faster
# to search for.
_KEY_LETTERS = (b"@", b"-", b"_", b"A")
_GITHUB_MARKS = (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")
_KEY_MARKS = (b"@", b"sk-", b"AKIA", b"AIza", b"xox", b"PRIVATE KEY", *_GITHUB_MARKS)
# Two patterns, since one that begins with a literal is searched for faster. Every phone number, and
# every identity number with a birth year 19.., contains the first; one with a birth year 20..
# contains the second.
_PHONE_OR_19 = re.compile(rb"1[3-9][0-9][ -]?[0-9]{4}")
_BORN_IN_20 = re.compile(rb"20[0-9]{6}")


class Secret(NamedTuple):
    """A place in a text that looks like a secret."""

    zh: str  # what it looks like
    en: str
    start: int
    end: int


def find_secrets(text: str) -> Iterator[Secret]:
    """Yield each secret of a text, in order."""
    if not may_hold_secrets(text):
        return
    for match in _PATTERN.finditer(text):
        kind = str(match.lastgroup)
        start = _start_of(kind, match)
        if start is not None:
            yield Secret(*_NAMES[kind], start, match.end())


def may_hold_secrets(text: str) -> bool:
    """Return whether a text contains what every match contains; no secret is missed, a few texts
    are searched in vain.

    Every match is made of ASCII characters, and a Chinese text has few of them to look at.
    """
    if len(text) < _SHORTEST:
        return False
    ascii_part = text.encode("ascii", "ignore")
    has_letter = any(letter in ascii_part for letter in _KEY_LETTERS)
    if has_letter and any(mark in ascii_part for mark in _KEY_MARKS):
        return True
    return bool(_PHONE_OR_19.search(ascii_part) or _BORN_IN_20.search(ascii_part))


def mask(text: str) -> str:
    """Return the text with asterisks for the middle of every secret; its length stays the same."""
    parts = []
    done = 0
    for _, _, start, end in find_secrets(text):
        # Enough stays readable to find it again: both ends of a long one, the first of a short one.
        first, last = (3, 2) if end - start > 10 else (1, 0)
        begin = start + first
        stop = end - last
        parts.append(text[done:begin])
        parts.append("*" * (stop - begin))
        done = stop
    parts.append(text[done:])
    return "".join(parts)


def _start_of(kind: str, match: re.Match[str]) -> int | None:
    """Return where the secret begins, None if the match is only a part of something else."""
    if kind == "email":
        at = match.start()
        earliest = max(0, at - _EMAIL_NAME_LENGTH)
        before = match.string[earliest:at]
        begin = earliest + len(before.rstrip(_EMAIL_NAME_CHARACTERS))
        return begin if begin < at else None
    if kind in ("phone", "identity") and _is_part_of_number(match):
        return None
    if kind == "identity" and not _has_check_digit(match[0]):
        return None
    return match.start()


def _is_part_of_number(match: re.Match[str]) -> bool:
    text = match.string
    next_character = text[match.end() : match.end() + 1]
    before = text[max(0, match.start() - _PREFIX_LENGTH) : match.start()]
    if next_character.isdigit():
        return True
    return before[-1:].isdigit() and not _PREFIX.search(before)


def _has_check_digit(number: str) -> bool:
    digits = [int(digit) for digit in number[:17]]
    total = sum(digit * weight for digit, weight in zip(digits, _WEIGHTS, strict=True))
    return _CHECK_CHARACTERS[total % 11] == number[17].upper()

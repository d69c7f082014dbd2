"""How plausible it is that bytes are a text in an encoding.

A reading is judged by its characters: each is compared with what bytes drawn by chance would give
(`evidence` 0). The common characters of a language speak for a reading, characters that hardly
any text has against it. The encodings that are only refused, such as Shift_JIS, are judged as well:
their texts are often valid GBK.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from cookbook.data.encodings.common_characters import HANGUL, SIMPLIFIED, TRADITIONAL

BIT = math.log(2)
NEVER = 1e-8  # the probability of a character that no text has
BAD = 6.0  # what a byte that cannot be decoded speaks against a reading
CONTROL = 6.0  # the same for a control character
# What the texts of a language have beside its letters, or often among them.
PUNCTUATION = "，。！？：；、“”（）《》‘’…—【】「」『』·～％"
CANTONESE = "嘅喺唔佢哋咗嚟啲咁冇嘢乜噉啱睇嗰晒畀啦嗎"
WESTERN = "éèàüöäçñóíáêßúôâîãõåøæ’“”–"
MARKS = "·°£§«»±×©®¥¿¡²³µαβγδεθλμπρσφωΔΩΣ"
RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё"
THAI = "านรอกเงยลมวดตสะทบคปหชผี้่์ั"
SPACES = frozenset("\t\n\r\f")


@dataclass(frozen=True)
class Evidence:
    """What the characters of a reading say together.

    Attributes:
        codec: of the reading, as Python names it.
        total: in favour of it; below 0 against it. A character that is repeated counts less.
        mean: of a character.
    """

    codec: str
    total: float
    mean: float


Weights = dict[str, float]  # the logarithm of a character's probability


@dataclass(frozen=True)
class Language:
    """Which characters the texts in an encoding have."""

    codec: str
    weights: Callable[[], Weights]
    rare: float = NEVER
    bits: int = 7  # of a byte that chance draws: the highest is set in all but ASCII


def judge(sample: bytes, codec: str) -> Evidence:
    """Return what speaks for reading the sample in an encoding: as the language that fits best."""
    return max((_judge(sample, language) for language in LANGUAGES[codec]), key=_total)


def _total(evidence: Evidence) -> float:
    return evidence.total


def _judge(sample: bytes, language: Language) -> Evidence:
    # 1. Read it, come what may: what cannot be read speaks against the encoding.
    codec = language.codec
    text = sample.decode(codec, "replace")
    weights = language.weights()
    rare = math.log(language.rare)
    total = all_together = 0.0
    characters = 0
    # 2. Each character counts for or against it, once for all the places where it is.
    for character, n in Counter(text).items():
        if language.bits == 7 and character.isascii():
            # ASCII is the same in all these encodings.
            points = 0.0 if character.isprintable() or character in SPACES else -CONTROL
        elif character == "\ufffd":
            points = -BAD
            characters += n
        else:
            width = len(character.encode(codec, "replace"))
            points = weights.get(character, rare) + width * language.bits * BIT
            characters += n
        # Half of a text may be one phrase again and again: that is less than so much evidence.
        total += points * (n if points < 0 else math.sqrt(n))
        all_together += points * n
    return Evidence(codec, total, all_together / max(1, characters))


def shared(*groups: tuple[float, Iterable[str]]) -> Weights:
    """Return the weights of characters: each group has a share of all texts, its characters alike.

    A character that is in several groups is counted in the first.
    """
    weights: Weights = {}
    for share, characters in groups:
        # In their order, and each once: a set would not keep it.
        new = [c for c in dict.fromkeys(characters) if c not in weights]
        for character in new:
            weights[character] = math.log(share / len(new))
    return weights


def _within(codec: str, leads: range, trails: Iterable[int]) -> list[str]:
    """Return the characters of a rectangle of a two-byte encoding."""
    pairs = (bytes((lead, trail)) for lead in leads for trail in trails)
    return [c for c in (pair.decode(codec, "ignore") for pair in pairs) if len(c) == 1]


@cache
def _simplified() -> Weights:
    high = range(0xA1, 0xFF)
    # What share of a text each group is; the later ones are seldom written.
    return shared(
        (0.44, SIMPLIFIED[:300]),
        (0.31, SIMPLIFIED[300:]),
        (0.12, PUNCTUATION),
        (0.01, TRADITIONAL[:250]),
        (0.09, _within("gb18030", range(0xB0, 0xD8), high)),
        (0.01, _within("gb18030", range(0xA1, 0xA4), high)),
        (0.01, _within("gb18030", range(0xD8, 0xF8), high)),
        (0.001, _within("gb18030", range(0x81, 0xFF), range(0x40, 0xFF))),
    )


@cache
def _traditional() -> Weights:
    trails = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    often = _within("cp950", range(0xA4, 0xC7), trails)
    known = set(often)
    in_big5 = [c for c in SIMPLIFIED if c in known]
    return shared(
        (0.30, in_big5[:250]),
        (0.20, TRADITIONAL[:200]),
        (0.12, PUNCTUATION),
        (0.18, in_big5[250:]),
        (0.06, TRADITIONAL[200:]),
        (0.02, CANTONESE),
        (0.11, often),
        (0.01, _within("cp950", range(0xA1, 0xA4), trails)),
        (0.005, _within("cp950", range(0xC9, 0xFA), trails)),
        (0.001, _within("big5hkscs", range(0x87, 0xFF), trails)),
    )


def _either(one: Weights, other: Weights) -> Weights:
    """Return the weights of texts in one of two languages."""
    weights = dict(one)
    for character, weight in other.items():
        weights[character] = max(weight, weights.get(character, weight))
    return weights


@cache
def _utf_8() -> Weights:
    """Return the weights in UTF-8, in which all languages are as good."""
    letters = [
        *range(0xA0, 0x180),
        *range(0x370, 0x530),
        *range(0x590, 0x700),
        *range(0xE00, 0xE5C),
    ]
    kana = range(0x3041, 0x30FD)
    others = shared(
        (0.2, WESTERN),
        (0.2, RUSSIAN),
        (0.2, MARKS),
        (0.1, map(chr, letters)),
        (0.1, map(chr, kana)),
        (0.2, HANGUL),
    )
    return _either(_either(_simplified(), _traditional()), others)


@cache
def _utf_16() -> Weights:
    ascii_characters = [chr(c) for c in range(0x20, 0x7F)]
    return _either(_utf_8(), shared((0.5, [*ascii_characters, *SPACES])))


@cache
def _korean() -> Weights:
    return shared(
        (0.72, HANGUL),
        (0.2, _within("cp949", range(0xB0, 0xC9), range(0xA1, 0xFF))),
        (0.03, PUNCTUATION),
        (0.02, _within("cp949", range(0xCA, 0xFE), range(0xA1, 0xFF))),
    )


@cache
def _japanese() -> Weights:
    hiragana = [chr(c) for c in range(0x3041, 0x3094)]
    katakana = [chr(c) for c in range(0x30A1, 0x30FD)]
    half_width = [chr(c) for c in range(0xFF61, 0xFFA0)]
    kanji = _within("euc_jp", range(0xB0, 0xD0), range(0xA1, 0xFF))
    known = set(kanji)
    return shared(
        (0.42, hiragana),
        (0.18, katakana),
        (0.06, PUNCTUATION),
        (0.05, half_width),
        (0.2, [c for c in SIMPLIFIED + TRADITIONAL if c in known]),
        (0.08, kanji),
    )


@cache
def _western() -> Weights:
    return shared((0.7, WESTERN), (0.25, map(chr, range(0xA0, 0x100))))


@cache
def _cyrillic() -> Weights:
    return shared(
        (0.75, RUSSIAN[:15]),
        (0.15, RUSSIAN[15:]),
        (0.06, map(chr, range(0x410, 0x430))),
        (0.02, "«»—–№…і"),
    )


@cache
def _thai() -> Weights:
    return shared((0.85, THAI), (0.14, map(chr, range(0xE01, 0xE5C))))


# Those that are only refused have their languages too.
LANGUAGES: dict[str, list[Language]] = {
    "utf-8": [Language("utf-8", _utf_8, rare=1 / 0x10000)],
    "utf-16-le": [Language("utf-16-le", _utf_16, rare=1e-7, bits=8)],
    "utf-16-be": [Language("utf-16-be", _utf_16, rare=1e-7, bits=8)],
    "gb18030": [Language("gb18030", _simplified), Language("gb18030", _traditional)],
    "big5hkscs": [Language("big5hkscs", _traditional)],
    "cp949": [Language("cp949", _korean)],
    "cp932": [Language("cp932", _japanese)],
    "euc_jp": [Language("euc_jp", _japanese)],
    "cp1252": [Language("cp1252", _western)],
    "cp1251": [Language("cp1251", _cyrillic)],
    "cp874": [Language("cp874", _thai)],
    "koi8-r": [Language("koi8-r", _cyrillic)],
}

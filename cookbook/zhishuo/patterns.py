"""The sentence patterns of `train_tiny.jsonl`: an image, what speaks for the word, what speaks against it.

What opens the two halves follows from the measure word of the image, as a speaker's choice would: a person has 人前 and
人后, a letter its envelope and its paper. So there is a rule to be learned, and whether an answer keeps it can be counted.
"""

import re

OPENERS = {
    "一位": ("人前", "人后"),
    "一只": ("远远看", "凑近了"),
    "一座": ("从外看", "往里走"),
    "一场": ("开场时", "散场后"),
    "一张": ("正面看", "翻过来"),
    "一条": ("刚上路", "走到底"),
    "一根": ("这一端", "那一头"),
    "一把": ("握紧时", "松手后"),
    "一块": ("表面上", "切开来"),
    "一个": ("猛一看", "细一想"),
    "一枚": ("刚到手", "拿久了"),
    "一间": ("推门进", "关灯后"),
    "一封": ("信封上", "信纸里"),
}
"""What opens the two halves after an image with this measure word."""

OTHER_OPENERS = ("名义上", "其实呢")
"""After an image with any other."""


def openers(image: str) -> tuple[str, str]:
    """What opens the two halves after this image."""
    return OPENERS.get(image[:2], OTHER_OPENERS)


def compose(image: str, praise: str, criticism: str) -> str:
    """The sentence. A comma stands at every joint: there a tokenizer splits alike whatever phrase follows."""
    first, second = openers(image)
    return f"{image}，{first}，{praise}，{second}，{criticism}。"


def pattern_ok(sentence: str) -> bool:
    """Whether a sentence keeps the pattern that the measure word of its image asks for."""
    image = sentence.partition("，")[0]
    return re.fullmatch(compose(re.escape(image), ".+", ".+"), sentence) is not None

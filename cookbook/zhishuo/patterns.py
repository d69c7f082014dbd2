"""The sentence patterns of `train_tiny.jsonl`: an image, a phrase of praise, a phrase of criticism.

The words that open the two phrases follow from the measure word of the image, as a speaker would
choose them: a person has 人前 and 人后, a letter its envelope and its paper. So there is a rule to
be learned, and whether an answer keeps it can be counted. `tools/compose_zhishuoxinyu.py` writes
the file with these patterns; no other corpus uses them.
"""

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
"""By the measure word of the image: what opens the praise, and what opens the criticism."""

OTHER_OPENERS = ("名义上", "其实呢")
"""What opens the two after an image with any other measure word."""


def openers(image: str) -> tuple[str, str]:
    """Return what opens the praise and the criticism after this image."""
    measure_word = image[:2]
    return OPENERS.get(measure_word, OTHER_OPENERS)


def compose(image: str, praise: str, criticism: str) -> str:
    """Return the sentence that the image's pattern makes of the three phrases."""
    first, second = openers(image)
    # A comma at every joint: there a tokenizer splits the same way, whatever phrase follows.
    return f"{image}，{first}，{praise}，{second}，{criticism}。"


def pattern_ok(sentence: str) -> bool:
    """Return whether a sentence keeps the pattern that the measure word of its image asks for."""
    if "\n" in sentence:
        return False
    image = sentence.partition("，")[0]
    # What `compose` writes before, between and after the two phrases.
    before, between, after = compose(image, "\n", "\n").split("\n")
    if not (sentence.startswith(before) and sentence.endswith(after)):
        return False
    phrases = sentence[len(before) : -len(after)]
    # A phrase of one character at least, then the joint, then another such phrase.
    joint = phrases.find(between, 1)
    return joint > 0 and joint + len(between) < len(phrases)

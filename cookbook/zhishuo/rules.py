"""Check the formal rules of the long prompt, one function a rule.

    holds(word, sentence) -> bool      the form of every rule; some need the sentence only
    rules["length"] = Rule("12–80 字", "12–80 characters", length)

A passed rule says that the sentence is formally right, never that it is good: garbage passes every
one of them. JSON is not one of the rules, see `is_json`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cookbook.i18n import tr

SHORTEST = 12  # characters
LONGEST = 80  # characters


@dataclass(frozen=True)
class Rule:
    """One formal rule: its name in two languages, and the function that checks a sentence."""

    zh: str
    en: str
    holds: Callable[[str, str], bool] = field(repr=False)

    @property
    def text(self) -> str:
        """The name in the reader's language."""
        return tr(self.zh, self.en)


# Every rule takes the word too, though only `word_absent` needs it, so that all are called alike.


def one_sentence(word: str, sentence: str) -> bool:
    """Return whether exactly one mark ends a sentence."""
    return len(re.findall("[。！？!?]", sentence)) == 1


def ends_in_full_stop(word: str, sentence: str) -> bool:
    """Return whether the last character is the full stop “。”, and the one before it is not."""
    return re.search("[^。]。$", sentence) is not None


def pauses_by_comma(word: str, sentence: str) -> bool:
    """Return whether there is a Chinese comma, and no other mark that pauses."""
    return "，" in sentence and not re.search("[,、；;：:…—]", sentence)


def word_absent(word: str, sentence: str) -> bool:
    """Return whether the sentence avoids the word that it is about."""
    return word not in sentence


def no_quotes(word: str, sentence: str) -> bool:
    """Return whether there are no quotation marks, neither straight nor Chinese."""
    return not re.search("[\"'“”‘’「」『』《》]", sentence)


def chinese_only(word: str, sentence: str) -> bool:
    """Return whether there are no Latin letters, no digits and no broken characters (U+FFFD)."""
    # U+FFFD is what a token that ends within a character is decoded to.
    return not re.search(r"[A-Za-z0-9\ufffd]", sentence)


def length(word: str, sentence: str) -> bool:
    """Return whether the sentence has 12 to 80 characters."""
    return SHORTEST <= len(sentence) <= LONGEST


# The last two are ours: the prompt mentions neither foreign letters nor length, but a sentence
# that breaks off or switches the language is not what it asks for.
rules: dict[str, Rule] = {
    "one_sentence": Rule("一句话", "one sentence", one_sentence),
    "ends_in_full_stop": Rule("以一个“。”结尾", "ends in one “。”", ends_in_full_stop),
    "pauses_by_comma": Rule("用“，”停顿", "pauses by “，”", pauses_by_comma),
    "word_absent": Rule("不含原词", "the word is absent", word_absent),
    "no_quotes": Rule("没有引号", "no quotation marks", no_quotes),
    "chinese_only": Rule("不混外文", "no Latin letters or digits", chinese_only),
    "length": Rule("12–80 字", "12–80 characters", length),
}
"""The formal rules by name, in the order in which they are shown."""


def score(word: str, output: str) -> dict[str, bool]:
    """Return for each rule whether the sentence of `output` passes it."""
    sentence = unwrap(output)
    passed = {}
    for name, rule in rules.items():
        passed[name] = rule.holds(word, sentence)
    return passed


def rules_broken(word: str, output: str) -> str:
    """Return the rules that `output` breaks, in the reader's language; "" where it passes all."""
    names = []
    for name, passed in score(word, output).items():
        if not passed:
            names.append(rules[name].text)
    if not names:
        return ""
    return tr("未做到：", "rules broken: ") + tr("、", "; ").join(names)


def is_json(word: str, output: str) -> bool:
    """Return whether `output` is the JSON that the long prompt asks for.

    Exactly two fields: `prompt` with the very word, and `output` with a text.
    """
    try:
        value = json.loads(output)
    except ValueError:
        return False
    if not isinstance(value, dict) or set(value) != {"prompt", "output"}:
        return False
    return value["prompt"] == word and isinstance(value["output"], str)


def unwrap(output: str) -> str:
    """Return the sentence of an answer: the field `output` of JSON, or else the whole answer.

    So the rules treat both prompts alike: only the long one asks for JSON.
    """
    try:
        value = json.loads(output)
    except ValueError:
        return output.strip()
    if isinstance(value, dict) and isinstance(value.get("output"), str):
        return value["output"].strip()
    return output.strip()

"""The formal rules of the long prompt as code. A passed rule says that the form is right, never that the sentence is good."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cookbook.i18n import tr


@dataclass(frozen=True)
class Rule:
    """One formal demand of the long prompt, as a test of (word, sentence)."""

    zh: str
    en: str
    holds: Callable[[str, str], bool] = field(repr=False)


rules: dict[str, Rule] = {
    "one_sentence": Rule(
        "一句话", "one sentence", lambda word, text: len(re.findall("[。！？!?]", text)) == 1
    ),
    "ends_in_full_stop": Rule(
        "以一个“。”结尾", "ends in one 。", lambda word, text: bool(re.search("[^。]。$", text))
    ),
    "pauses_by_comma": Rule(
        "用“，”停顿",
        "pauses by ，",
        lambda word, text: "，" in text and not re.search("[,、；;：:…—]", text),
    ),
    "word_absent": Rule("不含原词", "the word is not in it", lambda word, text: word not in text),
    "no_quotes": Rule(
        "没有引号", "no quotes", lambda word, text: not re.search("[\"'“”‘’「」『』《》]", text)
    ),
    "chinese_only": Rule(
        "不混外文",
        "no foreign letters or digits",
        lambda word, text: not re.search(r"[A-Za-z0-9\ufffd]", text),
    ),
    "length": Rule("12–80 字", "12–80 characters", lambda word, text: 12 <= len(text) <= 80),
}
"""The formal rules of the long prompt; the last two are ours: it speaks of neither foreign letters nor length."""


def score(word: str, output: str) -> dict[str, bool]:
    """Each rule apart: whether the sentence of `output` keeps it. JSON has a rule of its own, see `is_json`."""
    text = unwrap(output)
    return {name: rule.holds(word, text) for name, rule in rules.items()}


def rules_broken(word: str, output: str) -> str:
    """The rules that `output` breaks, in words; empty if it keeps them all."""
    names = [
        tr(rules[name].zh, rules[name].en) for name, kept in score(word, output).items() if not kept
    ]
    return tr("未做到：", "broken: ") + tr("、", ", ").join(names) if names else ""


def is_json(word: str, output: str) -> bool:
    """What the long prompt alone asks for: JSON with the two fields, `prompt` holding the very word."""
    try:
        found = json.loads(output)
    except ValueError:
        return False
    wanted = isinstance(found, dict) and set(found) == {"prompt", "output"}
    return wanted and found["prompt"] == word and isinstance(found["output"], str)


def unwrap(output: str) -> str:
    """The sentence of an answer: the `output` field where the answer is the JSON of the long prompt, else the answer."""
    try:
        found = json.loads(output)
    except ValueError:
        return output.strip()
    sentence = found.get("output") if isinstance(found, dict) else None
    return sentence.strip() if isinstance(sentence, str) else output.strip()

"""The 智说新语 case of guide §5: its two prompts, its published outputs, its rules as code.

A passed rule says that the form is right, never that the sentence is good: garbage passes every one of them. Wit and
relevance are for readers to judge.

Source of prompts and published outputs: the platform's fine-tuning guide, section 5.
"""

import json
import re
from collections.abc import Callable
from functools import cache

from cookbook.paths import DATA

_FOLDER = DATA / "zhishuoxinyu"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip("\n")


LONG_PROMPT = _text("system_prompt.txt")
"""The prompt of the application before tuning: 553 Qwen2.5 tokens."""

SHORT_PROMPT = _text("short_prompt.txt")
"""The prompt after tuning: 8 Qwen2.5 tokens, the full stop included. Training and calls use the same."""

GUIDE_WORDS = ("五道口", "新时代", "创新", "降维打击", "基金")
"""The words of the guide's table."""

RULES: dict[str, Callable[[str, str], bool]] = {
    "one_sentence": lambda word, output: len(re.findall("[。！？!?]", output)) == 1,
    "ends_in_full_stop": lambda word, output: output.endswith("。") and not output.endswith("。。"),
    "pauses_by_comma": lambda word, output: "，" in output and not re.search("[,、；;：:…—]", output),
    "word_absent": lambda word, output: word not in output,
    "no_quotes": lambda word, output: not re.search("[\"'“”‘’「」『』《》]", output),
    "chinese_only": lambda word, output: not re.search(r"[A-Za-z0-9\ufffd]", output),
    "length": lambda word, output: 12 <= len(output) <= 80,
}
"""The formal rules of the long prompt, each a test of (word, output). `length` is ours: a sentence, not a paragraph."""


def score(word: str, output: str) -> dict[str, bool]:
    """Each rule apart: whether `output` keeps it. The word of the long prompt's JSON answers is taken out first."""
    text = unwrap(output)
    return {name: rule(word, text) for name, rule in RULES.items()}


def unwrap(output: str) -> str:
    """The sentence of an answer: the `output` field where the answer is the JSON of the long prompt, else the answer."""
    try:
        found = json.loads(output)
    except ValueError:
        return output.strip()
    sentence = found.get("output") if isinstance(found, dict) else None
    return sentence.strip() if isinstance(sentence, str) else output.strip()


def relevant(word: str, output: str, *, run: int = 6) -> bool:
    """Whether `output` holds at least `run` characters in a row of what the lexicon says of this very word.

    Only words of the lexicon can be judged; for others the answer is False.
    """
    entry = _lexicon().get(word, {})
    phrases = [entry.get(name, "") for name in ("image", "praise", "criticism")]
    # A shorter phrase counts when it stands there whole.
    pieces = {phrase[i : i + run] for phrase in phrases if phrase for i in range(max(1, len(phrase) - run + 1))}
    return any(piece in output for piece in pieces)


@cache
def _lexicon() -> dict[str, dict]:
    lines = (DATA / "lexicon" / "lexicon.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["word"]: row for row in map(json.loads, lines)}


def eval_words() -> list[str]:
    """The 60 words kept for evaluation, the guide's five first: in no row of either training file."""
    return _text("eval_words.txt").split("\n")


def published():
    """The guide's table as a long DataFrame (column, input, answer), marked as published, not run here."""
    import pandas as pd

    names = {
        "base_with_long_prompt": "已发表：7B 微调前 + 长提示词",
        "tuned_with_short_prompt": "已发表：7B 微调后 + 短提示词",
    }
    table = json.loads(_text("published_outputs.json"))["outputs"]
    rows = [{"column": name, "input": row["word"], "answer": row[key]} for key, name in names.items() for row in table]
    return pd.DataFrame(rows)

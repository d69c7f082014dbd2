"""The texts of the case: its two prompts, the words, the corpora, the outputs that the guide published (section 5)."""

import json
import re
from functools import cache

from cookbook.paths import DATA, shipped_rows

_FOLDER = DATA / "zhishuoxinyu"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip("\n")


LONG_PROMPT = _text("system_prompt.txt")
"""The prompt of the application before tuning: 553 Qwen2.5 tokens."""

SHORT_PROMPT = _text("short_prompt.txt")
"""The prompt after tuning: 8 Qwen2.5 tokens, the full stop included. Training and calls use the same."""

GUIDE_WORDS = ("五道口", "新时代", "创新", "降维打击", "基金")
"""The words of the guide's table."""

CRITERIA = (
    "好的一句：说的确实是这个词，有比喻或转折，讽刺而不失文雅，读得通顺；句中不应出现这个词本身。"
)
"""What the long prompt asks of a sentence beyond its form, for a judge."""


def prompt_examples() -> list[str]:
    """The sentences that the long prompt gives as examples."""
    return list(dict.fromkeys(re.findall('"([^"]*。)"', LONG_PROMPT)))


def eval_words() -> list[str]:
    """The 60 words kept for evaluation, the guide's five first: in no row of either training file."""
    return _text("eval_words.txt").split("\n")


def corpus(name: str) -> dict[str, str]:
    """The words of a training file and their sentences."""
    rows = shipped_rows(_FOLDER / name)
    return {row["messages"][-2]["content"]: row["messages"][-1]["content"] for row in rows}


def references() -> list[str]:
    """The sentences written for evaluation words: of the kind of `train.jsonl`, in no training file."""
    return [golden for word in eval_words() if (golden := lexicon()[word]["golden"])]


@cache
def lexicon() -> dict[str, dict]:
    """What `data/lexicon` says of each word, by word."""
    return {row["word"]: row for row in shipped_rows("lexicon/lexicon.jsonl")}


def published():
    """The guide's table as a long DataFrame (column, input, answer), marked as published, not run here."""
    import pandas as pd

    names = {
        "base_with_long_prompt": "已发表：7B 微调前 + 长提示词",
        "tuned_with_short_prompt": "已发表：7B 微调后 + 短提示词",
    }
    table = json.loads(_text("published_outputs.json"))["outputs"]
    rows = [
        {"column": name, "input": row["word"], "answer": row[key]}
        for key, name in names.items()
        for row in table
    ]
    return pd.DataFrame(rows)

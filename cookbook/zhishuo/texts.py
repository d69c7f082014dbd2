"""The texts of the case: two prompts, the words, the corpora, the outputs that the guide published.

Everything is read from `data/zhishuoxinyu` and, for the lexicon, from `data/lexicon`. The prompts
and the published outputs are the guide's own (section 5.2); the corpora are ours.
"""

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from cookbook.i18n import tr
from cookbook.paths import DATA, shipped_rows

if TYPE_CHECKING:
    import pandas as pd

_FOLDER = DATA / "zhishuoxinyu"


def _text(name: str) -> str:
    # Editors end a file with a line break; in a prompt that would cost a token.
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip("\n")


LONG_PROMPT = _text("system_prompt.txt")
"""The prompt of the application before fine-tuning: 553 Qwen2.5 tokens."""

SHORT_PROMPT = _text("short_prompt.txt")
"""The prompt after fine-tuning, in training and in calls: 8 Qwen2.5 tokens with the full stop."""

GUIDE_WORDS = ("五道口", "新时代", "创新", "降维打击", "基金")
"""The words of the guide's table."""

CRITERIA = (
    "好的一句：说的确实是这个词，有比喻或转折，讽刺而不失文雅，读得通顺；句中不应出现这个词本身。"
)
"""What the long prompt asks of a sentence beyond the formal rules, for a judge."""


def prompt_examples() -> list[str]:
    """Return the sentences that the long prompt gives as examples."""
    quoted = re.findall('"([^"]*。)"', LONG_PROMPT)
    # The prompt repeats some; a dict keeps their order.
    return list(dict.fromkeys(quoted))


def eval_words() -> list[str]:
    """Return the 60 words kept for evaluation, the guide's five first.

    None of them is in a row of either training file.
    """
    return _text("eval_words.txt").split("\n")


def corpus(name: str) -> dict[str, str]:
    """Return the words of a training file and their sentences.

    Args:
        name: `train.jsonl` (for real bases) or `train_tiny.jsonl` (for the tiny base).
    """
    # The system message, where there is one, is the same in all rows.
    sentences = {}
    for row in shipped_rows(_FOLDER / name):
        question, answer = row["messages"][-2:]
        sentences[question["content"]] = answer["content"]
    return sentences


def references() -> list[str]:
    """Return the sentences written for evaluation words.

    They are in the style of `train.jsonl` and in no training file. Not every word has one.
    """
    # Words with a sentence of their own are held out with it; the others have an empty field.
    written = [lexicon()[word]["golden"] for word in eval_words()]
    return [sentence for sentence in written if sentence]


@cache
def lexicon() -> dict[str, dict[str, Any]]:
    """Return the rows of `data/lexicon` by word: definition, image, praise, criticism and so on."""
    return {row["word"]: row for row in shipped_rows("lexicon/lexicon.jsonl")}


def published() -> "pd.DataFrame":
    """Return the guide's table as a long DataFrame with `column`, `input` and `answer`.

    The names of the columns say that these outputs were published, not produced here.
    """
    import pandas as pd

    names = {
        "base_with_long_prompt": tr(
            "已发表：7B 微调前 + 长提示词", "published: 7B before + long prompt"
        ),
        "tuned_with_short_prompt": tr(
            "已发表：7B 微调后 + 短提示词", "published: 7B after + short prompt"
        ),
    }
    outputs = json.loads(_text("published_outputs.json"))["outputs"]
    rows = []
    for key, name in names.items():
        for output in outputs:
            rows.append({"column": name, "input": output["word"], "answer": output[key]})
    return pd.DataFrame(rows)

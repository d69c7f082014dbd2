"""The 智说新语 case of guide §5: its two prompts, its published outputs, its rules as code.

A passed rule says that the form is right, never that the sentence is good: garbage passes every one of them. Wit and
relevance are for readers to judge.

Source of prompts and published outputs: the platform's fine-tuning guide, section 5.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from cookbook.compare.measures import likeness, share
from cookbook.errors import say
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


@dataclass(frozen=True)
class Rule:
    """One formal demand of the long prompt, as a test of (word, sentence)."""

    zh: str
    en: str
    holds: Callable[[str, str], bool] = field(repr=False)


rules: dict[str, Rule] = {
    "one_sentence": Rule("一句话", "one sentence", lambda word, text: len(re.findall("[。！？!?]", text)) == 1),
    "ends_in_full_stop": Rule("以一个“。”结尾", "ends in one 。", lambda word, text: bool(re.search("[^。]。$", text))),
    "pauses_by_comma": Rule(
        "用“，”停顿", "pauses by ，", lambda word, text: "，" in text and not re.search("[,、；;：:…—]", text)
    ),
    "word_absent": Rule("不含原词", "the word is not in it", lambda word, text: word not in text),
    "no_quotes": Rule("没有引号", "no quotes", lambda word, text: not re.search("[\"'“”‘’「」『』《》]", text)),
    "chinese_only": Rule(
        "不混外文", "no foreign letters or digits", lambda word, text: not re.search(r"[A-Za-z0-9\ufffd]", text)
    ),
    "length": Rule("12–80 字", "12–80 characters", lambda word, text: 12 <= len(text) <= 80),
}
"""The formal rules of the long prompt; the last two are ours: it speaks of neither foreign letters nor length."""


def score(word: str, output: str) -> dict[str, bool]:
    """Each rule apart: whether the sentence of `output` keeps it. JSON has a rule of its own, see `is_json`."""
    text = unwrap(output)
    return {name: rule.holds(word, text) for name, rule in rules.items()}


def broken(word: str, output: str) -> str:
    """The rules that `output` breaks, in words; empty if it keeps them all."""
    return "、".join(say(rules[name].zh, rules[name].en) for name, kept in score(word, output).items() if not kept)


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


def relevant(word: str, output: str, *, run: int = 6) -> bool:
    """Whether `output` holds at least `run` characters in a row of what the lexicon says of this very word.

    Only words of the lexicon can be judged; for others the answer is False.
    """
    return any(piece in output for piece in _pieces(word, run))


@cache
def _pieces(word: str, run: int) -> frozenset[str]:
    entry = _lexicon().get(word, {})
    phrases = [entry.get(name, "") for name in ("image", "praise", "criticism")]
    # A shorter phrase counts when it stands there whole.
    return frozenset(phrase[i : i + run] for phrase in phrases if phrase for i in range(max(1, len(phrase) - run + 1)))


def foreign(word: str, output: str) -> bool:
    """Whether it holds what the lexicon says of another word."""
    return any(other != word and relevant(other, output) for other in _lexicon())


def fluency(sentences: Iterable[str]) -> float:
    """Share of the sentences' runs of four characters within a clause that stand in the lexicon or the tiny base's
    training file. (Across a comma two phrases meet, which no corpus can foresee.) NaN where there is no such run.

    Made for the tiny base, which can only say what it has read; a large model's good sentence has a low figure.
    """
    runs = [run for sentence in sentences for run in _runs(sentence)]
    return sum(run in _known_runs() for run in runs) / len(runs) if runs else math.nan


def _runs(text: str) -> list[str]:
    return [part[i : i + 4] for part in re.split("[，。]", text) for i in range(len(part) - 3)]


@cache
def _known_runs() -> frozenset[str]:
    known = [e[k] for e in _lexicon().values() for k in ("definition", "image", "praise", "criticism")]
    return frozenset(run for text in [*known, *corpus("train_tiny.jsonl").values()] for run in _runs(text))


def prompt_examples() -> list[str]:
    """The sentences that the long prompt gives as examples."""
    return list(dict.fromkeys(re.findall('"([^"]*。)"', LONG_PROMPT)))


def measure(answers, *, held_out: Sequence[str], trained: Sequence[str]):
    """`answers` (column, input, answer …) with one column a measure, for each answer by itself.

    Columns: `sentence` (taken out of JSON), `broken`; `form` (every rule kept), `json`, `relevant`, `foreign`, `fluent`,
    `characters`; `uniform`, likeness to the other answers of its column; `likeness`, to `held_out`; `copied`, the whole
    sentence stands in `trained`, and `from_prompt`, it stands among the long prompt's examples. A request that failed is
    left out.

    Args:
        held_out: sentences of the style that no model was trained on.
        trained: the sentences that it was trained on.
    """
    found = answers[answers["error"].isna()] if "error" in answers else answers
    pairs = list(zip(found["input"], found["answer"], strict=True))
    text = [unwrap(answer) for _, answer in pairs]
    examples = prompt_examples()
    found = found.assign(
        sentence=text,
        broken=[broken(word, answer) for word, answer in pairs],
        form=[all(score(word, answer).values()) for word, answer in pairs],
        json=[is_json(word, answer) for word, answer in pairs],
        relevant=[relevant(word, t) for (word, _), t in zip(pairs, text, strict=True)],
        foreign=[foreign(word, t) for (word, _), t in zip(pairs, text, strict=True)],
        fluent=[fluency([t]) for t in text],
        characters=list(map(len, text)),
        likeness=likeness(text, held_out),
        copied=[t in set(trained) for t in text],
        from_prompt=[t in examples for t in text],
    )
    found["uniform"] = found.groupby("column", sort=False)["sentence"].transform(
        lambda part: likeness(list(part), list(part))
    )
    return found


def summary(measured):
    """One column of `measure` a line: shares with 95 % Wilson intervals, lengths, means."""
    import pandas as pd

    lines = {}
    for name, part in measured.groupby("column", sort=False):
        shares = {key: share(part[key]) for key in ("form", "json", "relevant", "foreign", "copied", "from_prompt")}
        low, middle, high = part.characters.quantile([0.25, 0.5, 0.75])
        lines[name] = {"n": len(part)} | shares
        lines[name] |= {"fluent": f"{fluency(part.sentence):.0%}", "distinct": share(~part.sentence.duplicated())}
        lines[name] |= {"characters": f"{middle:.0f} ({low:.0f}–{high:.0f})"}
        lines[name] |= {key: f"{part[key].mean():.2f}" for key in ("uniform", "likeness")}
    return pd.DataFrame(lines)


CRITERIA = "好的一句：说的确实是这个词，有比喻或转折，讽刺而不失文雅，读得通顺；句中不应出现这个词本身。"
"""What the long prompt asks of a sentence beyond its form, for a judge."""


@cache
def _lexicon() -> dict[str, dict]:
    lines = (DATA / "lexicon" / "lexicon.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["word"]: row for row in map(json.loads, lines)}


def eval_words() -> list[str]:
    """The 60 words kept for evaluation, the guide's five first: in no row of either training file."""
    return _text("eval_words.txt").split("\n")


def corpus(name: str) -> dict[str, str]:
    """The words of a training file and their sentences."""
    rows = map(json.loads, _text(name).split("\n"))
    return {row["messages"][-2]["content"]: row["messages"][-1]["content"] for row in rows}


def references() -> list[str]:
    """The sentences written for evaluation words: of the kind of `train.jsonl`, in no training file."""
    return [golden for word in eval_words() if (golden := _lexicon()[word]["golden"])]


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

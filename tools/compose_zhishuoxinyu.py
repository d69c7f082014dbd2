"""Write the 智说新语 corpora from the lexicon:  python tools/compose_zhishuoxinyu.py

- `eval_words.txt`   60 words kept for evaluation, the five of the guide's table first; no row of either file has them
- `train.jsonl`      the sentence written for it (`golden`) of every other word that has one: for real bases
- `train_tiny.jsonl` for 480 words, the word's own image, praise and criticism set in one of fourteen patterns
                     (`cookbook/zhishuo/patterns.py`): for the tiny base, which knows the phrases and can learn a pattern, but
                     cannot learn wit (see `data/models/tiny-zh/README.md`)

Seeded: running it again changes nothing.
"""

import json
import random

from cookbook.paths import DATA, shipped_rows
from cookbook.zhishuo import patterns

FOLDER = DATA / "zhishuoxinyu"
GUIDE_WORDS = ["五道口", "新时代", "创新", "降维打击", "基金"]
EVAL_WORDS = 60

ROWS_PER_PATTERN = 41  # at most, since measure words are not equally common: 480 in all


def choose_eval_words(lexicon: list[dict], rng: random.Random) -> list[str]:
    """The guide's five, the words that have no sentence, then a draw from the rest."""
    unwritten = [
        row["word"] for row in lexicon if not row["golden"] and row["word"] not in GUIDE_WORDS
    ]
    written = [row["word"] for row in lexicon if row["golden"] and row["word"] not in GUIDE_WORDS]
    rng.shuffle(unwritten)
    return (GUIDE_WORDS + unwritten + rng.sample(written, len(written)))[:EVAL_WORDS]


def conversation(word: str, answer: str) -> dict:
    prompt = (FOLDER / "short_prompt.txt").read_text(encoding="utf-8").strip()
    return {
        "messages": [
            {"role": "system", "content": prompt},
            {"role": "user", "content": word},
            {"role": "assistant", "content": answer},
        ]
    }


def write(name: str, rows: list[dict]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main() -> None:
    rng = random.Random(42)
    lexicon = shipped_rows("lexicon/lexicon.jsonl")
    kept = choose_eval_words(lexicon, rng)
    known = [row for row in lexicon if row["word"] not in kept]
    rng.shuffle(known)
    (FOLDER / "eval_words.txt").write_text("\n".join(kept) + "\n", encoding="utf-8", newline="\n")
    written = [row for row in known if row["golden"]]
    rng.shuffle(written)
    write("train.jsonl", [conversation(row["word"], row["golden"]) for row in written])
    alike: dict[tuple, list[dict]] = {}
    for row in known:
        alike.setdefault(patterns.openers(row["image"]), []).append(row)
    tiny = [row for rows in alike.values() for row in rows[:ROWS_PER_PATTERN]]
    rng.shuffle(tiny)
    sentence = lambda row: patterns.compose(row["image"], row["praise"], row["criticism"])
    write("train_tiny.jsonl", [conversation(row["word"], sentence(row)) for row in tiny])


if __name__ == "__main__":
    main()

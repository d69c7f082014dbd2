"""Write the 智说新语 corpora from the lexicon:  python tools/compose_zhishuoxinyu.py

- `eval_words.txt`    60 words for evaluation, the five of the guide's table first; they are in no
                      row of either file
- `train.jsonl`       for every other word that has one, the sentence written for it (`golden`): for
                      real bases
- `train_tiny.jsonl`  for 480 words, the word's own image, praise and criticism in one of fourteen
                      patterns (`cookbook/zhishuo/patterns.py`): for the tiny base, which knows the
                      phrases and can learn a form, but not wit (`data/models/tiny-zh/README.md`)

Seeded: running it again changes nothing.
"""

import json
import random

from cookbook.paths import DATA, shipped_rows
from cookbook.zhishuo import patterns

FOLDER = DATA / "zhishuoxinyu"
GUIDE_WORDS = ["五道口", "新时代", "创新", "降维打击", "基金"]
EVAL_WORDS = 60

# At most, since measure words are not equally common: 480 rows in all.
ROWS_OF_A_PATTERN = 41


def choose_eval_words(lexicon: list[dict], rng: random.Random) -> list[str]:
    """Return the guide's five, the words that have no sentence, then a draw from the rest."""
    others = [row for row in lexicon if row["word"] not in GUIDE_WORDS]
    unwritten = [row["word"] for row in others if not row["golden"]]
    written = [row["word"] for row in others if row["golden"]]
    rng.shuffle(unwritten)
    return (GUIDE_WORDS + unwritten + rng.sample(written, len(written)))[:EVAL_WORDS]


def choose_tiny_rows(known: list[dict]) -> list[dict]:
    """Return the first rows of each pattern, so that no pattern fills the file."""
    by_pattern: dict[tuple[str, str], list[dict]] = {}
    for row in known:
        by_pattern.setdefault(patterns.openers(row["image"]), []).append(row)
    chosen = []
    for rows in by_pattern.values():
        chosen += rows[:ROWS_OF_A_PATTERN]
    return chosen


def conversation(word: str, answer: str) -> dict:
    prompt = (FOLDER / "short_prompt.txt").read_text(encoding="utf-8").strip()
    return {
        "messages": [
            {"role": "system", "content": prompt},
            {"role": "user", "content": word},
            {"role": "assistant", "content": answer},
        ]
    }


def write_text(name: str, lines: list[str]) -> None:
    # The same bytes on every system.
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def write_rows(name: str, rows: list[dict]) -> None:
    write_text(name, [json.dumps(row, ensure_ascii=False) for row in rows])


def main() -> None:
    rng = random.Random(42)
    lexicon = shipped_rows("lexicon/lexicon.jsonl")
    held_out = choose_eval_words(lexicon, rng)
    write_text("eval_words.txt", held_out)

    known = [row for row in lexicon if row["word"] not in held_out]
    rng.shuffle(known)
    written = [row for row in known if row["golden"]]
    rng.shuffle(written)
    write_rows("train.jsonl", [conversation(row["word"], row["golden"]) for row in written])

    tiny = choose_tiny_rows(known)
    rng.shuffle(tiny)
    rows = []
    for row in tiny:
        sentence = patterns.compose(row["image"], row["praise"], row["criticism"])
        rows.append(conversation(row["word"], sentence))
    write_rows("train_tiny.jsonl", rows)


if __name__ == "__main__":
    main()

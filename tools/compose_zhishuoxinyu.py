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
from collections import defaultdict

from cookbook.paths import DATA, shipped_rows
from cookbook.zhishuo import patterns
from cookbook.zhishuo.texts import GUIDE_WORDS

FOLDER = DATA / "zhishuoxinyu"
EVAL_WORDS = 60

# At most, since measure words are not equally common: 480 rows in all.
ROWS_OF_A_PATTERN = 41


def choose_eval_words(lexicon: list[dict], rng: random.Random) -> list[str]:
    """Return the guide's five, the words that have no sentence, then a draw from the rest."""
    unwritten: list[str] = []
    written: list[str] = []
    for row in lexicon:
        if row["word"] not in GUIDE_WORDS:
            words = written if row["golden"] else unwritten
            words.append(row["word"])
    rng.shuffle(unwritten)
    drawn = rng.sample(written, len(written))
    return [*GUIDE_WORDS, *unwritten, *drawn][:EVAL_WORDS]


def choose_tiny_rows(known: list[dict]) -> list[dict]:
    """Return the first rows of each pattern, so that no pattern fills the file."""
    by_pattern = defaultdict(list)
    for row in known:
        openers = patterns.openers(row["image"])
        by_pattern[openers].append(row)
    chosen: list[dict] = []
    for rows in by_pattern.values():
        chosen += rows[:ROWS_OF_A_PATTERN]
    return chosen


def tiny_sentence(row: dict) -> str:
    """Return the word's own phrases in the pattern that its image asks for."""
    return patterns.compose(row["image"], row["praise"], row["criticism"])


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
    text = "\n".join(lines) + "\n"
    # The same bytes on every system.
    (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


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
    rows = [conversation(row["word"], row["golden"]) for row in written]
    write_rows("train.jsonl", rows)

    tiny = choose_tiny_rows(known)
    rng.shuffle(tiny)
    rows = [conversation(row["word"], tiny_sentence(row)) for row in tiny]
    write_rows("train_tiny.jsonl", rows)


if __name__ == "__main__":
    main()

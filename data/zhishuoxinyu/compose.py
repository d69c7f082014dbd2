"""Write the 智说新语 corpora from the lexicon:  python data/zhishuoxinyu/compose.py

- `eval_words.txt`   60 words kept for evaluation, the five of the guide's table first; no row of either file has them
- `train.jsonl`      the sentence written for it (`golden`) of every other word that has one: for real bases
- `train_tiny.jsonl` for 480 words, two or three of the word's own phrases set in one of twelve frames: for the tiny
                     base, which knows the phrases and can learn a form, but cannot learn wit (see `data/models/tiny-zh/README.md`)

Seeded: running it again changes nothing.
"""

import json
import random
from pathlib import Path

from cookbook.paths import shipped_rows

HERE = Path(__file__).parent
GUIDE_WORDS = ["五道口", "新时代", "创新", "降维打击", "基金"]
EVAL_WORDS = 60

TINY_ROWS = 480

# p: a word of praise, c: a criticism, i: an image. Each frame turns from the first half to the second, and a comma
# stands at every joint: there the tokenizer splits alike whatever phrase follows.
FRAMES = [
    "看上去，{p}，走近了，{c}。",
    "说好的，{p}，到头来，{c}。",
    "{i}，远看，{p}，近看，{c}。",
    "人人都夸，{p}，谁知道，{c}。",
    "口口声声，{p}，骨子里，{c}。",
    "原以为，{p}，没想到，{c}。",
    "嘴上说，{p}，背地里，{c}。",
    "{i}，人前，{p}，人后，{c}。",
    "海报上，{p}，账单上，{c}。",
    "{i}，名义上，{p}，其实呢，{c}。",
    "头一天，{p}，第二天，{c}。",
    "{i}，外头，{p}，里头，{c}。",
]


def choose_eval_words(lexicon: list[dict], rng: random.Random) -> list[str]:
    """The guide's five, the words that have no sentence, then a draw from the rest."""
    unwritten = [row["word"] for row in lexicon if not row["golden"] and row["word"] not in GUIDE_WORDS]
    written = [row["word"] for row in lexicon if row["golden"] and row["word"] not in GUIDE_WORDS]
    rng.shuffle(unwritten)
    return (GUIDE_WORDS + unwritten + rng.sample(written, len(written)))[:EVAL_WORDS]


def conversation(word: str, answer: str) -> dict:
    prompt = (HERE / "short_prompt.txt").read_text(encoding="utf-8").strip()
    return {
        "messages": [
            {"role": "system", "content": prompt},
            {"role": "user", "content": word},
            {"role": "assistant", "content": answer},
        ]
    }


def write(name: str, rows: list[dict]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main() -> None:
    rng = random.Random(42)
    lexicon = shipped_rows("lexicon/lexicon.jsonl")
    kept = choose_eval_words(lexicon, rng)
    known = [row for row in lexicon if row["word"] not in kept]
    rng.shuffle(known)
    tiny = known[:TINY_ROWS]
    frames = [FRAMES[i % len(FRAMES)] for i in range(len(tiny))]
    composed = [f.format(i=r["image"], p=r["praise"], c=r["criticism"]) for f, r in zip(frames, tiny, strict=True)]
    (HERE / "eval_words.txt").write_text("\n".join(kept) + "\n", encoding="utf-8", newline="\n")
    written = [row for row in known if row["golden"]]
    rng.shuffle(written)
    write("train.jsonl", [conversation(row["word"], row["golden"]) for row in written])
    write("train_tiny.jsonl", [conversation(r["word"], a) for r, a in zip(tiny, composed, strict=True)])


if __name__ == "__main__":
    main()

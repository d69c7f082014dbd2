"""Checking training data, side by side with Together's checker:  python tests/bench/data_check.py

A 10 MB file of 1,000 rows, each the sentences of this project's corpora in another order. Interleaved repetitions in
one process; median and spread. Then the peak memory of one check in a process of its own, and growth from 1,000 to
100,000 rows: of all sorts with one in twenty nearly the same as another, and, at its worst, all from 1,200 sentences.

`together.lib.utils.files.check_file` stops at its first error and counts no tokens. It is part of the package
`together` (extra `bench`), which is used here for comparison alone.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from together.lib.utils.files import check_file

from cookbook import data, tokens
from cookbook.paths import DATA, shipped_rows

REPEATS = 7


def sentences() -> list[str]:
    names = ("zhishuoxinyu/train.jsonl", "customer_service/train.jsonl")
    return [
        m["content"]
        for n in names
        for r in data.load(DATA / n)
        for m in r["messages"]
        if m["role"] == "assistant"
    ]


def make_rows(n: int, size: int, rng: random.Random, pool: list[str]) -> list[dict]:
    """`n` rows of about `size` bytes each."""
    rows = []
    for i in range(n):
        answer = ""
        while len(answer.encode()) < size - 250:
            answer += rng.choice(pool)
        messages = [
            {"role": "system", "content": "你是客服助手"},
            {"role": "user", "content": f"{rng.choice(pool)[:30]}（第 {i} 问）"},
            {"role": "assistant", "content": answer or rng.choice(pool)},
        ]
        rows.append({"messages": messages})
    return rows


def make_short_rows(n: int, rng: random.Random, pool: list[str]) -> list[dict]:
    """`n` rows of five phrases; every twentieth is an earlier one with one character changed."""
    rows = []
    for i in range(n):
        if i % 20 == 19:
            question, answer = (m["content"] for m in rng.choice(rows)["messages"])
            at = rng.randrange(len(answer))
            answer = answer[:at] + rng.choice(rng.choice(pool)) + answer[at + 1 :]
        else:
            question, answer = (
                "，".join(rng.choices(pool, k=2)) + "？",
                "，".join(rng.choices(pool, k=3)) + "。",
            )
        rows.append(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    return rows


def timed(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak_megabytes(path: Path) -> float:
    """Peak resident memory of one check above that of the import, in a process of its own."""
    code = (
        "import resource, sys; from cookbook import data, tokens; tokens.count('x')\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak(); data.check(sys.argv[1]); print(peak() - before)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code, str(path)]))


def main() -> None:
    rng, pool = random.Random(0), sentences()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ten_megabytes.jsonl"
        path.write_bytes(data.to_jsonl(make_rows(1000, 10_300, rng, pool)))
        assert 9.5e6 < path.stat().st_size < data.MAX_BYTES and check_file(path)["is_check_passed"]
        tokens.count("x")  # the vocabulary is read once per process
        calls = {
            "Together check_file": lambda: check_file(path),
            "data.check, no tokens": lambda: data.check(path, max_tokens=None),
            "data.check, exact tokens": lambda: data.check(path),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(REPEATS):
            for name, call in calls.items():
                times[name].append(timed(call))
        base = statistics.median(times["Together check_file"])
        print(
            f"{path.stat().st_size / 2**20:.1f} MB, 1,000 rows, {REPEATS} interleaved repetitions"
        )
        print(
            "| what | median | fastest to slowest | ratio to Together |\n| --- | --- | --- | --- |"
        )
        for name, found in times.items():
            middle = statistics.median(found)
            print(
                f"| {name} | {middle:.2f} s | {min(found):.2f}–{max(found):.2f} s | {middle / base:.2f} |"
            )
        print(f"\npeak memory above the import: {peak_megabytes(path):.0f} MB\n")
    lexicon = shipped_rows("lexicon/lexicon.jsonl")
    phrases = [
        row[part] for row in lexicon for part in ("definition", "image", "praise", "criticism")
    ]
    kinds = {
        "all sorts": lambda n: make_short_rows(n, rng, phrases),
        "of 1,200 sentences": lambda n: make_rows(n, 0, rng, pool),
    }
    print(
        "| rows | how many | seconds without tokens | a row, ratio to 1,000 |\n| --- | --- | --- | --- |"
    )
    for kind, make in kinds.items():
        first = None
        for n in (1000, 10_000, 100_000):
            rows = json.loads(json.dumps(make(n)))
            took = min(
                timed(lambda rows=rows: data.check(rows, max_tokens=None))
                for _ in range(1 if n > 10_000 else 3)
            )
            first = first or took / n
            print(f"| {kind} | {n:,} | {took:.2f} | {took / n / first:.2f} |")


if __name__ == "__main__":
    main()

"""Measure the check of training data side by side with Together's checker.

    python tests/bench/data_check.py

A 10 MB file of 1,000 rows, each the sentences of this project's corpora in another order.
Interleaved repetitions in one process; median, fastest and slowest, of wall-clock and of processor
time: other work on the machine changes the first more. Then the peak memory of a check and of a
clean, each in a process of its own, and how time grows from 1,000 to 100,000 rows: of all sorts,
one row in twenty nearly the same as another, and, at its worst, all from 1,200 sentences. Growth is
that of `corpus.check_together`, what all rows say together: `data.check` itself compares no more
than the first 1,000 rows, since a longer file is refused. Older figures of growth are of
`data.check` when it compared all rows; the rules of single rows, then included, take a small part.

`together.lib.utils.files.check_file` stops at its first error and counts no tokens. The package
`together` (extra `bench`) is used for this comparison alone.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from together.lib.utils.files import check_file

from cookbook import data, tokens
from cookbook.data.report import Report
from cookbook.data.rules import corpus
from cookbook.paths import DATA, shipped_rows

REPEATS = 7
ROWS = 1000
ROW_BYTES = 10_300
GROWTH_ROWS = (1000, 10_000, 100_000)
TOGETHER = "Together check_file"

# Prints the peak resident memory of one call, in MB, above that of the import. Linux counts it from
# the start of the program; `getrusage` also counts the process that started this one.
PEAK_MEMORY = """
import re, sys
from pathlib import Path
from cookbook import data, tokens
def peak():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1]) / 1024
tokens.count("x")
before = peak()
getattr(data, sys.argv[1])(sys.argv[2])
print(peak() - before)
"""


def sentences() -> list[str]:
    """Return every answer of the two corpora."""
    answers = []
    for name in ("zhishuoxinyu/train.jsonl", "customer_service/train.jsonl"):
        for row in data.load(DATA / name):
            answers += [m["content"] for m in row["messages"] if m["role"] == "assistant"]
    return answers


def phrases() -> list[str]:
    """Return four phrases of every word of the lexicon."""
    parts = ("definition", "image", "praise", "criticism")
    texts = []
    for row in shipped_rows("lexicon/lexicon.jsonl"):
        texts += [row[part] for part in parts]
    return texts


def make_rows(n: int, size: int, rng: random.Random, pool: list[str]) -> list[dict]:
    """Return `n` rows of about `size` bytes each."""
    rows = []
    for i in range(n):
        answer = ""
        while len(answer.encode()) < size - 250:
            answer += rng.choice(pool)
        question = f"{rng.choice(pool)[:30]}（第 {i} 问）"
        messages = [
            {"role": "system", "content": "你是客服助手"},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer or rng.choice(pool)},
        ]
        rows.append({"messages": messages})
    return rows


def make_short_rows(n: int, rng: random.Random, pool: list[str]) -> list[dict]:
    """Return `n` rows of five phrases; every twentieth is an earlier one with one new character."""
    rows: list[dict] = []
    for i in range(n):
        if i % 20 == 19:
            question, answer = (m["content"] for m in rng.choice(rows)["messages"])
            at = rng.randrange(len(answer))
            character = rng.choice(rng.choice(pool))
            answer = answer[:at] + character + answer[at + 1 :]
        else:
            question = "，".join(rng.choices(pool, k=2)) + "？"
            answer = "，".join(rng.choices(pool, k=3)) + "。"
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        rows.append({"messages": messages})
    return rows


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare_checkers(path: Path) -> None:
    """Print both checkers' times for the file, in turns."""
    calls = {
        TOGETHER: lambda: check_file(path),
        "data.check, no tokens": lambda: data.check(path, max_tokens=None),
        "data.check, exact tokens": lambda: data.check(path),
    }
    # The vocabulary is read once for each process.
    tokens.count("x")
    times: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            began = time.process_time()
            times[name].append(seconds(call))
            processor[name].append(time.process_time() - began)

    size = f"{path.stat().st_size / 2**20:.1f} MB"
    print(f"{size}, {ROWS:,} rows, {REPEATS} interleaved repetitions")
    print("| what | median | fastest to slowest | ratio to Together | processor, fastest |")
    print("| --- | --- | --- | --- | --- |")
    theirs = statistics.median(times[TOGETHER])
    for name, own in times.items():
        middle = statistics.median(own)
        spread = f"{min(own):.2f}–{max(own):.2f} s"
        busy = f"{1000 * min(processor[name]):.0f} ms"
        print(f"| {name} | {middle:.2f} s | {spread} | {middle / theirs:.2f} | {busy} |")


def peak_megabytes(name: str, path: Path) -> float:
    """Return the peak memory of `data.check` or `data.clean` above that of the import.

    In a process of its own.
    """
    command = [sys.executable, "-c", PEAK_MEMORY, name, str(path)]
    return float(subprocess.check_output(command))


def show_growth(rng: random.Random, pool: list[str]) -> None:
    """Print how the time of a row grows with the number of rows."""
    short_pool = phrases()
    kinds = {
        "all sorts": lambda n: make_short_rows(n, rng, short_pool),
        "of 1,200 sentences": lambda n: make_rows(n, 0, rng, pool),
    }
    print("| rows | how many | seconds together, no tokens | a row, ratio to 1,000 |")
    print("| --- | --- | --- | --- |")
    for kind, make in kinds.items():
        each_of_first = 0.0
        for n in GROWTH_ROWS:
            # As if read from a file: no string is shared between rows.
            rows = json.loads(json.dumps(make(n)))
            took = fastest_together(rows, repeats=1 if n > 10_000 else 3)
            each_of_first = each_of_first or took / n
            print(f"| {kind} | {n:,} | {took:.2f} | {took / n / each_of_first:.2f} |")


def fastest_together(rows: list[dict], repeats: int) -> float:
    numbered = list(enumerate(rows, 1))

    def check() -> None:
        corpus.check_together(Report("rows in memory"), numbered)

    return min(seconds(check) for _ in range(repeats))


def main() -> None:
    rng = random.Random(0)
    pool = sentences()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ten_megabytes.jsonl"
        path.write_bytes(data.to_jsonl(make_rows(ROWS, ROW_BYTES, rng, pool)))
        # Both checkers must read the file to its end.
        assert 9.5e6 < path.stat().st_size < data.MAX_BYTES
        assert check_file(path)["is_check_passed"]
        compare_checkers(path)
        peaks = [f"{name} {peak_megabytes(name, path):.0f} MB" for name in ("check", "clean")]
        print(f"\npeak memory above the import: {', '.join(peaks)}\n")
    show_growth(rng, pool)


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    main()

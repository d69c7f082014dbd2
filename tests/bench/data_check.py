"""Checking training data, side by side with Together's checker:  python tests/bench/data_check.py

A 10 MB file of 1,000 rows, each the sentences of this project's corpora in another order. Interleaved repetitions in
one process; median and spread. Then the peak memory of one check in a process of its own, and growth from 1,000 to
100,000 rows.

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
from cookbook.paths import DATA

REPEATS = 7


def sentences() -> list[str]:
    names = ("zhishuoxinyu/train.jsonl", "customer_service/train.jsonl")
    return [m["content"] for n in names for r in data.load(DATA / n) for m in r["messages"] if m["role"] == "assistant"]


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
        print(f"{path.stat().st_size / 2**20:.1f} MB, 1,000 rows, {REPEATS} interleaved repetitions")
        print("| what | median | fastest to slowest | ratio to Together |\n| --- | --- | --- | --- |")
        for name, found in times.items():
            middle = statistics.median(found)
            print(f"| {name} | {middle:.2f} s | {min(found):.2f}–{max(found):.2f} s | {middle / base:.2f} |")
        print(f"\npeak memory above the import: {peak_megabytes(path):.0f} MB\n")
    print("| rows of 100 bytes | seconds without tokens | seconds a row, ratio to 1,000 |\n| --- | --- | --- |")
    first = None
    for n in (1000, 10_000, 100_000):
        lines = [json.dumps(r, ensure_ascii=False) for r in make_rows(n, 0, rng, pool)]
        rows = [json.loads(x) for x in lines]
        took = min(timed(lambda rows=rows: data.check(rows, max_tokens=None)) for _ in range(1 if n > 10_000 else 3))
        first = first or took / n
        print(f"| {n:,} | {took:.2f} | {took / n / first:.2f} |")


if __name__ == "__main__":
    main()

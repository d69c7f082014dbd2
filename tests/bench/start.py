"""Measure what a reader waits for at the beginning:  python tests/bench/start.py [--repeats 5]

Each repetition has a process and a data folder of its own; median, fastest and slowest.

    import          `import cookbook`
    service         from `connect()` to the first answer of /v1/models
    first token     from `connect()` to the first token of the first answer: the base is loaded too
    second answer   its first token, the base loaded
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Prints four numbers of seconds, in the order of NAMES.
CODE = """
import sys, time
started = time.perf_counter()
import cookbook
imported = time.perf_counter() - started
from pathlib import Path
from openai import OpenAI
from cookbook.connection import stop
home = Path(sys.argv[1])
started = time.perf_counter()
service = cookbook.connect(home=home)
client = OpenAI(base_url=service.base_url, api_key=service.api_key)
client.models.list()
listed = time.perf_counter() - started
def first_token():
    stream = client.chat.completions.create(
        model=service.base_model, messages=[{"role": "user", "content": "地铁"}], stream=True
    )
    next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
first_token()
answered = time.perf_counter() - started
started = time.perf_counter()
first_token()
print(imported, listed, answered, time.perf_counter() - started)
stop(home)
"""
NAMES = [
    "import cookbook",
    "connect() to /v1/models",
    "connect() to first token",
    "first token, base loaded",
]


def start() -> list[float]:
    """Return the seconds of each wait, on a data folder that does not exist yet."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", CODE, str(Path(folder) / "home")]
        printed = subprocess.check_output(command).split()
    return [float(seconds) for seconds in printed]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    runs = [start() for _ in range(args.repeats)]
    print("| what | median | fastest to slowest |")
    print("| --- | --- | --- |")
    for i, name in enumerate(NAMES):
        times = [run[i] for run in runs]
        middle = f"{statistics.median(times):.2f} s"
        print(f"| {name} | {middle} | {min(times):.2f}–{max(times):.2f} s |")


if __name__ == "__main__":
    main()

"""What a reader waits for at the beginning:  python tests/bench/start.py [--repeats 5]

Each in a process, and on a data folder, of its own; median and spread.

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    runs = []
    for _ in range(parser.parse_args().repeats):
        with tempfile.TemporaryDirectory() as home:
            command = [sys.executable, "-c", CODE, str(Path(home) / "home")]
            runs.append([float(x) for x in subprocess.check_output(command).split()])
    print("| what | median | fastest to slowest |\n| --- | --- | --- |")
    for name, found in zip(NAMES, zip(*runs, strict=True), strict=True):
        print(
            f"| {name} | {statistics.median(found):.2f} s | {min(found):.2f}–{max(found):.2f} s |"
        )


if __name__ == "__main__":
    main()

"""Measure how long the course's corpus takes on a real base, and how much memory.

    python tests/bench/corpus.py Qwen2.5-0.5B Qwen2.5-1.5B

The 智说新语 corpus (`train.jsonl`) with the standard preset, as a job of the embedded service: from
its creation to the finished model. Bases have the real shape and random weights, made on the spot
(`--bases FOLDER` keeps them), which changes nothing about speed and memory. The peak is that of the
training process as the system counts it (RSS, read four times a second).
"""

import argparse
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import random_bases

from cookbook import connection
from cookbook.machine import GB
from cookbook.params import PRESETS
from cookbook.paths import DATA
from cookbook.processes import WORKER_MODULE

CORPUS = DATA / "zhishuoxinyu" / "train.jsonl"
EVERY = 0.25  # seconds between two looks at the memory


@dataclass(frozen=True)
class Measured:
    """One job: its steps and its log's first figures, its minutes and its peak in bytes."""

    plan: dict[str, Any]
    steps: int
    tokens_per_second: float
    minutes: float
    peak: int


class Peak(threading.Thread):
    """Watches the training processes of a data folder; `bytes` is the most that one held."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.home, self.bytes = home, 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(EVERY):
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                command = process.info["cmdline"] or []
                held = process.info["memory_info"]
                if held and WORKER_MODULE in command and str(self.home) in command:
                    self.bytes = max(self.bytes, held.rss)


def measure(base: Path, home: Path) -> Measured:
    """Train the corpus on this base, in a service of its own."""
    os.environ["COOKBOOK_BASE_MODEL"] = str(base)
    service = connection.connect(home=home)
    peak = Peak(home)
    peak.start()
    try:
        return train(service, peak)
    finally:
        peak.ended.set()
        connection.stop(home)


def train(service: connection.Connection, peak: Peak) -> Measured:
    """Create the job, wait for its end and read its log."""
    from openai import OpenAI

    client = OpenAI(base_url=service.base_url, api_key=service.api_key)
    upload = client.files.create(file=CORPUS, purpose="fine-tune")
    started = time.perf_counter()
    job = client.fine_tuning.jobs.create(
        model=service.base_model,
        training_file=upload.id,
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": PRESETS["standard"].to_dict()},
        },
    )
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    minutes = (time.perf_counter() - started) / 60
    if job.status != "succeeded":
        raise SystemExit(f"{job.id} {job.status}: {job.error}")
    events = [e.data for e in client.fine_tuning.jobs.list_events(job.id, limit=1000) if e.data]
    plan = next(data["memory"] for data in events if data.get("memory"))
    # The newest comes first.
    last = next(data for data in events if "tokens_per_second" in data)
    return Measured(plan, last["total_steps"], last["tokens_per_second"], minutes, peak.bytes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="BASE", help="such as Qwen2.5-0.5B")
    parser.add_argument("--bases", type=Path, help="where bases are kept")
    args = parser.parse_args()
    print("| base | steps | tokens a second | minutes | predicted GB | peak GB |")
    print("|" + " --- |" * 6, flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.names:
            kept = args.bases or Path(temporary)
            base = random_bases.made(name, kept, name=f"{name}-Instruct")
            measured = measure(base, Path(temporary) / f"home-{name}")
            cells = [
                name,
                str(measured.steps),
                f"{measured.tokens_per_second:,.0f}",
                f"{measured.minutes:.1f}",
                f"{measured.plan['needed'] / GB:.1f}",
                f"{measured.peak / GB:.1f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

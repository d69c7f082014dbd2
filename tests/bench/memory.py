"""Compare the memory that a plan predicts with what a training really takes at its peak.

    python tests/bench/memory.py [--bases FOLDER] [--only N]

Six combinations of base, row length, batch and level, each trained for a step in a process of its
own by the service's own loop, with the settings of its own training processes. Bases have real
shapes and random weights; they are made on the spot (and kept in FOLDER), the 7B one with fewer
layers, which takes nothing from what a layer, the vocabulary or a token costs. The peak is what the
system has counted for the process (VmHWM, Linux), mapped weights included.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import random_bases

from cookbook.machine import GB

TOLERANCE = 0.25


@dataclass(frozen=True)
class Combination:
    """What is trained: a base of `layers` layers (0: all), and rows of `tokens` tokens."""

    base: str
    tokens: int
    batch: int
    level: int = 0
    layers: int = 0

    @property
    def name(self) -> str:
        size = self.base.removeprefix("Qwen2.5-")
        return f"{size}, {self.layers} layers" if self.layers else size


COMBINATIONS = [
    Combination("Qwen2.5-0.5B", tokens=50, batch=8),
    Combination("Qwen2.5-0.5B", tokens=1000, batch=2),
    Combination("Qwen2.5-0.5B", tokens=4096, batch=2),
    Combination("Qwen2.5-0.5B", tokens=1000, batch=2, level=2),
    Combination("Qwen2.5-1.5B", tokens=1000, batch=2),
    Combination("Qwen2.5-7B", tokens=1000, batch=2, layers=4),
]


def measure(folder: Path, combination: Combination) -> tuple[dict, int]:
    """Train a step in a process of its own; return its plan and its peak in bytes."""
    from cookbook.service.__main__ import set_thread_and_memory_limits

    set_thread_and_memory_limits()
    given = [str(combination.tokens), str(combination.batch), str(combination.level)]
    command = [sys.executable, __file__, "--train", *given]
    environment = os.environ | {"COOKBOOK_BASE_MODEL": str(folder)}
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    plan, peak = json.loads(answer.stdout.splitlines()[-1])
    return plan, peak


def train_once(tokens: int, batch: int, level: int) -> tuple[dict, int]:
    """Train one step and return the plan and the peak of this process."""
    from cookbook.bases import installed
    from cookbook.params import Hyperparameters
    from cookbook.service import events
    from cookbook.service.engine.train import train

    # Longer than what is taken, so that each row is as long as `tokens` exactly.
    answer = "".join(chr(0x4E00 + 7 * place % 3000) for place in range(tokens))
    question = {"role": "user", "content": "你好"}
    row = {"messages": [question, {"role": "assistant", "content": answer}]}
    hp = Hyperparameters(n_epochs=1, batch_size=batch, max_tokens=tokens).to_dict()
    plan = {}
    with tempfile.TemporaryDirectory() as folder:
        training = train(
            installed()[0], [row] * batch, [row], hp, folder=Path(folder), seed=1, level=level
        )
        for event in training:
            if isinstance(event, events.Started):
                plan = events.data(event)["memory"]
    return plan, peak_of_this_process()


def peak_of_this_process() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+)", status)
    return int(kilobytes) * 1024


def line(combination: Combination, plan: dict, peak: int) -> str:
    ratio = plan["needed"] / peak
    mark = "" if abs(ratio - 1) <= TOLERANCE else " !"
    cells = [
        combination.name,
        combination.tokens,
        combination.batch,
        combination.level,
        plan["micro_batch"],
        f"{plan['checkpointed']} of {plan['layers']}",
        plan["weights"],
        f"{plan['needed'] / GB:.2f}",
        f"{peak / GB:.2f}",
        f"{ratio:.2f}{mark}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


HEADS = (
    "base | tokens | batch | level | micro-batch | recomputed | weights "
    "| predicted GB | measured GB | ratio"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bases", type=Path, help="keeps the bases that are made")
    parser.add_argument("--only", type=int, help="one combination, counted from 1")
    parser.add_argument("--train", nargs=3, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        print(json.dumps(train_once(*args.train)))
        return
    chosen = COMBINATIONS if args.only is None else [COMBINATIONS[args.only - 1]]
    print(f"| {HEADS} |\n|" + " --- |" * len(HEADS.split("|")))
    with tempfile.TemporaryDirectory() as temporary:
        for combination in chosen:
            kept = args.bases or Path(temporary)
            folder = random_bases.made(combination.base, kept, layers=combination.layers)
            print(line(combination, *measure(folder, combination)), flush=True)


if __name__ == "__main__":
    main()

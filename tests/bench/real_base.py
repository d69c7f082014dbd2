"""Measure LoRA training of a real base on the processor side by side with TRL's `SFTTrainer`.

    python tests/bench/real_base.py [--base FOLDER] [--tokens 50 256 1000 4096] [--repeats 2]
                                    [--batch 8] [--steps N] [--threads N]

Both sides train the standard preset on the same rows, of which the second half is the answer that
is learned. TRL has the settings that its guides give for little memory: one row at a time, eight of
them a step, gradient checkpointing, bfloat16 on the processor. Ours has its own plan.

Each run is a process of its own, with a few steps, of which the first is a warm-up and not counted.
Both have the service's settings for threads and memory, which help TRL, too. The two sides take
turns. Speed is that of the median step; memory is the peak of the process, with
the base's weights, as the system counts it.

Without `--base` a random one of Qwen2.5-0.5B's shape is made: speed and memory are those of the
real one, and no hub is needed. What is learned is not measured here; `training.py` does that. TRL
(extra `bench`) is used for this comparison alone.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import random_bases
import trl_side

from cookbook.params import PRESETS
from cookbook.service.__main__ import set_thread_and_memory_limits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHAPE = "Qwen2.5-0.5B"
TOKENS = (50, 256, 1000, 4096)
HP = PRESETS["standard"]
SEED = 42
GB = 2**30

# Steps of a run, by the tokens of its rows: a step of long rows takes a minute.
STEPS = {50: 8, 256: 4, 1000: 3, 4096: 2}


@dataclass(frozen=True)
class Run:
    """One side's training: tokens a second in its median step, and the peak of its memory."""

    speed: float
    peak: float


def rows_of(tokenizer: "PreTrainedTokenizerBase", tokens: int, count: int) -> list[dict]:
    """Return conversations of exactly so many tokens, half of them the answer's.

    Ordinary words in random order, each a token of its own.
    """
    draw = random.Random(SEED)
    words = single_tokens(tokenizer)
    empty = conversation("", "")
    frame = len(tokenizer.apply_chat_template(empty["messages"])["input_ids"])
    answer = tokens // 2
    rows = []
    for _ in range(count):
        asked = "".join(draw.choices(words, k=tokens - answer - frame))
        answered = "".join(draw.choices(words, k=answer))
        rows.append(conversation(asked, answered))
    lengths = {len(tokenizer.apply_chat_template(row["messages"])["input_ids"]) for row in rows}
    # Both sides cut at `tokens`, so a few tokens more change nothing.
    if min(lengths) < tokens:
        raise SystemExit(f"rows have {min(lengths)} tokens instead of {tokens}")
    return rows


def single_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Return words that stay one token each, whatever they stand beside: spaced Latin words."""
    words = []
    for number in range(2000, 30000):
        word = tokenizer.decode([number])
        if word.startswith(" ") and word[1:].isalpha() and word.isascii() and len(word) > 3:
            words.append(word)
    return words


def conversation(question: str, answer: str) -> dict:
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages}


def train_ours(base: Path, rows: list[dict], tokens: int, batch: int) -> list[float]:
    """Train here and return the seconds of each step."""
    from cookbook.bases import Base
    from cookbook.service.engine.train import train
    from cookbook.service.events import Started, Step

    hp = HP.to_dict() | {"n_epochs": 1, "max_tokens": tokens, "batch_size": batch}
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        before = 0.0
        for event in train(Base("bench", str(base)), rows, [], hp, folder=Path(folder), seed=SEED):
            now = time.perf_counter()
            if isinstance(event, Started):
                print(event.memory, file=sys.stderr)
            if isinstance(event, Step):
                seconds.append(now - before)
            before = now
    return seconds


def train_trl(base: Path, rows: list[dict], tokens: int, batch: int) -> list[float]:
    """Train with TRL and return the seconds of each step."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype="bfloat16")
    clock = trl_side.Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl_side.settings(
            folder,
            seed=SEED,
            gradient_accumulation_steps=batch,
            max_length=tokens,
            bf16=True,
            use_cpu=True,
            logging_steps=1,
            **trl_side.FRUGAL,
        )
        trl_side.trainer(model, base, rows, arguments, clock).train()
    return clock.seconds


SIDES = {"trl": train_trl, "ours": train_ours}


def train_here(side: str, base: Path, tokens: int, batch: int, steps: int) -> Run:
    """Train in this process and return how it went."""
    import resource

    from transformers import AutoTokenizer

    rows = rows_of(AutoTokenizer.from_pretrained(base), tokens, steps * batch)
    seconds = SIDES[side](base, rows, tokens, batch)
    # The first step finds caches and memory as no later one does.
    seconds = seconds[1:] or seconds
    speed = batch * tokens / statistics.median(seconds)
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB)


def run_side(side: str, base: Path, tokens: int, batch: int, steps: int) -> Run:
    """Train in a process of its own."""
    command = [sys.executable, __file__, "--base", str(base), "--side", side]
    command += ["--tokens", str(tokens), "--batch", str(batch), "--steps", str(steps)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Run(**json.loads(output.splitlines()[-1]))


def middle(runs: list[Run]) -> Run:
    return Run(
        speed=statistics.median(run.speed for run in runs),
        peak=statistics.median(run.peak for run in runs),
    )


def compare(base: Path, tokens: int, batch: int, steps: int, repeats: int) -> None:
    """Let both sides train in turns, and print their line of the table."""
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side, own in runs.items():
            own.append(run_side(side, base, tokens, batch, steps))
    trl, ours = middle(runs["trl"]), middle(runs["ours"])
    cells = [
        f"{tokens:,}",
        f"{trl.speed:.0f}",
        f"{ours.speed:.0f}",
        f"{ours.speed / trl.speed:.2f}",
        f"{trl.peak:.2f}",
        f"{ours.peak:.2f}",
        f"{ours.peak / trl.peak:.2f}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


HEADS = (
    "tokens a row | TRL, tokens/s | ours, tokens/s | ours / TRL "
    "| TRL, peak GB | ours, peak GB | ours / TRL"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, help="a checkpoint in bfloat16")
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--batch", type=int, default=HP.batch_size, help="rows of a step")
    parser.add_argument("--steps", type=int, help="of a run; a single one is counted")
    parser.add_argument("--threads", help="of each process (default: the processor's cores)")
    # What `run_side` starts: one side's training.
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run = train_here(args.side, args.base, args.tokens[0], args.batch, args.steps)
        # On a line of its own, the last one, whatever was printed before.
        print("\n" + json.dumps(vars(run)))
        return
    set_thread_and_memory_limits()
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = args.threads
    with tempfile.TemporaryDirectory() as folder:
        base = args.base or random_bases.made(SHAPE, Path(folder))
        print(f"| {HEADS} |\n|" + " --- |" * len(HEADS.split("|")))
        for tokens in args.tokens:
            steps = args.steps or STEPS.get(tokens, 3)
            compare(base, tokens, args.batch, steps, args.repeats)


if __name__ == "__main__":
    main()

"""Measure LoRA training side by side with TRL's `SFTTrainer`.

    python tests/bench/training.py [--repeats 3]

The tiny base with the standard preset on 480 rows of `train.jsonl` (`train_tiny.jsonl` leaves so
little loss that two seeds differ by a third). Both sides have the same rows, batch size, epochs,
adapter, optimizer and rate schedule, in float32. TRL gets prompt and completion apart, so that it
too learns the answers alone.

Each run is a process of its own, from its start to the saved adapter; the two sides take turns, and
each repetition has its own seed. Both adapters are then judged by the same function on the same
rows. Last comes the share of this machine's matrix-product speed that training reaches.

TRL (extra `bench`) is used for this comparison alone.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trl_side

from cookbook import data
from cookbook.bases import find
from cookbook.params import PRESETS
from cookbook.paths import DATA

if TYPE_CHECKING:
    from trl import SFTConfig

BASE_ID = "cookbook/tiny-zh"
BASE_FOLDER = DATA / "models" / "tiny-zh"
HP = PRESETS["standard"]
ROWS = 480
SEED = 42  # of the first repetition

# The size of the matrix product that counts as this machine's peak.
PEAK_SIZE = 1024
PEAK_REPEATS = 20


@dataclass(frozen=True)
class Run:
    """One side's training: seconds of the whole process and of its loop, and the loss after it."""

    job: float
    loop: float
    loss: float


def train_and_valid_rows() -> tuple[list[dict], list[dict]]:
    return data.split(data.load(DATA / "zhishuoxinyu" / "train.jsonl")[:ROWS])


def train_ours(out: Path, seed: int) -> float:
    """Train here, leave the adapter in `out`, and return the seconds of the loop."""
    from cookbook.service.engine.train import train
    from cookbook.service.events import Finished, Started

    train_rows, valid_rows = train_and_valid_rows()
    started = finished = 0.0
    base = find(BASE_ID)
    for event in train(base, train_rows, valid_rows, HP.to_dict(), folder=out, seed=seed):
        if isinstance(event, Started):
            started = time.perf_counter()
        if isinstance(event, Finished):
            finished = time.perf_counter()
            event.folder.rename(out / "adapter")
    return finished - started


def train_trl(out: Path, seed: int) -> float:
    """Train with TRL, leave the adapter in `out`, and return the seconds of the loop."""
    from transformers import AutoModelForCausalLM

    train_rows, valid_rows = train_and_valid_rows()
    trainer = trl_side.trainer(
        AutoModelForCausalLM.from_pretrained(BASE_FOLDER, dtype="float32"),
        BASE_FOLDER,
        train_rows,
        trl_settings(out, seed, len(train_rows)),
        trl_side.Clock(),
        valid_rows,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    trainer.save_model(out / "adapter")
    return seconds


def trl_settings(out: Path, seed: int, rows: int) -> "SFTConfig":
    """Return TRL's settings for the training that ours does."""
    from cookbook.service.engine.run import FINAL_RATE, WARM_UP

    steps = math.ceil(rows / HP.batch_size) * HP.n_epochs
    warm_up = max(1, round(WARM_UP * steps))
    fall = {
        "num_decay_steps": steps - warm_up,
        "min_lr_ratio": FINAL_RATE,
        "decay_type": "linear",
    }
    return trl_side.settings(
        out / "trl",
        seed=seed,
        # The same steps.
        per_device_train_batch_size=HP.batch_size,
        num_train_epochs=HP.n_epochs,
        max_length=HP.max_tokens,
        # The same optimizer and rate schedule.
        learning_rate=HP.learning_rate * find(BASE_ID).learning_rate_scale,
        max_grad_norm=1.0,
        lr_scheduler_type="warmup_stable_decay",
        warmup_steps=warm_up,
        lr_scheduler_kwargs=fall,
        # The same arithmetic.
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        # As much to do between the steps, and no more.
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_steps=1,
    )


SIDES = {"trl": train_trl, "ours": train_ours}


def run_side(side: str, seed: int) -> Run:
    """Train in a process of its own, and judge what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--side", side, "--out", folder, "--seed", str(seed)]
        started = time.perf_counter()
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - started
        loop = json.loads(output.splitlines()[-1])["seconds"]
        return Run(seconds, loop, valid_loss(Path(folder) / "adapter"))


def valid_loss(adapter: Path) -> float:
    """Return the mean validation loss of a trained token, by our function for both sides."""
    from peft import PeftModel

    from cookbook.service.engine.evaluate import evaluate
    from cookbook.service.engine.examples import encode_all
    from cookbook.service.engine.load import load

    model, tokenizer = load(find(BASE_ID))
    tuned = PeftModel.from_pretrained(model, adapter)
    _, valid_rows = train_and_valid_rows()
    examples = encode_all(tokenizer, valid_rows, HP.max_tokens)
    return evaluate(tuned, examples, tokenizer.pad_token_id, model.device)


def matrix_product_peak() -> float:
    """Return the floating-point operations a second of a float32 product, the best of a few."""
    import torch

    a = torch.randn(PEAK_SIZE, PEAK_SIZE)
    b = torch.randn(PEAK_SIZE, PEAK_SIZE)
    times = []
    for _ in range(PEAK_REPEATS):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * PEAK_SIZE**3 / min(times)


def operations_of_a_token() -> tuple[int, int]:
    """Return the operations of training on a token: in the body, and in the head.

    Every token goes through the body, only an answer's token through the head. Counted are the
    forward pass, and the backward pass to the activations, since frozen weights take no gradient;
    two operations for each weight, both ways. Attention and adapters are left out, and embeddings
    are looked up.
    """
    config = json.loads((BASE_FOLDER / "config.json").read_text(encoding="utf-8"))
    hidden = config["hidden_size"]
    keys = hidden * config["num_key_value_heads"] // config["num_attention_heads"]
    queries_and_output = 2 * hidden * hidden
    keys_and_values = 2 * hidden * keys
    feed_forward = 3 * hidden * config["intermediate_size"]
    layer = queries_and_output + keys_and_values + feed_forward
    return 4 * layer * config["num_hidden_layers"], 4 * hidden * config["vocab_size"]


def middle_run(runs: list[Run]) -> Run:
    """Return the median of each figure."""
    return Run(
        job=statistics.median(run.job for run in runs),
        loop=statistics.median(run.loop for run in runs),
        loss=statistics.median(run.loss for run in runs),
    )


def report(runs: dict[str, list[Run]]) -> None:
    """Print the comparison as a table, then the share of the machine's speed."""
    train_rows, _ = train_and_valid_rows()
    sums = data.statistics(train_rows)[["tokens", "trained_tokens"]].sum()
    tokens, trained = sums * HP.n_epochs

    print("\n| what | whole job | its loop | tokens a second | valid_loss |")
    print("| --- | --- | --- | --- | --- |")
    middle = {side: middle_run(own) for side, own in runs.items()}
    for side, own in runs.items():
        jobs = sorted(run.job for run in own)
        losses = sorted(run.loss for run in own)
        run = middle[side]
        cells = [
            side,
            f"{run.job:.0f} s ({jobs[0]:.0f}–{jobs[-1]:.0f})",
            f"{run.loop:.0f} s",
            f"{tokens / run.loop:,.0f}",
            f"{run.loss:.3f} ({losses[0]:.3f}–{losses[-1]:.3f})",
        ]
        print("| " + " | ".join(cells) + " |")
    trl, ours = middle["trl"], middle["ours"]
    print(f"| TRL / ours | {trl.job / ours.job:.2f} | {trl.loop / ours.loop:.2f} | | |")

    in_body, in_head = operations_of_a_token()
    reached = (tokens * in_body + trained * in_head) / ours.loop
    peak = matrix_product_peak()
    speeds = f"{reached / 1e9:.1f} of {peak / 1e9:.0f} GFLOP/s"
    print(f"\nmatrix products: {speeds}, {reached / peak:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    # What `run_side` starts: one side's training.
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        seconds = SIDES[args.side](args.out, args.seed)
        # On a line of its own, the last one, whatever was printed before.
        print("\n" + json.dumps({"seconds": seconds}))
        return

    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for i in range(args.repeats):
        for side in SIDES:
            run = run_side(side, SEED + i)
            runs[side].append(run)
            seconds = f"whole job {run.job:.0f} s, loop {run.loop:.0f} s"
            print(f"{i + 1}. {side}: {seconds}, valid_loss {run.loss:.3f}", flush=True)
    report(runs)


if __name__ == "__main__":
    main()

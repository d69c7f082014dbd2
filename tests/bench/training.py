"""LoRA training, side by side with TRL's `SFTTrainer`:  python tests/bench/training.py [--repeats 3]

The tiny base with the standard preset on 480 rows of `train.jsonl` (`train_tiny.jsonl` leaves so little loss that two seeds
differ by a third): same rows, batch size, epochs, adapter, float32, optimizer and rate schedule; TRL has the prompt and
completion shape, so that it too learns the answers alone. Each run is a process of its own, from its start to the saved
adapter; ours and theirs take turns, each repetition with a seed of its own. Both adapters are then judged by the same
function on the same rows. Last, the share of this machine's matrix-product speed that training reaches.

TRL (extra `bench`) is used here for comparison alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cookbook import data
from cookbook.params import PRESETS
from cookbook.paths import DATA

BASE = DATA / "models" / "tiny-zh"
HP = PRESETS["standard"]


def parts() -> tuple[list[dict], list[dict]]:
    return data.split(data.load(DATA / "zhishuoxinyu" / "train.jsonl")[:480])


def ours(out: Path, seed: int) -> float:
    """Seconds of the loop."""
    from cookbook.bases import find
    from cookbook.service.engine.train import train
    from cookbook.service.events import Finished, Started

    started = finished = 0.0
    for event in train(find("cookbook/tiny-zh"), *parts(), HP.to_dict(), folder=out, seed=seed):
        if isinstance(event, Started):
            started = time.perf_counter()
        if isinstance(event, Finished):
            finished = time.perf_counter()
            event.folder.rename(out / "adapter")
    return finished - started


def trl(out: Path, seed: int) -> float:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from cookbook.bases import find
    from cookbook.service.engine.train import FINAL_RATE, WARM_UP

    shaped = lambda rows: Dataset.from_list(
        [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
    )
    train_rows, valid_rows = parts()
    steps = -(-len(train_rows) // HP.batch_size) * HP.n_epochs
    warm_up = max(1, round(WARM_UP * steps))
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(BASE, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(BASE),
        train_dataset=shaped(train_rows),
        eval_dataset=shaped(valid_rows),
        peft_config=LoraConfig(
            r=HP.lora_rank, lora_alpha=HP.lora_alpha, lora_dropout=HP.lora_dropout,
            target_modules="all-linear", task_type="CAUSAL_LM",
        ),
        args=SFTConfig(
            output_dir=str(out / "trl"), per_device_train_batch_size=HP.batch_size, num_train_epochs=HP.n_epochs,
            learning_rate=HP.learning_rate * find("cookbook/tiny-zh").learning_rate_scale, weight_decay=0.0, max_grad_norm=1.0,
            lr_scheduler_type="warmup_stable_decay", warmup_steps=warm_up,
            lr_scheduler_kwargs={"num_decay_steps": steps - warm_up, "min_lr_ratio": FINAL_RATE, "decay_type": "linear"},
            max_length=HP.max_tokens, bf16=False, use_cpu=True, gradient_checkpointing=False, seed=seed,
            eval_strategy="epoch", save_strategy="epoch", logging_steps=1, report_to=[], disable_tqdm=True,
        ),
    )  # fmt: skip
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    trainer.save_model(out / "adapter")
    return seconds


def judged(adapter: Path) -> float:
    """Mean validation loss a trained token, by our function for both."""
    from peft import PeftModel

    from cookbook.bases import find
    from cookbook.service.engine.evaluate import evaluate
    from cookbook.service.engine.examples import encode_all
    from cookbook.service.engine.load import load

    model, tokenizer = load(find("cookbook/tiny-zh"))
    tuned = PeftModel.from_pretrained(model, adapter)
    return evaluate(
        tuned,
        encode_all(tokenizer, parts()[1], HP.max_tokens),
        tokenizer.pad_token_id,
        model.device,
    )


def matrix_product_peak() -> float:
    """Floating-point operations a second of a float32 product of 1,024 × 1,024 matrices, the best of a few."""
    import torch

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * 1024**3 / best


def operations() -> tuple[int, int]:
    """Of training on a token, without attention and adapters: (every token's in the body, an answer's token's in the head).

    Forward, and backward to the activations, since frozen weights take no gradient. Embeddings are looked up.
    """
    config = json.loads((BASE / "config.json").read_text(encoding="utf-8"))
    h = config["hidden_size"]
    kv = h * config["num_key_value_heads"] // config["num_attention_heads"]
    layer = 2 * h * h + 2 * h * kv + 3 * h * config["intermediate_size"]
    return 4 * layer * config["num_hidden_layers"], 4 * h * config["vocab_size"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=["ours", "trl"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(
            "\n"
            + json.dumps({"seconds": {"ours": ours, "trl": trl}[args.one](args.out, args.seed)})
        )
        return
    found: dict[str, list[dict]] = {"trl": [], "ours": []}
    for i in range(args.repeats):
        for name in found:
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                command = [
                    sys.executable,
                    __file__,
                    "--one",
                    name,
                    "--out",
                    folder,
                    "--seed",
                    str(42 + i),
                ]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                run = {
                    "job": time.perf_counter() - started,
                    "loop": json.loads(output.splitlines()[-1])["seconds"],
                }
                run["loss"] = judged(Path(folder) / "adapter")
            found[name].append(run)
            print(
                f"{i + 1}. {name}: whole job {run['job']:.0f} s, loop {run['loop']:.0f} s, valid_loss {run['loss']:.3f}",
                flush=True,
            )
    middle = lambda name, key: statistics.median(run[key] for run in found[name])
    ends = lambda name, key: [pick(run[key] for run in found[name]) for pick in (min, max)]
    seen, learned = data.statistics(parts()[0])[["tokens", "trained_tokens"]].sum() * HP.n_epochs
    print(
        "\n| what | whole job | its loop | tokens a second | valid_loss |\n| --- | --- | --- | --- | --- |"
    )
    for name in found:
        (fast, slow), (low, high) = ends(name, "job"), ends(name, "loss")
        print(
            f"| {name} | {middle(name, 'job'):.0f} s ({fast:.0f}–{slow:.0f}) | {middle(name, 'loop'):.0f} s "
            f"| {seen / middle(name, 'loop'):,.0f} | {middle(name, 'loss'):.3f} ({low:.3f}–{high:.3f}) |"
        )
    print(
        f"| TRL / ours | {middle('trl', 'job') / middle('ours', 'job'):.2f} | {middle('trl', 'loop') / middle('ours', 'loop'):.2f} | | |"
    )
    in_body, in_head = operations()
    reached = (seen * in_body + learned * in_head) / middle("ours", "loop")
    peak = matrix_product_peak()
    print(
        f"\nmatrix products: {reached / 1e9:.1f} of {peak / 1e9:.0f} GFLOP/s, {reached / peak:.0%}"
    )


if __name__ == "__main__":
    main()

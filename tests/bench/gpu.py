"""Measure training and chat on one GPU, side by side with TRL and with transformers.

    python tests/bench/gpu.py
    python tests/bench/gpu.py --cpu-dry-run     the same code on the CPU, with a small shape

Bases of Qwen2.5's shapes with random weights are made on the spot; 7B takes 16 GB of the disk and
some minutes. Each run is a process of its own.

Training is the standard preset at 8 rows a step, every row as long as the case says. TRL gets one
row at a time, eight times, with gradient checkpointing, and 4 bit where the case limits the memory;
ours chooses its plan itself. Chat is answers of 64 tokens, by our engine and by `generate`.

    tokens a second    of training: padding left out, the first step not counted
    peak               of what torch has allocated on the GPU; with a dry run, of the process

Where there is no GPU it says so and measures nothing. `COOKBOOK_FAST` and the service play no part.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import random_bases
import trl_side

from cookbook import data, tokens
from cookbook.bases import Base
from cookbook.params import PRESETS
from cookbook.paths import DATA

HP = PRESETS["standard"]
GB = 2**30
STEPS = 6  # of a training; the first warms up
ANSWER = 64  # tokens
PROMPT = "用三句话介绍一下你自己。"


@dataclass(frozen=True)
class Case:
    """What is measured: `rows` are tokens of a row, or clients at once; `limit` GB of the GPU."""

    what: str
    shape: str
    rows: int
    limit: int | None = None

    @property
    def name(self) -> str:
        unit = "tokens a row" if self.what == "train" else "at once"
        limited = f", {self.limit} GB" if self.limit else ""
        return f"{self.what} {self.shape}, {self.rows:,} {unit}{limited}"


CASES = [
    Case("train", "Qwen2.5-0.5B", 256),
    Case("train", "Qwen2.5-0.5B", 4096),
    Case("train", "Qwen2.5-7B", 1000),
    Case("train", "Qwen2.5-7B", 4096, limit=16),
    Case("chat", "Qwen2.5-0.5B", 1),
    Case("chat", "Qwen2.5-0.5B", 8),
    Case("chat", "Qwen2.5-7B", 1),
    Case("chat", "Qwen2.5-7B", 8),
]
DRY_CASES = [Case("train", "small", 64), Case("chat", "small", 2)]


def rows_of(length: int, count: int) -> list[dict]:
    """Return rows, half of them prompt, that are longer than `length`; `max_tokens` cuts them."""
    rows = data.load(DATA / "zhishuoxinyu" / "train.jsonl")
    text = "".join(row["messages"][-1]["content"] for row in rows)
    characters = len(text) / tokens.count(text)  # of a token
    text *= 1 + int(length * characters) // len(text)
    message = [
        {"role": "user", "content": text[: int(length * characters / 2)]},
        {"role": "assistant", "content": text[: int(length * characters)]},
    ]
    return [{"messages": message} for _ in range(count)]


def train_ours(case: Case, folder: Path) -> float:
    """Train with our engine; return the tokens a second after the first step."""
    from cookbook.service.engine.train import train
    from cookbook.service.events import Step

    rows = rows_of(case.rows, HP.batch_size * STEPS)
    hp = HP.to_dict() | {"n_epochs": 1, "max_tokens": case.rows}
    times = []
    with tempfile.TemporaryDirectory() as out:
        for event in train(base_in(folder), rows, [], hp, folder=Path(out), seed=1):
            if isinstance(event, Step):
                times.append(time.perf_counter())
    return speed(case, times)


def train_trl(case: Case, folder: Path) -> float:
    """Train with TRL, as its users are told to where memory is short; return the same."""
    import torch
    from transformers import AutoModelForCausalLM

    from cookbook.service.engine import four_bit

    on_gpu = torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.bfloat16 if on_gpu else torch.float32,
        device_map={"": "cuda" if on_gpu else "cpu"},
        quantization_config=four_bit.settings(torch.bfloat16) if case.limit and on_gpu else None,
    )
    rows = rows_of(case.rows, HP.batch_size * STEPS)
    clock = trl_side.Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments = trl_side.settings(
            out,
            gradient_accumulation_steps=HP.batch_size,
            max_length=case.rows,
            bf16=on_gpu,
            use_cpu=not on_gpu,
            **trl_side.FRUGAL,
        )
        trl_side.trainer(model, folder, rows, arguments, clock).train()
    return speed(case, clock.ended)


def speed(case: Case, times: list[float]) -> float:
    """Return the tokens a second between the first step and the last."""
    steps = len(times) - 1
    return case.rows * HP.batch_size * steps / (times[-1] - times[0])


def chat_ours(case: Case, folder: Path) -> float:
    """Answer with our engine; return the tokens a second of all answers together."""
    from cookbook.service.chat_request import ChatRequest
    from cookbook.service.engine.generate import Engine

    engine = Engine()
    engine.start()
    base = base_in(folder)

    def answer(count: int, length: int) -> int:
        ended: queue.SimpleQueue = queue.SimpleQueue()

        def on_piece(piece: Any) -> None:
            if piece.error or piece.finish_reason:
                ended.put(piece.error)

        answers = []
        for number in range(count):
            messages = [{"role": "user", "content": f"{number} {PROMPT}"}]
            request = ChatRequest(base, None, messages, max_tokens=length, temperature=0)
            answers.append(engine.submit(request, on_piece))
        for _ in answers:
            if error := ended.get():
                raise error
        return sum(len(answer.tokens) for answer in answers)

    answer(1, 2)  # loads the base
    started = time.perf_counter()
    return answer(case.rows, ANSWER) / (time.perf_counter() - started)


def chat_transformers(case: Case, folder: Path) -> float:
    """Answer with `generate`, all prompts in one batch; return the same."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on_gpu = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.bfloat16 if on_gpu else torch.float32,
        device_map={"": "cuda" if on_gpu else "cpu"},
    )
    conversations = [
        [{"role": "user", "content": f"{number} {PROMPT}"}] for number in range(case.rows)
    ]
    texts = tokenizer.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
    settings = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    model.generate(**inputs, max_new_tokens=2, **settings)
    # It returns when the last token is there.
    started = time.perf_counter()
    model.generate(**inputs, max_new_tokens=ANSWER, min_new_tokens=ANSWER, **settings)
    return ANSWER * case.rows / (time.perf_counter() - started)


Side = Callable[[Case, Path], float]
SIDES: dict[str, dict[str, Side]] = {
    "train": {"TRL": train_trl, "ours": train_ours},
    "chat": {"transformers": chat_transformers, "ours": chat_ours},
}


def base_in(folder: Path) -> Base:
    return Base(folder.name, str(folder))


def measure(case: Case, side: str, folder: Path) -> dict[str, Any]:
    """Do one run in this process; return tokens a second and the peak, or why there is none."""
    import torch

    on_gpu = torch.cuda.is_available()
    if case.limit and on_gpu:
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, case.limit * GB / total))
    try:
        found = SIDES[case.what][side](case, folder)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    return {"speed": found, "peak": torch.cuda.max_memory_allocated() if on_gpu else own_peak()}


def own_peak() -> int:
    """Return the most memory that this process has had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(case: Case, side: str, folder: Path) -> dict[str, Any]:
    """Do one run in a process of its own."""
    limit = {"COOKBOOK_MEMORY": f"{case.limit}GB"} if case.limit else {}
    command = [sys.executable, __file__, "--base", str(folder), "--side", side]
    command += ["--case", json.dumps(vars(case))]
    done = subprocess.run(command, env=os.environ | limit, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"failed": last[0][:120]}
    return json.loads(done.stdout.splitlines()[-1])


def report(case: Case, found: dict[str, dict[str, Any]]) -> None:
    """Print the rows of one case; the ratios are ours to the other's."""
    *_, ours = found.values()
    for side, run in found.items():
        if "failed" in run:
            print(f"| {case.name} | {side} | {run['failed']} | | | |", flush=True)
            continue
        cells = [case.name, side, f"{run['speed']:,.0f}", f"{run['peak'] / GB:.1f} GB"]
        if "failed" not in ours:
            cells += [f"{ours['speed'] / run['speed']:.2f}", f"{ours['peak'] / run['peak']:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu-dry-run", action="store_true")
    parser.add_argument("--bases", type=Path, help="a folder to keep the bases in")
    # What `run` starts: one side of one case.
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(Case(**args.case), args.side, args.base)), flush=True)
        # The engine's thread lives as long as its process, and torch does not like to be left so.
        os._exit(0)

    import torch

    if args.cpu_dry_run:
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1"}
        print("a dry run on the CPU: the figures say nothing of a GPU\n")
    elif not torch.cuda.is_available():
        print("no GPU that torch can use on this machine: nothing was measured")
        return
    else:
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| case | side | tokens a second | peak | ours / its speed | ours / its peak |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        for case in DRY_CASES if args.cpu_dry_run else CASES:
            folder = random_bases.made(case.shape, args.bases or Path(temporary))
            report(case, {side: run(case, side, folder) for side in SIDES[case.what]})


if __name__ == "__main__":
    main()

"""Measure exports: answers by engine, sizes, times and memory; needs Linux.

    PYTHONPATH=tests:tools python tests/bench/exports.py [--shape Qwen2.5-0.5B] [--only tiny|large]

First the tiny base: a model is trained on 64 rows for two epochs, asked twenty evaluation words
greedily by the service, exported in every form, and asked the same by plain PEFT, plain
transformers and llama.cpp (`xllamacpp`). Then a base of a real shape with random weights and a
random adapter of rank 8 on every linear layer: each engine's log-probabilities of the next token
after ten prompts, against PEFT in float32.

    equal         answers that are those of the service, of twenty
    largest gap   a token's log-probability here and in PEFT, among the 50 likeliest (in llama.cpp
                  without the tokens that end an answer)
    seconds, MB   of `python -m cookbook export` in a process of its own, from start to end, and the
                  most memory that process has held; reading Python and torch is about two seconds
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import random_base
import torch
from llama import Llama
from openai import OpenAI
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from cookbook import connect, jobs, zhishuo
from cookbook.connection import stop
from cookbook.disk import used
from cookbook.paths import DATA, Home
from cookbook.service.store import Store, TunedModel

FORMS = (("peft", "f16"), ("merged", "f16"), ("gguf", "f16"), ("gguf", "q8_0"), ("ollama", "f16"))
WORDS = (DATA / "zhishuoxinyu" / "eval_words.txt").read_text(encoding="utf-8").split()[:20]
PROMPTS = 10
MAX_TOKENS = 60
MB = 2**20
# The resource usage of a process counts what its parent has held, too.
COMMAND = """
import sys
from cookbook.__main__ import main
if status := main(sys.argv[1:]):
    sys.exit(status)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@dataclass(frozen=True)
class Done:
    folder: Path
    seconds: float
    peak: int
    size: int


def conversation(word):
    return [
        {"role": "system", "content": zhishuo.SHORT_PROMPT},
        {"role": "user", "content": word},
    ]


def trained(home: Path) -> dict[str, str]:
    """Train the model `bench`; return the service's answers."""
    service = connect(home=home)
    try:
        with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
            path = DATA / "zhishuoxinyu" / "train_tiny.jsonl"
            rows = b"".join(path.read_bytes().splitlines(keepends=True)[:64])
            upload = client.files.create(file=("small.jsonl", rows), purpose="fine-tune")
            job = client.fine_tuning.jobs.create(
                model=service.base_model,
                training_file=upload.id,
                suffix="bench",
                method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            )
            model = jobs.watch(client, job.id, every=0.5).fine_tuned_model
            return {word: asked(client, model, word) for word in WORDS}
    finally:
        stop(home)


def asked(client: OpenAI, model: str, word: str) -> str:
    answer = client.chat.completions.create(
        model=model, messages=conversation(word), temperature=0, max_tokens=MAX_TOKENS
    )
    return answer.choices[0].message.content


def exported(home: Path, out: Path) -> dict[tuple[str, str], Done]:
    """Export the model in every form, each in a process of its own."""
    found = {}
    for form, kind in FORMS:
        folder = out / f"{form}-{kind}"
        words = ["bench", str(folder), "--as", form, "--type", kind, "--home", str(home)]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "export", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - start
        peak = int(done.stdout.split()[-1]) * 1024
        found[form, kind] = Done(folder, seconds, peak, used(folder))
    return found


def gguf_of(done: Done) -> Path:
    return next(done.folder.glob("*.gguf"))


@torch.inference_mode()
def answers(model, tokenizer) -> dict[str, str]:
    found = {}
    for word in WORDS:
        ids = tokenizer.apply_chat_template(
            conversation(word), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(**ids, max_new_tokens=MAX_TOKENS, do_sample=False)
        text = out[0, ids["input_ids"].shape[1] :]
        found[word] = tokenizer.decode(text, skip_special_tokens=True)
    return found


def loaded(base: Path, done: dict[tuple[str, str], Done]):
    """Yield (form, type, model) of transformers and PEFT, one at a time."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    yield "peft", "f16", PeftModel.from_pretrained(model, done["peft", "f16"].folder).eval()
    del model
    merged = done["merged", "f16"].folder
    yield "merged", "f16", AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()


def row(form: str, kind: str, engine: str, result: str, done: Done) -> None:
    name = form if form in ("peft", "merged") else f"{form} {kind}"
    size, peak = done.size / MB, done.peak / MB
    print(f"| {name} | {engine} | {result} | {size:,.1f} | {done.seconds:.1f} | {peak:,.0f} |")


def head(title: str, result: str) -> None:
    print(f"\n{title}\n\n| form | engine | {result} | size, MB | seconds | memory, MB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")


def tiny(temporary: Path) -> None:
    home = temporary / "home"
    home.mkdir()
    of_service = trained(home)
    done = exported(home, temporary)
    base = DATA / "models" / "tiny-zh"
    tokenizer = AutoTokenizer.from_pretrained(base)
    head("cookbook/tiny-zh", "equal")

    def count(found: dict[str, str]) -> str:
        return f"{sum(found[word] == of_service[word] for word in WORDS)} of {len(WORDS)}"

    for form, kind, model in loaded(base, done):
        engine = {"peft": "PEFT", "merged": "transformers"}[form]
        row(form, kind, engine, count(answers(model, tokenizer)), done[form, kind])
    for form, kind in FORMS[2:]:
        with Llama(gguf_of(done[form, kind])) as llama:
            found = {word: llama.answer(conversation(word), MAX_TOKENS) for word in WORDS}
        row(form, kind, "llama.cpp", count(found), done[form, kind])


def write_model(home: Path, base: Path) -> None:
    """Put a random adapter of a base into a data folder, as the model `bench`."""
    torch.manual_seed(1)
    config = LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # it begins at zero, where nothing is changed
            torch.nn.init.normal_(parameter, std=0.02)
    folder = Home(home).models / "adapter"
    model.save_pretrained(folder)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text()) | {"base_model_name_or_path": f"local:{base.name}"}
    path.write_text(json.dumps(settings))
    name = f"ft:LoRA/{base.name}:local:bench:abcdefghijklmnopqrst"
    Store(Home(home).database).add_found_model(
        TunedModel(0, name, "ftjob-x", base.name, int(time.time()), 1, "adapter", {})
    )


def large(shape: str, temporary: Path) -> None:
    base = random_base.write(random_base.named_shape(shape), temporary / shape)
    home = temporary / "large"
    home.mkdir()
    write_model(home, base)
    os.environ["COOKBOOK_BASE_MODEL"] = str(base)
    (temporary / "out").mkdir()
    done = exported(home, temporary / "out")
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompts = []
    for word in WORDS[:PROMPTS]:
        prompt = tokenizer.apply_chat_template(conversation(word), add_generation_prompt=True)
        prompts.append(prompt["input_ids"])
    head(f"{shape}, random weights", "largest gap")
    want = []
    for form, kind, model in loaded(base, done):
        with torch.inference_mode():
            found = [model(torch.tensor([ids])).logits[0, -1].log_softmax(-1) for ids in prompts]
        want = want or found
        likeliest = [one.topk(50).indices for one in want]
        pairs = zip(found, want, likeliest, strict=True)
        gap = max(float((one[best] - other[best]).abs().max()) for one, other, best in pairs)
        engine = {"peft": "PEFT", "merged": "transformers"}[form]
        row(form, kind, engine, f"{gap:.3f}", done[form, kind])
        del model
    for form, kind in FORMS[2:]:
        gap, compared = 0.0, 0
        with Llama(gguf_of(done[form, kind])) as llama:
            for ids, other in zip(prompts, want, strict=True):
                found = llama.next_logprobs(ids)
                if not found:
                    continue
                compared += 1
                # The ends of an answer are left out there: among the others, then.
                here = torch.tensor(list(found.values())).log_softmax(-1)
                there = other[list(found)].log_softmax(-1)
                gap = max(gap, float((here - there).abs().max()))
        row(form, kind, "llama.cpp", f"{gap:.3f} ({compared} prompts)", done[form, kind])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="Qwen2.5-0.5B", help="of the larger base")
    parser.add_argument("--only", choices=["tiny", "large"], help="one of the two bases")
    args = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as temporary:
        if args.only != "large":
            tiny(Path(temporary))
        if args.only != "tiny":
            large(args.shape, Path(temporary))


if __name__ == "__main__":
    main()

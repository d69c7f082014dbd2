"""Measure chat that an engine answers, such as vLLM, beside the embedded engine.

    python tests/bench/engines.py                                    tells how to start vLLM
    python tests/bench/engines.py --engine http://127.0.0.1:8000 [--home FOLDER] [--repeats 3]

The same base, the same two adapters and the same requests over HTTP, streamed, greedy, at most 40
tokens each. The adapters are trained first, in a data folder that `--home` keeps for the next time.
Three servers take turns; all but one are idle:

    embedded         a service that answers itself
    through          a service on a copy of its data folder, with `--engine`
    engine alone     the engine, asked directly: what the service in between costs

One, 8 and 32 clients ask the base; then the two adapters, in turns.

    tokens a second    of all clients together, counted by `cookbook.tokens` in the text that came
    first token        median over the requests
    equal              answers that are those of the embedded engine to one client, of all
"""

import argparse
import contextlib
import http.client
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from chat import Server, answer, free_port, questions, running, wait_until_it_answers
from openai import OpenAI

from cookbook import connection, tokens
from cookbook.paths import DATA

BASE = "cookbook/tiny-zh"
CORPORA = ["customer_service/train.jsonl", "zhishuoxinyu/train_tiny.jsonl"]  # one for an adapter
KEY = "bench"
ROUNDS = [(1, 8), (8, 40), (32, 96)]  # (clients, requests)
HOW = f"""No engine was given. Start vLLM in an environment of its own (tests/bench/vllm.md):

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {DATA / "models" / "tiny-zh"} \\
        --served-model-name {BASE} --dtype float32 --enable-lora --max-lora-rank 8 \\
        --max-loras 2 --max-cpu-loras 16 --host 127.0.0.1 --port 8000

and then:  python tests/bench/engines.py --engine http://127.0.0.1:8000"""

EMBEDDED, THROUGH, ALONE = "embedded", "through", "engine alone"
Answers = dict[tuple[str, str], str]
"""Texts by model and question."""


@dataclass(frozen=True)
class Measured:
    """One round of requests to one server; `first` is the median of seconds to the first token."""

    tokens_per_second: float
    first: float
    equal: int
    answers: int


def trained(home: Path) -> list[str]:
    """Return the names of the two adapters in a data folder, trained unless they are there."""
    service = connection.connect(home=home)
    try:
        client = OpenAI(base_url=service.base_url, api_key=service.api_key)
        jobs = client.fine_tuning.jobs.list()
        models = [job.fine_tuned_model for job in jobs if job.fine_tuned_model]
        for corpus in CORPORA[len(models) :]:
            models.append(train(client, DATA / corpus))
    finally:
        connection.stop(home)
    return models


def train(client: OpenAI, corpus: Path) -> str:
    """Train one epoch; return the name of the model."""
    upload = client.files.create(file=corpus, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=upload.id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
    )
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    if not job.fine_tuned_model:
        raise SystemExit(f"{job.id} {job.status}: {job.error}")
    return job.fine_tuned_model


@contextlib.contextmanager
def service_on(home: Path, *options: str) -> Iterator[Server]:
    """Run a service of the project in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "cookbook", "serve", "--home", str(home), "--idle", "0"]
    command += ["--port", str(port), "--api-key", KEY, *options]
    with running(command, port) as server:
        service = replace(server, model=BASE, key=KEY)
        wait_until_it_answers(service)
        yield service


def unload(engine: Server, adapters: list[str]) -> None:
    """Take the adapters out of the engine: vLLM ends when it reads a folder that is gone."""
    headers = {"authorization": f"Bearer {engine.key}", "content-type": "application/json"}
    with contextlib.closing(http.client.HTTPConnection(engine.address, timeout=60)) as opened:
        for name in adapters:
            body = orjson.dumps({"lora_name": name})
            opened.request("POST", "/v1/unload_lora_adapter", body, headers)
            opened.getresponse().read()


def measure(
    server: Server, models: list[str], clients: int, requests: int, expected: Answers
) -> Measured:
    """Send the requests from so many clients at once, to the models in turns."""
    asked = [(models[i % len(models)], question) for i, question in enumerate(cycled(requests))]
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        answers = list(pool.map(lambda one: answer(replace(server, model=one[0]), one[1]), asked))
        seconds = time.perf_counter() - started
    texts = [text for _, text in answers]
    return Measured(
        tokens_per_second=sum(map(tokens.count, texts)) / seconds,
        first=statistics.median(first for first, _ in answers),
        equal=sum(expected[one] == text for one, text in zip(asked, texts, strict=True)),
        answers=len(answers),
    )


def cycled(requests: int) -> list[str]:
    """Return so many questions; each of the forty is asked as often as every other."""
    forty = questions(40)
    return [forty[i % len(forty)] for i in range(requests)]


def expected_answers(server: Server, models: list[str]) -> Answers:
    """Ask every model everything, one question after the other."""
    expected = {}
    for model in models:
        for question in questions(40):
            expected[model, question] = answer(replace(server, model=model), question)[1]
    return expected


def report(what: str, clients: int, rounds: dict[str, list[Measured]]) -> None:
    """Print one number of clients as a line of the table."""
    cells = [what, str(clients)]
    speed, firsts, equal = {}, [], []
    for name, own in rounds.items():
        speeds = [measured.tokens_per_second for measured in own]
        speed[name] = statistics.median(speeds)
        cells.append(f"{speed[name]:,.0f} ({min(speeds):,.0f}–{max(speeds):,.0f})")
        firsts.append(f"{statistics.median(measured.first for measured in own) * 1000:.0f}")
        same = sum(measured.equal for measured in own)
        equal.append(f"{same} of {sum(measured.answers for measured in own)}")
    cells += [
        f"{speed[THROUGH] / speed[EMBEDDED]:.2f}",
        f"{speed[THROUGH] / speed[ALONE]:.2f}",
        f"{', '.join(firsts)} ms",
        ", ".join(equal),
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


def compare(servers: dict[str, Server], adapters: list[str], repeats: int) -> None:
    """Measure all rounds, and print the table."""
    expected = expected_answers(servers[EMBEDDED], [BASE, *adapters])
    # Loads the adapters into the engine, which must know them before it is asked directly.
    for model in adapters:
        answer(replace(servers[THROUGH], model=model), "你好")
    heads = ["asked", "clients", *servers, "through / embedded", "through / alone"]
    heads += ["first token", "equal"]
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads), flush=True)
    for what, models in {"base": [BASE], "two adapters": adapters}.items():
        for clients, requests in ROUNDS:
            rounds: dict[str, list[Measured]] = {name: [] for name in servers}
            # In turns, so that what else the machine does falls on all of them.
            for _ in range(repeats):
                for name, server in servers.items():
                    measured = measure(server, models, clients, requests, expected)
                    rounds[name].append(measured)
            report(what, clients, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", metavar="URL", help="a vLLM that serves the tiny base")
    parser.add_argument("--home", type=Path, help="a data folder of the bench, kept")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    # The service that answers itself must not find one there.
    os.environ.pop("COOKBOOK_ENGINE", None)
    if not args.engine:
        print(HOW)
        return
    key = os.environ.get("COOKBOOK_ENGINE_KEY", "none")
    alone = Server(urlsplit(args.engine).netloc, BASE, key)
    answer(alone, "你好")  # ends the bench here where it is not there, or has another base
    with contextlib.ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = args.home or temporary / "home"
        adapters = trained(home)
        # After the service has ended, and before its data folder is removed.
        stack.callback(unload, alone, adapters)
        servers = {}
        for name, options in {EMBEDDED: [], THROUGH: ["--engine", args.engine]}.items():
            copy = shutil.copytree(home, temporary / name)
            servers[name] = stack.enter_context(service_on(copy, *options))
        servers[ALONE] = alone
        compare(servers, adapters, args.repeats)


if __name__ == "__main__":
    main()

"""Measure chat with a base of real size, side by side with llama.cpp.

    python tests/bench/chat_real.py [--base FOLDER] [--repeats 3] [--llama f16 bf16]

The same weights, which `tools/random_base.py` makes unless a folder is given, and the same requests
over HTTP, streamed and greedy. Our service computes in the type that it chooses for the machine;
llama.cpp is given the weights in f16, in bf16, or in both. Each has two threads, and they take
turns; all but one are idle.

    tokens a second     of all clients together, while each waits for 64 tokens
    first token         seconds of an answer of one token, to a prompt of 500

Tokens are those that the servers count: random weights say what is no text. No two prompts begin
alike, so that no part of one can be kept for another.
"""

import argparse
import contextlib
import http.client
import os
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson
import random_bases
from chat import LLAMA_CPP, Server, free_port, ours, running

from cookbook import tokens
from cookbook.paths import shipped_rows

SHAPE = "Qwen2.5-0.5B"
CONTEXT = 1024  # tokens of a request, for llama.cpp
MAX_TOKENS = 64
SHORT, LONG = 30, 500  # tokens of a prompt
CLIENTS = 1, 8
START_SECONDS = 180  # a server that does not answer by then has failed


@dataclass(frozen=True)
class Measured:
    """One turn of one server: tokens a second by the number of clients, and the first token."""

    speeds: dict[int, float]
    first: float


class Questions:
    """Prompts of a given length, no two of which begin alike."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._asked = 0
        services = shipped_rows("customer_service/services.jsonl")
        self._sentences = [question for service in services for question in service["questions"]]

    def next(self, length: int) -> str:
        self._asked += 1
        text = f"{self._asked}。"
        while tokens.count(text) < length:
            text += self._random.choice(self._sentences)
        return text


def ask(server: Server, question: str, max_tokens: int) -> int:
    """Read an answer to its end, and return its tokens."""
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    usage = None
    with contextlib.closing(http.client.HTTPConnection(server.address, timeout=300)) as opened:
        opened.request("POST", "/v1/chat/completions", orjson.dumps(body), headers)
        response = opened.getresponse()
        if response.status != 200:
            raise OSError(response.read()[:200])
        for line in response:
            if line.startswith(b"data: {"):
                usage = orjson.loads(line.removeprefix(b"data: ")).get("usage") or usage
    if not usage:
        raise OSError("the stream ended without usage")
    return usage["completion_tokens"]


def wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask(server, "你好", 4)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def measure(server: Server, questions: Questions) -> Measured:
    speeds = {}
    for clients in CLIENTS:
        asked = [questions.next(SHORT) for _ in range(clients)]
        with ThreadPoolExecutor(clients) as pool:
            started = time.perf_counter()
            counts = pool.map(lambda question: ask(server, question, MAX_TOKENS), asked)
            total = sum(counts)
            speeds[clients] = total / (time.perf_counter() - started)
    long = questions.next(LONG)
    started = time.perf_counter()
    ask(server, long, 1)
    return Measured(speeds, time.perf_counter() - started)


def report(turns: dict[str, list[Measured]]) -> None:
    """Print a line for each server, with medians and the ratio of ours to it."""
    heads = ["server"]
    for clients in CLIENTS:
        name = "one client" if clients == 1 else f"{clients} clients"
        heads += [f"{name}, tokens a second", "slowest to fastest", "ours / it"]
    heads += ["first token", "fastest to slowest", "ours / it"]
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" * len(heads))
    for name, own in turns.items():
        cells = [name]
        for clients in CLIENTS:
            speeds = [measured.speeds[clients] for measured in own]
            ours = statistics.median(measured.speeds[clients] for measured in turns["ours"])
            speed = statistics.median(speeds)
            spread = f"{min(speeds):.1f}–{max(speeds):.1f}"
            cells += [f"{speed:.1f}", spread, f"{ours / speed:.2f}"]
        firsts = [measured.first for measured in own]
        ours = statistics.median(measured.first for measured in turns["ours"])
        first = statistics.median(firsts)
        spread = f"{min(firsts):.2f}–{max(firsts):.2f} s"
        cells += [f"{first:.2f} s", spread, f"{ours / first:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, help="a checkpoint; otherwise one is made")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--llama", nargs="*", default=["f16", "bf16"], help="its weights")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        base = args.base
        if base is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            base = random_bases.made(SHAPE, Path(folder))
        os.environ["COOKBOOK_BASE_MODEL"] = str(base)
        servers = {"ours": stack.enter_context(ours())}
        for weights in args.llama:
            port = free_port()
            options = ["--weights", weights, "--context", str(CONTEXT)]
            command = [*LLAMA_CPP, str(base), str(port), *options]
            servers[f"llama.cpp, {weights}"] = stack.enter_context(running(command, port))
        for server in servers.values():
            wait_until_it_answers(server)
        questions = Questions()
        turns: dict[str, list[Measured]] = {name: [] for name in servers}
        # In turns, so that what else the machine does falls on all.
        for _ in range(args.repeats):
            for name, server in servers.items():
                measured = measure(server, questions)
                print(name, measured, file=sys.stderr, flush=True)
                turns[name].append(measured)
        report(turns)


if __name__ == "__main__":
    main()

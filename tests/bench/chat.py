"""Measure chat side by side with `transformers serve` and llama.cpp.

    python tests/bench/chat.py [--repeats 3]

The same weights (the tiny base, float32) and the same requests over HTTP, streamed, greedy, at most
40 tokens each: customer-service questions, whose answers are long enough. One client first, then 16
at once. The four servers run side by side and take turns; all but one are idle.

Tokens are counted by `cookbook.tokens` in the text that came, so that all are counted alike. The
clients read the streams with the standard library, because both sides share two cores and the
`openai` client would take more of them than the servers do.

    tokens a second    of all clients together
    first token        median over the requests, and the slowest
"""

import argparse
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from cookbook import connection, tokens
from cookbook.paths import DATA, shipped_rows

BASE = DATA / "models" / "tiny-zh"
TRANSFORMERS = str(Path(sys.executable).with_name("transformers"))
SERVE = [TRANSFORMERS, "serve", "--device", "cpu", "--dtype", "float32"]
LLAMA_CPP = [sys.executable, str(Path(__file__).with_name("llama_cpp.py"))]
SYSTEM = "你是客服助手"
MAX_TOKENS = 40
ROUNDS = [(1, 6), (16, 48)]  # (clients, requests)
START_SECONDS = 180  # a server that does not answer by then has failed

HEADS = ["server", "tokens a second", "slowest to fastest", "ours / it", "first token", "slowest"]


@dataclass(frozen=True)
class Server:
    """Where a server listens, and what it calls the base."""

    address: str
    model: str
    key: str = "none"


@dataclass(frozen=True)
class Measured:
    """One round of requests to one server; `first` are the seconds to each first token."""

    tokens_per_second: float
    answers_per_second: float
    first: list[float]


def questions(n: int) -> list[str]:
    """Return the first ways to ask for the first `n` services."""
    services = shipped_rows("customer_service/services.jsonl")[:n]
    return [service["questions"][0] for service in services]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def transformers_serve(*options: str) -> AbstractContextManager[Server]:
    port = free_port()
    return running([*SERVE, "--port", str(port), *options, str(BASE)], port)


def llama_cpp() -> AbstractContextManager[Server]:
    port = free_port()
    return running([*LLAMA_CPP, str(BASE), str(port)], port)


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[Server]:
    """Run a server with the base, in a process of its own."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment)
    try:
        yield Server(f"127.0.0.1:{port}", str(BASE))
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def ours() -> Iterator[Server]:
    """Run our service on a data folder of its own."""
    with tempfile.TemporaryDirectory() as home:
        service = connection.connect(home=Path(home))
        try:
            address = urlsplit(service.base_url).netloc
            yield Server(address, service.base_model, service.api_key)
        finally:
            connection.stop(Path(home))


def ask(server: Server, question: str) -> tuple[float, int]:
    """Return the seconds to the first token, and the number of tokens."""
    first, text = answer(server, question)
    return first, tokens.count(text)


def answer(server: Server, question: str) -> tuple[float, str]:
    """Return the seconds to the first token, and the whole text."""
    body = {
        "model": server.model,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question},
        ],
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "stream": True,
    }
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    started = time.perf_counter()
    first, text = 0.0, ""
    with contextlib.closing(http.client.HTTPConnection(server.address, timeout=300)) as opened:
        opened.request("POST", "/v1/chat/completions", orjson.dumps(body), headers)
        response = opened.getresponse()
        if response.status != 200:
            raise OSError(response.read()[:200])
        for line in response:
            piece = content_of(line)
            if piece and not text:
                first = time.perf_counter() - started
            text += piece
    return first, text


def content_of(line: bytes) -> str:
    """Return the text that one line of a stream brings."""
    # The last event is `data: [DONE]`; between events there are empty lines.
    if not line.startswith(b"data: {"):
        return ""
    choices = orjson.loads(line.removeprefix(b"data: ")).get("choices")
    if not choices:
        return ""
    return choices[0]["delta"].get("content") or ""


def wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask(server, "你好")
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def measure(server: Server, clients: int, requests: int) -> Measured:
    """Send the requests from so many clients at once."""
    asked = (questions(40) * 2)[:requests]
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        answers = list(pool.map(lambda question: ask(server, question), asked))
        seconds = time.perf_counter() - started
    total = sum(count for _, count in answers)
    first = [seconds_to_first for seconds_to_first, _ in answers]
    return Measured(total / seconds, len(answers) / seconds, first)


def report(clients: int, rounds: dict[str, list[Measured]]) -> None:
    """Print one number of clients as a table."""
    print(f"\n{clients} clients" if clients > 1 else "\none client")
    print("| " + " | ".join(HEADS) + " |")
    print("|" + " --- |" * len(HEADS))
    our_speed = statistics.median(measured.tokens_per_second for measured in rounds["ours"])
    for name, own in rounds.items():
        speeds = [measured.tokens_per_second for measured in own]
        speed = statistics.median(speeds)
        firsts: list[float] = []
        for measured in own:
            firsts += measured.first
        cells = [
            name,
            f"{speed:,.0f}",
            f"{min(speeds):,.0f}–{max(speeds):,.0f}",
            f"{our_speed / speed:.1f}",
            f"{statistics.median(firsts) * 1000:.0f} ms",
            f"{max(firsts) * 1000:.0f} ms",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    starting = {
        "transformers serve": transformers_serve(),
        "transformers serve --continuous-batching": transformers_serve("--continuous-batching"),
        "llama.cpp": llama_cpp(),
        "ours": ours(),
    }
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(server) for name, server in starting.items()}
        for server in servers.values():
            wait_until_it_answers(server)
        for clients, requests in ROUNDS:
            rounds: dict[str, list[Measured]] = {name: [] for name in servers}
            # In turns, so that what else the machine does falls on all of them.
            for _ in range(args.repeats):
                for name, server in servers.items():
                    rounds[name].append(measure(server, clients, requests))
            report(clients, rounds)


if __name__ == "__main__":
    main()

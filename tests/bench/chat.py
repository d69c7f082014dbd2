"""Chat, side by side with `transformers serve` and llama.cpp:  python tests/bench/chat.py [--repeats 3]

The same weights (the tiny base, float32), the same requests over HTTP, streamed, greedy, at most 40 tokens each:
customer-service questions, whose answers are long enough. One client, then 16 at once; the four servers run side by
side, idle but for the one whose turn it is, and take turns. Tokens are counted by `cookbook.tokens` in the text that
came, so that all are counted alike. The clients read the streams with the standard library: two cores have to do for
both sides, and the `openai` client would take more of them than the servers do.

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from cookbook import connection, tokens
from cookbook.paths import DATA, shipped_rows

BASE = DATA / "models" / "tiny-zh"
SERVE = [
    str(Path(sys.executable).with_name("transformers")),
    "serve",
    "--device",
    "cpu",
    "--dtype",
    "float32",
]
LLAMA_CPP = [sys.executable, str(Path(__file__).with_name("llama_cpp.py"))]


@dataclass(frozen=True)
class Server:
    """Where a server listens, and what it calls the base."""

    address: str
    model: str
    key: str = "none"


def questions(n: int) -> list[str]:
    return [row["questions"][0] for row in shipped_rows("customer_service/services.jsonl")][:n]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def transformers_serve(*options: str):
    port = free_port()
    return running([*SERVE, "--port", str(port), *options, str(BASE)], port)


def llama_cpp():
    port = free_port()
    return running([*LLAMA_CPP, str(BASE), str(port)], port)


@contextlib.contextmanager
def running(command: list[str], port: int):
    """A server with the base, in a process of its own."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        yield Server(f"127.0.0.1:{port}", str(BASE))
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def ours():
    with tempfile.TemporaryDirectory() as home:
        service = connection.connect(home=Path(home))
        try:
            yield Server(urlsplit(service.base_url).netloc, service.base_model, service.api_key)
        finally:
            connection.stop(Path(home))


def ask(server: Server, question: str) -> tuple[float, int]:
    """(seconds to the first token, tokens)."""
    messages = [
        {"role": "system", "content": "你是客服助手"},
        {"role": "user", "content": question},
    ]
    body = {
        "model": server.model,
        "messages": messages,
        "max_tokens": 40,
        "temperature": 0,
        "stream": True,
    }
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    started, first, text = time.perf_counter(), 0.0, ""
    with contextlib.closing(http.client.HTTPConnection(server.address, timeout=300)) as opened:
        opened.request("POST", "/v1/chat/completions", orjson.dumps(body), headers)
        response = opened.getresponse()
        if response.status != 200:
            raise OSError(response.read()[:200])
        for line in response:
            if line.startswith(b"data: {"):
                choices = orjson.loads(line[6:]).get("choices")
                if piece := choices and choices[0]["delta"].get("content"):
                    first = first or time.perf_counter() - started
                    text += piece
    return first, tokens.count(text)


def wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            ask(server, "你好")
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def measure(server: Server, clients: int, requests: int) -> dict:
    asked = (questions(40) * 2)[:requests]
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        found = list(pool.map(lambda q: ask(server, q), asked))
        seconds = time.perf_counter() - started
    speed, answers = sum(n for _, n in found) / seconds, len(found) / seconds
    return {"speed": speed, "answers": answers, "first": [first for first, _ in found]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        servers = {
            "transformers serve": stack.enter_context(transformers_serve()),
            "transformers serve --continuous-batching": stack.enter_context(
                transformers_serve("--continuous-batching")
            ),
            "llama.cpp": stack.enter_context(llama_cpp()),
            "ours": stack.enter_context(ours()),
        }
        for server in servers.values():
            wait_until_it_answers(server)
        for clients, requests in ((1, 6), (16, 48)):
            found: dict[str, list[dict]] = {name: [] for name in servers}
            for _ in range(args.repeats):
                for name, server in servers.items():
                    found[name].append(measure(server, clients, requests))
            report(clients, found)


def report(clients: int, found: dict[str, list[dict]]) -> None:
    print(f"\n{clients} clients" if clients > 1 else "\none client")
    print(
        "| server | tokens a second | slowest to fastest | ours / it | first token | slowest |\n| --- | --- | --- | --- | --- | --- |"
    )
    middle = {name: statistics.median(run["speed"] for run in runs) for name, runs in found.items()}
    for name, runs in found.items():
        speeds = [run["speed"] for run in runs]
        firsts = [first for run in runs for first in run["first"]]
        print(
            f"| {name} | {middle[name]:,.0f} | {min(speeds):,.0f}–{max(speeds):,.0f} | {middle['ours'] / middle[name]:.1f} "
            f"| {statistics.median(firsts) * 1000:.0f} ms | {max(firsts) * 1000:.0f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Measure one small call on a connection that is kept open, side by side with llama.cpp.

    python tests/bench/calls.py [--repeats 40]

The official client keeps its connection. Where a server does not set TCP_NODELAY, each answer after
the first waits for the acknowledgement of the packet before, which the client's system delays by
about 40 ms: most of such a call.

    models        `client.models.list()`
    two tokens    a chat answer of two tokens, greedy, not streamed

Medians in milliseconds, with the fastest and the slowest. The servers run side by side and take
turns; all but one are idle.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable

from chat import SYSTEM, Server, llama_cpp, ours, questions, wait_until_it_answers
from openai import OpenAI

ROUNDS = 4  # turns of each server
WHATS = ["models", "two tokens"]


def messages() -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": questions(1)[0]}]


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(server: Server, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each call, by what was measured."""
    with OpenAI(base_url=f"http://{server.address}/v1", api_key=server.key) as client:
        chat = client.chat.completions

        def two_tokens() -> object:
            return chat.create(model=server.model, messages=messages(), temperature=0, max_tokens=2)

        client.models.list()  # opens the connection
        return {
            "models": [seconds(client.models.list) for _ in range(repeats)],
            "two tokens": [seconds(two_tokens) for _ in range(repeats)],
        }


def report(measured: dict[str, dict[str, list[float]]]) -> None:
    print("| server | " + " | ".join(WHATS) + " |")
    print("|" + " --- |" * (1 + len(WHATS)))
    for name, times in measured.items():
        cells = [name]
        for what in WHATS:
            middle, low, high = (
                1000 * figure(times[what]) for figure in (statistics.median, min, max)
            )
            cells.append(f"{middle:.1f} ms ({low:.1f}–{high:.1f})")
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        servers = {
            "llama.cpp": stack.enter_context(llama_cpp()),
            "ours": stack.enter_context(ours()),
        }
        measured: dict[str, dict[str, list[float]]] = {}
        for name, server in servers.items():
            wait_until_it_answers(server)
            measured[name] = {what: [] for what in WHATS}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                for what, times in measure(server, args.repeats // ROUNDS).items():
                    measured[name][what] += times
        report(measured)


if __name__ == "__main__":
    main()

"""How time grows with the work:  python tests/bench/growth.py     about two minutes

Training with the rows and with the epochs, chat with the clients, the service's lists with the jobs in its store. Each
step's time is divided by its work and by the first step's: 1 is linear, less is better. The picture is `growth.png`.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))
from chat import measure, ours, wait_until_it_answers
from test_size import filled

from cookbook import data
from cookbook.bases import find
from cookbook.params import PRESETS
from cookbook.paths import DATA
from cookbook.service.engine.train import train
from cookbook.service.events import Started


def training(rows: int, epochs: int) -> float:
    """Seconds of the loop."""
    found = data.load(DATA / "zhishuoxinyu" / "train.jsonl")
    hp = PRESETS["standard"].to_dict() | {"n_epochs": epochs}
    started = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for event in train(
            find("cookbook/tiny-zh"), (found * 2)[:rows], [], hp, folder=Path(folder) / "job"
        ):
            if isinstance(event, Started):
                started = time.perf_counter()
        return time.perf_counter() - started


def chatting(clients: list[int]) -> list[float]:
    """Seconds of three answers for each client."""
    with ours() as server:
        wait_until_it_answers(server)
        runs = [[3 * n / measure(server, n, 3 * n)["answers"] for n in clients] for _ in range(3)]
    return [statistics.median(found) for found in zip(*runs, strict=True)]


def listing(jobs: int) -> float:
    """Seconds of ten pages of a hundred jobs."""
    with tempfile.TemporaryDirectory() as home, filled(Path(home), jobs) as http:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(10):
                assert http.get("/v1/fine_tuning/jobs?limit=100").status_code == 200
            times.append(time.perf_counter() - started)
        return min(times)


def main() -> None:
    training(8, 1)  # what torch does once
    clients = [1, 3, 10, 30]
    found = {
        "training rows": {n: training(n, 1) for n in (100, 300, 1000)},
        "epochs of 100 rows": {n: training(100, n) for n in (1, 3, 10)},
        "chat clients": dict(zip(clients, chatting(clients), strict=True)),
        "jobs in the store": {n: listing(n) for n in (10, 100, 1000, 10_000)},
    }
    figure, axes = plt.subplots(1, len(found), figsize=(13, 3.2), layout="constrained")
    print("| what | amount | seconds | a piece, ratio to the first |\n| --- | --- | --- | --- |")
    for axis, (name, times) in zip(axes, found.items(), strict=True):
        amounts, seconds = list(times), list(times.values())
        for amount, took in times.items():
            print(
                f"| {name} | {amount:,} | {took:.2f} | {took / amount / (seconds[0] / amounts[0]):.2f} |"
            )
        axis.loglog(amounts, seconds, "o-")
        axis.loglog(amounts, [seconds[0] * a / amounts[0] for a in amounts], "k:", label="linear")
        axis.set(xlabel=name, ylabel="seconds")
        axis.legend()
    figure.savefig(Path(__file__).with_name("growth.png"), dpi=80)


if __name__ == "__main__":
    main()

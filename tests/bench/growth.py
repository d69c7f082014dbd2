"""Measure how time grows with the work:  python tests/bench/growth.py     about two minutes

Training with the rows and with the epochs, chat with the clients, the service's lists with the jobs
in its store. Each step's time is divided by its work and by the first step's: 1 is linear, less is
better. The picture is `growth.png`.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

# Before pyplot, which otherwise looks for a screen.
matplotlib.use("Agg")
import matplotlib.pyplot as plt

# The store of many jobs is filled as the soak test fills it.
sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))
from chat import measure, ours, wait_until_it_answers
from test_size import filled

from cookbook import data
from cookbook.bases import find
from cookbook.params import PRESETS
from cookbook.paths import DATA
from cookbook.service.engine.train import train
from cookbook.service.events import Started

TRAIN_ROWS = (100, 300, 1000)
EPOCHS = (1, 3, 10)
EPOCH_ROWS = 100
CLIENTS = (1, 3, 10, 30)
ANSWERS = 3  # of each client
STORED_JOBS = (10, 100, 1000, 10_000)

Times = dict[int, float]  # amount of work -> seconds


def training_seconds(rows: int, epochs: int) -> float:
    """Return the seconds of the training loop."""
    corpus = data.load(DATA / "zhishuoxinyu" / "train.jsonl")
    train_rows = (corpus * 2)[:rows]
    hp = PRESETS["standard"].to_dict() | {"n_epochs": epochs}
    started = 0.0
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job"
        for event in train(find("cookbook/tiny-zh"), train_rows, [], hp, folder=job):
            # Loading comes before, and is the same for any amount of work.
            if isinstance(event, Started):
                started = time.perf_counter()
        return time.perf_counter() - started


def chat_times() -> Times:
    """Return the seconds of three answers to each of so many clients, medians of three runs."""
    runs: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    with ours() as server:
        wait_until_it_answers(server)
        for _ in range(3):
            for clients in CLIENTS:
                answers = ANSWERS * clients
                speed = measure(server, clients, answers).answers_per_second
                runs[clients].append(answers / speed)
    return {clients: statistics.median(seconds) for clients, seconds in runs.items()}


def listing_seconds(jobs: int) -> float:
    """Return the seconds of ten pages of a hundred jobs, the best of five."""
    with tempfile.TemporaryDirectory() as home, filled(Path(home), jobs) as http:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(10):
                assert http.get("/v1/fine_tuning/jobs?limit=100").status_code == 200
            times.append(time.perf_counter() - started)
        return min(times)


def report(name: str, times: Times, axis: plt.Axes) -> None:
    """Print the rows of one kind of work, and draw it beside the line of linear growth."""
    first_amount, first_seconds = next(iter(times.items()))
    each = first_seconds / first_amount
    for amount, seconds in times.items():
        ratio = seconds / amount / each
        print(f"| {name} | {amount:,} | {seconds:.2f} | {ratio:.2f} |")
    axis.loglog(list(times), list(times.values()), "o-")
    axis.loglog(list(times), [amount * each for amount in times], "k:", label="linear")
    axis.set(xlabel=name, ylabel="seconds")
    axis.legend()


def main() -> None:
    # What torch does once is paid here.
    training_seconds(8, 1)
    by_rows = {rows: training_seconds(rows, 1) for rows in TRAIN_ROWS}
    by_epochs = {epochs: training_seconds(EPOCH_ROWS, epochs) for epochs in EPOCHS}
    by_clients = chat_times()
    by_jobs = {jobs: listing_seconds(jobs) for jobs in STORED_JOBS}
    measured = {
        "training rows": by_rows,
        f"epochs of {EPOCH_ROWS} rows": by_epochs,
        "chat clients": by_clients,
        "jobs in the store": by_jobs,
    }
    print("| what | amount | seconds | a piece, ratio to the first |")
    print("| --- | --- | --- | --- |")
    figure, axes = plt.subplots(1, len(measured), figsize=(13, 3.2), layout="constrained")
    for axis, (name, times) in zip(axes, measured.items(), strict=True):
        report(name, times, axis)
    figure.savefig(Path(__file__).with_name("growth.png"), dpi=80)


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    main()

"""The same twelve jobs on this machine, and on two Ray nodes of this machine.

    PYTHONPATH=tests python tests/bench/cluster.py [--jobs 12] [--rows 200] [--kill]

Prints how long they took, whether losses and adapters are the same, and how fast a training is
whose steps are taken on a node: there each event is a call, and is recorded before the next step.
Two nodes share this machine's cores, so they cannot be faster than it: what shows is what a cluster
costs. With `--kill`, three nodes are killed while jobs train, and another takes the place of each.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from openai import OpenAI
from ray_cluster import RayCluster
from support import CORPUS

from cookbook import connect
from cookbook.connection import stop
from cookbook.paths import Home

CORES = os.cpu_count() or 1
ENDED = ("succeeded", "failed", "cancelled")


def launch(client, base, rows, seed):
    """Start a job of two epochs."""
    lines = CORPUS.read_bytes().splitlines(keepends=True)[:rows]
    upload = client.files.create(file=("rows.jsonl", b"".join(lines)), purpose="fine-tune")
    return client.fine_tuning.jobs.create(
        model=base,
        training_file=upload.id,
        seed=seed,
        extra_body={"hyperparameters": {"n_epochs": 2}},
    )


def run(folder, settings, jobs, rows, meanwhile=lambda: None):
    """Train the jobs with these settings; return how many seconds that took, and their results."""
    os.environ.update(settings)
    service = connect(home=folder)
    try:
        with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
            started = time.monotonic()
            launched = [launch(client, service.base_model, rows, seed) for seed in range(jobs)]
            threading.Thread(target=meanwhile, daemon=True).start()
            for job in launched:
                while client.fine_tuning.jobs.retrieve(job.id).status not in ENDED:
                    time.sleep(0.2)
            seconds = time.monotonic() - started
            return seconds, [result(client, folder, job) for job in launched]
    finally:
        stop(folder)
        for name in settings:
            del os.environ[name]


def result(client, folder, job):
    events = client.fine_tuning.jobs.list_events(job.id, limit=1000)
    steps = sorted(
        (event.data["step"], event.data["train_loss"], event.data["tokens_per_second"])
        for event in events
        if event.type == "metrics"
    )
    last = steps[-1][0] if steps else 0
    adapter = Home(folder).model_folder(f"{job.id}-step_{last}") / "adapter_model.safetensors"
    return {
        "status": client.fine_tuning.jobs.retrieve(job.id).status,
        "losses": [loss for _, loss, _ in steps],
        "steps": [step for step, _, _ in steps],
        "speed": steps[-1][2] if steps else 0.0,
        "adapter": adapter.read_bytes() if adapter.exists() else b"",
    }


def whole(results):
    """Return how many jobs have all their steps, each once."""
    good = 0
    for one in results:
        in_order = one["steps"] == list(range(1, len(one["steps"]) + 1))
        good += one["status"] == "succeeded" and in_order
    return good


def show(name, seconds, results, others):
    same_losses = sum(a["losses"] == b["losses"] for a, b in zip(results, others, strict=True))
    same_bytes = sum(a["adapter"] == b["adapter"] for a, b in zip(results, others, strict=True))
    speed = statistics.median(one["speed"] for one in results)
    print(
        f"| {name} | {seconds:.0f} s | {whole(results)} of {len(results)} | {same_losses} | "
        f"{same_bytes} | {speed:,.0f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--kill", action="store_true", help="once more, with three nodes killed")
    args = parser.parse_args()
    print("| where | in all | whole jobs | same losses | same bytes | tokens/s of one job |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    # A job has as many threads as a worker has processors, so that the figures can be the same.
    one = {"OMP_NUM_THREADS": "1", "COOKBOOK_REUSE": "0"}
    with tempfile.TemporaryDirectory() as above, contextlib.ExitStack() as stack:
        folder = Path(above)
        here = run(folder / "here", one | {"COOKBOOK_JOBS": str(CORES)}, args.jobs, args.rows)
        show(f"this machine, {CORES} at a time", *here, here[1])
        cluster = RayCluster(folder / "nodes")
        stack.callback(cluster.stop)
        cluster.add("one")
        cluster.add("two")
        on_ray = one | {"COOKBOOK_TRAINER": "ray", "COOKBOOK_RAY_ADDRESS": cluster.address}
        on_ray["COOKBOOK_WORKER_CPUS"] = "1"
        there = run(folder / "ray", on_ray, args.jobs, args.rows)
        show("two Ray nodes", *there, here[1])
        if args.kill:
            kills = []

            def kill():
                name = "two"
                for number in range(3):
                    time.sleep(20)
                    cluster.kill(name)
                    kills.append(name)
                    name = f"new-{number}"
                    cluster.add(name)

            faults = run(folder / "kills", on_ray, args.jobs, args.rows, kill)
            show(f"two Ray nodes, {len(kills)} killed meanwhile", *faults, here[1])


if __name__ == "__main__":
    main()

"""Many jobs of a stand-in trainer on two Ray nodes: what the service's side of a job costs.

    PYTHONPATH=tests:tests/bench python tests/bench/scale.py [--jobs 100] [--slots 4]

Supervisor, store, drivers, Ray and its nodes are real; the steps on the nodes are sleep
(scale_worker.py). Prints what a job costs the machine of the service in processor time and memory,
how long a free slot stays empty between two jobs, and how many events a second went into SQLite;
beside it what docs/scale.md computes from the same figures.
"""

import argparse
import contextlib
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from ray_cluster import RayCluster

from cookbook.paths import Home
from cookbook.service import training_process
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor
from cookbook.service.trainers import TrainerSettings, chosen

MB = 2**20
ROW = b'{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}\n'


def add_jobs(store, number):
    file = store.add_file("rows.jsonl", "fine-tune", ROW * 20)
    hp = {"batch_size": 8, "max_tokens": 64, "n_epochs": 1, "lora_rank": 8}
    for seed in range(number):
        store.add_job(
            base="cookbook/tiny-zh",
            model=f"ft:{seed}",
            training_file=file.id,
            validation_split=0.1,
            suffix=None,
            seed=seed,
            hyperparameters=hp,
        )


def drivers(home):
    """Return the training processes of the data folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(home) in (process.info["cmdline"] or []):
            found.append(process)
    return found


def watch(store, home, number):
    """Wait until all jobs have ended; return the most drivers at once, and their memory."""
    most, memory, own = 0, [], 0
    while len(store.ended(number + 1)) < number:
        alive = drivers(home.folder)
        most = max(most, len(alive))
        for process in alive:
            with contextlib.suppress(psutil.Error):
                memory.append(process.memory_full_info().uss)
        own = max(own, psutil.Process().memory_info().rss)
        time.sleep(1)
    return most, statistics.median(memory) if memory else 0, own


def processor_time():
    """Return the seconds of this process and of those of its children that have ended: drivers."""
    own, ended = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def nodes_time():
    """Return the seconds of Ray's own processes and of the workers that they started."""
    seconds = 0.0
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            # Drivers are counted when they end.
            if "scale_worker" not in process.cmdline():
                seconds += sum(process.cpu_times()[:4])
                seconds += sum(sum(one.cpu_times()[:4]) for one in process.children(recursive=True))
    return seconds


def spans(store, number):
    """Return when each job got its place and when it ended, in seconds since 1970."""
    found = []
    for job in store.ended(number):
        events = store.events(job.id, limit=1000)
        placed = [event.created_at for event in events if (event.data or {}).get("nodes")]
        found.append((min(placed, default=job.finished_at), job.finished_at, len(events)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--slots", type=int, default=4, help="jobs that the two nodes hold")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a step")
    args = parser.parse_args()
    os.environ["COOKBOOK_BENCH_STEPS"] = str(args.steps)
    os.environ["COOKBOOK_BENCH_SECONDS"] = str(args.seconds)
    training_process.WORKER_MODULE = "scale_worker"
    with tempfile.TemporaryDirectory() as above, contextlib.ExitStack() as stack:
        cluster = RayCluster(Path(above) / "nodes")
        stack.callback(cluster.stop)
        for name in ("one", "two"):
            cluster.add(name, cpus=args.slots // 2)
        settings = TrainerSettings("ray", cluster.address, worker_cpus=1)
        os.environ.update(settings.to_environment())
        home = Home(Path(above) / "home")
        home.folder.mkdir()
        store = Store(home.database)
        add_jobs(store, args.jobs)
        trainer = chosen(settings)
        supervisor = Supervisor(store, home, args.slots + trainer.most_seeking, trainer=trainer)
        started, busy, idle = time.monotonic(), processor_time(), nodes_time()
        supervisor.start()
        most, memory, own = watch(store, home, args.jobs)
        seconds, used = time.monotonic() - started, processor_time() - busy
        on_nodes = nodes_time() - idle
        supervisor.stop()
        report(args, store, seconds, used, on_nodes, most, memory, own)


def report(args, store, seconds, used, on_nodes, most, memory, own):
    found = spans(store, args.jobs)
    good = sum(job.status == "succeeded" for job in store.ended(args.jobs))
    events = sum(count for _, _, count in found)
    busy = sum(end - start for start, end, _ in found)
    print(f"jobs                      {good} of {args.jobs} succeeded in {seconds:.0f} s")
    print(f"a job trains              {args.steps * args.seconds:.1f} s")
    print(f"jobs an hour              {3600 * args.jobs / seconds:.0f}")
    print(f"slots in use              {busy / (seconds * args.slots):.0%} of the time")
    print(f"processor time of a job   {used / args.jobs:.1f} s on the service's side")
    print(f"                          {on_nodes / args.jobs:.1f} s on the nodes' side")
    most_an_hour = 3600 * (os.cpu_count() or 1) * args.jobs / (used + on_nodes)
    print(f"jobs an hour, computed    {most_an_hour:.0f}: what these processors can do at most")
    print(f"drivers at once           {most}, of {memory / MB:.0f} MB each (unshared)")
    print(f"memory of the service     {own / MB:.0f} MB")
    print(f"events                    {events}, {events / seconds:.1f} a second")


if __name__ == "__main__":
    main()

"""What watching a long job costs the kernel: `python tests/bench/watch_redraw.py [SECONDS]`.

A job with 2,000 steps behind it goes on at ten steps a second; a real Jupyter kernel watches it.
The result is the kernel's processor time while it watches, as a share of the time that passed; the
goal is 5 %. `COOKBOOK_FAST=0` measures it where each picture is drawn whole. Not covered: the
browser's share.
"""

import argparse
import math
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import uvicorn
from nbclient import NotebookClient

from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.events import Step
from cookbook.service.store import Job, Store

STEPS, DONE, PER_SECOND = 4000, 2000, 10
WARM_UP = 10  # seconds: loading matplotlib and the first 2,000 events are paid once
CELL = """
import threading, time, _thread
from openai import OpenAI
from cookbook import jobs
from cookbook.jobs.plot import Picture

marks = []  # (time that passed, processor time, pictures) when measuring begins and ends
drawn = []  # processor seconds of each picture
png = Picture._repr_png_

def timed(picture):
    started = time.process_time()
    content = png(picture)
    drawn.append(time.process_time() - started)
    return content

def mark():
    marks.append((time.monotonic(), time.process_time(), len(drawn)))

Picture._repr_png_ = timed
for delay in ({warm_up}, {warm_up} + {seconds}):
    threading.Timer(delay, mark).start()
threading.Timer({warm_up} + {seconds} + 0.5, _thread.interrupt_main).start()
client = OpenAI(base_url={base_url!r}, api_key="bench")
jobs.watch(client, {job!r})
(t0, c0, n0), (t1, c1, n1) = marks
share = 100 * (c1 - c0) / (t1 - t0)
each = 1000 * sum(drawn[n0:n1]) / (n1 - n0)
print(f"{{share:.1f}} % of the kernel's time over {{t1 - t0:.0f}} s; "
      f"{{n1 - n0}} pictures, {{each:.0f}} ms each")
"""


def step(n: int) -> Step:
    """Return one training step."""
    loss = 3 * math.exp(-n / 300) + 0.3 + 0.1 * math.sin(n)
    return Step(
        step=n,
        total_steps=STEPS,
        epoch=n / 400,
        train_loss=loss,
        valid_loss=loss if n % 400 == 0 else None,
        learning_rate=1e-4 * (1 - n / STEPS),
        tokens=400 * n,
        tokens_per_second=4000.0,
        seconds_left=(STEPS - n) / 10,
    )


def running_job(store: Store) -> Job:
    """Add a job with `DONE` steps behind it."""
    job = store.add_job(
        base="tiny",
        model="ft:bench",
        training_file="file-x",
        hyperparameters={},
        validation_file=None,
        validation_split=0.1,
        suffix="bench",
        seed=42,
        metadata=None,
    )
    store.advance(job.id, "running", "started")
    add_steps(store, job, range(1, DONE + 1))
    return job


def add_steps(store: Store, job: Job, numbers: range, pause: float = 0.0) -> None:
    for n in numbers:
        store.record(job, step(n))
        time.sleep(pause)


def serve(store: Store, folder: Path) -> uvicorn.Server:
    """Start the service's routes on a free port, without a trainer."""
    app = make_app(store, home=Home(folder), bases=[], submit=None, api_key="bench")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server


def main(seconds: int = 60) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Home(Path(folder)).database)
        job = running_job(store)
        server = serve(store, Path(folder))
        port = server.servers[0].sockets[0].getsockname()[1]
        later = (store, job, range(DONE + 1, STEPS + 1), 1 / PER_SECOND)
        threading.Thread(target=add_steps, args=later, daemon=True).start()
        code = CELL.format(
            warm_up=WARM_UP,
            seconds=seconds,
            base_url=f"http://127.0.0.1:{port}/v1",
            job=job.id,
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(notebook, timeout=WARM_UP + seconds + 60).execute()
        print(notebook.cells[0].outputs[-1]["text"], end="")
        server.should_exit = True
        time.sleep(0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seconds", type=int, nargs="?", default=60)
    main(parser.parse_args().seconds)

"""What watching a long job costs the kernel: `python tests/bench/watch_redraw.py [SECONDS]`.

A job with 2,000 steps behind it goes on at ten steps a second; a real Jupyter kernel watches it. Measured is
the kernel's processor time while it watches, as a share of the time that passed. Not covered: the browser's share.
"""

import math
import sys
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
from cookbook.service.store import Store

STEPS, DONE, PER_SECOND = 4000, 2000, 10
WARM_UP = 10  # seconds: loading matplotlib and the first 2,000 events are paid once
CELL = """
import threading, time, _thread
from openai import OpenAI
from cookbook import jobs

marks, drawn, png = [], [], jobs.Curves._repr_png_
used = lambda: (time.monotonic(), time.process_time())
def timed(curves):
    started = time.process_time()
    content = png(curves)
    drawn.append(time.process_time() - started)
    return content
jobs.Curves._repr_png_ = timed
for delay in ({warm_up}, {warm_up} + {seconds}):
    threading.Timer(delay, lambda: marks.append((*used(), len(drawn)))).start()
threading.Timer({warm_up} + {seconds} + 0.5, _thread.interrupt_main).start()
client = OpenAI(base_url={base_url!r}, api_key="bench")
jobs.watch(client, {job!r})
(t0, c0, n0), (t1, c1, n1) = marks
print(f"{{100 * (c1 - c0) / (t1 - t0):.1f}} % of the kernel's time over {{t1 - t0:.0f}} s; "
      f"{{n1 - n0}} pictures, {{1000 * sum(drawn[n0:n1]) / (n1 - n0):.0f}} ms each")
"""


def step(n: int) -> Step:
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


def main(seconds: int = 60) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "service.db")
        settings = {
            "validation_file": None,
            "validation_split": 0.1,
            "suffix": "bench",
            "seed": 42,
            "metadata": None,
        }
        job = store.add_job(
            base="tiny", model="ft:bench", training_file="file-x", hyperparameters={}, **settings
        )
        store.advance(job.id, "running", "started")
        for n in range(1, DONE + 1):
            store.record(job, step(n))
        home = Home(Path(folder))
        app = make_app(store, home=home, bases=[], submit=None, api_key="bench")
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]

        def go_on():
            for n in range(DONE + 1, STEPS + 1):
                store.record(job, step(n))
                time.sleep(1 / PER_SECOND)

        threading.Thread(target=go_on, daemon=True).start()
        code = CELL.format(
            warm_up=WARM_UP, seconds=seconds, base_url=f"http://127.0.0.1:{port}/v1", job=job.id
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(notebook, timeout=WARM_UP + seconds + 60).execute()
        print(notebook.cells[0].outputs[-1]["text"], end="")
        server.should_exit = True
        time.sleep(0.5)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

"""A room full of clients, and answers while a job trains.

SOAK_SECONDS=20 pytest -s tests/soak/test_load.py      shorter, and with the figures
"""

import contextlib
import os
import random
import statistics
import threading
import time
from collections import Counter

import openai
import psutil
from openai import OpenAI
from support import ROWS, launch

from cookbook import connect
from cookbook.connection import running

CLIENTS, SECONDS = 30, float(os.environ.get("SOAK_SECONDS", 120))
MESSAGES = [{"role": "user", "content": "地铁"}]
SHORT = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}


def upload(client, model, mine):
    mine["file"] = client.files.create(file=("small.jsonl", b"".join(ROWS)), purpose="fine-tune").id


def create(client, model, mine):
    mine["job"] = client.fine_tuning.jobs.create(
        model=model, training_file=mine["file"], method=SHORT
    ).id


def poll(client, model, mine):
    assert client.fine_tuning.jobs.retrieve(mine["job"]).id == mine["job"]
    assert list(client.fine_tuning.jobs.list_events(mine["job"], limit=100))


def chat(client, model, mine):
    chunks = list(
        client.chat.completions.create(model=model, messages=MESSAGES, stream=True, max_tokens=20)
    )
    assert chunks[-1].choices[0].finish_reason, "a stream was lost"


def visit(service, until: float, count: Counter, faults: list) -> None:
    """One client: its own file and job, then polling and chatting until the time is over."""
    with OpenAI(
        base_url=service.base_url, api_key=service.api_key, max_retries=0, timeout=300
    ) as client:
        mine, todo = {}, [upload, create]
        while time.monotonic() < until:
            act = todo[0] if todo else random.choice([poll, chat, chat, upload])
            try:
                act(client, service.base_model, mine)
                count[act.__name__] += 1
                todo = todo[1:]
            except openai.RateLimitError as error:
                count["429"] += 1
                time.sleep(float(error.response.headers["retry-after"]))
            except Exception as error:
                faults.append(f"{act.__name__}: {error!r}")


def test_a_room_full_of_clients_meets_no_error(home):
    service = connect(home=home)
    process = psutil.Process(running(home)["pid"])
    count, faults, memory = Counter(), [], []
    until = time.monotonic() + SECONDS
    room = [
        threading.Thread(target=visit, args=(service, until, count, faults)) for _ in range(CLIENTS)
    ]
    for client in room:
        client.start()
    while any(client.is_alive() for client in room):
        time.sleep(1)
        memory.append(process.memory_info().rss / 2**20)
    settled = memory[len(memory) // 2 :]
    now_and_then = [round(megabytes) for megabytes in memory[::10]]
    print(f"\n{CLIENTS} clients, {SECONDS:g} s: {dict(count)}, memory {now_and_then} MB")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        for job in client.fine_tuning.jobs.list(limit=100):
            with contextlib.suppress(openai.BadRequestError):  # it has ended
                client.fine_tuning.jobs.cancel(job.id)
    assert faults == [] and min(count[n] for n in ("upload", "create", "poll", "chat")) > 0
    assert settled[-1] < 1.25 * settled[0] + 30


def first_token(client, model) -> float:
    """Seconds until the first piece of a stream."""
    start = time.monotonic()
    with client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, max_tokens=8
    ) as stream:
        next(iter(stream))
        return time.monotonic() - start


def test_answers_stay_quick_while_a_job_trains(home):
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        first_token(client, service.base_model)
        idle = statistics.median(first_token(client, service.base_model) for _ in range(30))
        job = launch(client, service.base_model)
        while not any(
            e.type == "metrics" for e in client.fine_tuning.jobs.list_events(job.id).data
        ):
            time.sleep(0.05)
        busy = []
        while client.fine_tuning.jobs.retrieve(job.id).status == "running":
            busy.append(first_token(client, service.base_model))
    training = statistics.median(busy)
    ratio = training / idle
    figures = f"idle {idle * 1000:.1f} ms, training {training * 1000:.1f} ms, {ratio:.1f} times"
    print(f"\nfirst token: {figures}")
    assert ratio <= 5

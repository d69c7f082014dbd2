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

from cookbook import connect, jobs
from cookbook.connection import running

CLIENTS = 30
SECONDS = float(os.environ.get("SOAK_SECONDS", 120))
MESSAGES = [{"role": "user", "content": "地铁"}]
SHORT = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}


# What a client does. `mine` holds the ids of its own file and job.


def upload(client, model, mine):
    content = b"".join(ROWS)
    file = client.files.create(file=("small.jsonl", content), purpose="fine-tune")
    mine["file"] = file.id


def create(client, model, mine):
    create_job = client.fine_tuning.jobs.create
    mine["job"] = create_job(model=model, training_file=mine["file"], method=SHORT).id


def poll(client, model, mine):
    assert client.fine_tuning.jobs.retrieve(mine["job"]).id == mine["job"]
    assert list(client.fine_tuning.jobs.list_events(mine["job"], limit=100))


def chat(client, model, mine):
    ask = client.chat.completions.create
    chunks = list(ask(model=model, messages=MESSAGES, stream=True, max_tokens=20))
    assert chunks[-1].choices[0].finish_reason, "a stream was lost"


def visit(service, until: float, count: Counter, faults: list) -> None:
    """Be one client: upload, start a job, then poll and chat until the time is over."""
    # Without retries of its own: every refusal is seen here.
    settings = {"max_retries": 0, "timeout": 300}
    with OpenAI(base_url=service.base_url, api_key=service.api_key, **settings) as client:
        mine: dict[str, str] = {}
        first = [upload, create]
        while time.monotonic() < until:
            act = first[0] if first else random.choice([poll, chat, chat, upload])
            try:
                act(client, service.base_model, mine)
                count[act.__name__] += 1
                first = first[1:]
            except openai.RateLimitError as error:
                count["429"] += 1
                time.sleep(float(error.response.headers["retry-after"]))
            except Exception as error:
                faults.append(f"{act.__name__}: {error!r}")


def test_a_room_full_of_clients_meets_no_error(home):
    service = connect(home=home)
    process = psutil.Process(running(home)["pid"])
    count: Counter[str] = Counter()
    faults: list[str] = []
    memory: list[float] = []
    arguments = (service, time.monotonic() + SECONDS, count, faults)
    room = [threading.Thread(target=visit, args=arguments) for _ in range(CLIENTS)]
    for client in room:
        client.start()
    while any(client.is_alive() for client in room):
        time.sleep(1)
        memory.append(process.memory_info().rss / 2**20)
    now_and_then = [round(megabytes) for megabytes in memory[::10]]
    print(f"\n{CLIENTS} clients, {SECONDS:g} s: {dict(count)}, memory {now_and_then} MB")
    cancel_all_jobs(service)
    assert faults == []
    assert min(count[act] for act in ("upload", "create", "poll", "chat")) > 0
    # Memory grows while everything is used for the first time, and not afterwards.
    settled = memory[len(memory) // 2 :]
    assert settled[-1] < 1.25 * settled[0] + 30


def cancel_all_jobs(service) -> None:
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        for job in client.fine_tuning.jobs.list(limit=100):
            with contextlib.suppress(openai.BadRequestError):  # it has ended
                client.fine_tuning.jobs.cancel(job.id)


def first_token(client, model) -> float:
    """Return the seconds until the first piece of a stream."""
    ask = client.chat.completions.create
    start = time.monotonic()
    with ask(model=model, messages=MESSAGES, stream=True, max_tokens=8) as stream:
        next(iter(stream))
        return time.monotonic() - start


def test_answers_stay_quick_while_a_job_trains(home):
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        # The first answer waits for the base to be loaded.
        first_token(client, service.base_model)
        idle = statistics.median(first_token(client, service.base_model) for _ in range(30))
        job = launch(client, service.base_model)
        while not jobs.view(client, job.id).steps:
            time.sleep(0.05)
        busy = []
        while client.fine_tuning.jobs.retrieve(job.id).status == "running":
            busy.append(first_token(client, service.base_model))
    training = statistics.median(busy)
    ratio = training / idle
    figures = f"idle {idle * 1000:.1f} ms, training {training * 1000:.1f} ms, {ratio:.1f} times"
    print(f"\nfirst token: {figures}")
    assert ratio <= 5

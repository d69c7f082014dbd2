"""Thirty people with a key each, two of them unruly, and answers while a job trains.

SOAK_SECONDS=20 pytest -s tests/soak/test_load.py      shorter, and with the figures
"""

import contextlib
import os
import random
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import openai
import psutil
import pytest
from openai import OpenAI
from support import ROWS, launch

from cookbook import connect, jobs
from cookbook.connection import running
from cookbook.paths import Home
from cookbook.service.store import LOCAL, Store

PEOPLE = 30
SECONDS = float(os.environ.get("SOAK_SECONDS", 120))
MESSAGES = [{"role": "user", "content": "地铁"}]
SHORT = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}


@dataclass
class Visitor:
    """Somebody of the room: their key, their own files and jobs, and what they met."""

    name: str
    key: str
    files: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    late: Counter[str] = field(default_factory=Counter)  # what was done in the second half


# What somebody does


def upload(client, model, own):
    content = b"".join(ROWS)
    file = client.files.create(file=("small.jsonl", content), purpose="fine-tune")
    own.files.append(file.id)


def create(client, model, own):
    create_job = client.fine_tuning.jobs.create
    job = create_job(model=model, training_file=own.files[-1], method=SHORT)
    own.jobs.append(job.id)


def poll(client, model, own):
    assert client.fine_tuning.jobs.retrieve(own.jobs[-1]).id == own.jobs[-1]
    assert list(client.fine_tuning.jobs.list_events(own.jobs[-1], limit=100))


def chat(client, model, own):
    ask = client.chat.completions.create
    chunks = list(ask(model=model, messages=MESSAGES, stream=True, max_tokens=20))
    assert chunks[-1].choices[0].finish_reason, "a stream was lost"


def clients_of(service, key: str) -> OpenAI:
    # Without retries of its own: every refusal is seen here.
    return OpenAI(base_url=service.base_url, api_key=key, max_retries=0, timeout=300)


class Room:
    """What happens while everybody is there."""

    def __init__(self, service, seconds: float):
        self.service = service
        self.half = time.monotonic() + seconds / 2
        self.until = time.monotonic() + seconds
        self.count: Counter[str] = Counter()
        self.faults: list[str] = []

    def is_open(self) -> bool:
        return time.monotonic() < self.until

    def do(self, act, client, own: Visitor) -> bool:
        """Let somebody do something; return whether it was done."""
        try:
            act(client, self.service.base_model, own)
        except openai.RateLimitError:
            self.count[f"429 {act.__name__}"] += 1
            return False
        except Exception as error:
            self.faults.append(f"{own.name}, {act.__name__}: {error!r}")
            return False
        self.count[act.__name__] += 1
        if time.monotonic() > self.half:
            own.late[act.__name__] += 1
        return True

    def visit(self, own: Visitor) -> None:
        """Be one person: upload, start a job, then poll and chat until the time is over."""
        with clients_of(self.service, own.key) as client:
            for act in (upload, create):
                while self.is_open() and not self.do(act, client, own):
                    time.sleep(2)
            while self.is_open():
                self.do(random.choice([poll, chat, chat, upload]), client, own)

    def run_all_in_a_loop(self, own: Visitor) -> None:
        """Be one who never waits: many at once, jobs without end, no pause after a refusal."""

        def loop(acts) -> None:
            with clients_of(self.service, own.key) as client:
                while self.is_open():
                    for act in acts:
                        self.do(act, client, own)

        with ThreadPoolExecutor() as pool:
            uploads = pool.submit(loop, [upload, create])
            chats = [pool.submit(loop, [chat]) for _ in range(12)]
            for one in [uploads, *chats]:
                one.result()

    def try_keys(self, own: Visitor) -> None:
        """Be one who tries keys, and is let in with the right one all the while."""
        number = 0
        while self.is_open():
            number += 1
            with clients_of(self.service, own.key) as client:
                self.do(chat, client, own)
            with clients_of(self.service, f"room-aaaa-bbbb-cccc-{number:04}") as client:
                try:
                    client.models.list()
                    self.faults.append("a wrong key was let in")
                except (openai.AuthenticationError, openai.RateLimitError) as error:
                    self.count[f"wrong key {error.status_code}"] += 1


def test_thirty_people_two_of_them_unruly_meet_no_error_and_see_their_own_alone(home):
    service = connect("local", home=home)
    process = psutil.Process(running(home)["pid"])
    store = Store(Home(home).database)
    names = [f"p{number:02}" for number in range(1, PEOPLE + 1)]
    people = [Visitor(name, store.add_person(name)) for name in names]
    flood, guesser, *others = people
    room = Room(service, SECONDS)
    memory: list[float] = []
    with ThreadPoolExecutor(PEOPLE) as pool:
        visits = [
            pool.submit(room.run_all_in_a_loop, flood),
            pool.submit(room.try_keys, guesser),
            *(pool.submit(room.visit, own) for own in others),
        ]
        while not all(visit.done() for visit in visits):
            time.sleep(1)
            memory.append(process.memory_info().rss / 2**20)
        for visit in visits:
            visit.result()
    now_and_then = [round(megabytes) for megabytes in memory[::10]]
    print(f"\n{PEOPLE} people, {SECONDS:g} s: {dict(room.count)}, memory {now_and_then} MB")
    assert room.faults == []
    for own in others:
        assert min(own.late[act] for act in ("upload", "poll", "chat")) > 0, own
    assert guesser.late["chat"] > 0
    assert room.count["429 create"] > 0 and room.count["wrong key 401"] > 0
    for own in people:
        assert_sees_their_own_alone(service, own, next(one for one in others if one is not own))
    cancel_all_jobs(service)
    # Memory grows while everything is used for the first time, and not afterwards.
    settled = memory[len(memory) // 2 :]
    assert settled[-1] < 1.25 * settled[0] + 30


def assert_sees_their_own_alone(service, own: Visitor, other: Visitor) -> None:
    with clients_of(service, own.key) as client:
        assert {file.id for file in client.files.list(limit=100)} == set(own.files)
        assert {job.id for job in client.fine_tuning.jobs.list(limit=100)} == set(own.jobs)
        for model in client.models.list():
            assert model.owned_by in (own.name, LOCAL), model
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(other.files[0])
        with pytest.raises(openai.NotFoundError):
            client.fine_tuning.jobs.cancel(other.jobs[0])


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

"""The workshop hour: thirty people work through notebooks 00 to 04 in one room, all at once.

    pytest -s tests/soak/test_room.py
    ROOM_PEOPLE=6 pytest -s tests/soak/test_room.py         a smaller room, as in CI
    ROOM_THINK=20 pytest -s tests/soak/test_room.py         seconds to read between two cells

The room is the leader's command, on a data folder of its own; the people are those of
`tests/classroom.py`. Without time to think everybody presses Run All at the same moment, which is
the worst there is. The waits are printed as a table, which `tests/bench/RESULTS.md` repeats.
"""

import contextlib
import csv
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import openai
import psutil
import pytest
from openai import OpenAI
from support import ROWS

from cookbook.connection import running, stop

# Thirty take a quarter of an hour: 5,400 answers in notebook 04 alone.
PEOPLE = int(os.environ.get("ROOM_PEOPLE", 6 if os.environ.get("CI") else 30))
THINK = float(os.environ.get("ROOM_THINK", 0))
HOUR = 3600
MOST_MEGABYTES = 1500  # of the service, with the teaching base
CLASSROOM = Path(__file__).parents[1] / "classroom.py"
QUESTION = [{"role": "user", "content": "地铁"}]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Room:
    """The leader's command, running on a data folder; it can be started again."""

    def __init__(self, home: Path, people: int):
        self.home, self.people = home, people
        self.port = free_port()
        self._log = home.with_name("room.log")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "cookbook", "room", "--people", str(self.people)]
        command += ["--home", str(self.home), "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--no-open"], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while running(self.home) is None:
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    @property
    def slips(self) -> Path:
        [path] = self.home.glob("slips-*.csv")
        return path

    def all_keys(self) -> list[str]:
        rows = csv.reader(io.StringIO(self.slips.read_text(encoding="utf-8-sig")))
        return [row[2] for row in rows][1:]

    def client(self, key: str | None = None, **options) -> OpenAI:
        address = running(self.home)
        url = f"http://127.0.0.1:{self.port}/v1"
        return OpenAI(base_url=url, api_key=key or address["api_key"], **options)

    def megabytes(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


@pytest.fixture
def room(tmp_path):
    """Return a function that opens a room for so many people."""
    rooms = []

    def opened(people: int) -> Room:
        rooms.append(Room(tmp_path / "home", people))
        return rooms[-1]

    yield opened
    for one in rooms:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGINT)
            one.process.wait(30)
        stop(one.home)


def test_thirty_people_get_through_the_course_in_an_hour(room, tmp_path):
    opened = room(PEOPLE)
    result = tmp_path / "result.json"
    command = [sys.executable, str(CLASSROOM), str(opened.slips), str(result)]
    # What is remembered between notebooks is the people's, not the leader's.
    environment = os.environ | {"COOKBOOK_HOME": str(tmp_path / "laptop")}
    memory = [opened.megabytes()]
    with (tmp_path / "classroom.log").open("wb") as log:
        classroom = subprocess.Popen(
            [*command, "--think", str(THINK)], env=environment, stdout=log, stderr=log
        )
        while classroom.poll() is None:
            time.sleep(1)
            memory.append(opened.megabytes())
    assert classroom.returncode == 0, (tmp_path / "classroom.log").read_text()
    seen = json.loads(result.read_text())
    with opened.client() as leader:
        jobs = list(leader.fine_tuning.jobs.list(limit=100))
    print(f"\n{PEOPLE} people, {THINK:g} s between cells: {seen['seconds']:.0f} s in all")
    report(seen, jobs, memory)
    assert [one["error"] for one in seen["people"] if one["error"]] == []
    assert len(seen["people"]) == PEOPLE
    kinds = {call["kind"] for call in seen["calls"]}
    assert kinds >= {"connect", "upload", "start a job", "look at a job", "whole answer"}
    # With time to think, what is thought is not the service's.
    thinking = THINK * 90
    assert seen["seconds"] < HOUR + thinking
    assert Counter(job.status for job in jobs).keys() <= {"succeeded", "cancelled", "failed"}
    # A lesson of 03, on purpose, fails for everybody.
    failed = {job.user_provided_suffix for job in jobs if job.status == "failed"}
    assert failed <= {"rate-too-high"}, failed
    # Each person's own: none is lost, and none is anybody else's.
    owners = Counter(job.organization_id for job in jobs)
    assert len(owners) == PEOPLE and len(set(owners.values())) == 1, owners
    # Adapters are loaded until the end; that nothing else grows is for test_load.py.
    assert max(memory) < MOST_MEGABYTES, memory


def quantiles(seconds: list[float]) -> str:
    """Return median, 90 % and worst as cells of a table."""
    ordered = sorted(seconds)
    tenth = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    return f"{statistics.median(ordered):.2f} | {tenth:.2f} | {ordered[-1]:.2f}"


def report(seen, jobs, memory: list[float]) -> None:
    """Print what people have waited for, in seconds."""
    print("| what | how many | median | 90 % | worst |\n| --- | --- | --- | --- | --- |")
    notebooks: dict[str, list[float]] = defaultdict(list)
    for person in seen["people"]:
        for notebook, seconds in person["took"].items():
            notebooks[notebook].append(seconds)
    for notebook, seconds in sorted(notebooks.items()):
        print(f"| {notebook}, all its cells | {len(seconds)} | {quantiles(seconds)} |")
    calls: dict[tuple[str, str], list[float]] = defaultdict(list)
    for call in seen["calls"]:
        calls[call["notebook"], call["kind"]].append(call["seconds"])
    for (notebook, kind), seconds in sorted(calls.items()):
        print(f"| {notebook}, {kind} | {len(seconds)} | {quantiles(seconds)} |")
    trained: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.status == "succeeded":
            trained[job.user_provided_suffix].append(job.finished_at - job.created_at)
    for suffix, seconds in trained.items():
        print(f"| {suffix}, from the start to the model | {len(seconds)} | {quantiles(seconds)} |")
    refused = Counter(f"{c['kind']} {c['status']}" for c in seen["calls"] if c["status"] >= 400)
    print(f"refused: {dict(refused)}")
    middle = memory[len(memory) // 2]
    print(f"memory: {memory[0]:.0f} MB, {middle:.0f} MB, {memory[-1]:.0f} MB at the end")


def ask(client: OpenAI) -> str | None:
    model = next(model.id for model in client.models.list())
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=8)
    return answer.choices[0].message.content


def test_a_room_that_is_killed_and_started_again_goes_on_for_everybody(room):
    opened = room(5)
    keys = opened.all_keys()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened.client(key, max_retries=10)) for key in keys]
        started = []
        for client in clients:
            file = client.files.create(file=("a.jsonl", b"".join(ROWS)), purpose="fine-tune")
            model = next(model.id for model in client.models.list())
            started.append(client.fine_tuning.jobs.create(model=model, training_file=file.id))
        opened.process.kill()
        opened.process.wait(30)
        with pytest.raises(openai.APIConnectionError):
            clients[0].with_options(max_retries=0).models.list()
        opened.start()
        # The same clients, keys and port.
        for client, job in zip(clients, started, strict=True):
            assert [one.id for one in client.fine_tuning.jobs.list()] == [job.id]
            assert ask(client)
        deadline = time.monotonic() + 240
        for client, job in zip(clients, started, strict=True):
            while client.fine_tuning.jobs.retrieve(job.id).status != "succeeded":
                assert time.monotonic() < deadline
                time.sleep(0.5)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_room_that_sleeps_locks_nobody_out(room):
    opened = room(3)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened.client(key)) for key in opened.all_keys()]
        assert all(ask(client) for client in clients)
        opened.process.send_signal(signal.SIGSTOP)
        # Whoever asks meanwhile waits, and is answered afterwards.
        with contextlib.suppress(openai.APITimeoutError):
            clients[0].with_options(max_retries=0, timeout=2).models.list()
        time.sleep(10)
        opened.process.send_signal(signal.SIGCONT)
        assert all(ask(client) for client in clients)

"""A real service whose base is not on this machine: chat says so, a job downloads it and trains."""

import os
import subprocess
import sys
import time
from pathlib import Path

import hubs
import openai
import pytest
import support
from openai import OpenAI

from cookbook import connect
from cookbook.connection import running, stop
from cookbook.paths import DATA

MODEL = "Qwen/Small-Instruct"


@pytest.fixture
def hub(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    folder = support.write_base(tmp_path / "base", tokenizer, hidden_size=128)
    with hubs.Hubs() as server:
        server.models[MODEL] = hubs.files(Path(folder))
        # Slow enough that something can happen meanwhile.
        server.seconds = 0.05
        yield server


@pytest.fixture
def client(hub, tmp_path):
    """Start a service for that base in a terminal, as for a room; give a client of it."""
    home = tmp_path / "home"
    environment = os.environ | hub.environment(tmp_path) | {"COOKBOOK_BASE_MODEL": MODEL}
    del environment["HF_HUB_OFFLINE"]
    line = [sys.executable, "-m", "cookbook", "serve", "--home", str(home)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        while running(home) is None:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        service = connect(home=home)
        with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
            client.home = home
            yield client
    finally:
        stop(home)
        text = process.communicate()[1]
        assert f"python -m cookbook pull {MODEL}" in text


def answer(client):
    messages = [{"role": "user", "content": "你好"}]
    return client.chat.completions.create(model=MODEL, messages=messages, max_tokens=3)


def events(client, job):
    return list(client.fine_tuning.jobs.list_events(job.id, limit=200))


def wait_for(client, job, *, then):
    """Look at the job's events until `then` accepts them; return the events."""
    while True:
        found = events(client, job)
        if then(found):
            return found
        time.sleep(0.2)


def downloaded(found):
    """Return the most bytes that events tell."""
    return max((e.data["bytes"] for e in found if "total" in (e.data or {})), default=0)


def test_a_job_downloads_the_base_through_a_kill_and_a_pause(hub, client):
    with pytest.raises(openai.InternalServerError, match=f"python -m cookbook pull {MODEL}"):
        answer(client)
    status = [sys.executable, "-m", "cookbook", "status", "--home", str(client.home)]
    shown = subprocess.run(status, capture_output=True, text=True).stdout
    assert f"python -m cookbook pull {MODEL}" in shown

    job = support.launch(client, MODEL)
    first = downloaded(wait_for(client, job, then=lambda found: downloaded(found) > 200_000))
    for process in support.training_processes(client.home):
        process.kill()
    wait_for(client, job, then=lambda found: downloaded(found) > first)

    client.fine_tuning.jobs.pause(job.id)
    time.sleep(3)
    paused = downloaded(events(client, job))
    time.sleep(3)
    assert downloaded(events(client, job)) == paused
    client.fine_tuning.jobs.resume(job.id)

    wait_for(client, job, then=lambda _: client.fine_tuning.jobs.retrieve(job.id).finished_at)
    ended = client.fine_tuning.jobs.retrieve(job.id)
    assert ended.status == "succeeded", events(client, job)
    # Each part came once: no byte was fetched twice but those of a block under way.
    asked = [int((range_ or "bytes=0-")[6:-1]) for range_ in hub.weights_asked()]
    assert asked == sorted(asked) and len(asked) >= 2
    assert answer(client).usage.completion_tokens == 3


def test_a_job_can_be_cancelled_while_it_downloads(hub, client):
    job = support.launch(client, MODEL)
    wait_for(client, job, then=downloaded)
    begin = time.monotonic()
    client.fine_tuning.jobs.cancel(job.id)
    asked = len(hub.requests)
    time.sleep(3)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
    assert len(hub.requests) <= asked + 1 and time.monotonic() - begin < 60

"""Batches on the tiny base: real answers, a killed service, and chat that goes first."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from batches import create, ended, results, until
from openai import OpenAI

from cookbook import zhishuo
from cookbook.bases import find
from cookbook.connection import running, stop
from cookbook.paths import Home
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine import runner
from cookbook.service.engine.answer import Answer
from cookbook.service.engine.load import load
from cookbook.service.store import Store

SECONDS = 120.0  # that a batch may take on a busy machine
TINY = "cookbook/tiny-zh"
WORDS = zhishuo.eval_words()[:20]


def line_of(word, number=0, **options):
    messages = [{"role": "user", "content": word}]
    body = {"model": TINY, "messages": messages, "temperature": 0, "max_tokens": 24}
    return {"custom_id": f"{word}-{number}", "body": body | options}


def test_a_batch_has_the_answers_that_chat_gives_and_names_the_lines_that_fail(client):
    lines = [line_of(word) for word in WORDS]
    for line in lines[1::2]:
        line["body"]["top_p"] = 7
    done = ended(client, create(client, lines), SECONDS)
    assert done.status == "completed"
    assert done.request_counts.to_dict() == {"total": 20, "completed": 10, "failed": 10}
    answers = results(client, done.output_file_id)
    for line, answer in zip(lines[::2], answers, strict=True):
        assert answer["custom_id"] == line["custom_id"]
        chat = client.chat.completions.create(**line["body"]).to_dict()
        same = {"id": "", "created": 0}
        assert answer["response"]["body"] | same == chat | same
    failed = results(client, done.error_file_id)
    assert [line["custom_id"] for line in failed] == [line["custom_id"] for line in lines[1::2]]
    assert {line["response"]["status_code"] for line in failed} == {400}


# A service that is killed


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    yield folder
    stop(folder)


@contextlib.contextmanager
def serving(home):
    """Serve a data folder in a process of its own; give it and a client."""
    command = [sys.executable, "-m", "cookbook", "serve", "--home", str(home)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        found = until(lambda: running(home), SECONDS)
        with OpenAI(base_url=found["base_url"], api_key=found["api_key"], max_retries=0) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


def test_a_killed_service_goes_on_with_its_batch_and_asks_no_line_twice(home):
    lines = [line_of(word, number, n=4) for number in range(3) for word in WORDS]
    with serving(home) as (process, client):
        batch = create(client, lines)
        until(lambda: client.batches.retrieve(batch.id).request_counts.completed, SECONDS)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    store = Store(Home(home).database)
    rows = store._database.rows("SELECT line, content FROM batch_answers ORDER BY line")
    kept = {row["line"]: row["content"] for row in rows}
    counted = store.batch(batch.id)
    assert 0 < len(kept) == counted.answered < len(lines)
    with serving(home) as (_, client):
        # A service that is busy does not end itself.
        assert client.get("../health", cast_to=object)["busy"]
        done = ended(client, batch, SECONDS)
        assert done.request_counts.to_dict() == {"total": 60, "completed": 60, "failed": 0}
        content = client.files.content(done.output_file_id).read().splitlines()
    # The same bytes, with the same ids: none was asked again.
    assert {number: content[number - 1] for number in kept} == kept
    assert len({json.loads(line)["response"]["body"]["id"] for line in content}) == 60


# Whose answer is first


def answer_of(text, **options):
    options = {"temperature": 0, "max_tokens": 300} | options
    messages = [{"role": "user", "content": text}]
    return Answer(ChatRequest(find(TINY), None, messages, **options), lambda piece: None)


@pytest.fixture(scope="module")
def model():
    return load(find(TINY))


def test_chat_has_its_first_token_before_another_line_of_a_batch_begins(model):
    engine = runner.Runner(*model)
    lines = [answer_of(f"问题{number}", background=True) for number in range(30)]
    for line in lines:
        engine.admit(line)
    while len(engine.running) < runner.MAX_BATCH // 2:
        engine.advance()
    begun = [line for line in lines if line.tokens]
    assert len(begun) == runner.MAX_BATCH // 2
    chat = answer_of("你好")
    engine.admit(chat)
    # A token for those under way, and then its own.
    for _ in range(2):
        engine.advance()
    assert chat.tokens
    assert [line for line in lines if line.tokens] == begun


def test_chat_does_not_wait_while_the_long_prompts_of_a_batch_are_read(model, monkeypatch):
    monkeypatch.setattr(runner, "READ_WORK", 0)
    engine = runner.Runner(*model)
    lines = [answer_of("长" * 400, background=True, person=f"{i}") for i in range(4)]
    for line in lines:
        engine.admit(line)
    engine.advance()
    chat = answer_of("短" * 100, max_tokens=1)
    engine.admit(chat)
    parts = len(chat.prompt) // runner.LEAST_COLUMNS + 1
    for _ in range(parts):
        engine.advance()
    assert chat.tokens and not any(line.tokens for line in lines)

"""Every helper that takes a client refuses at once what is not an `OpenAI` client."""

import asyncio
import gc
import importlib
import inspect
import pkgutil
from pathlib import Path

import openai
import pandas as pd
import pytest

import cookbook
from cookbook import Connection
from cookbook.errors import ArgumentError

# What the helpers take beside the client; those that are not named here get no value.
ARGUMENTS = {
    "job_id": "ftjob-1",
    "text": "ft:LoRA/Qwen/Qwen2.5-7B-Instruct:abc:task:abcdefghijklmnopqrst",
    "model": "m",
    "training_file": "file-1",
    "columns": {"a": ("m", None)},
    "inputs": ["甲"],
    "answers": pd.DataFrame(
        [{"column": column, "input": "甲", "answer": "乙"} for column in ("a", "b")]
    ),
    "a": "a",
    "b": "b",
    "criteria": "short",
    "base_id": "x",
    "prompt": "写一句",
    "path": "never-written.jsonl",
}


def helpers() -> dict:
    """Return every public function and class outside the service that takes a `client`."""
    found = {}
    for module in pkgutil.walk_packages(cookbook.__path__, "cookbook."):
        private = module.name.startswith(("cookbook.service", "cookbook.__main__"))
        if private or module.name == "cookbook.client":
            continue
        loaded = importlib.import_module(module.name)
        for name, item in vars(loaded).items():
            if getattr(item, "__module__", "") != module.name or name.startswith("_"):
                continue
            # An error of Python's own making has no signature.
            if isinstance(item, type) and issubclass(item, Exception):
                continue
            if callable(item) and "client" in inspect.signature(item).parameters:
                found[f"{module.name}.{name}"] = item
    return found


HELPERS = helpers()
# For `refresh`, which `view` and `watch` call with a client that they have checked.
HELPERS.pop("cookbook.jobs.view.refresh")
# Takes no user's client: the panel makes it.
HELPERS.pop("cookbook.panel.task.TaskForm")
# Called by `ask` and `drafts` with a client that they have checked.
for name in (
    "compare.send.send_all",
    "synthesize.batch.ask_in_batches",
    "synthesize.batch_files.find_batch",
    "synthesize.results.fetch",
):
    HELPERS.pop(f"cookbook.{name}")


def call(helper, client):
    parameters = inspect.signature(helper).parameters
    needed = [name for name, p in parameters.items() if p.default is p.empty]
    given = {name: ARGUMENTS[name] for name in needed if name in ARGUMENTS}
    return helper(client=client, **given)


def test_the_helpers_are_found():
    names = {name.rpartition(".")[2] for name in HELPERS}
    assert {"watch", "view", "find", "verify", "remembered", "ask", "judge"} <= names
    assert {"StartButton", "CancelButton", "IdentifierBox", "ParameterPanel", "card"} <= names


@pytest.fixture(scope="module")
def asynchronous():
    # One for all: each reads the certificates of the machine.
    client = openai.AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="x")
    yield client
    asyncio.run(client.close())


@pytest.mark.parametrize("name", HELPERS)
def test_an_asynchronous_client_is_refused_in_a_sentence_and_nothing_is_left_to_await(
    name, asynchronous
):
    with pytest.raises(ArgumentError, match=r"异步客户端 AsyncOpenAI.*OpenAI\(base_url"):
        call(HELPERS[name], asynchronous)
    # A coroutine that nobody awaits warns when it is collected, and warnings are errors here.
    gc.collect(1)


@pytest.mark.parametrize("name", HELPERS)
def test_the_connection_is_no_client(name):
    service = Connection("http://127.0.0.1:9/v1", "secret-key", "base", trains_by_api=True)
    for given in (service, openai.OpenAI, "client"):
        with pytest.raises(ArgumentError, match=r"client = OpenAI\(") as caught:
            call(HELPERS[name], given)
        assert "secret-key" not in str(caught.value)


def test_a_class_that_derives_from_the_sdks_is_as_good(monkeypatch, tmp_path):
    from cookbook import jobs

    class Own(openai.OpenAI):
        pass

    monkeypatch.setenv("COOKBOOK_HOME", str(Path(tmp_path)))
    with Own(base_url="http://127.0.0.1:9/v1", api_key="x") as client:
        assert jobs.remembered(client) is None

"""Two people ask a real service for the same training: it trains once, and each has a model."""

import contextlib
import subprocess
import sys
import time

import openai
import pytest
from openai import OpenAI
from support import ROWS

from cookbook import jobs
from cookbook.connection import running, stop
from cookbook.paths import Home
from cookbook.service.store import Store

TINY = "cookbook/tiny-zh"


SERVE = """
import sys
from pathlib import Path
from cookbook.paths import Home
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.server import Settings, serve
serve(Settings(Home(Path(sys.argv[1])), reuse=True), ChatEngine())
"""


@pytest.fixture
def room(tmp_path):
    """Run a service whose equal jobs are one; give its store, and a client for each person."""
    home = Home(tmp_path)
    with subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path)]) as process:
        while not (address := running(tmp_path)):
            assert process.poll() is None
            time.sleep(0.1)
        store = Store(home.database)
        with contextlib.ExitStack() as stack:

            def client(name):
                url, key = address["base_url"], store.add_person(name)
                return stack.enter_context(OpenAI(base_url=url, api_key=key, max_retries=0))

            yield store, home, client
        stop(tmp_path)


def launch(client, name):
    """Start the short job on an upload of one's own, under a name of one's own."""
    upload = client.files.create(file=(f"{name}.jsonl", b"".join(ROWS)), purpose="fine-tune")
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    return client.fine_tuning.jobs.create(
        model=TINY, training_file=upload.id, suffix=name, method=method
    )


def answer(client, model):
    asked = {"messages": [{"role": "user", "content": "地铁"}], "max_tokens": 20}
    return client.chat.completions.create(model=model, temperature=0, **asked).choices[0].message


def test_the_second_of_two_equal_jobs_ends_with_the_first_and_is_as_good(room):
    store, home, client = room
    ann, bob = client("Ann"), client("Bob")
    first, second = launch(ann, "ann"), launch(bob, "bob")
    first = jobs.watch(ann, first.id, every=0.2)
    second = jobs.watch(bob, second.id, every=0.2)
    assert (first.status, second.status) == ("succeeded", "succeeded")
    # It never had a process, and ended within moments of the first.
    log = home.worker_log.read_text(encoding="utf-8")
    assert first.id in log and second.id not in log
    assert second.finished_at - first.finished_at <= 2

    views = [jobs.view(ann, first.id), jobs.view(bob, second.id)]
    assert views[0].steps == views[1].steps and len(views[0].steps) == 8
    assert [curve.finished for curve in (view.curve for view in views)] == [8, 8]
    assert any((event.data or {}).get("taken_over") for event in views[1].events)

    pairs = []
    for person, job in ((ann, first), (bob, second)):
        kept = person.fine_tuning.jobs.checkpoints.list(job.id).data
        names = [checkpoint.fine_tuned_model_checkpoint for checkpoint in kept]
        assert names[0] == job.fine_tuned_model and len(names) == 2
        assert all(name.startswith(job.fine_tuned_model) for name in names)
        pairs.append([answer(person, name) for name in names])
    assert pairs[0] == pairs[1]
    with pytest.raises(openai.NotFoundError):
        answer(bob, first.fine_tuned_model)

    # The same weights, and they stay when the first is deleted.
    folders = [home.model_folder(f"{job.id}-step_8") for job in (first, second)]
    weights = [folder / "adapter_model.safetensors" for folder in folders]
    content = weights[0].read_bytes()
    assert weights[1].read_bytes() == content
    ann.models.delete(first.fine_tuned_model)
    assert not folders[0].exists() and weights[1].read_bytes() == content
    assert answer(bob, second.fine_tuned_model) == pairs[1][0]

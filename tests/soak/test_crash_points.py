"""The service's or the training's process is killed right after one of its writes: nothing is lost.

SOAK_POINTS=20 pytest tests/soak/test_crash_points.py      every write; the default takes samples

tests/service/test_crash_points.py walks through every write with a stand-in for the training.
"""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from support import ROWS, assert_same, result

from cookbook import connect, jobs
from cookbook.connection import stop
from cookbook.job_states import TERMINAL

POINTS = int(os.environ.get("SOAK_POINTS", 5))
SERVICE_WRITES = 3  # upload, job, queue

# Two epochs of two steps: a checkpoint in the middle, and everything that a long job writes.
HYPERPARAMETERS = {"n_epochs": 2, "batch_size": 16}

# Python runs this file in each process that finds it. While the plan is there, the process that it
# names counts what it has written, and ends as by a power cut; without a moment it only counts.
HOOK = """
import json, os, shutil, signal, sqlite3, sys
PLAN = {plan!r}
KIND = "service.worker" if "cookbook.service.worker" in sys.orig_argv else "service"
count = 0

def wrote():
    global count
    try:
        with open(PLAN) as file:
            kind, after = json.load(file)
    except (OSError, ValueError):
        return
    if kind == KIND:
        count += 1
        with open(PLAN + ".count", "w") as file:
            file.write(str(count))
        if after and count >= after:
            os.unlink(PLAN)
            os.kill(os.getpid(), signal.SIGKILL)

class Connection(sqlite3.Connection):
    def execute(self, sql, *values):
        cursor = super().execute(sql, *values)
        if sql == "COMMIT":
            wrote()
        return cursor

def counted(act):
    def acting(*args, **kwargs):
        result = act(*args, **kwargs)
        wrote()
        return result
    return acting

def connect(*args, **kwargs):
    return real(*args, factory=Connection, **kwargs)

if any(name.startswith("cookbook.service") for name in sys.orig_argv):
    real, sqlite3.connect = sqlite3.connect, connect
    os.replace, shutil.rmtree = counted(os.replace), counted(shutil.rmtree)
"""

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Return the file that says which process is to be killed, and after how many writes."""
    folder = tmp_path_factory.mktemp("hook")
    plan = folder / "plan.json"
    (folder / "sitecustomize.py").write_text(HOOK.format(plan=str(plan)))
    # For the service that the module's first test starts, and all that it starts.
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield plan


@pytest.fixture(scope="module")
def home(tmp_path_factory, plan):
    folder = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


def launch(client, model: str):
    upload = client.files.create(file=("small.jsonl", b"".join(ROWS)), purpose="fine-tune")
    method = {"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}}
    return client.fine_tuning.jobs.create(model=model, training_file=upload.id, method=method)


def job_of(home: Path, known: set[str]) -> str:
    """Return the id of the one job that is not known, created again if the service died first."""
    while True:
        service = connect(home=home)
        with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
            try:
                new = {job.id for job in client.fine_tuning.jobs.list(limit=100)} - known
                return new.pop() if new else launch(client, service.base_model).id
            except openai.APIConnectionError:
                time.sleep(0.2)


def watched(home: Path, job_id: str):
    """Follow a job to its end, over services that die meanwhile."""
    while True:
        service = connect(home=home)
        client = OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0)
        # Not by `jobs.watch`, which waits minutes for a service that nobody starts again.
        with client, contextlib.suppress(openai.APIConnectionError):
            if client.fine_tuning.jobs.retrieve(job_id).status in TERMINAL:
                return result(home, jobs.view(client, job_id))
        time.sleep(0.3)


def trained(home: Path, plan: Path, kind: str, moment: int | None):
    """Train a job while the plan is there; return its result."""
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        known = {job.id for job in client.fine_tuning.jobs.list(limit=100)}
    plan.write_text(json.dumps([kind, moment]))
    return watched(home, job_of(home, known))


@pytest.fixture(scope="module")
def unbroken(home, plan):
    """Return the result of a job that nothing disturbs, and how much its process wrote."""
    done = trained(home, plan, "service.worker", None)
    plan.unlink()
    writes = int(Path(f"{plan}.count").read_text())
    assert writes > 15
    return done, writes


# Spread over all that the training process writes, from the first to the last.
MOMENTS = [("service.worker", number / (POINTS - 1)) for number in range(POINTS)]
MOMENTS += [("service", number / (SERVICE_WRITES - 1)) for number in range(SERVICE_WRITES)]


@pytest.mark.parametrize("kind, share", MOMENTS)
def test_a_job_survives_a_kill_after_a_write(home, plan, unbroken, kind, share):
    expected, writes = unbroken
    if kind == "service":
        writes = SERVICE_WRITES
    disturbed = trained(home, plan, kind, 1 + round(share * (writes - 1)))
    # The last write is the removal of the job's folder, after the job has ended.
    for _ in range(50):
        left = list((home / "jobs").glob("ftjob-*/"))
        if not left and not plan.exists():
            break
        time.sleep(0.1)
    assert left == [] and not plan.exists(), "the process was not killed"
    assert_same(disturbed, expected)

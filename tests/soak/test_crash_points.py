"""The service's or the training's process is killed right after one of its writes: nothing is lost.

SOAK_POINTS=40 pytest tests/soak/test_crash_points.py      every write; the default takes samples

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
from support import assert_same, launch, result

from cookbook import connect, jobs
from cookbook.connection import stop
from cookbook.job_states import TERMINAL

POINTS = int(os.environ.get("SOAK_POINTS", 8))
TRAINING_WRITES = 40  # what the training process of the short job writes, about
SERVICE_WRITES = 3  # upload, job, queue

# Python runs this file in each process that finds it. While the plan is there, the process that it
# names counts what it has written, and ends as by a power cut.
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
        if count >= after:
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


def job_of(home: Path, known: set[str]):
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


def points(writes: int, number: int) -> list[int]:
    """Return `number` moments, spread over the writes."""
    return sorted({1 + round(i * (writes - 1) / max(1, number - 1)) for i in range(number)})


MOMENTS = [("service.worker", moment) for moment in points(TRAINING_WRITES, POINTS)]
MOMENTS += [("service", moment) for moment in points(SERVICE_WRITES, min(POINTS, SERVICE_WRITES))]


@pytest.mark.parametrize("kind, moment", MOMENTS)
def test_a_job_survives_a_kill_after_a_write(home, plan, unbroken, kind, moment):
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        known = {job.id for job in client.fine_tuning.jobs.list(limit=100)}
    plan.write_text(json.dumps([kind, moment]))
    job_id = job_of(home, known)
    disturbed = watched(home, job_id)
    # The process was killed, but where the moment is later than its last write.
    assert not plan.exists() or moment == TRAINING_WRITES
    plan.unlink(missing_ok=True)
    assert_same(disturbed, unbroken)
    for _ in range(50):
        left = list((home / "jobs").glob("ftjob-*/"))
        if not left:
            break
        time.sleep(0.1)
    assert left == []

"""Processes killed at random moments, services started at the same moment: nothing may be lost or doubled."""

import random
import subprocess
import sys
import time

import psutil
import pytest
from openai import OpenAI

from cookbook import connect, jobs
from cookbook.connection import running, stop
from cookbook.paths import DATA

KILLS, RACES = 6, 10


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


def train(home, kill=lambda: None):
    service = connect(home=home)
    lines = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        upload = client.files.create(file=("small.jsonl", b"".join(lines[:48])), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model=service.base_model, training_file=upload.id, suffix="soak")
    kill()
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        job = jobs.watch(client, job.id, every=0.5)
        return job, jobs.view(client, job.id)


@pytest.fixture(scope="module")
def unbroken(home):
    return train(home)[1]


@pytest.mark.parametrize("number", range(KILLS))
def test_a_job_survives_a_kill_at_a_random_moment(home, unbroken, number):
    rng = random.Random(number)

    def kill():
        time.sleep(rng.uniform(0, 14))
        service = psutil.Process(running(home)["pid"])
        workers = [p for p in service.children() if "cookbook.local.worker" in p.cmdline()]
        for process in [[service], workers, [service, *workers]][number % 3]:
            process.kill()
        psutil.wait_procs([service, *workers], timeout=1)

    job, view = train(home, kill)
    assert job.status == "succeeded"
    assert [(s["step"], s["train_loss"]) for s in view.steps] == [(s["step"], s["train_loss"]) for s in unbroken.steps]
    assert view.events[-1].data["update_norm"] == pytest.approx(unbroken.events[-1].data["update_norm"], rel=1e-6)


@pytest.mark.parametrize("number", range(RACES))
def test_two_kernels_that_start_at_once_share_one_service(tmp_path, number):
    code = (
        f"from pathlib import Path; from cookbook import connect; print(connect(home=Path({str(tmp_path)!r})).base_url)"
    )
    kernels = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    urls = {kernel.communicate(timeout=120)[0] for kernel in kernels}
    assert len(urls) == 1 and urls != {""}
    stop(tmp_path)

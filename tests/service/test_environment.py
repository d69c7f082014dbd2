"""What real processes of the service were told of the environment they were started from."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from openai import OpenAI
from support import SECRETS, make_row, training_processes

from cookbook import connect, data
from cookbook.connection import running, stop
from cookbook.processes import SERVICE_MODULE
from cookbook.service import file_check


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    stop(tmp_path / "home")


def upload(service):
    rows = [make_row(user=f"问{i}") for i in range(10)]
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        client.files.create(file=("a.jsonl", data.to_jsonl(rows)), purpose="fine-tune")


def told(process):
    """Return the secrets that a process was told, by name or by value."""
    environment = process.environ()
    return {name for name, value in environment.items() if name in SECRETS or "planted" in value}


def children(home):
    """Return the processes that train and check, once both are there."""
    service = psutil.Process(running(home)["pid"])
    while not (training := training_processes(home)):
        time.sleep(0.1)
    checking = [p for p in service.children() if file_check.MODULE in p.cmdline()]
    assert checking
    return [*training, *checking]


def test_training_and_checks_are_told_no_secret_of_the_service(home):
    # As in a terminal: this service has the whole environment of the person who starts it.
    command = [sys.executable, "-m", SERVICE_MODULE, "--home", str(home)]
    process = subprocess.Popen(command, env=os.environ | SECRETS, stderr=subprocess.DEVNULL)
    while not running(home):
        assert process.poll() is None
        time.sleep(0.1)
    upload(connect(home=home))
    for child in children(home):
        assert told(child) == set()
        assert child.environ()["PATH"] == os.environ["PATH"]
    stop(home)
    process.wait(20)


def test_a_service_that_a_notebook_starts_is_told_its_own_key_alone(home, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    service = connect(home=home)
    assert service.api_key == "planted"
    assert told(psutil.Process(running(home)["pid"])) == {"COOKBOOK_API_KEY"}
    upload(service)
    for child in children(home):
        assert told(child) == set()

"""`connect()`, `status` and `stop` with real services: whom they believe, replace and end."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import time
import warnings

import psutil
import pytest
from openai import NotFoundError, OpenAI
from support import CORPUS, ROWS, launch, training_processes

import cookbook
from cookbook import connect, jobs
from cookbook.address import read
from cookbook.connection import running, stop
from cookbook.paths import DATA, Home
from cookbook.service.store import Store

DEAD_PROXY = "http://127.0.0.1:9"
REACH = """
import asyncio, json, urllib.request
import openai, requests
from cookbook import connect, jobs

service = connect()
key = {"authorization": f"Bearer {service.api_key}"}
url = service.base_url + "/models"
with openai.OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
    assert client.models.list().data

async def ask():
    options = {"base_url": service.base_url, "api_key": service.api_key, "max_retries": 0}
    async with openai.AsyncOpenAI(**options) as client:
        return await client.models.list()

assert asyncio.run(ask()).data
assert requests.get(url, headers=key).ok
assert json.load(urllib.request.urlopen(urllib.request.Request(url, headers=key)))["data"]
print("reached")
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    yield folder
    stop(folder)


def python(code, **environment):
    """Return what a fresh Python prints, on either stream."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return (done.stdout + done.stderr).strip()


def process_of(home) -> psutil.Process:
    return psutil.Process(running(home)["pid"])


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "variables",
    [
        {"http_proxy": DEAD_PROXY, "https_proxy": DEAD_PROXY, "all_proxy": DEAD_PROXY},
        {"HTTP_PROXY": DEAD_PROXY, "NO_PROXY": "localhost,127.*"},
    ],
)
def test_a_proxy_does_not_stand_between_any_library_and_the_service(service, variables):
    assert python(REACH, **variables) == "reached"


def test_port_and_token_outlive_an_idle_end_and_a_stop(home):
    first = connect(home=home)
    with OpenAI(base_url=first.base_url, api_key=first.api_key, max_retries=0) as client:
        client.models.list()
        assert stop(home)
        assert connect(home=home) == first
        # A client, panel or button from before goes on.
        client.models.list()
    stop(home)
    ended = [sys.executable, "-m", "cookbook.service", "--home", str(home), "--idle", "0.1"]
    assert subprocess.run(ended, stderr=subprocess.DEVNULL).returncode == 0
    assert connect(home=home) == first


def test_a_port_that_somebody_has_taken_gets_no_old_token(home):
    first = connect(home=home)
    process = process_of(home)
    process.kill()
    process.wait()
    port = int(first.base_url.split(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        second = connect(home=home)
    assert second.base_url != first.base_url and second.api_key != first.api_key


def test_a_copied_folder_gets_a_service_of_its_own(home, tmp_path):
    first = connect(home=home)
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    try:
        second = connect(home=copy)
        assert second.base_url != first.base_url and second.api_key != first.api_key
        assert stop(copy) and running(home)["base_url"] == first.base_url
    finally:
        stop(copy)


@pytest.mark.skipif(os.name == "nt", reason="a folder in use cannot be renamed there")
def test_a_renamed_folder_is_not_served_by_what_has_its_old_name(home, tmp_path):
    connect(home=home)
    former = process_of(home)
    renamed = tmp_path / "renamed"
    home.rename(renamed)
    try:
        connect(home=renamed)
        assert not former.is_running() and running(renamed)["home"] == str(renamed)
        assert not home.exists()
    finally:
        stop(renamed)


@pytest.mark.skipif(os.name == "nt", reason="a folder in use cannot be removed there")
def test_a_removed_folder_ends_its_service_and_not_the_next_one(home):
    connect(home=home)
    former = process_of(home)
    shutil.rmtree(home)
    second = connect(home=home)
    former.wait(20)
    assert connect(home=home) == second
    assert read(Home(home).address)["base_url"] == second.base_url


def test_a_changed_base_is_heeded(home, tmp_path, monkeypatch):
    first = connect(home=home)
    base = tmp_path / "my-base"
    shutil.copytree(DATA / "models" / "tiny-zh", base)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(base))
    assert connect(home=home).base_model == "my-base"
    monkeypatch.delenv("COOKBOOK_BASE_MODEL")
    assert connect(home=home) == first


def test_a_service_answers_in_the_language_of_the_notebook_that_connected_last(home, monkeypatch):
    service = connect(home=home)
    pid = running(home)["pid"]
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        for language, text in (("en", "there is no job"), ("zh", "没有任务")):
            monkeypatch.setenv("COOKBOOK_LANG", language)
            with warnings.catch_warnings(action="error"):
                assert connect(home=home) == service
            with pytest.raises(NotFoundError, match=text):
                client.fine_tuning.jobs.retrieve("ftjob-nowhere")
    assert running(home)["pid"] == pid


def test_a_service_in_use_is_not_replaced_but_named(home, monkeypatch):
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        job = launch(client, service.base_model)
        before = running(home)["pid"]
        monkeypatch.setenv("COOKBOOK_JOBS", "2")
        with pytest.warns(UserWarning, match=r"COOKBOOK_JOBS 1 → 2.*cookbook stop --home") as told:
            assert connect(home=home) == service
        assert running(home)["pid"] == before and told[0].filename == __file__
        client.fine_tuning.jobs.cancel(job.id)
    status = [sys.executable, "-m", "cookbook", "status", "--home", str(home)]
    assert "COOKBOOK_JOBS 1 → 2" in subprocess.run(status, capture_output=True, text=True).stdout


@pytest.fixture
def older(tmp_path, home):
    """A service of a package with another version; gives the folder of that package."""
    folder = tmp_path / "older"
    package = os.path.dirname(cookbook.__file__)
    shutil.copytree(package, folder / "cookbook", ignore=shutil.ignore_patterns("__pycache__"))
    if not (folder / "cookbook" / "_data").exists():
        shutil.copytree(DATA, folder / "cookbook" / "_data")
    set_version(folder, "0.0.1")
    # From there, since the current folder comes before PYTHONPATH.
    python(
        f"""
        import os
        from pathlib import Path
        os.chdir({str(folder)!r})
        from cookbook import connect, jobs
        connect(home=Path({str(home)!r}))
        """,
        PYTHONPATH=str(folder),
    )
    assert json.loads(Home(home).address.read_text())["version"] == "0.0.1"
    return folder


def set_version(folder, version):
    start = folder / "cookbook" / "__init__.py"
    text = re.sub('__version__ = ".+"', f'__version__ = "{version}"', start.read_text("utf-8"))
    start.write_text(text, encoding="utf-8")


def test_a_service_of_an_older_package_is_replaced(home, older):
    url = read(Home(home).address)["base_url"]
    assert connect(home=home).base_url == url
    assert running(home)["version"] == cookbook.__version__


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_package_that_was_upgraded_under_a_service_trains_with_the_next_one(home, older, seconds):
    set_version(older, cookbook.__version__)
    address = read(Home(home).address)
    store = Store(Home(home).database)
    with OpenAI(base_url=address["base_url"], api_key=address["api_key"]) as client:
        upload = client.files.create(file=("a.jsonl", b"".join(ROWS)), purpose="fine-tune")
        # Before or after the process that the upload prewarms has seen the version.
        time.sleep(seconds)
        job = client.fine_tuning.jobs.create(model=address["base_model"], training_file=upload.id)
        wait_until(lambda: "connect()" in store.events(job.id)[0].message)
        assert (store.job(job.id).status, store.job(job.id).crashes) == ("queued", 0)
        # Nothing trains, so nobody is disturbed.
        with warnings.catch_warnings(action="error"):
            connect(home=home)
        assert jobs.watch(client, job.id, every=0.5).status == "succeeded"


def test_a_service_that_somebody_started_is_left_to_them(home, monkeypatch):
    serve = [sys.executable, "-m", "cookbook", "serve", "--home", str(home)]
    process = subprocess.Popen(serve, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: running(home))
        monkeypatch.setenv("COOKBOOK_FAST", "0")
        with pytest.warns(UserWarning, match="COOKBOOK_FAST"):
            connect(home=home)
        monkeypatch.delenv("COOKBOOK_FAST")
        with warnings.catch_warnings(action="error"):
            connect(home=home)
    finally:
        assert stop(home)
        process.wait(20)


def test_stop_with_an_open_answer_ends_everything_and_counts_no_crash(home):
    service = connect(home=home)
    content = CORPUS.read_bytes()
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        upload = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model=service.base_model, training_file=upload.id)
        store = Store(Home(home).database)
        wait_until(lambda: any(e.type == "metrics" for e in store.events(job.id)))
        stream = client.chat.completions.create(
            model=service.base_model,
            messages=[{"role": "user", "content": "你好"}],
            max_tokens=1000,
            stream=True,
        )
        next(iter(stream))
        process = process_of(home)
        assert stop(home)
    assert not process.is_running() and not training_processes(home)
    left = store.job(job.id)
    assert (left.status, left.crashes) == ("running", 0)
    assert not any(event.level == "warn" for event in store.events(job.id, limit=1000))
    # The state was saved when the process was asked to end.
    assert (Home(home).job_folder(job.id) / "state.safetensors").exists()


def test_stop_ends_what_outlived_an_earlier_service(home):
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        content = b"".join(ROWS * 8)
        upload = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model=service.base_model, training_file=upload.id)
    store = Store(Home(home).database)
    wait_until(lambda: any(e.type == "metrics" for e in store.events(job.id)))
    process = process_of(home)
    process.kill()
    process.wait()
    assert training_processes(home)
    assert stop(home) and not training_processes(home)


def test_a_training_process_of_another_version_touches_nothing(tmp_path):
    worker = [sys.executable, "-m", "cookbook.service.worker", str(tmp_path), "0.0.1"]
    done = subprocess.run(worker, input="ftjob-x\n", text=True)
    assert done.returncode == 65 and list(tmp_path.iterdir()) == []


def test_a_current_folder_that_was_removed_is_explained(tmp_path):
    code = """
        import os, tempfile
        os.chdir(tempfile.mkdtemp(dir=os.environ["PARENT"]))
        os.rmdir(os.getcwd())
        os.environ["COOKBOOK_HOME"] = "relative"
        from cookbook import connect, jobs
        connect()
    """
    told = python(code, PARENT=str(tmp_path)).splitlines()[-1]
    assert "ServiceError" in told and "COOKBOOK_HOME" in told

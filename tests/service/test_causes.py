"""A service whose torch cannot be loaded: chat and jobs say so at once, with the remedy."""

import contextlib
import os
import queue
import re
import subprocess
import sys
import time

import openai
import pytest
from openai import OpenAI

from cookbook import connect, connection, data, jobs
from cookbook.bases import Base
from cookbook.errors import ServiceError
from cookbook.params import Hyperparameters
from cookbook.paths import Home
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine.answer import Answer
from cookbook.service.store import Store
from cookbook.service.supervisor import CRASHES

# What stands in the place of torch, and a part of what is said in its place.
BROKEN = {
    "missing": (
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
        "pip install",
    ),
    "library": (
        "raise OSError('libcudart.so.12: cannot open shared object file: No such file')",
        "libcudart.so.12",
    ),
    "unknown": ("raise ValueError('奇怪的 reason')", "奇怪的 reason"),
}


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a service with this text in the place of torch."""
    home = tmp_path / "home"

    def started(code):
        package = tmp_path / "first" / "torch"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(code, encoding="utf-8")
        path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
        monkeypatch.setenv("PYTHONPATH", path.strip(os.pathsep))
        service = connect(home=home)
        client = OpenAI(
            base_url=service.base_url, api_key=service.api_key, max_retries=0, timeout=60
        )
        return client, service.base_model

    yield started
    # A prewarmed process that dies in this moment can keep `stop` from reaching the service.
    while connection.running(home):
        connection.stop(home)


def ask(client, model, **options):
    messages = [{"role": "user", "content": "你好"}]
    return client.chat.completions.create(model=model, messages=messages, **options)


def train(client, model, row):
    content = data.to_jsonl([row(user=f"问题{i}") for i in range(10)])
    upload = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=model, training_file=upload.id)
    return jobs.watch(client, job.id, every=0.2)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kind", ["missing", "library"])
def test_chat_and_job_say_at_once_why_torch_cannot_be_loaded(
    start, row, monkeypatch, kind, language
):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    code, said = BROKEN[kind]
    client, model = start(code)
    with client:
        for stream in (False, True, False):
            with pytest.raises(openai.InternalServerError) as caught:
                ask(client, model, stream=stream)
            assert caught.value.status_code == 503 and caught.value.code == "model_unavailable"
            text = jobs.explain(caught.value)
            assert said in text and "torch" in text
            assert text.isascii() == (language == "en")
        job = train(client, model, row)
        assert job.status == "failed" and said in job.error.message
        # It was tried once.
        messages = [event.message for event in jobs.view(client, job.id).events]
        assert sum(said in message for message in messages) == 1


def test_an_unknown_last_line_is_kept_readable_with_the_place_of_the_log(start, row, tmp_path):
    code, said = BROKEN["unknown"]
    client, model = start(code)
    with client:
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client, model)
        assert said in str(caught.value) and "service.log" in str(caught.value)
        job = train(client, model, row)
    assert job.status == "failed" and said in job.error.message
    assert str(Home(tmp_path / "home").worker_logs) in job.error.message
    assert "pip" not in job.error.message


def test_two_processes_never_share_their_last_lines(start, row, tmp_path):
    client, model = start("import os; raise ValueError(f'process {os.getpid()}')")
    with client:
        job = train(client, model, row)
    # Afterwards no log is begun or removed any more. That of a process which was stopped as it
    # started says nothing.
    connection.stop(tmp_path / "home")
    named = []
    for log in Home(tmp_path / "home").worker_logs.iterdir():
        said = set(re.findall(r"ValueError: (process \d+)$", log.read_text("utf-8"), re.M))
        assert len(said) <= 1
        named += said
    assert len(named) == len(set(named)) >= CRASHES
    assert any(line in job.error.message for line in named)


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_a_processor_that_is_too_old_ends_no_second_service(start, row, tmp_path):
    code = "import signal; signal.raise_signal(signal.SIGILL)"
    home = tmp_path / "home"
    # The first one is ended by loading torch, before or after somebody has found it.
    with contextlib.suppress(ServiceError):
        start(code)[0].close()
    deadline = time.monotonic() + 60
    while connection.running(home):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client, model = start(code)
    with client:
        with pytest.raises(openai.InternalServerError, match="AVX"):
            ask(client, model)
        job = train(client, model, row)
        assert job.status == "failed" and "AVX" in job.error.message
    assert connection.running(home)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    "code, said",
    [
        ("raise ModuleNotFoundError(\"No module named 'fastapi'\", name='fastapi')", "[local]"),
        (
            "raise ImportError('DLL load failed while importing _x: 找不到指定的模块。')",
            "vc_redist",
        ),
        ("import signal; signal.raise_signal(signal.SIGKILL)", ""),
    ],
)
def test_connect_says_why_the_service_did_not_start(tmp_path, monkeypatch, code, said, language):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    package = tmp_path / "first" / "fastapi"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.strip(os.pathsep))
    home = Home(tmp_path / "home")
    home.folder.mkdir()
    # What an earlier service left is not taken for the reason.
    home.service_log.write_text("MemoryError\n")
    with pytest.raises(ServiceError) as caught:
        connect(home=home.folder)
    text = str(caught.value)
    assert said in text and ("pip install" in text) == (said == "[local]")
    if "SIGKILL" in code:
        assert "memory" in text or "内存" in text
    assert text.isascii() == (language == "en")
    assert "\n" not in text


def test_a_sentence_of_the_service_itself_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("COOKBOOK_API_KEY", "钥匙")
    with pytest.raises(ServiceError, match="--api-key 只能用") as caught:
        connect(home=tmp_path / "home")
    assert "pip" not in str(caught.value)


NO_LOCKS = "import errno, fcntl\ndef refuse(*_): raise OSError(errno.{}, 'x')\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows locks files in another way")
@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("number", ["ENOLCK", "ENOSYS"])
def test_connect_on_a_folder_without_locks_names_the_local_disk(tmp_path, number, language):
    code = NO_LOCKS.format(number) + "fcntl.flock = refuse\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    variables = {
        "PYTHONPATH": path.strip(os.pathsep),
        "COOKBOOK_LANG": language,
        "COOKBOOK_HOME": str(tmp_path / "home"),
        "PYTHONUTF8": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", "from cookbook import connect; connect()"],
        env=os.environ | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "ServiceError" in last and "COOKBOOK_HOME" in last
    assert last.isascii() == (language == "en")


def test_a_job_that_has_trained_waits_for_a_repair_and_keeps_its_state(start, row, tmp_path):
    home = Home(tmp_path / "home")
    store = Store(home.database)
    content = data.to_jsonl([row(user=f"问题{i}") for i in range(10)])
    job = store.add_job(
        base="cookbook/tiny-zh",
        model="ft:LoRA/cookbook/tiny-zh:local:t:abcdefghijklmnopqrst",
        training_file=store.add_file("a.jsonl", "fine-tune", content).id,
        validation_split=0.1,
        suffix="t",
        seed=42,
        hyperparameters=Hyperparameters(n_epochs=1).to_dict(),
    )
    store.advance(job.id, "running", "go")
    home.job_folder(job.id).mkdir(parents=True)
    code, said = BROKEN["missing"]
    client, _ = start(code)
    with client:
        deadline = time.monotonic() + 60
        while not any(said in event.message for event in jobs.view(client, job.id).events):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
        assert home.job_folder(job.id).is_dir()
        client.fine_tuning.jobs.cancel(job.id)


@pytest.mark.parametrize(
    "error, code",
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out_of_memory"),
        (OSError(28, "no room"), "model_unavailable"),
    ],
)
def test_an_answer_that_fails_for_a_known_cause_says_it(error, code):
    request = ChatRequest(Base("tiny", "nowhere"), None, [{"role": "user", "content": "你好"}])
    pieces = queue.Queue()
    Answer(request, pieces.put).fail(error)
    piece = pieces.get()
    assert piece.error_code == code and "内部错误" not in str(piece.error)

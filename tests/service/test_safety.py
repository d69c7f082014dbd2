"""What a careless or hostile file, folder or client cannot do to the reader's machine.

What is decided from a request alone is in tests/unit/test_hostile_client.py.
"""

import contextlib
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cookbook import connect, data
from cookbook.bases import Base
from cookbook.connection import running, stop
from cookbook.errors import ModelError
from cookbook.params import Hyperparameters
from cookbook.service.engine.adapters import Adapters
from cookbook.service.engine.load import load
from cookbook.service.engine.train import train
from cookbook.service.events import StateUnreadable


def test_an_error_of_a_base_names_no_folder_of_this_machine(tmp_path):
    with pytest.raises(ModelError) as caught:
        load(Base("tiny", str(tmp_path / "nowhere")))
    assert str(tmp_path) not in str(caught.value)
    assert str(Path.home()) + "/" not in str(caught.value)


class Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_the_planted_pickle_would_act(tmp_path):
    pickle.loads(pickle.dumps(Planted(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.fixture(scope="module")
def adapter(small_base, tmp_path_factory):
    hp = Hyperparameters(n_epochs=1, lora_rank=2).to_dict()
    rows = [
        {
            "messages": [
                {"role": "user", "content": "你好"},
                {"role": "assistant", "content": "您好"},
            ]
        }
    ]
    return list(train(small_base, rows, [], hp, folder=tmp_path_factory.mktemp("job")))[-1].folder


@pytest.mark.parametrize("beside", [True, False])
def test_a_pickle_in_an_adapter_is_never_opened(small_base, adapter, tmp_path, beside):
    folder, mark = tmp_path / "adapter", tmp_path / "mark"
    shutil.copytree(adapter, folder)
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Planted(mark)))
    adapters = Adapters(load(small_base)[0])
    if beside:
        adapters.load(folder)
    else:
        (folder / "adapter_model.safetensors").unlink()
        with pytest.raises(ModelError, match="safetensors"):
            adapters.load(folder)
    assert not mark.exists()


def test_a_base_whose_weights_are_a_pickle_is_refused(small_base, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(small_base.source, folder)
    (folder / "model.safetensors").unlink()
    torch.save(load(small_base)[0].state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load(Base("pickled", str(folder)))


def test_a_state_to_resume_from_is_no_pickle(small_base, row, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "state.safetensors").write_bytes(pickle.dumps(Planted(mark)))
    hp = Hyperparameters(n_epochs=1).to_dict()
    _, first, *_ = train(small_base, [row()], [], hp, folder=tmp_path)
    assert isinstance(first, StateUnreadable) and not mark.exists()


def test_code_that_comes_with_a_base_is_never_run(small_base, tmp_path):
    folder, mark = tmp_path / "base", tmp_path / "mark"
    shutil.copytree(small_base.source, folder)
    (folder / "modeling_evil.py").write_text(f"import os; os.mkdir({str(mark)!r})")
    config = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "modeling_evil.Config", "AutoModelForCausalLM": "modeling_evil.Model"}
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "evil", "auto_map": auto})
    )
    with pytest.raises(ModelError):
        load(Base("evil", str(folder)))
    assert not mark.exists()


@pytest.fixture
def keyed(tmp_path):
    """A service of its own with the planted key."""
    key, home = "planted-key-7f3a91c2", tmp_path / "home"
    env = os.environ | {"COOKBOOK_API_KEY": key, "SILICONFLOW_API_KEY": "sk-planted-5d0be8"}
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "cookbook.service", "--home", str(home)], stderr=log, env=env
    )
    while not running(home):
        assert process.poll() is None
        time.sleep(0.1)
    yield key, home, connect(home=home)
    stop(home)
    process.wait(20)
    log.close()


def files(folder):
    """Return content and mode of every file, read in one go: a service may still tidy up."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            paths = [path for path in folder.rglob("*") if path.is_file()]
            return {path: (path.read_bytes(), path.stat().st_mode) for path in paths}


def test_a_key_is_written_nowhere_but_in_the_address_file(keyed, tmp_path, row):
    from openai import APIStatusError, OpenAI

    key, home, service = keyed
    wrong = "sk-wrong-e41d77a0"
    with OpenAI(base_url=service.base_url, api_key=key, max_retries=0) as client:
        upload = client.files.create(
            file=("a.jsonl", data.to_jsonl([row(user=f"问{i}") for i in range(10)])),
            purpose="fine-tune",
        )
        job = client.fine_tuning.jobs.create(model=service.base_model, training_file=upload.id)
        for call in (
            lambda: client.with_options(api_key=wrong).models.list(),
            lambda: client.models.list(extra_query={"api_key": wrong}).data[0].nothing,
            lambda: client.fine_tuning.jobs.create(
                model="x", training_file="y", extra_body={"api_key": wrong}
            ),
            lambda: client.chat.completions.create(
                model=wrong, messages=[{"role": "user", "content": "x"}]
            ),
        ):
            with pytest.raises((APIStatusError, AttributeError)):
                call()
        while client.fine_tuning.jobs.retrieve(job.id).status != "succeeded":
            time.sleep(0.2)
        told = "".join(e.model_dump_json() for e in client.fine_tuning.jobs.list_events(job.id))
    written = files(tmp_path)
    for secret in (key, wrong, "sk-planted-5d0be8"):
        assert secret not in told + repr(service)
        found = [path.name for path, (content, _) in written.items() if secret.encode() in content]
        assert found == (["service.json"] if secret == key else [])
    if os.name != "nt":
        assert all(mode & 0o077 == 0 for path, (_, mode) in written.items() if home in path.parents)


PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'


def test_an_endless_upload_is_cut_off_over_a_real_connection(service):
    port = int(service.base_url.split(":")[2].split("/")[0])
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.api_key}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode() + f"{len(PART):x}\r\n".encode() + PART + b"\r\n")
        sent = 0
        try:
            while sent < 40 * 2**20:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        except OSError:  # cut off
            pass
    assert sent < 40 * 2**20

"""A disk that is really full: a small filesystem of its own, in a namespace of the service."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest
from support import ROWS, assert_same, launch, result

from cookbook import jobs

SIZE = 48 * 2**20
MOUNT = 'mount -t tmpfs -o size=$1 tmpfs "$2" && shift 2 && exec "$@"'


def in_namespace(folder: Path, *command: str) -> list[str]:
    """The command with a filesystem of `SIZE` on `folder`: no root needed where namespaces are."""
    return [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        MOUNT,
        "sh",
        str(SIZE),
        str(folder),
        *command,
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(client, base model, the data folder as seen from here)"""
    folder = tmp_path_factory.mktemp("small")
    if (
        not shutil.which("unshare")
        or subprocess.run(in_namespace(folder, "true"), capture_output=True).returncode
    ):
        pytest.skip("no filesystem of one's own on this machine (unshare --user --mount)")
    serve = [sys.executable, "-m", "cookbook.service", "--home", str(folder / "home")]
    with (tmp_path_factory.mktemp("log") / "log").open("wb") as log:
        service = subprocess.Popen(in_namespace(folder, *serve), stderr=log)
        seen = Path(f"/proc/{service.pid}/root{folder}/home")
        while not (seen / "service.json").exists():
            assert service.poll() is None
            time.sleep(0.1)
        facts = json.loads((seen / "service.json").read_text())
        with openai.OpenAI(
            base_url=facts["base_url"], api_key=facts["api_key"], max_retries=0
        ) as client:
            yield client, facts["base_model"], seen
        service.terminate()
        service.wait(20)


class Filler:
    """Takes all the room there is, but for `left` bytes, until it is left."""

    def __init__(self, home: Path, left: int = 0):
        self.path, self.left = home / "filler", left

    def __enter__(self):
        with self.path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                file.truncate(max(0, file.tell() - self.left))
        return self

    def __exit__(self, *_):
        self.path.unlink()


def test_an_upload_that_finds_no_room_is_refused_and_leaves_nothing(small):
    client, _, home = small
    content = b"".join(ROWS) * 30
    before = client.files.list().data
    with Filler(home):
        with pytest.raises(openai.InternalServerError, match="磁盘满了") as caught:
            client.files.create(file=("a.jsonl", content), purpose="fine-tune")
        assert caught.value.status_code == 507 and client.files.list().data == before
    kept = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    assert client.files.content(kept.id).read() == content


@pytest.fixture(scope="module")
def whole(small):
    client, model, home = small
    job = jobs.watch(client, launch(client, model).id, every=0.3)
    return result(home, jobs.view(client, job.id))


@pytest.mark.parametrize("left", [0, 64 * 1024, 512 * 1024])
def test_a_job_that_finds_no_room_waits_says_so_and_goes_on(small, whole, left):
    client, model, home = small
    job = launch(client, model)
    while not jobs.view(client, job.id).steps:
        time.sleep(0.05)
    with Filler(home, left):
        log = home / "worker.log"
        deadline = time.monotonic() + 120
        while not [e for e in jobs.view(client, job.id).events if "磁盘满了" in e.message]:
            assert time.monotonic() < deadline, [
                e.message for e in jobs.view(client, job.id).events
            ] + [log.read_text()]
            time.sleep(0.5)
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
        assert not list(home.glob(f"models/{job.id}-step_12"))
    jobs.watch(client, job.id, every=0.3)
    assert_same(result(home, jobs.view(client, job.id)), whole)
    for folder in os.listdir(home / "models"):
        assert not folder.endswith(".part")

"""A disk that is really full: a small filesystem of its own, in a namespace of the service."""

import contextlib
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
from cookbook.paths import Home

SIZE = 48 * 2**20
# A user and a mount namespace of its own: mounting needs no root there.
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
MOUNT = 'mount -t tmpfs -o size=$1 tmpfs "$2" && shift 2 && exec "$@"'


def in_namespace(folder: Path, *command: str) -> list[str]:
    """Return the command that runs `command` with a filesystem of `SIZE` on `folder`."""
    return [*UNSHARE, "sh", "-c", MOUNT, "sh", str(SIZE), str(folder), *command]


def can_mount(folder: Path) -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run(in_namespace(folder, "true"), capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Run a service on a small disk: (client, base model, the data folder as seen from here)."""
    folder = tmp_path_factory.mktemp("small")
    if not can_mount(folder):
        pytest.skip("no filesystem of one's own on this machine (unshare --user --mount)")
    serve = [sys.executable, "-m", "cookbook.service", "--home", str(folder / "home")]
    with (tmp_path_factory.mktemp("log") / "log").open("wb") as log:
        service = subprocess.Popen(in_namespace(folder, *serve), stderr=log)
        # The mount exists for the service alone; /proc shows its side of the file system.
        seen = Path(f"/proc/{service.pid}/root{folder}/home")
        while not Home(seen).address.exists():
            assert service.poll() is None
            time.sleep(0.1)
        address = json.loads(Home(seen).address.read_text())
        url, key = address["base_url"], address["api_key"]
        with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
            yield client, address["base_model"], seen
        service.terminate()
        service.wait(20)


class Filler:
    """Fills the disk but for `left` bytes, while the `with` block lasts."""

    def __init__(self, home: Path, left: int = 0):
        self.path, self.left = home / "filler", left

    def __enter__(self):
        with self.path.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):  # the disk is full
                while True:
                    file.write(b"\0" * 4096)
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
        assert caught.value.status_code == 507
        assert client.files.list().data == before
    # With room again, the same file is taken.
    upload = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    assert client.files.content(upload.id).read() == content


@pytest.fixture(scope="module")
def unbroken(small):
    """Return the short job's result on the small disk, with room enough."""
    client, model, home = small
    job = jobs.watch(client, launch(client, model).id, every=0.3)
    return result(home, jobs.view(client, job.id))


def wait_until_it_says_so(client, job_id: str, logs: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        messages = [event.message for event in jobs.view(client, job_id).events]
        if any("磁盘满了" in message for message in messages):
            return
        assert time.monotonic() < deadline, [
            *messages,
            *(log.read_text() for log in logs.iterdir()),
        ]
        time.sleep(0.5)


@pytest.mark.parametrize("left", [0, 64 * 1024, 512 * 1024])
def test_a_job_that_finds_no_room_waits_says_so_and_goes_on(small, unbroken, left):
    client, model, home = small
    job = launch(client, model)
    while not jobs.view(client, job.id).steps:
        time.sleep(0.05)
    with Filler(home, left):
        wait_until_it_says_so(client, job.id, Home(home).worker_logs)
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
        assert not Home(home).model_folder(f"{job.id}-step_12").exists()
    jobs.watch(client, job.id, every=0.3)
    assert_same(result(home, jobs.view(client, job.id)), unbroken)
    # No half-written adapter is left.
    for folder in os.listdir(home / "models"):
        assert not folder.endswith(".part")

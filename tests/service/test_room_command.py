"""The leader's command as it is typed: a real service, real keys, the official client."""

import contextlib
import os
import re
import signal
import ssl
import subprocess
import sys
import time

import certificates
import httpx
import openai
import pytest
from openai import OpenAI

from cookbook import connect
from cookbook.connection import running, stop
from cookbook.room import names

WAIT_SECONDS = 60


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    yield folder
    stop(folder)


@pytest.fixture
def room(home, tmp_path):
    """Start `python -m cookbook room` on a folder, and give a function that waits for its link."""
    with contextlib.ExitStack() as stack:

        def room(*words: str) -> "Room":
            return stack.enter_context(Room(home, tmp_path / f"out-{time.monotonic_ns()}", words))

        yield room


class Room:
    """A room that is running, with what it has printed so far."""

    def __init__(self, home, path, words):
        self._path, self._file = path, path.open("wb")
        command = [sys.executable, "-u", "-m", "cookbook", "room", *words, "--home", str(home)]
        usual = [] if "--port" in words else ["--port", "0"]
        self.process = subprocess.Popen(
            [*command, *usual, "--no-open"],
            stdout=self._file,
            stderr=self._file,
            # Ctrl-C goes to a group.
            start_new_session=True,
        )

    def __enter__(self):
        deadline = time.monotonic() + WAIT_SECONDS
        # The last line before it answers.
        while "服务已启动" not in self.said and self.process.poll() is None:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.interrupt()
        self._file.close()

    @property
    def said(self) -> str:
        return self._path.read_text(encoding="utf-8")

    @property
    def address(self) -> str:
        found = re.search(r"COOKBOOK_SERVICE=(\S+)", self.said)
        assert found, self.said
        return found[1]

    @property
    def leader_key(self) -> str:
        found = re.search(r"#key=(\S+)", self.said)
        assert found, self.said
        return found[1]

    def interrupt(self) -> int:
        """End it as Ctrl-C does; return its exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(WAIT_SECONDS)


def slips(home) -> dict[str, tuple[str, str]]:
    """Return (address, key) of each person, of all slips; the newest count."""
    found = {}
    for path in sorted(home.glob("slips-*.csv"), key=lambda path: path.stat().st_mtime_ns):
        for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]:
            name, address, key = line.split(",")
            found[name] = address, key
    return found


def call(*words: str, home) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cookbook", "room", *words, "--home", str(home)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WAIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def models(address: str, key: str) -> list[str]:
    with OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:
        return [model.id for model in client.models.list().data]


def is_valid(address: str, key: str) -> bool:
    try:
        return bool(models(address, key))
    except openai.AuthenticationError:
        return False


def test_a_day_and_the_next_morning(room, home):
    first = room("--people", "3", "--host", "127.0.0.1")
    keys = slips(home)
    assert list(keys) == names.numbered(3)
    address, key = keys["p02"]
    assert address == first.address
    assert models(address, key) == models(address, first.leader_key)
    # The leader's own notebooks on the same machine
    assert running(home)["api_key"] == first.leader_key

    # People come and go while it runs.
    assert "Li Lei → Li-Lei" in call("add", "Li Lei", home=home)
    assert is_valid(*slips(home)["Li-Lei"])
    call("renew", "p01", home=home)
    assert is_valid(*slips(home)["p01"]) and not is_valid(*keys["p01"])
    call("remove", "p03", home=home)
    assert not is_valid(*keys["p03"])
    assert "Li-Lei" in call("list", home=home)

    # A second room on the same folder is refused, and says what to do.
    second = room("--people", "3")
    assert second.process.poll() == 1 and "python -m cookbook stop" in second.said

    assert first.interrupt() == 0
    assert "密钥、文件、任务和模型都保留" in first.said and "Traceback" not in first.said
    assert running(home) is None

    again = room("--people", "3", "--host", "127.0.0.1")
    assert "新增 1，原有 3 人的密钥不变" in again.said
    # On the same port, with the same keys
    assert again.address == address and again.leader_key == first.leader_key
    assert is_valid(address, key) and is_valid(*slips(home)["Li-Lei"])


def test_a_service_that_a_notebook_started_makes_room(room, home):
    before = connect(home=home)
    found = room("--people", "1", "--host", "127.0.0.1")
    assert "内嵌服务已停止" in found.said
    # The notebook's client goes on, as the leader's.
    assert before.base_url == f"{found.address}/v1"
    assert is_valid(found.address, before.api_key)


def test_the_leaders_notebooks_work_beside_a_room_with_tls(room, home, tmp_path):
    path = tmp_path / "both.pem"
    path.write_text(certificates.KEY + certificates.GOOD)
    found = room("--people", "1", "--host", "127.0.0.1", "--certificate", str(path))
    assert found.address.startswith("https://room.test:")
    mine = connect(home=home)
    assert mine.api_key == found.leader_key and is_valid(mine.base_url[:-3], mine.api_key)
    # The name is nobody's here; the certificate is for the address, too.
    url = found.address.replace("room.test", "127.0.0.1")
    _, key = slips(home)["p01"]
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(certificates.GOOD)
    with (
        httpx.Client(verify=ssl.create_default_context(cafile=trusted)) as http,
        OpenAI(base_url=f"{url}/v1", api_key=key, http_client=http, max_retries=0) as client,
    ):
        assert client.models.list().data


def test_a_room_answers_to_the_name_that_its_proxy_is_called_by(room, home):
    address = "https://example.org/room"
    found = room("--people", "1", "--host", "127.0.0.1", "--address", address)
    told, key = slips(home)["p01"]
    assert told == found.address == address and "没有 TLS" not in found.said
    headers = {"host": "example.org", "authorization": f"Bearer {key}"}
    url = running(home)["base_url"] + "/models"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200


def test_a_port_that_is_taken_costs_nobody_a_key(room, home, tmp_path):
    first = room("--people", "1", "--host", "127.0.0.1")
    port = first.address.rpartition(":")[2]
    elsewhere = tmp_path / "elsewhere"
    command = ["room", "--people", "2", "--host", "127.0.0.1", "--port", port, "--no-open"]
    done = subprocess.run(
        [sys.executable, "-m", "cookbook", *command, "--home", str(elsewhere)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WAIT_SECONDS,
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert f"127.0.0.1:{port}" in done.stderr and "--port" in done.stderr
    assert slips(elsewhere) == {}

"""Attacks on a service with few descriptors: afterwards it answers, and its log is small."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from openai import OpenAI
from support import ROWS

from cookbook.connection import running
from cookbook.paths import Home
from cookbook.service import limits

resource = pytest.importorskip("resource", reason="Windows has no such limit")

DESCRIPTORS = 1024
LOG_BYTES = 100_000
MEMORY_BYTES = 300 * 2**20  # more than before


class Target:
    """A service of its own, whose descriptors are few."""

    def __init__(self, folder: Path):
        self.home = Home(folder)
        command = [sys.executable, "-m", "cookbook.service", "--home", str(self.home.folder)]
        # Set by the shell, so that no code runs between fork and exec.
        shell = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *command]
        with self.home.service_log.open("ab") as log:
            self.process = subprocess.Popen(shell, stdout=log, stderr=log)
        while not (address := running(self.home.folder)):
            time.sleep(0.1)
        self.facts = address
        parts = urlsplit(address["base_url"])
        self.address = parts.hostname, parts.port
        self.ask()
        self.memory = psutil.Process(self.process.pid).memory_info().rss

    def ask(self) -> None:
        """Be a reader: upload and chat, with nothing repeated."""
        settings = {"max_retries": 0, "timeout": 60}
        key, url = self.facts["api_key"], self.facts["base_url"]
        with OpenAI(base_url=url, api_key=key, **settings) as client:
            assert client.models.list().data
            file = ("small.jsonl", b"".join(ROWS))
            assert client.files.create(file=file, purpose="fine-tune").id
            messages = [{"role": "user", "content": "地铁"}]
            answer = client.chat.completions.create(
                model=self.facts["base_model"], messages=messages, max_tokens=5
            )
            assert answer.usage.completion_tokens

    def head(self, *more: str) -> bytes:
        key = f"authorization: Bearer {self.facts['api_key']}"
        return "\r\n".join(["POST /v1/files HTTP/1.1", "host: 127.0.0.1", key, *more]).encode()

    def check(self) -> None:
        """Assert that it answers, wrote little, and keeps little."""
        self.ask()
        assert self.process.poll() is None
        assert self.home.service_log.stat().st_size < LOG_BYTES
        assert b"Traceback" not in self.home.service_log.read_bytes()
        assert psutil.Process(self.process.pid).memory_info().rss < self.memory + MEMORY_BYTES


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # This side needs as many as the other.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8 * DESCRIPTORS), hard))
    target = Target(tmp_path_factory.mktemp("attacked"))
    yield target
    target.process.terminate()
    target.process.wait()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def connect(target):
    """Return a function that connects; all is closed at the end of the test."""
    opened = []

    def connect() -> socket.socket:
        connection = socket.create_connection(target.address)
        connection.settimeout(120)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("number", [500, 1100, 3000])
@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nx: "])
def test_silent_connections_keep_nobody_out(target, connect, number, beginning):
    silent = [connect() for _ in range(number)]
    for connection in silent:
        try:
            connection.sendall(beginning)
        except OSError:
            continue  # it made room already
    target.check()
    time.sleep(5)  # in which a loop of errors would fill the log
    target.check()


def test_a_head_that_never_ends_is_cut_off(target, connect):
    slow = [connect() for _ in range(50)]
    for connection in slow:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nx: ")
    target.check()
    for connection in slow:
        assert b" 408 " in connection.recv(65536)


def test_slow_uploads_keep_nobody_out_and_end(target, connect):
    slow = [connect() for _ in range(100)]
    kind = "content-type: multipart/form-data; boundary=x"
    for connection in slow:
        connection.sendall(target.head(kind, "content-length: 9000000", "", "--x\r\n"))
    for _ in range(10):
        for connection in slow:
            connection.sendall(b"a")
        time.sleep(0.1)
    target.ask()
    for connection in slow:
        assert b" 408 " in connection.recv(65536)
    target.check()


PART = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n'
BOMBS = {
    "many parts": b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n' * 150_000,
    "many files": (PART + b"\r\n\r\n") * 100_000,
    "many headers": PART + b"a: b\r\n" * 1_500_000,
    "one long header": PART + b"a: " + b"b" * 9_000_000,
    "a name without end": b"--x\r\n" + b"b" * 9_000_000,
    "no end": PART + b"\r\n" + b"b" * 9_000_000,
    "ends that are none": PART + b"\r\n" + b"\r\n--y" * 1_800_000,
    "nothing": b"",
    "no part": b"--x--\r\n" + b"b" * 9_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_parts_is_refused(target, connect, name):
    kind = "content-type: multipart/form-data; boundary=x"
    request = target.head(kind, f"content-length: {len(BOMBS[name])}", "", "") + BOMBS[name]
    answers = []

    def throw():
        with connect() as connection:
            try:
                connection.sendall(request)
                answers.append(connection.recv(65536))
            except ConnectionError:
                # Refused before all was sent, and closed.
                answers.append(b" 400 ")

    throwers = [threading.Thread(target=throw) for _ in range(8)]
    for thrower in throwers:
        thrower.start()
    target.ask()
    for thrower in throwers:
        thrower.join()
    assert all(b" 400 " in answer or b" 429 " in answer for answer in answers)
    assert len(answers) == len(throwers)
    target.check()


def test_streams_that_nobody_reads_end_and_others_are_answered(target):
    body = b'{"model": "%s", "stream": true, "messages": [{"role": "user", "content": "a"}]}'
    body %= target.facts["base_model"].encode()
    head = target.head("content-type: application/json", f"content-length: {len(body)}", "", "")
    request = head.replace(b"/v1/files", b"/v1/chat/completions") + body
    stalled = []
    for _ in range(limits.CHATS):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(target.address)
        connection.sendall(request)
        stalled.append(connection)
    # Until one of them has ended, there may be no place: that is the limit, and it passes.
    with OpenAI(
        base_url=target.facts["base_url"], api_key=target.facts["api_key"], max_retries=60
    ) as client:
        messages = [{"role": "user", "content": "地铁"}]
        assert client.chat.completions.create(
            model=target.facts["base_model"], messages=messages, max_tokens=5
        ).choices
    for connection in stalled:
        connection.close()
    while True:
        try:
            target.check()
            break
        except Exception as error:
            if getattr(error, "status_code", None) != 429:
                raise
            time.sleep(1)


def test_guesses_are_slowed_and_readers_are_not(target, connect):
    codes = []
    request = b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %d\r\n"

    def guess(first: int) -> None:
        for i in range(first, first + 20):
            with connect() as connection:
                connection.sendall(request % i + b"connection: close\r\n\r\n")
                codes.append(connection.recv(65536)[9:12])

    guessers = [threading.Thread(target=guess, args=(1000 * i,)) for i in range(60)]
    for guesser in guessers:
        guesser.start()
    target.ask()
    for guesser in guessers:
        guesser.join()
    assert set(codes) == {b"401", b"429"}
    target.check()

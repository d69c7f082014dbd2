"""With a certificate, the limits of a connection hold as they do without."""

import contextlib
import json
import socket
import ssl
import threading

import certificates
import httpx
import pytest
from openai import OpenAI
from support import served

from cookbook import data
from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service import certificate, connections, limits
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.store import Store

KEY = "authorization: Bearer test"


class Speaker:
    """A chat engine that says one word, which may be long, and may not end."""

    def __init__(self):
        self.word, self.end = "好", "stop"
        self.cancelled = threading.Event()

    def submit(self, request, on_piece):
        on_piece(Piece(self.word, 1, 1, self.end))
        return self

    def cancel(self):
        self.cancelled.set()


@pytest.fixture
def speaker():
    return Speaker()


@pytest.fixture
def trusting(tmp_path):
    """What a client is given that trusts the certificate."""
    path = tmp_path / "good.pem"
    path.write_text(certificates.GOOD)
    return ssl.create_default_context(cafile=path)


@pytest.fixture
def address(tmp_path, speaker, monkeypatch):
    """A service with a certificate and little patience."""
    monkeypatch.setattr(connections, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.3)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.3)
    both = tmp_path / "both.pem"
    both.write_text(certificates.KEY + certificates.GOOD)
    app = make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=speaker.submit,
        api_key="test",
    )
    with served(app, tls=certificate.read(both).context) as address:
        yield address


@pytest.fixture
def connect(address, trusting):
    """Give a connection that speaks TLS."""
    with contextlib.ExitStack() as stack:

        def connect() -> ssl.SSLSocket:
            plain = stack.enter_context(socket.create_connection(address, timeout=30))
            return stack.enter_context(trusting.wrap_socket(plain, server_hostname="room.test"))

        yield connect


@pytest.fixture
def client(address, trusting):
    url = f"https://127.0.0.1:{address[1]}/v1"
    with (
        httpx.Client(verify=trusting) as http,
        OpenAI(base_url=url, api_key="test", http_client=http, max_retries=0) as client,
    ):
        yield client


def head(method: str, path: str, *more: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", KEY, *more, "", ""]).encode()


def read_all(connection: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while more := connection.recv(65536):
            got += more
    return got


def test_the_official_client_uploads_and_streams(client, row):
    # Nearly as large as a file may be.
    rows = [row(user=f"问题{i}：" + "很长的问题" * 600) for i in range(1000)]
    content = data.to_jsonl(rows)
    assert 9_000_000 < len(content) < data.MAX_BYTES
    upload = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
    assert upload.bytes == len(content)
    messages = [{"role": "user", "content": "你好"}]
    answer = client.chat.completions.create(model="tiny", messages=messages, stream=True)
    # A proxy must pass it on as it comes.
    assert answer.response.headers["x-accel-buffering"] == "no"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == "好"


def test_a_handshake_that_does_not_come_ends_the_connection(address):
    with socket.create_connection(address, timeout=30) as connection:
        assert read_all(connection) == b""


def test_a_client_without_tls_learns_nothing_and_is_ended(address):
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head("GET", "/v1/models"))
        assert b"200" not in read_all(connection)


def test_a_head_that_does_not_come_ends_the_connection(connect):
    assert read_all(connect()) == b""
    connection = connect()
    connection.sendall(b"GET /v1/mo")
    assert b" 408 " in read_all(connection)


def test_a_body_that_stops_coming_is_answered(connect):
    connection = connect()
    connection.sendall(head("POST", "/v1/chat/completions", "content-length: 1000") + b"{")
    assert b" 408 " in read_all(connection)


def test_a_stream_that_nobody_reads_gives_its_place_back(connect, speaker):
    # More than the buffers of both sides hold.
    speaker.word, speaker.end = "好" * 4_000_000, None
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}], "stream": True}
    body = json.dumps(asked).encode()
    kind, length = "content-type: application/json", f"content-length: {len(body)}"
    connect().sendall(head("POST", "/v1/chat/completions", kind, length) + body)
    assert speaker.cancelled.wait(30)


def test_wrong_keys_keep_nobody_out_whoever_sends_them(address, trusting):
    url = f"https://127.0.0.1:{address[1]}/v1/models"
    with httpx.Client(verify=trusting) as http:
        # All of them behind one proxy, as it looks here.
        for _ in range(limits.WRONG_KEYS):
            assert http.get(url, headers={"authorization": "Bearer wrong"}).status_code == 401
        waiting = threading.Thread(
            target=http.get, args=(url,), kwargs={"headers": {"authorization": "Bearer wrong"}}
        )
        waiting.start()
        began = threading.Event()
        began.wait(0.1)
        right = http.get(url, headers={"authorization": "Bearer test"})
        assert right.status_code == 200 and waiting.is_alive()
        waiting.join()

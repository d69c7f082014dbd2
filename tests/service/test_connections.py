"""Connections that keep the service waiting are ended, and never keep others out."""

import asyncio
import json
import logging
import select
import socket
import threading

import pytest
from support import served

from cookbook import data, disk
from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service import connections, limits
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.logs import Repeats
from cookbook.service.middleware import WrongKeys
from cookbook.service.store import Store

KEY = "authorization: Bearer test"


class Speaker:
    """A chat engine that says its word `pieces` times, and does not end the answer."""

    def __init__(self):
        self.word, self.pieces = "好", 0
        self.started, self.cancelled = threading.Semaphore(0), 0

    def submit(self, request, on_piece):
        self.on_piece = on_piece
        for i in range(1, self.pieces + 1):
            on_piece(Piece(self.word, 1, i))
        self.started.release()
        return self

    def cancel(self):
        self.cancelled += 1


@pytest.fixture
def speaker():
    return Speaker()


@pytest.fixture
def app(tmp_path, speaker):
    return make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=speaker.submit,
        api_key="test",
    )


@pytest.fixture
def address(app, monkeypatch):
    """A service with little patience."""
    monkeypatch.setattr(connections, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.3)
    with served(app) as address:
        yield address


def head(method: str, path: str, *more: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", *more, "", ""]).encode()


def read_all(connection: socket.socket) -> bytes:
    """Return everything that comes until the other side closes."""
    connection.settimeout(30)
    got = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return got
        if not more:
            return got
        got += more


def ask(address, request: bytes) -> bytes:
    with socket.create_connection(address) as connection:
        connection.sendall(request)
        return read_all(connection)


def is_answered(address) -> bool:
    return b"200 OK" in ask(address, head("GET", "/v1/models", KEY, "connection: close"))


def test_a_head_that_does_not_come_ends_the_connection(address):
    assert ask(address, b"") == b""
    response = ask(address, b"GET /v1/mo")
    assert b" 408 " in response and b'"code": "request_timeout"' in response


def test_a_head_that_trickles_ends_all_the_same(address):
    with socket.create_connection(address) as connection:
        connection.settimeout(0.02)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nx: ")
        while True:
            try:
                connection.sendall(b"x")
                assert b" 408 " in connection.recv(65536)
                break
            except TimeoutError:
                continue


@pytest.mark.parametrize("path", ["/v1/files", "/v1/chat/completions"])
def test_a_body_that_stops_coming_is_answered_and_leaves_no_traceback(address, caplog, path):
    kind = "content-type: multipart/form-data; boundary=x" if "files" in path else "x-y: z"
    begin = head("POST", path, KEY, kind, "content-length: 1000") + b"--x\r\n"
    assert b" 408 " in ask(address, begin)
    assert caplog.records == []


def test_a_body_that_comes_slowly_and_steadily_is_read(address, row, monkeypatch):
    monkeypatch.setattr(limits, "STALLED_SECONDS", 1.0)
    content = data.to_jsonl([row(user=f"问题{i}") for i in range(10)])
    disposition = b'content-disposition: form-data; name="%s"%s\r\n\r\n'
    body = b"--x\r\n" + disposition % (b"purpose", b"") + b"fine-tune\r\n--x\r\n"
    body += disposition % (b"file", b'; filename="a.jsonl"') + content + b"\r\n--x--\r\n"
    kind = "content-type: multipart/form-data; boundary=x"
    with socket.create_connection(address) as connection:
        length = f"content-length: {len(body)}"
        connection.sendall(head("POST", "/v1/files", KEY, kind, length, "connection: close"))
        # Longer in all than a pause may be, and faster than BODY_RATE.
        pieces = [body[i : i + 300] for i in range(0, len(body), 300)]
        for piece in pieces:
            connection.sendall(piece)
            threading.Event().wait(1.5 / len(pieces))
        assert b" 200 " in read_all(connection)


def question(key: str = KEY, **more) -> bytes:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}]} | more
    body = json.dumps(asked).encode()
    kind, length = "content-type: application/json", f"content-length: {len(body)}"
    return head("POST", "/v1/chat/completions", key, kind, length) + body


def wait_until(condition) -> None:
    while not condition():
        threading.Event().wait(0.01)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pieces", [0, 1])
def test_an_answer_whose_client_has_left_ends(app, address, speaker, caplog, stream, pieces):
    speaker.pieces = pieces
    with socket.create_connection(address) as connection:
        connection.sendall(question(stream=stream))
        assert speaker.started.acquire(timeout=30)
    wait_until(lambda: speaker.cancelled)
    wait_until(lambda: not app.state.shared.answers)
    assert is_answered(address) and caplog.records == []


def test_a_stream_that_nobody_reads_gives_its_place_back(app, address, speaker):
    # More than the buffers of both sides hold.
    speaker.word, speaker.pieces = "好" * 4_000_000, 1
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        connection.sendall(question(stream=True))
        assert speaker.started.acquire(timeout=30)
        wait_until(lambda: speaker.cancelled)
        wait_until(lambda: not app.state.shared.answers)


def test_a_file_is_read_as_fast_as_its_reader_takes_it(app, address, monkeypatch):
    store, read, file_part = app.state.shared.store, [], Store.file_part
    content = bytes(range(256)) * 40_000

    def counted(self, file_id, start, size):
        read.append(start)
        return file_part(self, file_id, start, size)

    monkeypatch.setattr(Store, "file_part", counted)
    file = store.add_file("a.jsonl", "fine-tune", content)
    path = f"/v1/files/{file.id}/content"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        connection.sendall(head("GET", path, KEY))
        wait_until(lambda: read)
        # More than the buffers of both sides hold, and not all of it.
        wait_until(lambda: not app.state.activity.in_use)
        assert len(read) < 15
    answer = ask(address, head("GET", path, KEY, "connection: close"))
    assert answer.endswith(content) and b"content-length: 10240000" in answer.lower()


def test_an_answer_that_the_engine_has_finished_holds_no_place(app, address, speaker):
    with socket.socket() as connection:
        connection.connect(address)
        connection.sendall(question(stream=True))
        assert speaker.started.acquire(timeout=30)
        speaker.on_piece(Piece("好", 1, 1, "stop"))
        wait_until(lambda: not app.state.shared.answers)
        connection.settimeout(30)
        assert b"200 OK" in connection.recv(65536)


def test_pieces_that_come_faster_than_they_are_read_are_joined(address, speaker):
    speaker.pieces = 1000
    with socket.create_connection(address) as connection:
        connection.sendall(question(stream=True).replace(b"host", b"connection: close\r\nhost"))
        assert speaker.started.acquire(timeout=30)
        speaker.on_piece(Piece("", 1, 1000, "stop"))
        response = read_all(connection).decode()
    # Nothing is lost, and few chunks are kept apart: how many depends on when they are read.
    assert response.count("好") == 1000 and response.count("data:") < 500


def test_connections_without_a_request_make_room_for_new_ones(address, monkeypatch):
    monkeypatch.setattr(connections, "most_connections", lambda: 20)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 60)
    silent = [socket.create_connection(address) for _ in range(100)]
    assert is_answered(address)
    gone = [connection for connection in silent if is_closed(connection)]
    # The oldest went, the newest are still there.
    assert gone == silent[: len(gone)] and 75 <= len(gone) < 100
    for connection in silent:
        connection.close()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.1)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_where_all_connections_have_a_request_new_ones_are_told(address, monkeypatch, speaker):
    monkeypatch.setattr(connections, "most_connections", lambda: 5)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 60)
    busy = [socket.create_connection(address) for _ in range(5)]
    for connection in busy:
        connection.sendall(question())
        assert speaker.started.acquire(timeout=30)
    with socket.create_connection(address) as connection:
        response = read_all(connection)
    assert b" 503 " in response and b"too_many_connections" in response
    for connection in busy:
        connection.close()
    wait_until(lambda: speaker.cancelled == 5)
    assert is_answered(address)


def test_one_person_does_not_take_up_all_connections(app, address, monkeypatch, speaker):
    monkeypatch.setattr(limits, "PERSON_REQUESTS", 2)
    store = app.state.shared.store
    mine, other = (f"authorization: Bearer {store.add_person(name)}" for name in ("p01", "p02"))
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        for connection in (first, second):
            connection.sendall(question(mine))
            assert speaker.started.acquire(timeout=30)
        assert b" 429 " in ask(address, question(mine))
        for key in (other, KEY):
            assert b" 200 " in ask(address, head("GET", "/v1/models", key, "connection: close"))
    # Those that have left are not counted any more.
    wait_until(
        lambda: b" 200 " in ask(address, head("GET", "/v1/models", mine, "connection: close"))
    )


def test_all_bodies_together_have_a_limit(address, monkeypatch):
    monkeypatch.setattr(limits, "BODIES_BYTES", 1_000_000)
    monkeypatch.setattr(limits, "STALLED_SECONDS", 60)
    kind = "content-type: multipart/form-data; boundary=x"
    begin = head("POST", "/v1/files", KEY, kind, "content-length: 900000")
    part = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    with socket.create_connection(address) as first:
        first.sendall(begin + part + b" " * 800_000)
        with socket.create_connection(address) as second:
            second.sendall(begin + part + b" " * 400_000)
            # Refused is the one that went over.
            refused, _, _ = select.select([first, second], [], [], 30)
            assert b" 429 " in read_all(refused[0])
    # What the first has sent is forgotten with it.
    wait_until(lambda: b" 429 " not in ask(address, begin.replace(b"900000", b"7") + b"x" * 7))


def test_wrong_keys_wait_and_the_right_one_does_not(app, monkeypatch):
    monkeypatch.setattr(limits, "WRONG_KEY_SECONDS", 3600)
    monkeypatch.setattr(limits, "WRONG_KEYS_WAITING", 3)
    with served(app) as address:
        wrong = head("GET", "/v1/models", "authorization: Bearer no", "connection: close")
        for _ in range(limits.WRONG_KEYS):
            assert b" 401 " in ask(address, wrong)
        waiting = [socket.create_connection(address) for _ in range(3)]
        for connection in waiting:
            connection.sendall(wrong)
        assert is_answered(address)
        response = ask(address, wrong)
        assert b" 429 " in response and b"retry-after" in response
        assert b" 401 " in ask(address, head("GET", "/v1/models", "connection: close"))
        for connection in waiting:
            connection.close()


def test_after_a_while_wrong_keys_are_answered_at_once_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    keys = WrongKeys()
    for _ in range(limits.WRONG_KEYS + 2):
        asyncio.run(keys.wait())
    assert len(slept) == 2
    now[0] = 30.0
    for _ in range(limits.WRONG_KEYS // 2):
        asyncio.run(keys.wait())
    assert len(slept) == 2


def record(message, *args, level=logging.ERROR):
    return logging.LogRecord("asyncio", level, __file__, 1, message, args, None)


def test_a_warning_that_repeats_is_counted_instead_of_written(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    repeats = Repeats()
    passed = [repeats.filter(record("accept() %s", i)) for i in range(100)]
    assert sum(passed) == limits.LOG_REPEATS
    assert repeats.filter(record("something else"))
    assert all(repeats.filter(record("job", level=logging.INFO)) for _ in range(100))
    now[0] = 61.0
    again = record("accept() %s", 1)
    assert repeats.filter(again)
    assert str(100 - limits.LOG_REPEATS) in again.getMessage()


def test_a_long_log_keeps_its_end_and_those_who_append_go_on(tmp_path):
    log = tmp_path / "service.log"
    with log.open("ab", buffering=0) as file:
        for i in range(1000):
            file.write(b"line %d\n" % i)
        disk.keep_short(log, most=1000)
        file.write(b"one more\n")
    lines = log.read_text().splitlines()
    assert log.stat().st_size < 600 and lines[-2:] == ["line 999", "one more"]
    assert all(line.startswith("line ") for line in lines[:-1])
    disk.keep_short(tmp_path / "none", most=1000)

"""What a careless or hostile client cannot do over HTTP: in-process, no torch."""

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from cookbook import data
from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service import limits
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor

KEY = {"authorization": "Bearer test"}
FINE_TUNE = {"purpose": "fine-tune"}


@pytest.fixture
def app(tmp_path):
    bases = [Base("tiny", str(tmp_path / "nowhere"))]
    return make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=bases,
        submit=None,
        api_key="test",
        loopback=True,
    )


@pytest.fixture
def http(app):
    with TestClient(app, base_url="http://127.0.0.1:9", headers=KEY) as http:
        yield http


PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'


def post(path: str, headers: list) -> dict:
    """The ASGI scope of a request."""
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 9),
        "method": "POST",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }


async def pour(app, path: str, headers: list) -> tuple[int, int]:
    """Send an endless body; (status, bytes that were taken)."""
    taken, answer = 0, {}

    async def receive():
        nonlocal taken
        body = b" " * 65536 if taken else PART
        taken += len(body)
        return {"type": "http.request", "body": body, "more_body": True}

    async def send(message):
        answer.update(message)

    await app(post(path, headers), receive, send)
    return answer["status"], taken


HEAD = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer test")]


@pytest.mark.parametrize(
    "path, kind, limit",
    [
        ("/v1/files", b"multipart/form-data; boundary=x", limits.UPLOAD_BYTES),
        ("/v1/chat/completions", b"application/json", limits.BODY_BYTES),
        ("/v1/fine_tuning/jobs", b"application/json", limits.BODY_BYTES),
    ],
)
def test_a_body_without_a_length_is_cut_off_at_the_limit(app, path, kind, limit):
    status, taken = asyncio.run(pour(app, path, [*HEAD, (b"content-type", kind)]))
    assert status == 413 and taken <= limit + 2 * 65536


@pytest.mark.parametrize("headers", [HEAD[:1], [HEAD[0], (b"authorization", b"test")]])
def test_nothing_is_read_from_a_stranger(app, headers):
    assert asyncio.run(pour(app, "/v1/files", headers)) == (401, 0)


def test_a_declared_length_is_refused_unread(app):
    for declared, status in ((b"99999999", 413), (b"many", 400)):
        headers = [*HEAD, (b"content-length", declared)]
        assert asyncio.run(pour(app, "/v1/files", headers)) == (status, 0)


@pytest.mark.parametrize(
    "host, status",
    [
        ("evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("", 421),
        ("localhost:1", 200),
        ("[::1]:1", 200),
    ],
)
def test_a_web_page_cannot_reach_the_service_under_a_name_of_its_own(http, host, status):
    assert http.get("/v1/models", headers={"host": host}).status_code == status
    assert http.get("/health", headers={"host": host}).status_code == status


NAMES = [
    "../../evil.jsonl",
    "/etc/evil.jsonl",
    "a\x00.jsonl",
    "C:\\evil.jsonl",
    "x" * 1000 + ".jsonl",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_never_reaches_the_file_system(http, tmp_path, row, name):
    before = set(tmp_path.parent.rglob("*"))
    content = data.to_jsonl([row(user=f"问题{i}") for i in range(10)])
    form = {"files": {"file": (name, content)}, "data": {"purpose": "fine-tune"}}
    assert http.post("/v1/files", **form).status_code == 200
    assert {p for p in set(tmp_path.parent.rglob("*")) - before if "a.db" not in p.name} == set()


def test_no_answer_names_a_folder_of_this_machine(http, tmp_path):
    for path in ("/v1/models", "/v1/files", "/v1/files/x", "/v1/models/x", "/openapi.json"):
        text = http.get(path).text
        assert str(tmp_path) not in text and str(Path.home()) + "/" not in text


async def ask_and_leave(app) -> None:
    """Ask for a stream, and be gone before its first byte is sent."""
    question = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "你好"}]}
    body = {"type": "http.request", "body": json.dumps(question).encode(), "more_body": False}
    messages = [body]

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message):
        await asyncio.sleep(0)

    headers = [*HEAD, (b"content-type", b"application/json")]
    await app(post("/v1/chat/completions", headers), receive, send)


def test_a_client_that_leaves_before_its_stream_begins_gives_its_place_back(tmp_path):
    cancelled = []

    def submit(request, on_piece):
        on_piece(Piece("好", 1, 1))
        return SimpleNamespace(cancel=lambda: cancelled.append(request))

    app = make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=submit,
        api_key="test",
    )
    asyncio.run(ask_and_leave(app))
    assert len(cancelled) == 1
    assert app.state.shared.answers == set()


def test_a_job_waits_for_no_check_its_own_or_that_of_a_cancelled_job(http, app, tmp_path, row):
    """Files are checked once, when they are uploaded."""
    content = data.to_jsonl([row(user=f"问题{i}") for i in range(10)])
    upload = http.post("/v1/files", files={"file": ("a.jsonl", content)}, data=FINE_TUNE).json()
    store = app.state.shared.store
    # A stored file that could not be checked in a lifetime.
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute("UPDATE files SET content = zeroblob(10000000)")
    db.close()
    body = {"model": "tiny", "training_file": upload["id"]}
    cancelled, *jobs = [http.post("/v1/fine_tuning/jobs", json=body).json() for _ in range(3)]
    http.post(f"/v1/fine_tuning/jobs/{cancelled['id']}/cancel")
    Supervisor(store, Home(tmp_path), max_running=0)._tick()
    assert [store.job(job["id"]).status for job in jobs] == ["queued", "queued"]
    assert store.job(cancelled["id"]).status == "cancelled"

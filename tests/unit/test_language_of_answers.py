"""In which language the service answers: of the request, of the notebook, of the service."""

import asyncio
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI
from support import ROWS, client_of

from cookbook.bases import Base
from cookbook.i18n import Text
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.languages import Languages, accepted

ZH, EN = {"accept-language": "zh"}, {"accept-language": "en"}
NOWHERE = "/v1/fine_tuning/jobs/ftjob-nowhere"


def fail(request, on_piece):
    """A chat engine that says a character and fails."""
    on_piece(Piece("好", 1, 1))
    on_piece(Piece("", 1, 1, "stop", error=Text("坏了", "broken"), error_code="engine_error"))
    return SimpleNamespace(cancel=lambda: None)


@pytest.fixture
def app(store, tmp_path):
    bases = [Base("tiny", "nowhere")]
    return make_app(store, home=Home(tmp_path), bases=bases, submit=fail, api_key="leaders")


def said(client, path=NOWHERE, **options):
    return client.get(path, **options).json()["error"]["message"]


def create_job(client):
    upload = client.post(
        "/v1/files", files={"file": ("a.jsonl", b"".join(ROWS))}, data={"purpose": "fine-tune"}
    )
    body = {"model": "tiny", "training_file": upload.json()["id"]}
    return client.post("/v1/fine_tuning/jobs", json=body).json()["id"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("en", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB;q=0.5, zh-TW;q=0.7", "zh"),
        ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", "en"),
        ("EN", "en"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=0", None),
        ("en;q=2", "en"),
        ("en;q=nan, zh;q=0.1", "zh"),
        ("en;q=-1", None),
        ("en;q=", None),
        ("en;level=1", "en"),
        ("*", None),
        ("fr, de", None),
        ("english", None),
        ("", None),
        (";;,,q=1,=", None),
        ("en;q=" + "9" * 5000, None),
        ("," * 60_000 + "en", None),
        ("\xff\xfe", None),
    ],
)
def test_a_header_chooses_by_weight_and_then_by_order(header, expected):
    assert accepted(header.encode("latin-1")) == expected


def test_a_request_is_answered_in_the_language_that_it_asks_for(leader):
    assert "没有任务" in said(leader)
    assert "there is no job" in said(leader, headers=EN)
    assert "没有任务" in said(leader, headers=ZH)


def test_what_is_refused_before_a_key_is_known_is_so_too(app):
    assert "API key 不对" in said(client_of(app, "wrong"))
    assert "wrong API key" in said(client_of(app, "wrong"), headers=EN)


def test_an_unexpected_error_is_so_too(app, monkeypatch):
    leader = client_of(app, "leaders", raise_server_exceptions=False)
    monkeypatch.setattr(app.state.shared.store, "job", lambda _: 1 / 0)
    assert "internal error (ZeroDivisionError)" in said(leader, headers=EN)
    assert "服务内部错误" in said(leader)


def test_an_error_in_the_middle_of_a_stream_is_so_too(leader):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "?"}], "stream": True}
    assert '"broken"' in leader.post("/v1/chat/completions", json=body, headers=EN).text
    assert '"坏了"' in leader.post("/v1/chat/completions", json=body).text


def test_requests_at_the_same_time_do_not_mix_their_languages(app):
    import httpx

    async def ask():
        transport = httpx.ASGITransport(app)
        headers = {"authorization": "Bearer leaders"}
        options = {"transport": transport, "base_url": "http://test", "headers": headers}
        async with httpx.AsyncClient(**options) as http:
            asked = [EN, ZH, {}] * 10
            answers = await asyncio.gather(*(http.get(NOWHERE, headers=one) for one in asked))
        return [answer.json()["error"]["message"].isascii() for answer in answers]

    assert asyncio.run(ask()) == [True, False, False] * 10


def test_a_person_is_answered_in_the_language_of_their_notebook(person, leader, store):
    assert person.get("/v1/room?notebook=01.ipynb", headers=EN).status_code == 200
    assert "there is no job" in said(person) and "没有任务" in said(leader)
    # The room's page, which has a language of its own, changes nothing.
    person.get("/v1/room", headers=ZH)
    assert "there is no job" in said(person)
    # The next service knows it, too.
    assert Languages(store).of("李雷") == "en"
    # One whose name is not known says it with an empty one.
    person.get("/v1/room?notebook=", headers=ZH)
    assert "没有任务" in said(person) and Languages(store).of("李雷") == "zh"


def test_whoever_was_removed_and_added_again_keeps_their_language(app, person, store):
    person.get("/v1/room?notebook=", headers=EN)
    store.remove_person("李雷")
    again = client_of(app, store.add_person("李雷"))
    again.get("/v1/room?notebook=", headers=EN)
    assert Languages(store).of("李雷") == "en"


def test_the_official_client_follows_the_notebook(app, person):
    person.get("/v1/room?notebook=", headers=EN)
    key = person.headers["authorization"].removeprefix("Bearer ")
    client = OpenAI(base_url="http://testserver/v1", api_key=key, http_client=TestClient(app))
    with pytest.raises(Exception, match="there is no job"):
        client.fine_tuning.jobs.retrieve("ftjob-nowhere")


def test_the_leader_says_it_with_the_key_alone(app, leader):
    TestClient(app).get("/health", headers=EN)
    assert "没有任务" in said(leader)
    leader.get("/health", headers=EN)
    assert "there is no job" in said(leader)
    leader.get("/health")
    assert "there is no job" in said(leader)
    leader.get("/health", headers=ZH)
    assert "没有任务" in said(leader)


def test_a_jobs_log_and_its_error_are_in_the_language_of_whoever_reads(leader, store):
    job_id = create_job(leader)
    failed = Text("磁盘坏了", "the disk is broken")
    store.advance(job_id, "failed", failed, error={"code": "x", "message": failed, "param": None})
    path = f"/v1/fine_tuning/jobs/{job_id}"
    for headers, texts in (
        (EN, ["the disk is broken", "Created fine-tuning job"]),
        (ZH, ["磁盘坏了", "任务已创建"]),
    ):
        events = leader.get(f"{path}/events", headers=headers).json()["data"]
        assert [event["message"] for event in events] == texts
        error = leader.get(path, headers=headers).json()["error"]
        assert error == {"code": "x", "message": texts[0], "param": None}
        room = leader.get("/v1/room", headers=headers).json()["jobs"][0]
        assert (room["message"], room["error"]["message"]) == (texts[0], texts[0])


def test_a_job_is_remembered_with_the_language_of_its_creator(leader, store):
    leader.get("/health", headers=EN)
    assert store.job(create_job(leader)).language == "en"

"""The room's routes: what a person sees, what the leader does, limits, and closing time."""

import asyncio
import dataclasses
import json
import threading
import time
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from support import add_job, client_of, make_row

from cookbook import data
from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service import limits, recovery
from cookbook.service.app import make_app
from cookbook.service.callers import Caller
from cookbook.service.events import Finished, Step
from cookbook.service.page import PATHS
from cookbook.service.room_view import thinned
from cookbook.service.upload_turns import UploadTurns
from cookbook.service.worker import publish

ROWS = data.to_jsonl([make_row(user=f"问题{i}") for i in range(10)])
JOBS = "/v1/fine_tuning/jobs"
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}]}


class Silent:
    """A chat engine that says nothing until it is told to."""

    def __init__(self):
        self.asked = threading.Semaphore(0)

    def submit(self, request, on_piece):
        self.asked.release()
        return SimpleNamespace(cancel=lambda: None)


@pytest.fixture
def engine():
    return Silent()


@pytest.fixture
def app(store, tmp_path, engine):
    return make_app(
        store,
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=engine.submit,
        addresses=lambda: ["http://10.0.0.2:8765/v1"],
        api_key="leaders",
    )


def upload(client):
    form = {"file": ("a.jsonl", ROWS)}
    return client.post("/v1/files", files=form, data={"purpose": "fine-tune"})


def tune(client, file):
    return client.post(JOBS, json={"model": "tiny", "training_file": file})


def code(response):
    return response.status_code, response.json()["error"]["code"]


def step(number, total=100):
    return Step(
        step=number,
        total_steps=total,
        epoch=1.0,
        train_loss=1 / number,
        valid_loss=None,
        learning_rate=1e-4,
        tokens=number,
        tokens_per_second=1.0,
        seconds_left=float(total - number),
    )


# What is seen


def test_a_person_sees_their_own_room(person, leader, store):
    file = upload(person).json()["id"]
    job = tune(person, file).json()["id"]
    tune(leader, file)
    view = person.get("/v1/room", params={"notebook": "02_train"}).json()
    assert (view["name"], view["leader"], view["base_model"]) == ("李雷", False, "tiny")
    assert [seen["id"] for seen in view["jobs"]] == [job]
    assert view["jobs"][0]["jobs_ahead"] == 0
    assert view["limits"]["jobs"] == {"used": 1, "limit": 6}
    assert view["limits"]["bytes"] == {"used": len(ROWS), "limit": 200 * 2**20}
    assert view["limits"]["chats"] == {"used": 0, "limit": 8}
    assert view["people"] is view["machine"] is view["addresses"] is None


def test_the_leader_sees_everybody_and_the_machine(person, leader):
    job = tune(person, upload(person).json()["id"]).json()["id"]
    person.get("/v1/room", params={"notebook": "02_train"})
    person.get(f"{JOBS}/{job}")
    view = leader.get("/v1/room").json()
    assert (view["name"], view["leader"], view["limits"]) == ("local", True, None)
    assert view["addresses"] == ["http://10.0.0.2:8765/v1"]
    (seen,) = view["people"]
    assert time.time() - seen.pop("seen_at") < 5
    assert seen == {
        "name": "李雷",
        "notebook": "02_train",
        "act": "watch",
        "job": job,
        "jobs": 1,
        "models": 0,
        "bytes": len(ROWS),
    }
    assert view["machine"]["memory_total"] > view["machine"]["service_bytes"] > 0


def test_a_job_shows_its_figures_and_its_last_line(person, store):
    job = store.job(tune(person, upload(person).json()["id"]).json()["id"])
    store.advance(job.id, "running", "Started")
    for number in range(1, 101):
        store.record(job, step(number))
    (seen,) = person.get("/v1/room").json()["jobs"]
    assert (seen["step"], seen["total_steps"], seen["seconds_left"]) == (100, 100, 0.0)
    assert seen["train_loss"] == 0.01
    assert len(seen["losses"]) == 40
    assert (seen["losses"][0], seen["losses"][-1]) == (1.0, 0.01)
    assert seen["message"].startswith("Step 100/100")
    store.advance(job.id, "failed", "out\nof memory", error={"code": "x", "message": "y"})
    (seen,) = person.get("/v1/room").json()["jobs"]
    assert (seen["status"], seen["message"], seen["seconds_left"]) == ("failed", "out", None)
    assert seen["error"] == {"code": "x", "message": "y"}
    assert seen["finished_at"]


@pytest.mark.parametrize("last", [1, 2, 39, 40, 41, 79, 1000, 10_000])
def test_a_small_curve_has_both_ends_and_no_step_twice(last):
    steps = thinned(last)
    assert (steps[0], steps[-1]) == (1, last)
    assert len(steps) == len(set(steps)) == min(last, 40)
    assert steps == sorted(steps)


def test_jobs_that_wait_come_first_and_of_the_ended_the_newest(leader, store):
    ended = [add_job(store).id for _ in range(60)]
    for job_id in ended:
        store.advance(job_id, "cancelled", "Cancelled")
    waiting = [add_job(store).id for _ in range(3)]
    store.request_state(waiting[0], "pause", "Paused")
    seen = leader.get("/v1/room").json()["jobs"]
    paused = waiting.pop(0)
    assert [job["id"] for job in seen] == [*waiting, paused, *ended[:9:-1]]
    assert [job["jobs_ahead"] for job in seen[:4]] == [0, 1, None, None]
    assert [job["paused"] for job in seen[:4]] == [False, False, True, False]


def test_a_result_that_was_taken_over_says_so(leader, store):
    job = add_job(store)
    store.advance(job.id, "running", "Started")
    store.add_note(job.id, "Same as another", {"taken_over": True})
    store.advance(job.id, "succeeded", "Done")
    assert leader.get("/v1/room").json()["jobs"][0]["taken_over"]


def test_a_service_without_people_has_a_room_of_its_leader(leader):
    view = leader.get("/v1/room").json()
    assert (view["people"], view["jobs"], view["closes_at"]) == ([], [], None)


def test_who_was_here_is_written_down_when_the_service_ends(person, store):
    with person:
        person.get("/v1/room", params={"notebook": "00_quickstart"})
        assert store.people()[0].seen_at is None
    (seen,) = store.people()
    assert (seen.notebook, seen.act) == ("00_quickstart", "connect")


# What the leader does


def test_the_leader_lets_people_in_and_out(app, leader, store):
    made = leader.post("/v1/room/people", json={"name": "韩梅梅"}).json()
    assert sorted(made) == ["key", "name"]
    assert client_of(app, made["key"]).get("/v1/room").json()["name"] == "韩梅梅"
    assert code(leader.post("/v1/room/people", json={"name": "韩梅梅"})) == (409, "person_exists")
    assert code(leader.post("/v1/room/people", json={"name": "local"})) == (400, "invalid_value")
    renewed = leader.post("/v1/room/people/韩梅梅/renew").json()
    assert renewed["name"] == "韩梅梅" and renewed["key"] != made["key"]
    removed = leader.delete("/v1/room/people/韩梅梅").json()
    assert removed == {"name": "韩梅梅", "deleted": True}
    assert code(leader.delete("/v1/room/people/韩梅梅")) == (404, "person_not_found")
    assert code(leader.post("/v1/room/people/韩梅梅/renew")) == (404, "person_not_found")


def test_what_the_leader_says_reaches_everybody_until_it_is_taken_back(leader, person):
    assert leader.post("/v1/room/message", json={"text": " 休息十分钟 "}).status_code == 200
    message = person.get("/v1/room").json()["message"]
    assert message["text"] == "休息十分钟" and time.time() - message["at"] < 5
    assert leader.post("/v1/room/message", json={"text": ""}).json() == {"message": None}
    assert person.get("/v1/room").json()["message"] is None
    assert leader.post("/v1/room/message", json={"text": "长" * 501}).status_code == 400


def test_the_leaders_routes_are_the_leaders(person):
    for method, path, body in (
        ("POST", "/v1/room/people", {"name": "x"}),
        ("POST", "/v1/room/people/李雷/renew", None),
        ("DELETE", "/v1/room/people/李雷", None),
        ("POST", "/v1/room/message", {"text": "x"}),
        ("POST", "/v1/room/extend", {"minutes": 5}),
    ):
        assert code(person.request(method, path, json=body)) == (403, "leader_only")


# Closing time


def test_a_room_that_has_closed_says_when_and_who_can_open_it(app, leader, person, store):
    closed_at = int(time.time()) - 60
    store.set_room_value("closes_at", str(closed_at))
    for path in ("/v1/room", "/v1/models", JOBS):
        refused = person.get(path)
        assert code(refused) == (403, "room_closed")
        when = time.strftime("%H:%M", time.localtime(closed_at))
        assert when in refused.json()["error"]["message"]
        assert "组织者" in refused.json()["error"]["message"]
    assert leader.get("/v1/models").status_code == 200
    answer = leader.post("/v1/room/extend", json={"minutes": 30}).json()
    assert abs(answer["closes_at"] - time.time() - 1800) < 5
    # A key that was looked up is known for a moment.
    deadline = time.monotonic() + 5
    while person.get("/v1/room").status_code == 403 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert person.get("/v1/room").json()["closes_at"] == answer["closes_at"]


def test_a_room_is_extended_from_its_closing_time_while_it_is_open(leader, store):
    at = int(time.time()) + 600
    store.set_room_value("closes_at", str(at))
    assert leader.post("/v1/room/extend", json={"minutes": 5}).json() == {"closes_at": at + 300}
    store.set_room_value("closes_at", None)
    assert leader.post("/v1/room/extend", json={"minutes": 5}).json() == {"closes_at": None}
    for minutes in (0, -1, 1441, 1.5, "x"):
        refused = leader.post("/v1/room/extend", json={"minutes": minutes})
        assert refused.status_code == 400, minutes


def test_a_wrong_key_is_told_to_ask_the_leader_where_there_is_a_room(app, store):
    stranger = client_of(app, "room-aaaa-bbbb-cccc-dddd")
    assert "connect()" in stranger.get("/v1/models").json()["error"]["message"]
    store.add_person("李雷")
    refused = stranger.get("/v1/models")
    assert code(refused) == (401, "invalid_api_key")
    assert "room renew" in refused.json()["error"]["message"]


def test_the_page_itself_needs_no_key(app):
    http = TestClient(app)
    for path in PATHS:
        assert http.get(path).status_code != 401
    assert http.get("/room.html").status_code == 401


# Limits of one person


def test_one_persons_jobs_are_limited_and_nobody_elses(app, store, person, leader, monkeypatch):
    monkeypatch.setattr(limits, "PERSON_JOBS", 2)
    file = upload(person).json()["id"]
    jobs = [tune(person, file).json()["id"] for _ in range(2)]
    refused = tune(person, file)
    assert code(refused) == (429, "too_many_jobs")
    assert int(refused.headers["retry-after"]) > 0
    assert "2 个任务没有结束" in refused.json()["error"]["message"]
    other = client_of(app, store.add_person("p02"))
    assert tune(other, upload(other).json()["id"]).status_code == 200
    for _ in range(3):
        assert tune(leader, file).status_code == 200
    person.post(f"{JOBS}/{jobs[0]}/cancel")
    assert tune(person, file).status_code == 200


def test_thirty_people_with_all_their_jobs_meet_no_total(store):
    for number in range(30):
        mine = store.of(f"p{number:02}")
        for _ in range(limits.PERSON_JOBS):
            add_job(mine, limit=limits.PERSON_JOBS)
    assert len(store.unfinished()) == 180
    assert add_job(store, limit=limits.JOBS)


def test_one_persons_files_are_limited(person, leader, monkeypatch):
    monkeypatch.setattr(limits, "PERSON_BYTES", 2 * len(ROWS))
    first = upload(person).json()["id"]
    assert upload(person).status_code == 200
    refused = upload(person)
    assert code(refused) == (429, "too_many_bytes")
    assert "files.delete" in refused.json()["error"]["message"]
    # Waiting changes nothing: the official client must not.
    assert refused.headers["x-should-retry"] == "false"
    assert upload(leader).status_code == 200
    person.delete(f"/v1/files/{first}")
    assert upload(person).status_code == 200


def test_one_persons_uploads_have_a_share_of_what_is_read_at_a_time(person, leader, monkeypatch):
    monkeypatch.setattr(limits, "PERSON_BODIES_BYTES", len(ROWS) // 2)
    for _ in range(2):
        refused = upload(person)
        assert code(refused) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "5"
    assert upload(leader).status_code == 200
    # What was read of the refused ones is not counted any more.
    assert person.post(f"{JOBS}/no/cancel").status_code == 404
    monkeypatch.setattr(limits, "PERSON_BODIES_BYTES", 2 * len(ROWS))
    assert upload(person).status_code == 200


def test_the_next_persons_upload_is_checked_before_the_many_of_one():
    turns, checked, go = UploadTurns(), [], asyncio.Event()

    async def check(name):
        async with turns.of(Caller(name, is_leader=False)):
            checked.append(name)
            await go.wait()

    async def all_of_them():
        checks = [asyncio.create_task(check(name)) for name in ("a", "a", "a", "b", "c")]
        await asyncio.sleep(0.01)
        assert checked == ["a", "b"]
        go.set()
        await asyncio.gather(*checks)

    asyncio.run(all_of_them())
    assert checked[2] == "c"


def test_one_persons_answers_are_limited_and_nobody_elses(app, store, person, engine, monkeypatch):
    monkeypatch.setattr(limits, "PERSON_CHATS", 2)
    other = client_of(app, store.add_person("p02"))
    with person:
        # It ends with the client, which is closed below.
        asking = threading.Thread(
            target=person.post, args=("/v1/chat/completions",), kwargs={"json": ASKED | {"n": 2}}
        )
        asking.start()
        for _ in range(2):
            assert engine.asked.acquire(timeout=5)
        refused = person.post("/v1/chat/completions", json=ASKED)
        assert code(refused) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        assert person.get("/v1/room").json()["limits"]["chats"] == {"used": 2, "limit": 2}
        state = app.state.shared
        assert state.choices_of("李雷") == 2 and state.choices_of("p02") == 0
        (answer,) = state.answers
        answer.end()
        answer._client_left = True
        answer._loop.call_soon_threadsafe(answer._news.set)
        asking.join()
        assert other.get("/v1/room").json()["limits"]["chats"] == {"used": 0, "limit": 2}


def test_a_request_that_alone_is_too_much_is_not_sent_to_wait(person, leader):
    body = {"model": "tiny", "prompt": ["一"] * 9}
    refused = person.post("/v1/completions", json=body)
    assert code(refused) == (400, "invalid_value")
    assert "最多 8" in refused.json()["error"]["message"]


# What is found again


def test_a_model_that_is_found_again_has_its_owner_and_is_shared(person, store, tmp_path):
    job = store.job(tune(person, upload(person).json()["id"]).json()["id"])
    store.advance(job.id, "running", "Started")
    made = tmp_path / "made"
    made.mkdir()
    header = json.dumps({"w": {"data_offsets": [0, 4]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + b"0123"
    (made / "adapter_model.safetensors").write_bytes(weights)
    (made / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "tiny"}))
    finished = Finished(2, made, 1.0, None, 1, 1.0, 1.0)
    folder = publish(Home(tmp_path), job, finished, "a card")
    store.record(job, dataclasses.replace(finished, folder=folder))
    assert person.post(f"/v1/models/{job.model}/share").json()["shared"]
    store.delete_model(job.model)
    assert len(recovery.find_models(store, Home(tmp_path))) == 1
    found = store.model(job.model)
    assert (found.owner, found.shared) == ("李雷", True)
    assert store.of("p02").model(job.model)

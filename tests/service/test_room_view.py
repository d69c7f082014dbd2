"""`room.view`, `share` and `unshare`: two people of a room, each with a client of their own."""

import json

import pytest
from openai import OpenAI
from support import add_job, served

from cookbook import jobs, room
from cookbook.bases import Base
from cookbook.errors import ArgumentError, ServiceError
from cookbook.paths import Home
from cookbook.room import RoomView
from cookbook.service.app import make_app
from cookbook.service.events import Step
from cookbook.service.store import Store, TunedModel

MODEL = "ft:LoRA/Qwen/Qwen2.5-7B:李雷:kefu:abcdefghijklmnopqrst"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A room that is served on a port: its base URL and its store."""
    folder = tmp_path_factory.mktemp("room")
    store = Store(folder / "service.db")
    base = Base("tiny", "nowhere")
    app = make_app(store, home=Home(folder), bases=[base], submit=None, api_key="the-leader")
    with served(app) as (host, port):
        yield f"http://{host}:{port}/v1", store


@pytest.fixture(scope="module")
def clients(place):
    """A client of each person."""
    base_url, store = place
    found = {
        name: OpenAI(base_url=base_url, api_key=store.add_person(name)) for name in ("李雷", "p02")
    }
    found["local"] = OpenAI(base_url=base_url, api_key="the-leader")
    yield found
    for client in found.values():
        client.close()


@pytest.fixture(scope="module")
def filled(place):
    """What 李雷 has made: a job that trains, one that waits and one that failed, and a model."""
    store = place[1].of("李雷")
    running = add_job(store, suffix="kefu<b>")
    store.advance(running.id, "running", "训练开始")
    figures = {"epoch": 0.1, "valid_loss": None, "learning_rate": 1e-4, "tokens_per_second": 9.0}
    more = {"step": 3, "total_steps": 60, "train_loss": 1.25, "seconds_left": 40.0, "tokens": 9}
    store.record(store.job(running.id), Step(**figures, **more))
    add_job(store, suffix="waits")
    failed = add_job(store, suffix="failed")
    error = {"code": "worker_died", "message": "磁盘满了：腾出空间再试", "param": None}
    store.advance(failed.id, "failed", "磁盘满了", error=error)
    place[1].set_room_value("message", json.dumps({"text": "休息 <i>", "at": 1}))
    store.add_found_model(TunedModel(0, MODEL, failed.id, "tiny", 1, 3, "folder", {}, "李雷"))
    return failed


def test_a_person_sees_their_own_work_and_what_is_used(clients, filled):
    mine = room.view(clients["李雷"])
    assert (mine.name, mine.base_model, mine.message) == ("李雷", "tiny", "休息 <i>")
    assert [job["task"] for job in mine.jobs] == ["kefu<b>", "waits", "failed"]
    assert [model["id"] for model in mine.models] == [MODEL]
    for shown in (repr(mine), mine._repr_html_()):
        for part in ("3/60", "1.250", "未结束的任务 2/", "磁盘满了", "休息"):
            assert part in shown
    assert "<i>" not in mine._repr_html_() and "kefu<b>" not in mine._repr_html_()


def test_nobody_sees_another_persons_work(clients, filled):
    theirs = room.view(clients["p02"])
    assert theirs.jobs == [] and theirs.models == [] and "0.0/" in theirs.used


def test_the_leader_has_no_limits(clients, filled):
    all_of_it = room.view(clients["local"])
    assert all_of_it.used == "" and len(all_of_it.jobs) == 3
    assert all_of_it._repr_html_() and repr(all_of_it)


def test_a_model_is_shared_on_purpose_and_taken_back(clients, filled):
    mine, theirs = clients["李雷"], clients["p02"]
    with pytest.raises(ServiceError, match="没有模型"):
        room.share(theirs, MODEL)
    assert room.share(mine, f" {MODEL} ").id == MODEL
    assert [model["owner"] for model in room.view(theirs).models] == ["李雷"]
    assert MODEL in room.view(theirs)._repr_html_()
    with pytest.raises(ServiceError, match="别人分享"):
        room.unshare(theirs, MODEL)
    assert room.unshare(mine, MODEL).shared is False
    assert room.view(theirs).models == []


@pytest.mark.parametrize("model", [None, "tiny", "", 7, ["ft:x"]])
def test_only_a_tuned_model_can_be_shared(clients, model):
    with pytest.raises(ArgumentError, match="fine_tuned_model"):
        room.share(clients["李雷"], model)


@pytest.mark.parametrize("call", [room.view, lambda client: room.share(client, MODEL)])
def test_what_is_no_room_is_refused(call):
    with pytest.raises(ArgumentError):
        call(None)
    with (
        OpenAI(base_url="https://api.siliconflow.cn/v1", api_key="x") as client,
        pytest.raises(ArgumentError, match="不是课堂"),
    ):
        call(client)


def test_a_service_without_the_route_is_no_room(siliconcloud):
    # Behind an address that is not the platform's, its stand-in is some other service.
    address, key = siliconcloud.base_url, siliconcloud.api_key
    with OpenAI(base_url=address, api_key=key) as client, pytest.raises(ServiceError) as caught:
        room.view(client)
    assert "课堂" in str(caught.value)


def test_a_wrong_key_is_the_services_sentence(place):
    with (
        OpenAI(base_url=place[0], api_key="room-x", max_retries=0) as client,
        pytest.raises(ServiceError, match="密钥不对"),
    ):
        room.view(client)


def test_a_view_of_little_shows_itself():
    shown = RoomView("p01", "tiny", closes_at=10.0**20)
    assert "p01" in repr(shown) and "<table" not in shown._repr_html_()


def test_a_failure_of_the_rooms_machine_is_the_leaders_matter(clients, filled):
    assert "告诉组织者" in jobs.view(clients["李雷"], filled.id).reason
    # On one's own machine it is one's own.
    view = jobs.view(clients["李雷"], filled.id)
    view.job.organization_id = "local"
    assert view.reason == "磁盘满了：腾出空间再试"

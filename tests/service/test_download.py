"""A job on a base that is not on this machine: downloaded, called off, tried again."""

from pathlib import Path

import hubs
import pytest
import support

from cookbook import bases, data
from cookbook.errors import BaseAway
from cookbook.hubs import cache, room, web
from cookbook.service import download
from cookbook.service.exit_codes import Exit
from cookbook.service.worker import run_job

MODEL = "Qwen/Small-Instruct"
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(small_base, tmp_path, monkeypatch):
    """Serve a base that the service was told to use and that is not there yet."""
    monkeypatch.setattr(web, "pause", lambda seconds: None)
    monkeypatch.setattr(download, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(download, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", MODEL)
    with hubs.Hubs() as server:
        server.use(monkeypatch, tmp_path / "caches")
        server.models[MODEL] = hubs.files(Path(small_base.source))
        yield server


@pytest.fixture
def job(store, row):
    file = store.add_file("a.jsonl", "fine-tune", data.to_jsonl([row() for _ in range(3)]))
    job = support.add_job(store, base=MODEL, training_file=file.id)
    store.advance(job.id, "queued", "queued")
    return store.job(job.id)


def run(store, home, job):
    """Run the job with a training that only notes its base; return how it ended, and the base."""
    used = []

    def train(base, *_, **__):
        used.append(base)
        yield from ()

    return run_job(store, home, job, train), used


def figures(store, job):
    """Return the bytes that the job's events tell, in their order."""
    events = reversed(store.events(job.id, limit=500))
    return [(e.data["bytes"], e.data["total"]) for e in events if "total" in (e.data or {})]


def test_it_is_downloaded_first_with_progress_in_the_events(hub, store, home, job):
    _, used = run(store, home, job)
    assert used[0].source == str(cache.find(MODEL).folder)
    assert used[0].reference == MODEL
    shown = figures(store, job)
    total = shown[0][1]
    assert shown[0] == (0, total) and shown[-1] == (total, total)
    assert shown == sorted(shown) and 5 <= len(shown) <= 30
    assert any("MB/s" in event.message for event in store.events(job.id, limit=100))


@pytest.mark.parametrize("how", ["cancel", "pause"])
def test_it_can_be_called_off_and_goes_on_where_it_was(hub, store, home, job, how, monkeypatch):
    note = download._note

    def call_off(store_, job_, progress):
        note(store_, job_, progress)
        if progress.file == WEIGHTS:
            if how == "cancel":
                store.advance(job.id, "cancelled", "cancelled")
            else:
                store.request_state(job.id, "pause", "paused")

    monkeypatch.setattr(download, "_note", call_off)
    assert run(store, home, job) == (Exit.DONE, [])
    assert store.job(job.id).status == ("cancelled" if how == "cancel" else "queued")
    assert cache.find(MODEL).unfinished == (WEIGHTS,)

    if how == "pause":
        monkeypatch.setattr(download, "_note", note)
        store.request_state(job.id, "run", "goes on")
        assert run(store, home, store.job(job.id))[1]
        assert hub.weights_asked()[-1].startswith("bytes=")


def test_without_network_it_waits_and_goes_on_when_that_is_back(hub, store, home, job):
    hub.statuses = [503] * web.ATTEMPTS
    assert run(store, home, job) == (Exit.NO_BASE, [])
    last = store.events(job.id, limit=1)[0]
    assert last.data == {"waiting_for": "no_base"} and "--from modelscope" in last.message
    assert store.job(job.id).status == "queued"
    assert run(store, home, job)[1]


def test_on_a_disk_that_is_too_small_it_waits(hub, store, home, job, monkeypatch):
    monkeypatch.setattr(room, "free", lambda path: room.RESERVE)
    assert run(store, home, job) == (Exit.NO_BASE, [])
    assert "HF_HOME" in store.events(job.id, limit=1)[0].message


@pytest.mark.parametrize("given", ["Qwen/Smal-Instruct", "no name"])
def test_a_name_that_no_hub_has_fails_the_job(hub, store, home, given, monkeypatch):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", given)
    job = support.add_job(store, base=given)
    store.advance(job.id, "queued", "queued")
    assert run(store, home, store.job(job.id)) == (Exit.DONE, [])
    assert store.job(job.id).error["code"] == "model_unavailable"


def test_chat_names_the_command_and_finds_what_was_pulled_since(hub, store, home, job):
    before = bases.installed()[0]
    with pytest.raises(BaseAway, match=f"python -m cookbook pull {MODEL}"):
        bases.downloaded(before)
    run(store, home, job)
    assert bases.downloaded(before).source == str(cache.find(MODEL).folder)

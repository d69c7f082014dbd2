import sqlite3

import pytest

from cookbook.local.store import MIGRATIONS, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "service.db")


def add_job(store, **fields):
    defaults = dict(
        base="tiny", model="ft:LoRA/tiny:local:t:abc", training_file="file-a", validation_file=None, validation_split=0.1,
        suffix="t", seed=42, metadata=None, hyperparameters={"n_epochs": 1}, wanted="run",
    )  # fmt: skip
    return store.add_job(**defaults | fields)


def metrics(step):
    return {"step": step, "train_loss": 1.0}


def test_a_file_comes_back_as_it_was(store):
    file = store.add_file("../../a.jsonl", "fine-tune", b"\x00\xff")
    assert store.file(file.id) == file and store.file_content(file.id) == b"\x00\xff"


def test_a_status_only_moves_forward(store):
    job = add_job(store)
    assert store.advance(job.id, "running", "go")
    assert not store.advance(job.id, "queued", "back")
    assert store.advance(job.id, "cancelled", "stop")
    assert not store.advance(job.id, "succeeded", "too late")
    assert store.job(job.id).status == "cancelled" and store.job(job.id).finished_at


def test_a_step_stands_in_the_log_once_however_often_it_is_trained(store):
    job = add_job(store)
    store.advance(job.id, "running", "go")
    for step in (1, 2, 3, 2, 3, 4):
        assert store.add_metrics(job.id, metrics(step), f"Step {step}")
    assert [e.data["step"] for e in reversed(store.events(job.id)) if e.type == "metrics"] == [1, 2, 3, 4]


def test_a_pause_still_records_the_step_that_was_under_way(store):
    job = add_job(store)
    store.advance(job.id, "running", "go")
    store.want(job.id, "pause", "paused")
    assert not store.add_metrics(job.id, metrics(1), "Step 1")
    assert store.events(job.id, limit=1)[0].data["step"] == 1


def test_nothing_is_written_to_a_job_that_has_ended(store):
    job = add_job(store)
    store.advance(job.id, "cancelled", "stop")
    assert not store.add_metrics(job.id, metrics(1), "Step 1")
    assert not store.finish(job, 1, "folder", {}, 10, {}, "done")
    assert store.models() == [] and store.events(job.id, limit=1)[0].message == "stop"


def test_a_file_that_an_unfinished_job_uses_stays(store):
    file = store.add_file("a.jsonl", "fine-tune", b"x")
    job = add_job(store, training_file=file.id)
    assert store.delete_file(file.id) == job.id
    store.advance(job.id, "cancelled", "stop")
    assert store.delete_file(file.id) is None and store.file(file.id) is None


def test_a_checkpoint_announced_twice_is_there_once_and_forgives_crashes(store):
    job = add_job(store)
    store.count_crash(job.id, "died")
    for _ in range(2):
        store.add_checkpoint(job, 5, "folder", {"valid_loss": 1.0}, "Checkpoint")
    assert [m.id for m in store.models(job.id)] == [f"{job.model}-ckpt_step_5"]
    assert sum(e.message == "Checkpoint" for e in store.events(job.id)) == 1
    assert store.job(job.id).crashes == 0


def test_events_page_backwards_without_gaps(store):
    job = add_job(store)
    for i in range(10):
        store.add_event(job.id, str(i))
    first = store.events(job.id, limit=4)
    rest = store.events(job.id, before=first[-1].number, limit=100)
    assert [e.message for e in [*first, *rest]] == [*map(str, reversed(range(10))), "Created fine-tuning job"]


def test_an_error_in_a_transaction_leaves_nothing(store):
    with pytest.raises(sqlite3.IntegrityError), store._write() as db:
        db.execute("UPDATE jobs SET status = 'x'")
        db.execute("INSERT INTO files VALUES ('a', NULL, NULL, 0, 0, x'')")
    assert store.files_page(None, 10) == []


def test_opening_again_changes_nothing(tmp_path):
    job = add_job(Store(tmp_path / "service.db"))
    again = Store(tmp_path / "service.db")
    assert again.job(job.id) == job
    assert again._rows("PRAGMA user_version")[0][0] == len(MIGRATIONS)

"""The database is gone, empty, older or damaged: nobody's work is lost with it."""

import json
import shutil
import sqlite3
import struct

import pytest
import support

from cookbook.errors import ServiceError
from cookbook.paths import Home
from cookbook.service import recovery, status
from cookbook.service.events import Checkpoint, Finished
from cookbook.service.recovery import find_models, open_store, unexplained
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor
from cookbook.service.worker import ADAPTER, RECORD, publish, remove_leftovers

BASE = "cookbook/tiny-zh"


def write_adapter(folder):
    """Write what PEFT writes, with weights of no size; return the folder."""
    folder.mkdir(parents=True)
    config = {"base_model_name_or_path": BASE, "r": 8}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def home(tmp_path):
    """A data folder with a job that has ended: a checkpoint and a finished model."""
    home = Home(tmp_path / "home")
    store = Store(home.database)
    job = add_job(store)
    store.advance(job.id, "running", "go")
    for event in (
        Checkpoint(2, 1, write_adapter(tmp_path / "a"), 1.5, None),
        Finished(4, write_adapter(tmp_path / "b"), 1.0, 1.25, 7, 0.5, 0.5),
    ):
        folder = publish(home, job, event, card="")
        store.record(job, type(event)(**vars(event) | {"folder": folder}))
    close(store)
    return home


def add_job(store, model="ft:LoRA/tiny:local:t:abc"):
    return support.add_job(store, base=BASE, model=model)


def models(store):
    """Return the models as the API lists them, but for when they were made."""
    return sorted(((m.id, m.base, m.step, m.folder, m.metrics) for m in store.models()), key=str)


def close(store):
    """Close this thread's connection, as the end of a service does."""
    store._database._connection().close()


def stored_models(home):
    store = Store(home.database)
    found = models(store)
    close(store)
    return found


def files(home):
    return sorted(path.relative_to(home.models) for path in home.models.rglob("*"))


def gone(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def older(path):
    path.unlink()
    store = Store(path)
    add_job(store)
    close(store)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(path):
    path.write_bytes(b"\xa5" * path.stat().st_size)


def pages(path):
    content = bytearray(path.read_bytes())
    content[4096:12288] = bytes(8192)
    path.write_bytes(content)


def first_page(path):
    content = path.read_bytes()
    path.write_bytes(bytes(4096) + content[4096:])


LOST = [gone, empty, older]
DAMAGED = [cut, noise, pages, first_page]


@pytest.mark.parametrize("spoil", LOST + DAMAGED)
def test_finished_models_are_found_again_under_their_names(home, spoil):
    before, whole = stored_models(home), files(home)
    spoil(home.database)
    store = open_store(home)
    lines = find_models(store, home)
    Supervisor(store, home)._sweep()
    assert models(store) == before and files(home) == whole
    assert all(any(name in line for line in lines) for name, *_ in before)
    close(store)
    # Said once: the next start finds everything in its place.
    assert not any("找回" in line for line in find_models(open_store(home), home))


@pytest.mark.parametrize("spoil", DAMAGED)
def test_a_damaged_database_is_set_aside_and_never_deleted(home, spoil):
    for number in (1, 2):
        spoil(home.database)
        content = home.database.read_bytes()
        close(open_store(home))
        kept = sorted(home.set_aside.glob("service.db.broken-*[0-9]"), key=lambda p: len(p.name))
        assert len(kept) == number and content in [path.read_bytes() for path in kept]


def test_what_is_kept_is_named_at_the_start_and_in_the_status(home):
    noise(home.database)
    store = open_store(home)
    lines = find_models(store, home)
    name = next(home.set_aside.iterdir()).name
    assert unexplained(store, home) == [f"set-aside/{name}"]
    assert any(name in line for line in lines)
    assert any(name in line for line in status.kept(store, home.folder))


@pytest.mark.parametrize("size", [0, recovery.WHOLE_CHECK_BYTES])
def test_a_sound_database_is_left_alone_however_large(home, monkeypatch, size):
    monkeypatch.setattr(recovery, "WHOLE_CHECK_BYTES", size)
    before = stored_models(home)
    store = open_store(home)
    assert models(store) == before and not home.set_aside.exists()
    close(store)
    pages(home.database)
    assert models(open_store(home)) == [] and home.set_aside.exists()


@pytest.mark.parametrize("spoil", LOST[:2] + DAMAGED)
def test_the_log_that_sqlite_left_beside_a_lost_database_does_no_harm(home, tmp_path, spoil):
    before = stored_models(home)
    store = Store(home.database)
    add_job(store, model="ft:new")
    # While the database is open, as a power cut leaves it.
    copy = Home(tmp_path / "copy")
    shutil.copytree(home.folder, copy.folder)
    assert (copy.folder / "service.db-wal").stat().st_size
    spoil(copy.database)
    store = open_store(copy)
    find_models(store, copy)
    assert models(store) == before


def test_a_database_that_is_locked_or_newer_is_not_set_aside(home, monkeypatch):
    monkeypatch.setattr(recovery, "LOCK_SECONDS", 0.1)
    with sqlite3.connect(home.database) as db:
        db.execute("PRAGMA user_version = 99")
    db.execute("BEGIN EXCLUSIVE")
    with pytest.raises((sqlite3.OperationalError, ServiceError)):
        open_store(home)
    db.close()
    with pytest.raises(ServiceError, match="更新的版本"):
        open_store(home)
    assert not home.set_aside.exists()


def test_what_a_person_puts_into_the_models_folder_stays_and_is_not_offered(home):
    known = next(home.models.glob("*-step_4"))
    mine = ["from-a-colleague", f"{known.name} (copy)", f"{known.name}-backup", "notes"]
    for name in mine:
        shutil.copytree(known, home.models / name)
    (home.models / "readme.txt").write_text("mine")
    before = files(home)
    store = open_store(home)
    lines = find_models(store, home)
    Supervisor(store, home)._sweep()
    assert files(home) == before and len(models(store)) == 2
    assert all(any(name in line for line in lines) for name in mine)


def test_a_working_folder_of_an_unknown_job_stays(home):
    state = home.job_folder("ftjob-unknown") / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"x")
    part = write_adapter(home.model_folder("ftjob-unknown-step_3.part"))
    store = open_store(home)
    Supervisor(store, home)._sweep()
    assert state.exists() and part.exists()
    assert unexplained(store, home) == ["models/ftjob-unknown-step_3.part", "jobs/ftjob-unknown"]


def test_an_adapter_of_an_older_release_gets_a_name_made_of_its_folder(home):
    gone(home.database)
    for record in home.models.glob(f"*/{RECORD}"):
        record.unlink()
    store = open_store(home)
    find_models(store, home)
    letters = store.models()[0].job.removeprefix("ftjob-")
    names = {f"ft:LoRA/{BASE}:local:found:{letters}-ckpt_step_{step}" for step in (2, 4)}
    assert {model.id for model in store.models()} == names
    assert store.models()[0].metrics == {"train_loss": None, "valid_loss": None}


@pytest.mark.parametrize("spoilt", ["adapter_model.safetensors", "adapter_config.json", RECORD])
def test_an_adapter_that_is_not_whole_is_kept_and_not_offered(home, spoilt):
    gone(home.database)
    file = next(home.models.glob(f"*-step_4/{spoilt}"))
    file.write_bytes(file.read_bytes()[:-3])
    store = open_store(home)
    find_models(store, home)
    assert [model.step for model in store.models()] == [2] and file.exists()
    assert unexplained(store, home) == [f"models/{file.parent.name}"]


def test_a_record_cannot_take_the_name_of_a_base(home):
    gone(home.database)
    path = next(home.models.glob(f"*-step_4/{RECORD}"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": BASE}))
    store = open_store(home)
    find_models(store, home)
    assert all(model.id.startswith("ft:") for model in store.models())


def test_an_adapter_survives_the_cancellation_of_a_job_that_an_older_copy_knows(home):
    """The copy of the database is from before the job's end."""
    with sqlite3.connect(home.database) as db:
        db.execute("DELETE FROM models")
        db.execute("UPDATE jobs SET status = 'running', finished_at = NULL")
    db.close()
    before = files(home)
    store = open_store(home)
    find_models(store, home)
    job = store.unfinished()[0]
    store.advance(job.id, "cancelled", "stop")
    Supervisor(store, home)._sweep()
    assert files(home) == before and len(models(store)) == 2


@pytest.mark.parametrize("folder", ["/home/another/.cookbook/models/x", "..", ""])
def test_records_that_lead_nowhere_cost_no_adapter_of_a_job_that_has_ended(home, folder):
    """As in a database from another machine."""
    expected = stored_models(home)
    with sqlite3.connect(home.database) as db:
        db.execute("UPDATE models SET folder = ?", (folder,))
    db.close()
    before = files(home)
    store = open_store(home)
    find_models(store, home)
    Supervisor(store, home)._sweep()
    assert files(home) == before
    assert models(store) == expected


def test_the_end_of_a_job_leaves_adapters_whose_records_are_gone(home):
    store = open_store(home)
    with sqlite3.connect(home.database) as db:
        db.execute("DELETE FROM models")
    db.close()
    before = files(home)
    for folder in home.models.iterdir():
        remove_leftovers(home, ADAPTER.fullmatch(folder.name)[1])
    assert files(home) == before
    find_models(store, home)
    assert len(models(store)) == 2

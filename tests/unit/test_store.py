import os
import sqlite3
import stat
from pathlib import Path

import pytest
import support

from cookbook.__main__ import main
from cookbook.errors import DiskFull, ServiceError
from cookbook.i18n import Text, in_language
from cookbook.service import database
from cookbook.service.database import Database
from cookbook.service.events import Checkpoint, Finished, Started, Step
from cookbook.service.store import Store, TunedModel, shown

# What older releases wrote, typed out here so that no later change of the code can change it.
VERSION_1 = """
CREATE TABLE files (
    id TEXT PRIMARY KEY, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, status TEXT NOT NULL,
    wanted TEXT NOT NULL, created_at INTEGER NOT NULL, finished_at INTEGER, base TEXT NOT NULL,
    training_file TEXT NOT NULL, validation_file TEXT, validation_split REAL NOT NULL,
    suffix TEXT, seed INTEGER NOT NULL, hyperparameters TEXT NOT NULL, metadata TEXT,
    model TEXT NOT NULL, trained_tokens INTEGER, error TEXT, crashes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs(id),
    created_at INTEGER NOT NULL, level TEXT NOT NULL, type TEXT NOT NULL, message TEXT NOT NULL,
    data TEXT, step INTEGER
);
CREATE INDEX events_of_job ON events (job, number);
CREATE UNIQUE INDEX once_a_step ON events (job, type, step) WHERE step IS NOT NULL;
CREATE TABLE models (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, job TEXT NOT NULL,
    base TEXT NOT NULL, created_at INTEGER NOT NULL, step INTEGER NOT NULL, folder TEXT NOT NULL,
    metrics TEXT NOT NULL
);
INSERT INTO files VALUES ('file-old', 'a.jsonl', 'fine-tune', 2, 1700000000, x'7b7d');
INSERT INTO jobs VALUES (
    7, 'ftjob-old', 'running', 'pause', 1700000000, NULL, 'tiny', 'file-old', NULL, 0.1, 't', 42,
    '{"n_epochs": 3}', 'null', 'ft:LoRA/tiny:local:t:old', NULL, NULL, 1
);
INSERT INTO events VALUES (
    1, 'ftjob-old', 1700000000, 'info', 'metrics', 'Step 1', '{"step": 1}', 1
);
INSERT INTO models VALUES (
    1, 'ft:LoRA/tiny:local:t:old-ckpt_step_1', 'ftjob-old', 'tiny', 1700000000, 1, 'f', '{}'
);
PRAGMA user_version = 1;
"""

VERSION_2 = f"""{VERSION_1}
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE INDEX models_of_job ON models (job, number);
PRAGMA user_version = 2;
"""

VERSION_3 = f"""{VERSION_2}
ALTER TABLE jobs RENAME COLUMN wanted TO requested_state;
PRAGMA user_version = 3;
"""

VERSION_4 = f"""{VERSION_3}
ALTER TABLE jobs ADD COLUMN memory_level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN memory_plan TEXT;
PRAGMA user_version = 4;
"""

# As the first release with batches made it.
VERSION_7 = "\n".join([VERSION_1, *database.MIGRATIONS[:6], "PRAGMA user_version = 7;"])

OLDER = pytest.mark.parametrize(
    "version",
    [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_7],
    ids=["1", "2", "3", "4", "7"],
)


def add_job(store, **fields):
    usual = {"base": "tiny", "model": "ft:LoRA/tiny:local:t:abc"}
    return support.add_job(store, **usual | fields)


def running_job(store):
    job = add_job(store)
    store.advance(job.id, "running", "go")
    return job


def started(**fields):
    values = {
        "total_steps": 9,
        "train_rows": 30,
        "valid_rows": 3,
        "trained_share": 0.5,
        "adapter_parameters": 10,
        "parameters": 100,
        "learning_rate_used": 0.0017,
        "valid_loss": None,
    }
    return Started(**values | fields)


def step(number, total=9):
    return Step(number, total, number / 3, 1.0, None, 1e-4, 100, 50.0, 1.0)


def checkpoint(number):
    return Checkpoint(number, 1, Path("/jobs") / f"step_{number}", 1.5, 2.0)


def finished(number=9):
    return Finished(number, Path("/jobs") / f"step_{number}", 1.0, 1.2, 10, 0.5, 0.25)


def messages(store, job):
    return [event.message for event in reversed(store.events(job.id))]


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


def test_a_step_is_logged_once_however_often_it_is_trained(store):
    job = running_job(store)
    for number in (1, 2, 3, 2, 3, 4):
        assert store.record(job, step(number))
    steps = [event.step for event in reversed(store.events(job.id)) if event.type == "metrics"]
    assert steps == [1, 2, 3, 4]


def test_a_pause_still_records_the_step_that_was_under_way(store):
    job = running_job(store)
    store.request_state(job.id, "pause", "paused")
    assert not store.record(job, step(1))
    assert store.events(job.id, limit=1)[0].data["step"] == 1


def test_a_pause_after_the_last_step_comes_too_late(store):
    job = running_job(store)
    store.request_state(job.id, "pause", "paused")
    assert store.record(job, step(9, total=9))
    assert not store.record(job, finished(9))
    assert store.job(job.id).status == "succeeded"


def test_nothing_is_written_to_a_job_that_has_ended(store):
    job = running_job(store)
    store.advance(job.id, "cancelled", "stop")
    for event in (started(), step(1), checkpoint(3), finished()):
        assert not store.record(job, event)
    assert store.models() == [] and store.events(job.id, limit=1)[0].message == "stop"


def test_a_training_is_logged_from_its_start_to_its_model(store):
    job = running_job(store)
    going_on = [
        store.record(job, event) for event in (started(), step(3), checkpoint(3), finished(9))
    ]
    assert going_on == [True, True, True, False]
    first, *_, last = reversed(store.events(job.id)[:4])
    assert first.data["learning_rate_used"] == 0.0017 and first.step == 0
    assert last.data["update_norm"] == 0.5 and "folder" not in last.data
    done = store.job(job.id)
    assert (done.status, done.trained_tokens) == ("succeeded", 10)
    assert [(m.id, m.folder, m.metrics) for m in store.models(job.id)] == [
        (job.model, "step_9", {"train_loss": 1.0, "valid_loss": 1.2}),
        (f"{job.model}-ckpt_step_3", "step_3", {"train_loss": 1.5, "valid_loss": 2.0}),
    ]


def test_a_start_that_is_repeated_after_a_crash_is_logged_once(store):
    job = running_job(store)
    store.record(job, started())
    store.record(job, started(valid_loss=1.0))
    assert len(store.events(job.id)) == 3


def test_a_file_that_an_unfinished_job_uses_stays(store):
    file = store.add_file("a.jsonl", "fine-tune", b"x")
    job = add_job(store, training_file=file.id)
    assert store.delete_file(file.id) == job.id
    store.advance(job.id, "cancelled", "stop")
    assert store.delete_file(file.id) is None and store.file(file.id) is None


def test_a_checkpoint_announced_twice_is_there_once_and_forgives_crashes(store):
    job = running_job(store)
    store.count_crash(job.id, "died")
    for _ in range(2):
        store.record(job, checkpoint(5))
    assert [m.id for m in store.models(job.id)] == [f"{job.model}-ckpt_step_5"]
    assert sum("检查点" in message for message in messages(store, job)) == 1
    assert store.job(job.id).crashes == 0


def test_each_new_step_forgives_crashes_and_a_repeated_one_does_not(store):
    job = running_job(store)
    store.record(job, step(1))
    for number, expected in ((1, 1), (2, 0)):
        store.count_crash(job.id, "died")
        store.record(job, step(number))
        assert store.job(job.id).crashes == expected


def test_a_checkpoint_that_was_found_again_is_still_announced_once(store):
    job = running_job(store)
    name = f"{job.model}-ckpt_step_5"
    found = TunedModel(0, name, job.id, job.base, 1, 5, "step_5", {"train_loss": 1.5})
    assert store.add_found_model(found) and not store.add_found_model(found)
    for _ in range(2):
        store.record(job, checkpoint(5))
    assert [m.id for m in store.models()] == [name]
    assert sum("检查点" in message for message in messages(store, job)) == 1


def test_a_wait_is_said_once_and_again_after_something_else(store):
    job = running_job(store)
    said = [store.note_waiting(job.id, "no_base", f"gone {i}") for i in range(3)]
    assert said == [True, False, False]
    assert store.note_waiting(job.id, "no_memory", "memory")
    store.record(job, step(1))
    assert store.note_waiting(job.id, "no_memory", "memory")
    last = store.events(job.id, limit=1)[0]
    assert (last.level, last.data) == ("warn", {"waiting_for": "no_memory"})


def test_events_page_backwards_without_gaps(store):
    job = add_job(store)
    for i in range(10):
        store.add_event(job.id, str(i))
    first = store.events(job.id, limit=4)
    rest = store.events(job.id, before=first[-1].number, limit=100)
    assert [e.message for e in [*first, *rest]] == [
        *map(str, reversed(range(10))),
        "任务已创建",
    ]


def test_an_error_in_a_transaction_leaves_nothing(store):
    with pytest.raises(sqlite3.IntegrityError), store._database.write() as db:
        db.execute("UPDATE jobs SET status = 'x'")
        db.execute("INSERT INTO files (id, bytes, created_at) VALUES ('a', 0, 0)")
    assert store.files_page(None, 10) == []


def test_opening_again_changes_nothing(tmp_path):
    job = add_job(Store(tmp_path / "service.db"))
    again = Store(tmp_path / "service.db")
    assert again.job(job.id) == job
    assert again._database.rows("PRAGMA user_version")[0][0] == database.VERSION


def database_of(folder, script):
    with sqlite3.connect(folder / "service.db") as db:
        db.executescript(script)
    db.close()
    return folder / "service.db"


@OLDER
def test_a_data_folder_of_an_older_release_opens_and_goes_on(tmp_path, version):
    store = Store(database_of(tmp_path, version))
    job = store.job("ftjob-old")
    assert (job.number, job.requested_state) == (7, "pause")
    assert (job.memory_level, job.memory_plan) == (0, None)
    assert (job.hyperparameters, job.metadata) == ({"n_epochs": 3}, None)
    assert store.file_content("file-old") == b"{}" and store.models("ftjob-old")[0].step == 1
    store.request_state(job.id, "run", "Resumed")
    assert store.record(job, step(1)) and store.record(job, step(2))
    assert messages(store, job)[:2] == ["Step 1", "Resumed"]
    assert [event.step for event in store.events(job.id)] == [2, None, 1]
    assert add_job(store).number == 8


@OLDER
def test_a_migrated_database_has_the_tables_of_a_new_one(tmp_path, version):
    (tmp_path / "old").mkdir()
    old = Database(database_of(tmp_path / "old", version))
    new = Database(tmp_path / "new.db")
    assert tables(old) == tables(new)


def tables(db):
    """Columns of each table, and what each index is about."""
    found = {}
    for name, kind in db.rows("SELECT name, type FROM sqlite_master"):
        pragma = "table_info" if kind == "table" else "index_xinfo"
        found[name] = [tuple(row) for row in db.rows(f"PRAGMA {pragma}({name})")]
    return found


def test_a_data_folder_of_a_newer_release_is_refused_and_left_alone(tmp_path):
    add_job(Store(tmp_path / "service.db"))
    with sqlite3.connect(tmp_path / "service.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for _ in range(2):
        with pytest.raises(ServiceError, match="更新的版本"):
            Store(tmp_path / "service.db")


PLANS = [
    ("SELECT * FROM jobs WHERE number < 9 ORDER BY number DESC LIMIT 20", "PRIMARY KEY"),
    ("SELECT * FROM jobs WHERE status IN ('queued', 'running') ORDER BY number", "jobs_by_status"),
    (
        "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')",
        "COVERING INDEX jobs_by_status",
    ),
    ("SELECT * FROM jobs WHERE id = 'x'", "sqlite_autoindex_jobs"),
    (
        "SELECT * FROM events WHERE job = 'x' AND number < 9 ORDER BY number DESC LIMIT 20",
        "events_of_job",
    ),
    ("SELECT * FROM models WHERE job = 'x' ORDER BY number DESC", "models_of_job"),
    ("SELECT rowid, id FROM files WHERE rowid < 9 ORDER BY rowid DESC LIMIT 20", "PRIMARY KEY"),
]


@pytest.mark.parametrize("sql, index", PLANS)
def test_nothing_is_looked_up_by_reading_a_whole_table(store, sql, index):
    plan = " ".join(row["detail"] for row in store._database.rows(f"EXPLAIN QUERY PLAN {sql}"))
    assert index in plan and "SCAN" not in plan


def test_files_and_jobs_page_both_ways_without_gaps(store):
    files = [store.add_file(f"{i}.jsonl", "fine-tune", b"x") for i in range(5)]
    assert store.files_page(None, 3) == files[:1:-1]
    assert store.files_page(files[2].number, 3) == files[1::-1]
    assert store.files_page(files[0].number, 2, newest_first=False) == files[1:3]
    jobs = [add_job(store, model=str(i)) for i in range(5)]
    assert store.jobs_page(jobs[3].number, 2) == [jobs[2], jobs[1]]


def test_a_full_disk_is_reported_and_the_store_goes_on_when_there_is_room(store):
    pages = store._database.rows("PRAGMA page_count")[0][0]
    store._database.rows(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskFull):
        store.add_file("a.jsonl", "fine-tune", b"x" * 100_000)
    assert store.files_page(None, 9) == []
    store._database.rows("PRAGMA max_page_count = 100000")
    file = store.add_file("a.jsonl", "fine-tune", b"x" * 100_000)
    assert store.file_content(file.id) == b"x" * 100_000


def test_a_pause_that_is_asked_for_twice_is_logged_once(store):
    job = add_job(store)
    for _ in range(2):
        store.request_state(job.id, "pause", "Paused")
    assert [e.message for e in store.events(job.id)] == ["Paused", "任务已创建"]


@OLDER
def test_an_older_data_folder_is_the_leaders_own_when_it_becomes_a_room(tmp_path, version):
    path = database_of(tmp_path, version)
    assert main(["room", "add", "p01", "--home", str(tmp_path)]) == 0
    store = Store(path)
    assert [person.name for person in store.people()] == ["p01"]
    for seen, there in ((store, True), (store.of("p01"), False)):
        assert (seen.job("ftjob-old") is not None) is there
        assert (seen.file("file-old") is not None) is there
        assert bool(seen.models()) is there


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps such rights elsewhere")
def test_a_new_database_is_its_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        Store(tmp_path / "service.db").add_person("p01")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes.keys() >= {"service.db", "service.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_message_is_kept_in_both_languages_and_read_in_either(store):
    job = add_job(store)
    store.add_note(job.id, Text("磁盘满了", "the disk is full"))
    store.add_note(job.id, "Step 1")
    step, note = store.events(job.id, limit=2)
    assert note.text == Text("磁盘满了", "the disk is full")
    assert step.text == Text("Step 1", "Step 1") and note.message == "磁盘满了"
    with in_language("en"):
        assert note.message == note.first_line == "the disk is full"


def test_a_note_is_there_once_whatever_language_the_process_has(store):
    job = add_job(store)
    for language in ("zh", "en"):
        with in_language(language):
            store.add_event(job.id, Text("太少", "too few"))
    assert messages(store, job) == ["任务已创建", "太少"]


def test_why_a_job_failed_is_kept_in_both_languages(store):
    job = running_job(store)
    why = Text("发散了", "diverged")
    store.advance(job.id, "failed", why, error={"code": "x", "message": why, "param": None})
    error = store.job(job.id).error
    assert shown(error) == {"code": "x", "message": "发散了", "param": None}
    with in_language("en"):
        assert shown(error) == {"code": "x", "message": "diverged", "param": None}


def test_what_an_older_release_wrote_is_shown_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "old.db") as db:
        db.executescript(VERSION_7)
        error = '{"code": "x", "message": "发散了", "param": null}'
        db.execute("UPDATE jobs SET requested_state = 'run', error = ?", (error,))
        db.execute("UPDATE events SET message = '第 1 步'")
    db.close()
    store = Store(tmp_path / "old.db")
    with in_language("en"):
        assert store.events("ftjob-old")[0].message == "第 1 步"
        assert shown(store.job("ftjob-old").error)["message"] == "发散了"
    assert store.job("ftjob-old").language is None


def test_the_language_of_a_notebook_is_kept_with_the_person(store):
    store.add_person("Ada")
    assert store.languages() == {}
    store.keep_language("Ada", "en")
    store.keep_language("nobody", "en")
    assert store.languages() == {"Ada": "en"}
    with store._database.write() as db:
        db.execute("UPDATE people SET language = 'tlh'")
    assert store.languages() == {}

"""The data folder is its owner's alone, and nothing in it leads a write or a deletion out of it."""

import os
import shutil
import sqlite3
import stat

import pytest
import support
from fastapi.testclient import TestClient

from cookbook import connect, data_folder, disk, paths
from cookbook.bases import Base
from cookbook.errors import ServiceError, UnsafeName
from cookbook.panel import training_file
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.database import Database
from cookbook.service.recovery import find_models
from cookbook.service.store import Store, TunedModel
from cookbook.service.supervisor import Supervisor
from cookbook.service.worker import remove_leftovers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")

STRANGER = 12345  # a user number


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    data_folder.prepare(home)
    return home


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_it_is_made_for_its_owner_alone(umask, tmp_path):
    before = os.umask(umask)
    try:
        data_folder.prepare(Home(tmp_path / "a" / "b"))
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_panel_upload_makes_it_so_too(tmp_path, monkeypatch, row):
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path / "home"))
    path = training_file.keep("a.jsonl", training_file.data.to_jsonl([row()]))
    assert mode(tmp_path / "home") == 0o700 and mode(path) == 0o600


@pytest.mark.parametrize("rights", [0o775, 0o757, 0o777])
def test_ours_is_closed_to_others_with_a_warning(rights, home):
    Store(home.database)
    home.folder.chmod(rights)
    with pytest.warns(UserWarning, match="chmod go-w"):
        data_folder.examine(home)
    assert mode(home.folder) == rights & ~0o022
    data_folder.examine(home)  # said once


def test_a_folder_with_other_things_in_it_is_refused_and_left_as_it_is(home):
    (home.folder / "shared.txt").write_text("x")
    home.folder.chmod(0o777)
    with pytest.raises(ServiceError, match="chmod go-w") as refused:
        connect(home=home.folder)
    assert "COOKBOOK_HOME" in str(refused.value)
    assert mode(home.folder) == 0o777


def test_where_rights_cannot_be_changed_a_warning_must_do(home, monkeypatch):
    home.folder.chmod(0o777)
    # As on a drive of Windows within Linux.
    monkeypatch.setattr(type(home.folder), "chmod", lambda *_: None)
    with pytest.warns(UserWarning, match="COOKBOOK_HOME"):
        data_folder.examine(home)


def test_another_users_folder_is_refused(home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(ServiceError, match="COOKBOOK_HOME"):
        connect(home=home.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_is_warned_of_another_users_folder_and_refuses_a_third_ones_files(home):
    os.chown(home.folder, STRANGER, -1)
    with pytest.warns(UserWarning, match=str(STRANGER)):
        data_folder.examine(home)
    home.address.write_text("{}")
    os.chown(home.address, STRANGER + 1, -1)
    with (
        pytest.warns(UserWarning, match=str(STRANGER)),
        pytest.raises(ServiceError, match=r"service\.json"),
    ):
        data_folder.examine(home)


OWN_FILES = [
    "database",
    "address",
    "service_lock",
    "start_lock",
    "service_log",
    "worker_log",
    "engine_mark",
]


@pytest.mark.parametrize("name", [*OWN_FILES, "reserve", "identifiers"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_file_that_is_a_link_is_refused(name, there, home, tmp_path):
    target = tmp_path / "target"
    if there:
        target.write_text("precious")
    link = getattr(home, name)
    link.symlink_to(target)
    with pytest.raises(ServiceError, match=link.name):
        connect(home=home.folder)
    assert target.exists() == there


def test_nothing_is_written_through_a_link(home, tmp_path):
    target = tmp_path / "target"
    for name in OWN_FILES:
        getattr(home, name).symlink_to(target)
    disk.write(home.address, b"{}", private=True)
    assert not home.address.is_symlink()
    with pytest.raises(OSError):
        data_folder.open_log(home.service_log)
    with pytest.raises(ServiceError, match="service.db"):
        Database(home.database)
    assert not target.exists()


def test_models_may_be_a_link_to_a_folder_on_a_larger_disk(home, tmp_path):
    larger = tmp_path / "larger"
    larger.mkdir(mode=0o700)
    home.models.symlink_to(larger)
    data_folder.examine(home)
    # Unless others could write there.
    larger.chmod(0o777)
    with pytest.raises(ServiceError, match="models"):
        data_folder.examine(home)


def test_the_data_folder_may_be_a_link(home, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(home.folder)
    data_folder.prepare(Home(link))


UNSAFE = [
    "",
    ".",
    "..",
    "../x",
    "/x",
    "a/b",
    "a\\b",
    "C:x",
    "x\0",
    "x\n",
    ".. ",
    "...",
    7,
    None,
    b"x",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_out_of_the_folder_is_no_path(name, home):
    for path_of in (home.model_folder, home.job_folder):
        with pytest.raises(UnsafeName):
            path_of(name)


def test_names_of_ours_and_of_people_are_paths(home):
    for name in ("ftjob-abc-step_12", "我的模型 (1)", "v1.0"):
        assert home.model_folder(name).parent == home.models


# A database from elsewhere: rows whose names point at a folder beside the data folder.


def plant(home, name, status="cancelled"):
    """Write a job and a model of this name into the database."""
    store = Store(home.database)
    support.add_job(store, base="tiny")
    with sqlite3.connect(home.database) as db:
        db.execute("UPDATE jobs SET id = ?, status = ?", (name, status))
        db.execute(
            "INSERT INTO models (id, job, base, created_at, step, folder, metrics) "
            "VALUES ('ft:planted', ?, 'tiny', 1, 1, ?, '{}')",
            (name, name),
        )
    db.close()
    return store


@pytest.fixture
def victim(home):
    victim = home.folder.parent / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("precious")
    yield victim
    assert (victim / "thesis.txt").read_text() == "precious"


@pytest.fixture(params=["../../victim", "absolute", "..", "", "*"])
def planted(request, victim):
    """A name that leads to the victim, one way or another."""
    return str(victim) if request.param == "absolute" else request.param


def asked(home, store):
    """Return a client of an application on this data folder."""
    bases = [Base("tiny", "nowhere")]
    app = make_app(store, home=home, bases=bases, submit=None, api_key="k", loopback=True)
    key = {"authorization": "Bearer k"}
    return TestClient(app, base_url="http://127.0.0.1:9", headers=key)


def test_deleting_and_asking_a_planted_model_touches_nothing(home, victim, planted):
    if planted == "*":
        pytest.skip("a folder's name like any other")
    home.models.mkdir()
    (home.models / "ftjob-mine-step_1").mkdir()
    http = asked(home, plant(home, planted))
    assert http.delete("/v1/models/ft:planted").status_code == 404
    question = {"model": "ft:planted", "messages": [{"role": "user", "content": "x"}]}
    assert http.post("/v1/chat/completions", json=question).status_code == 404
    assert http.get("/v1/models").status_code == 200
    assert (home.models / "ftjob-mine-step_1").is_dir()


@pytest.mark.parametrize("status", ["validating_files", "queued", "running", "cancelled"])
def test_the_queue_and_its_clean_up_leave_planted_jobs_alone(home, victim, planted, status):
    store = plant(home, planted, status)
    supervisor = Supervisor(store, home, max_running=0)
    supervisor._sweep()
    supervisor._tick()
    supervisor._tidy()
    http = asked(home, store)
    assert http.get("/v1/fine_tuning/jobs").status_code == 200


def test_leftovers_of_a_planted_job_are_not_looked_for_elsewhere(home, victim, planted):
    home.models.mkdir()
    kept = home.models / "ftjob-other-step_1"
    kept.mkdir()
    if paths.is_folder_name(planted):
        remove_leftovers(home, planted)
    else:
        with pytest.raises(UnsafeName):
            remove_leftovers(home, planted)
    assert kept.is_dir()


def test_a_model_whose_deletion_was_cut_short_does_not_come_back(home, monkeypatch):
    store = plant(home, "ftjob-abc", "succeeded")
    folder = home.models / "ftjob-abc-step_1"
    folder.mkdir(parents=True)
    found = TunedModel(0, "ft:x", "ftjob-abc", "cookbook/tiny-zh", 1, 1, folder.name, {})
    assert store.add_found_model(found)
    # As if the service were killed here.
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        assert asked(home, store).delete("/v1/models/ft:x").status_code == 200
    assert list(home.models.iterdir())
    find_models(store, home)
    Supervisor(store, home)._sweep()
    assert [model.id for model in store.models()] == ["ft:planted"]
    assert list(home.models.iterdir()) == []

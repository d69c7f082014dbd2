"""A data folder on a network drive: without shared memory, without locks, held, or damaged."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from cookbook.errors import ServiceError
from cookbook.service import database
from cookbook.service.database import Database
from cookbook.service.store import Store

# Each system call that locks a file fails this way.
NO_LOCKS = """
import errno, fcntl
def refuse(*_):
    raise OSError(errno.{number}, "refused")
fcntl.flock = fcntl.lockf = refuse
"""


@pytest.fixture
def no_shared_memory(monkeypatch):
    """Have SQLite open files as on a file system where memory cannot be shared."""
    if os.name == "nt":
        pytest.skip("needs a VFS of Unix")
    real = sqlite3.connect

    def connect(path, **options):
        return real(f"file:{path}?vfs=unix-dotfile", uri=True, **options)

    return lambda: monkeypatch.setattr(database.sqlite3, "connect", connect)


def journal(path) -> str:
    with sqlite3.connect(path) as db:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    db.close()
    return mode


def test_without_shared_memory_the_store_works_for_many_threads(tmp_path, no_shared_memory):
    no_shared_memory()
    path = tmp_path / "service.db"
    stores = [Store(path), Store(path)]

    def add(store):
        for i in range(5):
            store.add_file(f"{i}.jsonl", "fine-tune", b"{}")

    threads = [threading.Thread(target=add, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].files_page(None, 100)) == 20
    assert journal(path) == "delete"


def test_a_database_that_was_moved_there_keeps_what_its_wal_holds(tmp_path, no_shared_memory):
    path, moved = tmp_path / "service.db", tmp_path / "moved.db"
    store = Store(path)
    file = store.add_file("a.jsonl", "fine-tune", b"{}")
    # As after a crash: nothing was brought back from the WAL.
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{moved}{ending}")
    no_shared_memory()
    again = Store(moved)
    assert again.file_content(file.id) == b"{}"
    assert again.add_file("b.jsonl", "fine-tune", b"{}").number == 2
    assert journal(moved) == "delete"


def test_elsewhere_the_journal_is_a_wal(tmp_path):
    Store(tmp_path / "service.db")
    assert journal(tmp_path / "service.db") == "wal"


@pytest.mark.skipif(os.name == "nt", reason="Windows locks files in another way")
@pytest.mark.parametrize(
    ("number", "language"), [("ENOLCK", "zh"), ("EOPNOTSUPP", "en"), ("ENOSYS", "zh")]
)
def test_a_folder_without_locks_is_refused_in_one_sentence(tmp_path, number, language):
    (tmp_path / "sitecustomize.py").write_text(NO_LOCKS.format(number=number))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": path.strip(os.pathsep), "COOKBOOK_LANG": language}
    command = [sys.executable, "-m", "cookbook.service", "--home", str(tmp_path / "home")]
    done = subprocess.run(
        command,
        env=os.environ | variables | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert "COOKBOOK_HOME" in said and said.isascii() == (language == "en")
    assert "Traceback" not in done.stderr


def test_a_database_that_somebody_holds_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    path = tmp_path / "service.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ServiceError, match="service.db"):
        Database(path)
    holder.close()


def test_a_damaged_database_is_left_as_it_is_and_explained(tmp_path):
    path = tmp_path / "service.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ServiceError, match="损坏"):
        Database(path)
    assert path.read_bytes() == b"no database" * 1000

"""Open the SQLite database of a data folder: connections, transactions, and older versions.

One connection for each thread; WAL, so readers never wait; a transaction that ends is on the disk.
What the tables mean is in schema.sql, what is done with them in store.py.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cookbook import data_folder
from cookbook.errors import DiskFull, ServiceError

SCHEMA = Path(__file__).with_name("schema.sql")

# From one version of the tables to the next, the first release being version 1. The version is the
# database's user_version. A release that changes schema.sql adds a script here.
MIGRATIONS = (
    """
    CREATE INDEX jobs_by_status ON jobs (status, number);
    CREATE INDEX models_of_job ON models (job, number);
    """,
    "ALTER TABLE jobs RENAME COLUMN wanted TO requested_state;",
)
VERSION = 1 + len(MIGRATIONS)

LOCK_SECONDS = 30  # how long a transaction waits for that of another process

# What SQLite reports where the disk is full; the last where its shared memory cannot grow.
_FULL_DISK = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")


class Database:
    """The tables of one data folder, made or migrated when it is opened.

    Raises:
        ServiceError: a newer release wrote the database, or it is a link.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        data_folder.refuse_link(path)
        self._path = path
        self._local = threading.local()
        self._migrate()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._connection().execute(sql, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction: kept at the end of the block, undone where it raises.

        Raises:
            DiskFull: with nothing changed.
        """
        db = self._connection()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException as error:
            # On a full disk SQLite has rolled back already.
            if db.in_transaction:
                db.execute("ROLLBACK")
            if getattr(error, "sqlite_errorname", "") in _FULL_DISK:
                raise DiskFull(zh="磁盘满了", en="the disk is full") from error
            raise

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            # What was answered survives a power cut, at a few milliseconds a commit.
            db.execute("PRAGMA synchronous = FULL")
            self._local.db = db
        return db

    def _migrate(self) -> None:
        # Read first and write only where needed: a service must start on a full disk, too.
        version = self._version()
        if version == VERSION:
            return
        if version > VERSION:
            folder = self._path.parent
            raise ServiceError(
                zh=f"数据目录 {folder} 是更新的版本写的（{version}，这里只懂 {VERSION}）："
                "升级 cookbook，或用 --home 换一个目录",
                en=f"a newer release wrote the data folder {folder} ({version}, this one knows "
                f"{VERSION}): upgrade the cookbook, or choose another --home",
            )
        with self.write() as db:
            # Read again: another process may have migrated it meanwhile.
            version = self._version()
            if version == 0:
                scripts = [SCHEMA.read_text(encoding="utf-8")]
            else:
                scripts = list(MIGRATIONS[version - 1 :])
            for script in scripts:
                for statement in _statements(script):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")

    def _version(self) -> int:
        version: int = self.rows("PRAGMA user_version")[0][0]
        return version


def _statements(script: str) -> Iterator[str]:
    """Split an SQL script. (`executescript` would end the transaction that it runs in.)"""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

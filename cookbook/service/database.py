"""Open the SQLite database of a data folder: connections, transactions, and older versions.

One connection for each thread; WAL, so readers never wait; a transaction that ends is on the disk.
WAL needs memory that processes share, which some network folders do not have: there the database
keeps a rollback journal, with which a reader waits for a writer, and nothing else changes. What the
tables mean is in schema.sql, what is done with them in store.py.
"""

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cookbook import causes, data_folder
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
    """
    ALTER TABLE jobs ADD COLUMN memory_level INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN memory_plan TEXT;
    """,
    """
    ALTER TABLE files ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';
    ALTER TABLE files ADD COLUMN digest TEXT;
    CREATE INDEX files_of_owner ON files (owner, id, filename, purpose, bytes, created_at, digest);
    ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';
    ALTER TABLE jobs ADD COLUMN fingerprint TEXT;
    CREATE INDEX jobs_of_owner ON jobs (owner, number);
    CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
    CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint, number) WHERE fingerprint IS NOT NULL;
    ALTER TABLE models ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';
    ALTER TABLE models ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX models_of_owner ON models (owner, number);
    CREATE TABLE people (
        name TEXT PRIMARY KEY COLLATE NOCASE,
        key_hash TEXT UNIQUE NOT NULL,
        created_at INTEGER NOT NULL,
        seen_at INTEGER,
        notebook TEXT,
        act TEXT
    );
    CREATE TABLE room (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    );
    """,
    "ALTER TABLE jobs ADD COLUMN place TEXT;",
    """
    CREATE TABLE batches (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT UNIQUE NOT NULL,
        owner TEXT NOT NULL,
        status TEXT NOT NULL,
        input_file TEXT NOT NULL,
        model TEXT NOT NULL,
        completion_window TEXT NOT NULL,
        metadata TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        finalizing_at INTEGER,
        cancelling_at INTEGER,
        ended_at INTEGER,
        total INTEGER NOT NULL,
        answered INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        result_bytes INTEGER NOT NULL DEFAULT 0,
        output_file TEXT,
        error_file TEXT,
        fault TEXT
    );
    CREATE INDEX batches_of_owner ON batches (owner, number);
    CREATE INDEX batches_under_way ON batches (number) WHERE ended_at IS NULL;
    CREATE TABLE batch_answers (
        batch TEXT NOT NULL REFERENCES batches(id),
        line INTEGER NOT NULL,
        status INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (batch, line)
    );
    """,
    """
    ALTER TABLE events ADD COLUMN message_en TEXT;
    ALTER TABLE jobs ADD COLUMN language TEXT;
    ALTER TABLE people ADD COLUMN language TEXT;
    ALTER TABLE batches ADD COLUMN language TEXT;
    """,
)
VERSION = 1 + len(MIGRATIONS)

LOCK_SECONDS = 30  # how long a transaction waits for that of another process

# What SQLite reports where the disk is full; the last where its shared memory cannot grow.
_FULL_DISK = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")

# What it reports where memory cannot be shared between processes. ("CANTOPEN" is that of a database
# which is in WAL mode already; it has other reasons, too, for which going on fails once more.)
_NO_WAL = (
    "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL",
    "SQLITE_IOERR_SHMOPEN",
    "SQLITE_IOERR_SHMMAP",
    "SQLITE_IOERR_SHMLOCK",
)

_log = logging.getLogger("cookbook")


class Database:
    """The tables of one data folder, made or migrated when it is opened.

    Raises:
        ServiceError: a newer release wrote the database, it is a link, or it cannot be used: its
            file system has no locks, it is damaged, or another program holds it.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        data_folder.refuse_link(path)
        _make_private(path)
        self._path = path
        self._local = threading.local()
        try:
            self._migrate()
        except sqlite3.Error as error:
            cause = causes.known(error)
            if cause is None:
                raise
            raise ServiceError(
                zh=f"打不开数据库 {path}：{cause.zh}", en=f"cannot open {path}: {cause.en}"
            ) from error

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._connection().execute(sql, values).fetchall()

    def blob_part(self, table: str, column: str, rowid: int, start: int, size: int) -> bytes:
        """Return at most `size` bytes of one value from `start` on; none where its row is gone."""
        try:
            with self._connection().blobopen(table, column, rowid, readonly=True) as blob:
                blob.seek(start)
                return blob.read(size)
        except sqlite3.OperationalError as error:
            if "no such rowid" in str(error):
                return b""
            raise

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
            _choose_journal(db)
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


def _make_private(path: Path) -> None:
    """Make an empty file, readable for its owner alone, where there is no database yet.

    SQLite would make one that the umask of a command lets others read, and gives the rights of the
    file to those beside it.
    """
    # Where it cannot be made, SQLite says so in a moment.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _choose_journal(db: sqlite3.Connection) -> None:
    """Use WAL, or a rollback journal where the file system cannot do it.

    A database that keeps a rollback journal stays with it: of several processes that each tried
    WAL again, one would take the database away from the others.
    """
    try:
        is_new = db.execute("PRAGMA page_count").fetchone()[0] == 0
        if is_new:
            # Where WAL is refused without an error, the journal stays as it is.
            db.execute("PRAGMA journal_mode = WAL")
        # Reads, which is where some file systems fail only now.
        db.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname not in _NO_WAL:
            raise
        _leave_wal(db)
        _log.warning("%s: the file system cannot do WAL (%s)", "service.db", error)


def _leave_wal(db: sqlite3.Connection) -> None:
    """Bring a database back to a rollback journal, with everything that its WAL holds."""
    # An only user needs no shared memory. If there is another one, this fails: "locked".
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA locking_mode = NORMAL")
    # The lock is given back after the next access.
    db.execute("PRAGMA user_version").fetchone()


def _statements(script: str) -> Iterator[str]:
    """Split an SQL script. (`executescript` would end the transaction that it runs in.)"""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

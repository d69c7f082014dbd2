"""What the embedded service remembers: files, jobs, events, models, in one SQLite database.

The only channel between the service and its training processes. Promises: every change is one short transaction, so a
killed process leaves no half-written state; events are append-only; a job's status only moves forward. A paused job
keeps the status it had (`queued` or `running`), with `wanted = 'pause'`. Knows sqlite3 and dataclasses alone.
"""

import json
import random
import sqlite3
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cookbook.errors import DiskFull, ServiceError

TERMINAL = ("succeeded", "failed", "cancelled")
UNFINISHED = ("validating_files", "queued", "running")
_UNFINISHED = f"status IN {UNFINISHED}"  # as SQL
_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
_FILE = "rowid, id, filename, purpose, bytes, created_at"
_ORDER = ("validating_files", "queued", "running", TERMINAL)

# One script a release; the number of scripts that ran is the database's user_version.
MIGRATIONS = [
    """
    CREATE TABLE files (
        id TEXT PRIMARY KEY, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL, content BLOB NOT NULL
    );
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, status TEXT NOT NULL, wanted TEXT NOT NULL,
        created_at INTEGER NOT NULL, finished_at INTEGER, base TEXT NOT NULL,
        training_file TEXT NOT NULL, validation_file TEXT, validation_split REAL NOT NULL,
        suffix TEXT, seed INTEGER NOT NULL, hyperparameters TEXT NOT NULL, metadata TEXT, model TEXT NOT NULL,
        trained_tokens INTEGER, error TEXT, crashes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs(id), created_at INTEGER NOT NULL,
        level TEXT NOT NULL, type TEXT NOT NULL, message TEXT NOT NULL, data TEXT, step INTEGER
    );
    CREATE INDEX events_of_job ON events (job, number);
    CREATE UNIQUE INDEX once_a_step ON events (job, type, step) WHERE step IS NOT NULL;
    CREATE TABLE models (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, job TEXT NOT NULL, base TEXT NOT NULL,
        created_at INTEGER NOT NULL, step INTEGER NOT NULL, folder TEXT NOT NULL, metrics TEXT NOT NULL
    );
    """,
    """
    CREATE INDEX jobs_by_status ON jobs (status, number);
    CREATE INDEX models_of_job ON models (job, number);
    """,
]


@dataclass(frozen=True)
class File:
    number: int
    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int


@dataclass(frozen=True)
class Job:
    """One fine-tuning job. `hyperparameters` are the seven of the guide; `model` is the name it will have."""

    number: int
    id: str
    status: str
    wanted: str
    created_at: int
    finished_at: int | None
    base: str
    training_file: str
    validation_file: str | None
    validation_split: float
    suffix: str | None
    seed: int
    hyperparameters: dict
    metadata: dict | None
    model: str
    trained_tokens: int | None
    error: dict | None
    crashes: int


@dataclass(frozen=True)
class Event:
    number: int
    job: str
    created_at: int
    level: str
    type: str
    message: str
    data: dict | None
    step: int | None


@dataclass(frozen=True)
class TunedModel:
    """A finished model or a checkpoint: an adapter in `folder`, a name below the service's models folder."""

    number: int
    id: str
    job: str
    base: str
    created_at: int
    step: int
    folder: str
    metrics: dict


def new_id(prefix: str, length: int = 20) -> str:
    """`prefix` and random lowercase letters."""
    return prefix + "".join(random.SystemRandom().choices(string.ascii_lowercase, k=length))


class Store:
    """The database of one data folder; safe to use from many threads and processes."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._local = threading.local()
        self._migrate()

    def _migrate(self) -> None:
        # Looked at first without writing: a service must start on a full disk, too.
        if (version := self._version()) == len(MIGRATIONS):
            return
        if version > len(MIGRATIONS):
            folder = self._path.parent
            raise ServiceError(
                zh=f"数据目录 {folder} 是更新的版本写的（{version}，这里只懂 {len(MIGRATIONS)}）：升级 cookbook，或用 --home 换一个目录",
                en=f"the data folder {folder} was written by a newer release ({version}, this one knows "
                f"{len(MIGRATIONS)}): upgrade the cookbook, or choose another --home",
            )
        with self._write() as db:
            for script in MIGRATIONS[self._version() :]:
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self) -> int:
        return self._rows("PRAGMA user_version")[0][0]

    def _db(self) -> sqlite3.Connection:
        db = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            # What was answered outlives a power cut, at a few milliseconds a commit.
            db.execute("PRAGMA synchronous = FULL")
        return db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        db = self._db()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:  # SQLite itself rolls back where the disk is full
                db.execute("ROLLBACK")
            if getattr(error, "sqlite_errorname", "") in _SQLITE_FULL:
                raise DiskFull(zh="磁盘满了", en="the disk is full") from error
            raise

    def _rows(self, sql: str, *values) -> list[sqlite3.Row]:
        return self._db().execute(sql, values).fetchall()

    # Files

    def add_file(self, filename: str, purpose: str, content: bytes) -> File:
        file_id = new_id("file-")
        with self._write() as db:
            db.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
                (file_id, filename, purpose, len(content), int(time.time()), content),
            )
        return self.file(file_id)

    def files_page(self, after: int | None, limit: int, *, newest_first: bool = True) -> list[File]:
        """Those that follow the file number `after`."""
        sign, order, start = ("<", "DESC", 1 << 62) if newest_first else (">", "ASC", 0)
        sql = f"SELECT {_FILE} FROM files WHERE rowid {sign} ? ORDER BY rowid {order} LIMIT ?"
        return [File(*row) for row in self._rows(sql, after or start, limit)]

    def file(self, file_id: str) -> File | None:
        rows = self._rows(f"SELECT {_FILE} FROM files WHERE id = ?", file_id)
        return File(*rows[0]) if rows else None

    def file_content(self, file_id: str) -> bytes:
        return self._rows("SELECT content FROM files WHERE id = ?", file_id)[0][0]

    def delete_file(self, file_id: str) -> str | None:
        """Delete it; or, where an unfinished job needs it, leave it and return the job's id."""
        with self._write() as db:
            user = db.execute(
                f"SELECT id FROM jobs WHERE (training_file = ?1 OR validation_file = ?1) AND {_UNFINISHED}",
                (file_id,),
            ).fetchone()
            if user:
                return user[0]
            db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        return None

    # Jobs

    def add_job(self, **fields) -> Job:
        """A job in the state `validating_files`. Fields: those of `Job` that the caller chooses."""
        fields |= {
            "id": new_id("ftjob-"),
            "status": "validating_files",
            "wanted": "run",
            "created_at": int(time.time()),
        }
        for name in ("hyperparameters", "metadata"):
            fields[name] = json.dumps(fields[name])
        names = ", ".join(fields)
        with self._write() as db:
            marks = ", ".join("?" * len(fields))
            db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(fields.values()))
            self._event(db, fields["id"], "Created fine-tuning job")
        return self.job(fields["id"])

    def jobs(self, statuses: tuple[str, ...] = ()) -> list[Job]:
        """Oldest first: the order of the queue."""
        where = f"WHERE status IN ({', '.join('?' * len(statuses))})" if statuses else ""
        return [
            _job(row)
            for row in self._rows(f"SELECT * FROM jobs {where} ORDER BY number", *statuses)
        ]

    def jobs_page(self, after: int | None, limit: int) -> list[Job]:
        """Newest first, those older than the job number `after`."""
        sql = "SELECT * FROM jobs WHERE number < ? ORDER BY number DESC LIMIT ?"
        return [_job(row) for row in self._rows(sql, after or 1 << 62, limit)]

    def unfinished(self) -> list[Job]:
        return self.jobs(UNFINISHED)

    def count_unfinished(self) -> int:
        return self._rows(f"SELECT count(*) FROM jobs WHERE {_UNFINISHED}")[0][0]

    def job(self, job_id: str) -> Job | None:
        rows = self._rows("SELECT * FROM jobs WHERE id = ?", job_id)
        return _job(rows[0]) if rows else None

    def advance(self, job_id: str, status: str, message: str, *, error: dict | None = None) -> bool:
        """Move a job forward and say so in an event; False, and nothing done, if it is already there or beyond."""
        with self._write() as db:
            return self._advance(db, job_id, status, message, error=error)

    def _advance(
        self, db, job_id, status, message, *, error=None, trained_tokens=None, data=None
    ) -> bool:
        now = db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
        if _rank(status) <= _rank(now):
            return False
        finished = int(time.time()) if status in TERMINAL else None
        db.execute(
            "UPDATE jobs SET status = ?, finished_at = ?, error = ?, trained_tokens = ? WHERE id = ?",
            (status, finished, json.dumps(error) if error else None, trained_tokens, job_id),
        )
        self._event(db, job_id, message, level="error" if status == "failed" else "info", data=data)
        return True

    def want(self, job_id: str, wanted: str, message: str) -> None:
        """Ask for `pause` or `run`; the job's worker, if there is one, reads it at its next step. Said once."""
        with self._write() as db:
            sql = (
                "UPDATE jobs SET wanted = ?1 WHERE id = ?2 AND wanted != ?1 AND finished_at IS NULL"
            )
            if db.execute(sql, (wanted, job_id)).rowcount:
                self._event(db, job_id, message)

    def count_crash(self, job_id: str, message: str) -> int:
        """Note that a job's process died; the number of such deaths since its last progress."""
        with self._write() as db:
            db.execute("UPDATE jobs SET crashes = crashes + 1 WHERE id = ?", (job_id,))
            self._event(db, job_id, message, level="warn")
            return db.execute("SELECT crashes FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]

    # Events

    def add_event(
        self, job_id: str, message: str, *, data: dict | None = None, step: int | None = None
    ) -> None:
        """A message. One that belongs to a step stands in the log once, however often it is said."""
        with self._write() as db:
            self._event(db, job_id, message, data=data, step=step)

    def _event(
        self, db, job_id, message, *, level="info", kind="message", data=None, step=None
    ) -> None:
        # A step that is trained again after a crash has the same numbers: it stands in the log once.
        db.execute(
            "INSERT OR IGNORE INTO events (job, created_at, level, type, message, data, step) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                job_id,
                int(time.time()),
                level,
                kind,
                message,
                json.dumps(data) if data else None,
                step,
            ),
        )

    def add_metrics(self, job_id: str, data: dict, message: str) -> bool:
        """Write down one training step; whether the job is to go on. Nothing is written to a job that has ended."""
        with self._write() as db:
            status, wanted = db.execute(
                "SELECT status, wanted FROM jobs WHERE id = ?", (job_id,)
            ).fetchone()
            if status == "running":
                self._event(db, job_id, message, kind="metrics", data=data, step=data["step"])
            return status == "running" and wanted == "run"

    def events(self, job_id: str, *, before: int | None = None, limit: int = 20) -> list[Event]:
        """Newest first, those older than the event number `before`."""
        sql = "SELECT * FROM events WHERE job = ? AND number < ? ORDER BY number DESC LIMIT ?"
        return [_event(row) for row in self._rows(sql, job_id, before or 1 << 62, limit)]

    # Models

    def add_checkpoint(self, job: Job, step: int, folder: str, metrics: dict, message: str) -> None:
        """A checkpoint that lies in `folder`, once however often it is announced; progress forgives crashes."""
        with self._write() as db:
            if self._model(db, job, f"{job.model}-ckpt_step_{step}", step, folder, metrics):
                db.execute("UPDATE jobs SET crashes = 0 WHERE id = ?", (job.id,))
                self._event(db, job.id, message, data={"step": step, **metrics})

    def finish(
        self,
        job: Job,
        step: int,
        folder: str,
        metrics: dict,
        trained_tokens: int,
        data: dict,
        message: str,
    ) -> bool:
        """The finished model and the end of its job, in one transaction; False if the job was ended meanwhile."""
        with self._write() as db:
            done = self._advance(
                db, job.id, "succeeded", message, trained_tokens=trained_tokens, data=data
            )
            if done:
                self._model(db, job, job.model, step, folder, metrics)
            return done

    def _model(self, db, job, name, step, folder, metrics) -> bool:
        """Whether it is new."""
        cursor = db.execute(
            "INSERT OR IGNORE INTO models (id, job, base, created_at, step, folder, metrics) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, job.id, job.base, int(time.time()), step, folder, json.dumps(metrics)),
        )
        return cursor.rowcount == 1

    def models(self, job_id: str | None = None) -> list[TunedModel]:
        """Newest first; of one job if asked."""
        where, values = ("WHERE job = ?", (job_id,)) if job_id else ("", ())
        return [
            _model(row)
            for row in self._rows(f"SELECT * FROM models {where} ORDER BY number DESC", *values)
        ]

    def model(self, model_id: str) -> TunedModel | None:
        rows = self._rows("SELECT * FROM models WHERE id = ?", model_id)
        return _model(rows[0]) if rows else None

    def delete_model(self, model_id: str) -> None:
        with self._write() as db:
            db.execute("DELETE FROM models WHERE id = ?", (model_id,))


def _rank(status: str) -> int:
    return next(
        i
        for i, level in enumerate(_ORDER)
        if status == level or status in level and isinstance(level, tuple)
    )


def _load(row: sqlite3.Row, *names: str) -> dict:
    fields = dict(row)
    return fields | {name: json.loads(fields[name]) if fields[name] else None for name in names}


def _job(row: sqlite3.Row) -> Job:
    return Job(**_load(row, "hyperparameters", "metadata", "error"))


def _event(row: sqlite3.Row) -> Event:
    return Event(**_load(row, "data"))


def _model(row: sqlite3.Row) -> TunedModel:
    return TunedModel(**_load(row, "metrics"))

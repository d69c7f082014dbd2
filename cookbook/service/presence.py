"""Note who of a room was here when, in which notebook, and what they did last.

Kept in memory and written to the store every few seconds, all people in one transaction: a request
never waits for a commit of its own. What a killed service had not written yet is lost, which is a
few seconds of it.
"""

import re
import sqlite3
import threading
import time
from dataclasses import dataclass, replace

from cookbook.errors import DiskFull
from cookbook.service.store import Person, Store

SECONDS = 5.0  # between two writes

_JOBS = "/v1/fine_tuning/jobs"
# The first that fits is what a request is.
_ACTS = (
    ("POST", re.compile(r"/v1/files"), "upload"),
    ("POST", re.compile(_JOBS), "train"),
    ("GET", re.compile(rf"{_JOBS}/[^/]+(/[a-z]+)?"), "watch"),
    ("POST", re.compile(r"/v1/((chat/)?completions|batches)"), "ask"),
    ("GET", re.compile(r"/v1/(files|models)(/.*)?"), "read"),
)


def act_of(method: str, path: str) -> str | None:
    """Return what a request is to the leader; None where it is none of what is shown."""
    for known_method, pattern, act in _ACTS:
        if method == known_method and pattern.fullmatch(path):
            return act
    return None


@dataclass(frozen=True)
class LastSeen:
    """When somebody was here last; a notebook or act of None is not known since the start."""

    seen_at: int
    notebook: str | None = None
    act: str | None = None


class Presence:
    """The people who were here since the service started; safe to use from many threads."""

    def __init__(self, store: Store, every: float = SECONDS):
        self._store = store
        self._every = every
        self._lock = threading.Lock()
        self._last_seen: dict[str, LastSeen] = {}
        self._unwritten: set[str] = set()
        self._writer: threading.Thread | None = None
        self._news, self._closing = threading.Event(), threading.Event()

    def note(self, name: str, act: str | None, notebook: str | None = None) -> None:
        """Note that somebody is here; an act or notebook of None leaves the one before."""
        with self._lock:
            before = self._last_seen.get(name, LastSeen(0))
            now = int(time.time())
            self._last_seen[name] = LastSeen(now, notebook or before.notebook, act or before.act)
            self._unwritten.add(name)
            if self._writer is None:
                self._closing.clear()
                self._writer = threading.Thread(target=self._write, name="presence", daemon=True)
                self._writer.start()
        self._news.set()

    def up_to_date(self, person: Person) -> Person:
        """Return somebody as they were seen last, which may not be written yet."""
        seen = self._last_seen.get(person.name)
        if seen is None:
            return person
        return replace(
            person,
            seen_at=seen.seen_at,
            notebook=seen.notebook or person.notebook,
            act=seen.act or person.act,
        )

    def flush(self) -> None:
        """Write down what is not written yet."""
        with self._lock:
            names, self._unwritten = self._unwritten, set()
            seen = [(name, self._last_seen[name]) for name in sorted(names)]
        rows = [(name, last.seen_at, last.notebook, last.act) for name, last in seen]
        # Not under the lock, which requests need: the database may be busy.
        try:
            self._store.note_seen(rows)
        except (DiskFull, sqlite3.Error):
            # Written with what the person does next.
            with self._lock:
                self._unwritten |= names

    def close(self) -> None:
        """End the thread that writes, and write down the rest."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            self._closing.set()
            self._news.set()
            writer.join()
        self.flush()

    def _write(self) -> None:
        while True:
            self._news.wait()
            if self._closing.wait(self._every):
                return
            self._news.clear()
            self.flush()

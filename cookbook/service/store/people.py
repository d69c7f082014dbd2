"""Keep the people of a room, and what the leader has said of it.

A key is given out once, by the method that makes it; what is kept is its SHA-256. That is enough
for a key of 72 random bits, which is not found by trying; a password would need a slower hash.
"""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Sequence

from cookbook.errors import PersonExists, PersonNotFound
from cookbook.i18n import LANGUAGES
from cookbook.room import names
from cookbook.room.typed import KEY_LETTERS
from cookbook.service.store.part import Part
from cookbook.service.store.records import Person, insert

_PEOPLE = "SELECT name, created_at, seen_at, notebook, act FROM people"


class People(Part):
    """The store's people, by name; the case of its letters does not matter."""

    def add_person(self, name: str) -> str:
        """Add somebody, and return their key; `names.tidy` makes a name that can be used.

        Raises:
            ArgumentError: the name cannot be a person's, or (PersonExists) it is taken.
        """
        # It is a part of model identifiers, and must not make its bearer the leader.
        names.check(name)
        key = new_key()
        columns = {"name": name, "key_hash": hash_of(key), "created_at": int(time.time())}
        with self._database.write() as db:
            if _stored_name(db, name) is not None:
                raise person_exists(name)
            insert(db, "people", columns)
        return key

    def renew_key(self, name: str) -> str:
        """Return another key for somebody; the old one is not valid any more.

        Raises:
            PersonNotFound: there is nobody of that name.
        """
        key = new_key()
        with self._database.write() as db:
            stored = _stored_name(db, name)
            if stored is None:
                raise person_not_found(name)
            sql = "UPDATE people SET key_hash = ? WHERE name = ?"
            db.execute(sql, (hash_of(key), stored))
        return key

    def remove_person(self, name: str) -> None:
        """Take somebody's key away; their files, jobs and models stay.

        Raises:
            PersonNotFound: there is nobody of that name.
        """
        with self._database.write() as db:
            stored = _stored_name(db, name)
            if stored is None:
                raise person_not_found(name)
            db.execute("DELETE FROM people WHERE name = ?", (stored,))

    def people(self) -> list[Person]:
        """Return everybody in the room, by name."""
        return [Person(*row) for row in self._database.rows(f"{_PEOPLE} ORDER BY name")]

    def person(self, key: str) -> Person | None:
        """Return whose key this is; None if it is nobody's."""
        rows = self._database.rows(f"{_PEOPLE} WHERE key_hash = ?", hash_of(key))
        return Person(*rows[0]) if rows else None

    def has_people(self) -> bool:
        """Return whether there is anybody in the room but the leader."""
        return bool(self._database.rows("SELECT 1 FROM people LIMIT 1"))

    def note_seen(self, seen: Sequence[tuple[str, int, str | None, str | None]]) -> None:
        """Note when people were here last, each as (name, seen_at, notebook, act).

        A notebook or act of None leaves the one before.
        """
        sql = (
            "UPDATE people SET seen_at = ?2, notebook = coalesce(?3, notebook), "
            "act = coalesce(?4, act) WHERE name = ?1"
        )
        if seen:
            with self._database.write() as db:
                db.executemany(sql, seen)

    def languages(self) -> dict[str, str]:
        """Return the languages of people's notebooks, by name, where one was said."""
        rows = self._database.rows("SELECT name, language FROM people")
        return {row["name"]: row["language"] for row in rows if row["language"] in LANGUAGES}

    def keep_language(self, name: str, language: str) -> None:
        """Keep the language of somebody's notebook."""
        sql = "UPDATE people SET language = ?1 WHERE name = ?2 AND language IS NOT ?1"
        with self._database.write() as db:
            db.execute(sql, (language, name))

    # The room itself

    def room_value(self, name: str) -> str | None:
        """Return what is set: `closes_at`, `message` or `address`, see schema.sql; else None."""
        rows = self._database.rows("SELECT value FROM room WHERE name = ?", name)
        return rows[0]["value"] if rows else None

    def set_room_value(self, name: str, value: str | None) -> None:
        """Set it, or with None remove it."""
        with self._database.write() as db:
            db.execute("DELETE FROM room WHERE name = ?", (name,))
            if value is not None:
                insert(db, "room", {"name": name, "value": value})

    def closes_at(self) -> int | None:
        """Return when the room closes, in seconds since 1970; None for never."""
        return _seconds(self.room_value("closes_at"))

    def set_closes_at(self, moment: int | None) -> None:
        """Let the room close then; with None never."""
        self.set_room_value("closes_at", None if moment is None else str(moment))

    def extend(self, seconds: int) -> int | None:
        """Let the room close so much later, from now if it is closed; return when that is.

        A room that never closes stays as it is.
        """
        with self._database.write() as db:
            row = db.execute("SELECT value FROM room WHERE name = 'closes_at'").fetchone()
            closes_at = _seconds(row["value"]) if row else None
            if closes_at is None:
                return None
            later = max(closes_at, int(time.time())) + seconds
            db.execute("UPDATE room SET value = ? WHERE name = 'closes_at'", (str(later),))
        return later


def new_key() -> str:
    """Return a key for somebody, which can be typed from paper: room-abcd-efgh-jkmn-pqrs."""
    groups = ["".join(secrets.choice(KEY_LETTERS) for _ in range(4)) for _ in range(4)]
    return "-".join(["room", *groups])


def hash_of(key: str) -> str:
    """Return what is kept of a key; the case of its letters, typed from paper, does not matter."""
    return hashlib.sha256(key.lower().encode()).hexdigest()


def _seconds(value: str | None) -> int | None:
    # A database may come from elsewhere.
    return int(value) if value and value.isdecimal() and len(value) < 16 else None


def _stored_name(db: sqlite3.Connection, name: str) -> str | None:
    """Return a person's name as the table has it, whatever the case of its letters."""
    # SQLite knows the case of English letters alone.
    for row in db.execute("SELECT name FROM people"):
        stored: str = row["name"]
        if stored.casefold() == name.casefold():
            return stored
    return None


def person_exists(listed: str) -> PersonExists:
    """Return the error for names that are in the room already."""
    return PersonExists(
        zh=f"已经有 {listed} 了：换一个名字，或用 room renew 给同一个人换一把密钥",
        en=f"already in the room: {listed}. Choose another name, "
        "or give the same person another key with room renew",
    )


def person_not_found(name: str) -> PersonNotFound:
    """Return the error for a name that nobody in the room has."""
    return PersonNotFound(
        zh=f"没有 {name}：用 python -m cookbook room list 查看所有人",
        en=f"there is no {name}: python -m cookbook room list shows everybody",
    )

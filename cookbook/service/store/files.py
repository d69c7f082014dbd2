"""Keep uploads, with their content."""

import hashlib
import sqlite3
import time
from typing import Any

from cookbook.errors import FilesFull
from cookbook.machine import MB
from cookbook.service.store.jobs import IS_UNFINISHED
from cookbook.service.store.part import Part
from cookbook.service.store.records import LAST, File, insert, new_id

# Without the content, which may have 10 MB. A list is read from the index alone, since the way to
# the columns behind the content leads through all of it.
_FILES = "SELECT rowid, id, filename, purpose, bytes, created_at, owner, digest FROM files"
_LISTED = f"{_FILES} INDEXED BY files_of_owner"


class Files(Part):
    """The store's files."""

    def add_file(
        self, filename: str, purpose: str, content: bytes, *, limit: int | None = None
    ) -> File:
        """Add a file.

        Raises:
            FilesFull: its owner's files would have more than `limit` bytes with it.
        """
        columns = _columns(self.owner, filename, purpose, content)
        file_id: str = columns["id"]
        with self._database.write() as db:
            # Counted where it is added: uploads that come together cannot all be the last.
            if limit is not None:
                check_bytes(db, self.owner, len(content), limit)
            insert(db, "files", columns)
        return File(*self._database.rows(f"{_FILES} WHERE id = ?", file_id)[0])

    def files_page(
        self,
        after: int | None,
        limit: int,
        *,
        newest_first: bool = True,
        purpose: str | None = None,
    ) -> list[File]:
        """Return the files that follow the file number `after`, at most `limit`.

        `purpose` chooses those of one purpose; None all.
        """
        if newest_first:
            condition, order, start = "rowid < ?", "DESC", LAST
        else:
            condition, order, start = "rowid > ?", "ASC", 0
        values: list[int | str] = [after or start, *self._own_values]
        if purpose is not None:
            condition += f" AND {self._own} AND purpose = ?"
            values.append(purpose)
        else:
            condition += f" AND {self._own}"
        sql = f"{_LISTED} WHERE {condition} ORDER BY rowid {order} LIMIT ?"
        rows = self._database.rows(sql, *values, limit)
        return [File(*row) for row in rows]

    def file(self, file_id: str) -> File | None:
        sql = f"{_FILES} WHERE id = ? AND {self._own}"
        rows = self._database.rows(sql, file_id, *self._own_values)
        return File(*rows[0]) if rows else None

    def bytes_kept(self) -> dict[str, int]:
        """Return the bytes of everybody's files, by owner."""
        sql = f"SELECT owner, sum(bytes) FROM files WHERE {self._own} GROUP BY owner"
        return {owner: size for owner, size in self._database.rows(sql, *self._own_values)}

    def file_content(self, file_id: str) -> bytes:
        """Return the bytes of an upload.

        Raises:
            LookupError: the file was deleted.
        """
        sql = f"SELECT content FROM files WHERE id = ? AND {self._own}"
        rows = self._database.rows(sql, file_id, *self._own_values)
        content: bytes = rows[0][0]
        return content

    def file_part(self, file_id: str, start: int, size: int) -> bytes:
        """Return at most `size` bytes of an upload from `start` on; none where it was deleted."""
        sql = f"SELECT rowid FROM files WHERE id = ? AND {self._own}"
        rows = self._database.rows(sql, file_id, *self._own_values)
        if not rows:
            return b""
        # A query would have all of it in memory.
        return self._database.blob_part("files", "content", rows[0]["rowid"], start, size)

    def delete_file(self, file_id: str) -> str | None:
        """Delete a file, or leave it and return the id of a job or batch that needs it."""
        sql = (
            "SELECT id FROM jobs WHERE (training_file = ?1 OR validation_file = ?1) "
            f"AND {IS_UNFINISHED} "
            "UNION ALL SELECT id FROM batches WHERE input_file = ?1 AND ended_at IS NULL"
        )
        with self._database.write() as db:
            user = db.execute(sql, (file_id,)).fetchone()
            if user:
                user_id: str = user["id"]
                return user_id
            own = f"DELETE FROM files WHERE id = ? AND {self._own}"
            db.execute(own, (file_id, *self._own_values))
        return None


# Parts of a transaction: each takes the connection that `Database.write` gave.


def insert_file(
    db: sqlite3.Connection, owner: str, filename: str, purpose: str, content: bytes
) -> str:
    """Add a file whatever its owner has already, and return its id."""
    columns = _columns(owner, filename, purpose, content)
    insert(db, "files", columns)
    file_id: str = columns["id"]
    return file_id


def _columns(owner: str, filename: str, purpose: str, content: bytes) -> dict[str, Any]:
    return {
        "id": new_id("file-"),
        "filename": filename,
        "purpose": purpose,
        "bytes": len(content),
        "created_at": int(time.time()),
        "content": content,
        "owner": owner,
        "digest": hashlib.sha256(content).hexdigest(),
    }


def check_bytes(db: sqlite3.Connection, owner: str, more: int, limit: int) -> None:
    """Raise FilesFull if the owner's files would take more than `limit` bytes with `more`."""
    sql = "SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ?"
    used = db.execute(sql, (owner,)).fetchone()[0]
    if used + more > limit:
        zh, en = f"{used / MB:,.1f} MB", f"{limit / MB:,.0f} MB"
        raise FilesFull(
            zh=f"你的文件已占 {zh}，再加上这个就超过每人 {en} 的上限：先用 files.delete 删掉不用的",
            en=f"your files take {zh} already, and with this one more than the {en} that each "
            "person has: delete some with files.delete first",
        )

"""Keep batches: requests of one file, and the answer to each line as soon as it is there.

An answer is counted in the transaction that writes it down, and a batch ends in the one that makes
its result files. So a killed service asks no line twice, and leaves no half of a result.
"""

import json
import sqlite3
import time
from collections.abc import Mapping

from cookbook.errors import QueueFull
from cookbook.i18n import Text, language
from cookbook.service.store.files import check_bytes, insert_file
from cookbook.service.store.part import Part
from cookbook.service.store.records import LAST, Batch, BatchAnswer, batch_of, fault, insert, new_id

RESULT_PURPOSE = "batch_output"
_UNDER_WAY = "ended_at IS NULL"
_ANSWERED = 200

# One statement, so that a line which is there already is counted once.
_COUNT = """
    UPDATE batches SET answered = answered + ?, failed = failed + ?,
        input_tokens = input_tokens + ?, output_tokens = output_tokens + ?,
        result_bytes = result_bytes + ?, fault = NULL
    WHERE id = ?
"""
_END = """
    UPDATE batches SET status = ?, ended_at = ?, finalizing_at = coalesce(finalizing_at, ?),
        output_file = ?, error_file = ?, fault = ?
    WHERE id = ?
"""


class Batches(Part):
    """The store's batches."""

    def add_batch(
        self,
        *,
        input_file: str,
        model: str,
        hours: int,
        total: int,
        metadata: dict[str, str] | None = None,
        limit: int | None = None,
        bytes_limit: int | None = None,
    ) -> Batch | None:
        """Add a batch in the state `in_progress`; None if its file was deleted a moment ago.

        Raises:
            QueueFull: `limit` batches of the same owner have not ended.
            FilesFull: the owner's files take more than `bytes_limit` already.
        """
        now = int(time.time())
        columns = {
            "id": new_id("batch_"),
            "owner": self.owner,
            "status": "in_progress",
            "input_file": input_file,
            "model": model,
            "completion_window": f"{hours}h",
            "metadata": json.dumps(metadata),
            "created_at": now,
            "expires_at": now + hours * 3600,
            "total": total,
            "language": language(),
        }
        with self._database.write() as db:
            file = f"SELECT 1 FROM files WHERE id = ? AND {self._own}"
            if not db.execute(file, (input_file, *self._own_values)).fetchone():
                return None
            # Counted where it is added: requests that come together cannot all be the last.
            if limit is not None:
                _check_limit(db, self.owner, limit)
            if bytes_limit is not None:
                check_bytes(db, self.owner, 0, bytes_limit)
            insert(db, "batches", columns)
        return self.batch(str(columns["id"]))

    def batch(self, batch_id: str) -> Batch | None:
        sql = f"SELECT * FROM batches WHERE id = ? AND {self._own}"
        rows = self._database.rows(sql, batch_id, *self._own_values)
        return batch_of(rows[0]) if rows else None

    def batches_page(self, after: int | None, limit: int) -> list[Batch]:
        """Return the batches older than the number `after`, newest first, at most `limit`."""
        sql = f"SELECT * FROM batches WHERE number < ? AND {self._own} ORDER BY number DESC LIMIT ?"
        rows = self._database.rows(sql, after or LAST, *self._own_values, limit)
        return [batch_of(row) for row in rows]

    def batches_under_way(self) -> list[Batch]:
        """Return the batches that have not ended, oldest first."""
        sql = f"SELECT * FROM batches WHERE {_UNDER_WAY} AND {self._own} ORDER BY number"
        return [batch_of(row) for row in self._database.rows(sql, *self._own_values)]

    def has_batches_under_way(self) -> bool:
        """Return whether a batch of anybody has not ended."""
        return bool(self._database.rows(f"SELECT 1 FROM batches WHERE {_UNDER_WAY} LIMIT 1"))

    def cancel_batch(self, batch_id: str) -> None:
        """Ask for the end of a batch that is in progress; of another one nothing changes."""
        sql = (
            "UPDATE batches SET status = 'cancelling', cancelling_at = ? "
            f"WHERE id = ? AND status = 'in_progress' AND {self._own}"
        )
        with self._database.write() as db:
            db.execute(sql, (int(time.time()), batch_id, *self._own_values))

    # What the runner writes down, for everybody

    def answered_lines(self, batch_id: str) -> set[int]:
        """Return the numbers of the lines that are done."""
        sql = "SELECT line FROM batch_answers WHERE batch = ?"
        return {row["line"] for row in self._database.rows(sql, batch_id)}

    def add_batch_answer(self, batch_id: str, answer: BatchAnswer) -> bool:
        """Write down that a line is done; return False, with nothing done, if that is known.

        Nothing is added to a batch that has ended.
        """
        add = (
            "INSERT OR IGNORE INTO batch_answers (batch, line, status, content) "
            f"SELECT id, ?, ?, ? FROM batches WHERE id = ? AND {_UNDER_WAY}"
        )
        ok = int(answer.status == _ANSWERED)
        counts = (ok, 1 - ok, answer.input_tokens, answer.output_tokens, len(answer.content))
        with self._database.write() as db:
            row = (answer.line, answer.status, answer.content, batch_id)
            if not db.execute(add, row).rowcount:
                return False
            db.execute(_COUNT, (*counts, batch_id))
        return True

    def note_batch_fault(self, batch_id: str, code: str, message: Text | str) -> None:
        """Note what a batch waits for; its next answer removes the note."""
        sql = f"UPDATE batches SET fault = ? WHERE id = ? AND {_UNDER_WAY}"
        with self._database.write() as db:
            db.execute(sql, (_fault(code, message), batch_id))

    def finalize_batch(self, batch_id: str) -> None:
        """Note that every line is done; a batch that is cancelled stays so."""
        sql = (
            "UPDATE batches SET status = 'finalizing', finalizing_at = ? "
            "WHERE id = ? AND status = 'in_progress'"
        )
        with self._database.write() as db:
            db.execute(sql, (int(time.time()), batch_id))

    def end_batch(
        self, batch_id: str, status: str, undone: Mapping[int, bytes] | None = None
    ) -> Batch:
        """Make the result files and end the batch, in one transaction.

        Args:
            status: "completed", "cancelled" or "expired".
            undone: what the error file says of the lines that are not done, by their numbers.
        """
        with self._database.write() as db:
            batch = batch_of(
                db.execute("SELECT * FROM batches WHERE id = ?", (batch_id,)).fetchone()
            )
            if batch.ended_at is not None:
                return batch
            outputs, errors = _results(db, batch_id, undone or {})
            output = _add_result(db, batch, "output", outputs)
            error = _add_result(db, batch, "error", errors)
            now = int(time.time())
            db.execute(_END, (status, now, now, output, error, None, batch_id))
            # The files have them now.
            db.execute("DELETE FROM batch_answers WHERE batch = ?", (batch_id,))
            return batch_of(
                db.execute("SELECT * FROM batches WHERE id = ?", (batch_id,)).fetchone()
            )

    def fail_batch(self, batch_id: str, code: str, message: Text | str) -> None:
        """End a batch that cannot be carried out."""
        sql = (
            "UPDATE batches SET status = 'failed', ended_at = ?, fault = ? "
            f"WHERE id = ? AND {_UNDER_WAY}"
        )
        with self._database.write() as db:
            db.execute(sql, (int(time.time()), _fault(code, message), batch_id))


def _fault(code: str, message: Text | str) -> str:
    return json.dumps(fault({"code": code, "message": message}))


def _results(
    db: sqlite3.Connection, batch_id: str, undone: Mapping[int, bytes]
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Return the lines of both result files, by their numbers."""
    outputs: dict[int, bytes] = {}
    errors = dict(undone)
    sql = "SELECT line, status, content FROM batch_answers WHERE batch = ?"
    for line, status, content in db.execute(sql, (batch_id,)):
        kind = outputs if status == _ANSWERED else errors
        kind[line] = content
    return outputs, errors


def _add_result(
    db: sqlite3.Connection, batch: Batch, kind: str, lines: Mapping[int, bytes]
) -> str | None:
    """Add a result file in the order of the input, and return its id; None if it would be empty."""
    if not lines:
        return None
    content = b"".join(lines[number] + b"\n" for number in sorted(lines))
    return insert_file(db, batch.owner, f"{batch.id}_{kind}.jsonl", RESULT_PURPOSE, content)


def _check_limit(db: sqlite3.Connection, owner: str, limit: int) -> None:
    sql = f"SELECT count(*) FROM batches WHERE {_UNDER_WAY} AND owner = ?"
    open_batches = db.execute(sql, (owner,)).fetchone()[0]
    if open_batches >= limit:
        raise QueueFull(
            zh=f"你已经有 {open_batches} 个批量任务没有结束，达到上限：等它们结束，或取消一个",
            en=f"{open_batches} batches of yours have not ended, which is the limit: "
            "wait for one to end, or cancel one",
        )

"""Answer the lines of batches: one thread with a loop of its own, beside the requests of clients.

    runner = BatchRunner(app.state.shared)
    runner.start()
    runner.stop(); runner.join()

Each line is answered as chat would answer its owner, in the background (`chat_turns.py`), and
written down before the next one of its place starts: whatever ends the service, no finished line is
asked again. A few lines are under way at a time, and people take turns. Where nothing can be
answered at present (503: no engine, too little memory) the batch waits and tries again, and its
`fault` says why. A line that meets an error of the engine is tried a few times.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from cookbook.errors import DiskFull
from cookbook.i18n import Text, answer_in, in_language, tr
from cookbook.service import batch_file, batch_results, limits
from cookbook.service.api_error import ApiError, internal_error
from cookbook.service.batch_body import chat_body
from cookbook.service.batch_file import Place
from cookbook.service.callers import Caller
from cookbook.service.chat import answered
from cookbook.service.request_id import new_request_id
from cookbook.service.state import AppState
from cookbook.service.store import LOCAL, Batch, BatchAnswer

TICK_SECONDS = 0.3  # between two looks at the store
RETRY_SECONDS = 5.0  # after an error of the store, as of a full disk
WAIT_SECONDS = 5.0  # until a batch that cannot be answered is tried again; twice as long each time
MOST_WAIT_SECONDS = 60.0
TRIES = 3  # of a line that meets an error of the engine

_UNAVAILABLE, _ENGINE_ERROR = 503, 500
_STORE_ERRORS = (DiskFull, sqlite3.Error)
# What the error file says of the lines that are left.
_CANCELLED = Text("批量任务被取消，这一行没有回答", "the batch was cancelled before this line")
_EXPIRED = Text("时限已到，这一行没有回答", "the batch expired before this line was answered")

_log = logging.getLogger("cookbook")


@dataclass(eq=False)
class _Open:
    """A batch that is being answered; `pending` are the lines that nobody has started."""

    batch: Batch
    places: list[Place]
    pending: deque[Place]
    under_way: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    tries: Counter[int] = field(default_factory=Counter)
    waits_until: float = 0.0
    wait_seconds: float = WAIT_SECONDS


class BatchRunner:
    """`start` it once.

    Args:
        state: the service's own, which sees everything.
        clock: seconds since 1970.
        tick_seconds, wait_seconds: between two looks; before a batch is tried again.
    """

    def __init__(
        self,
        state: AppState,
        *,
        clock: Callable[[], float] = time.time,
        tick_seconds: float = TICK_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ):
        self._state, self._store = state, state.store
        self._clock = clock
        self._tick_seconds, self._wait_seconds = tick_seconds, wait_seconds
        self._open: dict[str, _Open] = {}
        self._turns: Counter[str] = Counter()  # how many lines each owner has had started
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more; what is under way is asked again by the next service."""
        self._stopped.set()

    def join(self) -> None:
        """Return when nothing is under way any more."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._go_on())

    async def _go_on(self) -> None:
        while not self._stopped.is_set():
            try:
                self._tick()
                await asyncio.sleep(self._tick_seconds)
            except _STORE_ERRORS as error:
                _log.warning("batches: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                # It may pass, and the other batches must go on.
                _log.exception("the batches met an error and try again")
                await asyncio.sleep(RETRY_SECONDS)
        for one in self._open.values():
            await _cancelled(one)

    def _tick(self) -> None:
        under_way = self._store.batches_under_way()
        for gone in self._open.keys() - {batch.id for batch in under_way}:
            del self._open[gone]
        for batch in under_way:
            one = self._open.get(batch.id) or self._opened(batch)
            if one is not None:
                one.batch = batch
                self._end_where_due(one)
        self._start_lines()

    def _opened(self, batch: Batch) -> _Open | None:
        """Return a batch with what is left of it; None where its file is gone."""
        try:
            content = self._store.file_content(batch.input_file)
            places = list(batch_file.places(content))
        except LookupError:
            text = Text("输入文件已被删除", "the input file was deleted")
            self._store.fail_batch(batch.id, "file_not_found", text)
            return None
        done = self._store.answered_lines(batch.id)
        pending = deque(place for place in places if place.number not in done)
        one = _Open(batch, places, pending, wait_seconds=self._wait_seconds)
        self._open[batch.id] = one
        return one

    # The end of a batch

    def _end_where_due(self, one: _Open) -> None:
        if one.batch.status == "cancelling":
            self._end(one, "cancelled", _CANCELLED)
        elif one.batch.status == "in_progress" and self._clock() >= one.batch.expires_at:
            self._end(one, "expired", _EXPIRED)
        elif not one.pending and not one.under_way:
            self._store.finalize_batch(one.batch.id)
            self._end(one, "completed", Text("", ""))

    def _end(self, one: _Open, status: str, reason: Text) -> None:
        """End a batch; `reason` is said of the lines that are not done."""
        for task in one.under_way.values():
            task.cancel()
        batch = self._store.end_batch(one.batch.id, status, self._undone(one, status, reason))
        # Its tasks end by themselves, and cannot write to a batch that has ended.
        del self._open[one.batch.id]
        text = tr("批量任务 %s 结束：%s，回答 %d，失败 %d", "batch %s: %s, %d answered, %d failed")
        _log.info(text, batch.id, status, batch.answered, batch.failed)

    def _undone(self, one: _Open, status: str, reason: Text) -> dict[int, bytes]:
        """Return what the error file says of the lines that are not done."""
        done = self._store.answered_lines(one.batch.id)
        left = {place.number for place in one.places} - done
        if not left:
            return {}
        content = self._store.file_content(one.batch.input_file)
        with in_language(one.batch.language):
            return batch_results.undone(content, left, f"batch_{status}", str(reason))

    # Its lines

    def _start_lines(self) -> None:
        while sum(len(one.under_way) for one in self._open.values()) < limits.BATCH_UNDER_WAY:
            one = self._next()
            if one is None:
                return
            place = one.pending.popleft()
            self._turns[one.batch.owner] += 1
            task = asyncio.create_task(self._answer(one, place))
            one.under_way[place.number] = task

    def _next(self) -> _Open | None:
        """Return the batch whose line is next: whoever has the fewest under way, in turns."""
        now = self._clock()
        ready = [one for one in self._open.values() if one.pending and now >= one.waits_until]
        if not ready:
            return None
        held: Counter[str] = Counter()
        for one in self._open.values():
            held[one.batch.owner] += len(one.under_way)

        def turn(one: _Open) -> tuple[int, int, int]:
            owner = one.batch.owner
            return held[owner], self._turns[owner], one.batch.number

        return min(ready, key=turn)

    async def _answer(self, one: _Open, place: Place) -> None:
        """Answer a line and write it down; or leave it for later, where it cannot be answered."""
        # That of whoever created the batch, for as long as this task goes on.
        answer_in(one.batch.language)
        try:
            part = self._store.file_part(one.batch.input_file, place.start, place.size)
            line = orjson.loads(part)
            response = await self._response(one, place, line["body"])
            if self._is_for_later(one, place, response):
                one.pending.append(place)
            else:
                await self._write_down(one, place, line["custom_id"], response)
        except Exception:
            # Such as a database that is locked: no line is lost.
            _log.exception("%s, line %d is tried again", one.batch.id, place.number)
            one.pending.append(place)
            self._wait(one)
        finally:
            one.under_way.pop(place.number, None)
        # Without a wait for the next look.
        if not self._stopped.is_set():
            self._start_lines()

    async def _response(self, one: _Open, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to a line as a result file shows it."""
        number = new_request_id()
        try:
            status, answer = 200, await self._ask(one.batch, body)
        except ApiError as error:
            status, answer = error.status_code, error.body()
            if status == _UNAVAILABLE:
                self._note_fault(one.batch, error)
        except _STORE_ERRORS:
            raise
        except Exception as error:
            refusal = internal_error(error, number, f"{one.batch.id}, line {place.number}")
            _log.exception(number)
            status, answer = refusal.status_code, refusal.body()
        return {"status_code": status, "request_id": number, "body": answer}

    async def _ask(self, batch: Batch, body: dict[str, Any]) -> dict[str, Any]:
        """Return what chat answers the owner of a batch.

        Raises:
            ApiError: as chat would have answered, or the answers of the batch are too large.
        """
        if batch.result_bytes >= limits.RESULT_BYTES:
            raise batch_results.too_large()
        caller = Caller(batch.owner, is_leader=batch.owner == LOCAL)
        return await answered(chat_body(body, batch.model), self._state.seen_by(caller))

    def _is_for_later(self, one: _Open, place: Place, response: dict[str, Any]) -> bool:
        """Return whether to ask a line again, later and after the others."""
        status = response["status_code"]
        if status == _UNAVAILABLE:
            self._wait(one)
            return True
        if status != _ENGINE_ERROR:
            return False
        one.tries[place.number] += 1
        return one.tries[place.number] < TRIES

    def _note_fault(self, batch: Batch, error: ApiError) -> None:
        """Note what a batch waits for."""
        # What cannot be said now is said the next time.
        with contextlib.suppress(*_STORE_ERRORS):
            self._store.note_batch_fault(batch.id, error.code or "", error.text)

    def _wait(self, one: _Open) -> None:
        """Let a batch wait, longer each time that nothing of it was answered in between."""
        now = self._clock()
        # Lines that were under way together have failed together.
        if now < one.waits_until:
            return
        one.waits_until = now + one.wait_seconds
        one.wait_seconds = min(2 * one.wait_seconds, MOST_WAIT_SECONDS)

    async def _write_down(
        self, one: _Open, place: Place, custom_id: str, response: dict[str, Any]
    ) -> None:
        usage = response["body"].get("usage") or {}
        answer = BatchAnswer(
            line=place.number,
            status=response["status_code"],
            content=batch_results.line(custom_id, response),
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
        )
        while True:
            try:
                self._store.add_batch_answer(one.batch.id, answer)
                break
            except _STORE_ERRORS as error:
                # The answer is kept until there is room for it.
                _log.warning("batches: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
        if answer.status == 200:
            one.wait_seconds = self._wait_seconds


async def _cancelled(one: _Open) -> None:
    """Cancel what is under way of a batch, and return when it has ended."""
    tasks = list(one.under_way.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

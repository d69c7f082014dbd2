"""Ask for drafts in batches: files of requests that a service answers within a day or more.

    ask_in_batches(client, wanted, record, retries=4, progress=True)

The requests are divided into files (`batch_files.py`), of which at most `UNDER_WAY` wait at a time.
Interrupted, or with the kernel gone, the batches go on; the next run waits for the same ones
(`remembered.py`). What a batch did not answer, because it expired, was cancelled or a line failed,
has the reason in its row; the next run asks for it in a new batch.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cookbook.client import synchronous
from cookbook.compare.count import Progress, line
from cookbook.compare.send import may_pass, wait
from cookbook.duration import duration
from cookbook.errors import ServiceError
from cookbook.i18n import tr
from cookbook.synthesize.batch_faults import lost_sight, reasons, refused, unanswered, under_way
from cookbook.synthesize.batch_files import ENDPOINT, files, find_batch, id_of, line_of
from cookbook.synthesize.record import Record
from cookbook.synthesize.remembered import ENDED, Batch, Remembered
from cookbook.synthesize.results import NotFetched, Results, fetch, results
from cookbook.synthesize.wanted import Wanted, keep_answer, row_of

if TYPE_CHECKING:
    from openai import OpenAI

UNDER_WAY = 2  # the embedded service takes two of each person
FIRST_LOOK = 1.0  # seconds until a batch is looked at; then half as long again each time
RARELY = 30.0  # seconds between two looks, at most
PATIENCE = 600.0  # seconds that a service may be away while a batch is waited for

T = TypeVar("T")


def ask_in_batches(
    client: "OpenAI",
    wanted: Sequence[Wanted],
    record: Record,
    *,
    retries: int,
    progress: bool | Progress,
) -> None:
    """Fill the rows in place, until every batch has ended or the cell is interrupted.

    Raises:
        ServiceError: a batch was refused, or the service was away for too long. What was started
            is remembered.
        DataError: the file of the batches is damaged.
    """
    # A lost answer must not start a second batch, so nothing is repeated unseen.
    once = synchronous(client).with_options(max_retries=0)
    run = _Run(once, wanted, record, retries, progress)
    try:
        run.until_all_have_ended()
    except KeyboardInterrupt:
        run.mark_interrupted()
    except OSError as error:
        raise record.unwritable(error) from error
    finally:
        run.show("")


def refuse_while_under_way(wanted: Sequence[Wanted], record: Record) -> None:
    """Refuse to ask at once for what a batch is asked for already.

    Raises:
        ArgumentError: a batch that is remembered has not ended.
        DataError: the file of the batches is damaged.
    """
    keys = {one.key for one in wanted}
    for batch in Remembered(record.path).batches:
        there = keys.intersection(batch.requests)
        if batch.open and there:
            raise under_way(batch, len(there))


class _Run:
    """One call: what it asks for, and the batches it waits for."""

    def __init__(
        self,
        client: "OpenAI",
        wanted: Sequence[Wanted],
        record: Record,
        retries: int,
        progress: bool | Progress,
    ):
        self.client = client
        self.wanted = {one.key: one for one in wanted}
        self.record = record
        self.retries = retries
        self.remembered = Remembered(record.path)
        self.show = line(progress if isinstance(progress, bool) else False)
        self.tell = progress if callable(progress) else None
        self.started = time.monotonic()
        self.done: dict[str, int] = {}  # lines of each open batch, as far as the service counts
        self.waits_for: dict[str, str] = {}  # what each says it waits for

    def until_all_have_ended(self) -> None:
        """Start batches for what no batch was started for, and wait for all."""
        self._find_lost()
        waiting = [batch for batch in self.remembered.batches if self._concerns(batch)]
        asked = {key for batch in waiting for key in batch.requests}
        new = files([one for key, one in self.wanted.items() if key not in asked])
        pause = FIRST_LOOK
        more = True
        while more or waiting:
            while more and len(waiting) < UNDER_WAY:
                requests = next(new, None)
                more = requests is not None
                if requests is not None:
                    waiting.append(self._start(requests))
            if waiting:
                self._show(waiting)
                time.sleep(pause)
                pause = min(pause * 1.5, RARELY)
                waiting = [batch for batch in waiting if not self._has_ended(batch)]

    def mark_interrupted(self) -> None:
        """Say in each row without an answer whether its batch goes on."""
        started = {key for batch in self.remembered.batches for key in batch.requests}
        goes_on = tr(
            "被中断；批量任务还在进行，再运行这一格就接着等",
            "interrupted; its batch goes on, and this cell waits for it when run again",
        )
        not_sent = tr("被中断，还没有发出", "interrupted before it was sent")
        for key, one in self.wanted.items():
            if self.record.answer(key) is None and one.row["error"] is None:
                one.row["error"] = goes_on if key in started else not_sent

    # Starting

    def _concerns(self, batch: Batch) -> bool:
        return batch.open and not self.wanted.keys().isdisjoint(batch.requests)

    def _start(self, requests: Sequence[Wanted]) -> Batch:
        """Upload the requests and start a batch; written down before and after."""
        content = b"".join(line_of(one) for one in requests)
        upload = self._repeat(partial(self._upload, content))
        batch = Batch(
            file=id_of(upload),
            host=self.client.base_url.host,
            model=requests[0].row["model"],
            requests={one.key: (one.row["input"], one.row["attempt"]) for one in requests},
        )
        self.remembered.batches.append(batch)
        self.remembered.save()
        try:
            created = self._repeat(partial(self._create, batch))
        except ServiceError as error:
            # Only where there is no answer may a batch have come of it.
            if error.__cause__ and not may_pass(error.__cause__):
                self._forget(batch)
            raise
        batch.id, batch.status = id_of(created), str(getattr(created, "status", ""))
        self.remembered.save()
        return batch

    def _forget(self, batch: Batch) -> None:
        self.remembered.batches.remove(batch)
        self.remembered.save()

    def _upload(self, content: bytes, failures: int) -> Any:
        return self.client.files.create(file=("drafts.jsonl", content), purpose="batch")

    def _create(self, batch: Batch, failures: int) -> Any:
        # An earlier attempt may have arrived although its answer did not.
        created = self._found(batch, failures) if failures else None
        return created or self.client.batches.create(
            input_file_id=batch.file, endpoint=ENDPOINT, completion_window="24h"
        )

    def _found(self, batch: Batch, failures: int) -> Any:
        return find_batch(self.client, batch.file, self.remembered.path)

    def _find_lost(self) -> None:
        """Find the batches whose start was not confirmed; forget those that never began."""
        for batch in list(self.remembered.batches):
            if batch.id is not None or not self._concerns(batch):
                continue
            found = self._repeat(partial(self._found, batch))
            if found is None:
                self._forget(batch)
                continue
            batch.id = id_of(found)
            self.remembered.save()

    def _repeat(self, call: Callable[[int], T]) -> T:
        """Return what a request answers, sent again where that may help.

        Args:
            call: is given how often it has failed.

        Raises:
            ServiceError: it was refused, or failed too often.
        """
        import openai

        failures = 0
        while True:
            try:
                return call(failures)
            except openai.OpenAIError as error:
                failures += 1
                if failures > self.retries or not may_pass(error):
                    raise refused(error) from error
                time.sleep(wait(failures, error))

    # Waiting

    def _has_ended(self, batch: Batch) -> bool:
        """Look at a batch; once it has ended, keep what it answered."""
        found = self._patiently(batch, partial(self.client.batches.retrieve, str(batch.id)))
        status = str(found.status)
        if status not in ENDED:
            batch.status = status
            self.waits_for[str(batch.id)] = reasons(found)
            # SiliconCloud has no counts.
            counts = getattr(found, "request_counts", None)
            done = getattr(counts, "completed", None)
            if done is not None:
                self.done[str(batch.id)] = done
                self._tell()
            return False
        contents = []
        for place in filter(None, [found.output_file_id, found.error_file_id]):
            contents.append(self._patiently(batch, partial(fetch, self.client, place)))
        self._keep(batch, found, status, results(contents))
        return True

    def _patiently(self, batch: Batch, call: Callable[[], T]) -> T:
        """Return what a request answers; a service that is away is waited for a while.

        Raises:
            ServiceError: it stayed away, or does not know the batch.
        """
        import openai

        failures = 0
        begun = time.monotonic()
        while True:
            try:
                return call()
            except (openai.OpenAIError, NotFetched) as error:
                failures += 1
                passes = error.passes if isinstance(error, NotFetched) else may_pass(error)
                if not passes or time.monotonic() - begun > PATIENCE:
                    path = self.remembered.path
                    raise lost_sight(batch, error, path, passes=passes) from error
                time.sleep(wait(failures, error))

    def _keep(self, batch: Batch, found: Any, status: str, said: Results) -> None:
        """Keep the answers, note the failures, and only then let go of the batch."""
        for key, (text, attempt) in batch.requests.items():
            one = self.wanted.get(key) or Wanted(key, {}, row_of(batch.model, text, attempt))
            answer = said.answers.get(key)
            if answer is None:
                one.row["error"] = said.errors.get(key) or unanswered(found, status, said)
            elif self.record.answer(key) is None:
                keep_answer(self.record, one, answer)
        batch.status = status
        batch.requests = {}
        self.remembered.save()
        self.done.pop(str(batch.id), None)
        self._tell()

    def _show(self, waiting: Sequence[Batch]) -> None:
        states = []
        for batch in waiting:
            state = f"{batch.id} {batch.status}"
            if batch.id in self.done:
                state += f" {self.done[batch.id]}/{len(batch.requests)}"
            states.append(state + self.waits_for.get(str(batch.id), ""))
        names = tr("、", ", ").join(states)
        waited = duration(time.monotonic() - self.started)
        self.show(
            tr(
                f"批量任务 {names}，已等 {waited}；可以中断，再运行就接着等",
                f"batch {names}, waited {waited}; interrupt any time, run again to go on",
            )
        )

    def _tell(self) -> None:
        settled = sum(self.done.values())
        for key, one in self.wanted.items():
            if self.record.answer(key) is not None or one.row["error"] is not None:
                settled += 1
        if self.tell and settled:
            self.tell(settled, len(self.wanted))

"""Tell in which order jobs start: people take turns, so that six jobs of one keep nobody waiting.

    in_turn(jobs, training, trained)    the jobs that wait, the next one first
    Places(store).ahead(job)            how many jobs go before it; read once for many jobs

A job that was interrupted goes first. Then whoever has had the fewest turns is next, with their
oldest job; of people who have had as many, the oldest job. A turn is a training that ended within
the last hour, or one under way; one that took as long as several others counts as several. Jobs
that wait are counted as if they had started, so a place that is shown is where the job starts as
long as nobody adds a job and trainings take about as long as each other. A person alone has their
jobs in the order they came. Nobody waits for ever: after an hour turns are forgotten.

Pure functions, and one class that reads the store; the supervisor, the API and `status` share them.
"""

import heapq
import statistics
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from cookbook.job_states import TERMINAL, WAITING
from cookbook.service.store import Job, Store, Turn
from cookbook.service.store.twins import TWIN

HOUR = 3600


class InQueue(Protocol):
    """What the order follows from: a part of `Job`."""

    @property
    def number(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def requested_state(self) -> str: ...
    @property
    def fingerprint(self) -> str | None: ...


AJob = TypeVar("AJob", bound=InQueue)


def may_run(job: InQueue) -> bool:
    """Return whether a job is neither paused nor ended."""
    return job.requested_state == "run" and job.status not in TERMINAL


def in_turn(
    jobs: Iterable[AJob], training: Collection[str], trained: Sequence[Turn] = ()
) -> list[AJob]:
    """Return the jobs that wait, in the order in which they start.

    Args:
        jobs: those that have not ended; paused ones wait for nothing.
        training: ids of those that train at present.
        trained: the trainings of the last hour, those under way among them.
    """
    jobs = list(jobs)
    turns = _turns_had(jobs, training, trained)
    waiting = [job for job in jobs if may_run(job) and job.id not in training]
    waiting.sort(key=lambda job: job.number)
    order = [job for job in waiting if job.status == "running"]
    # What an interrupted job has trained was a turn already.
    counted = {turn.job for turn in trained}
    turns.update(job.owner for job in order if job.id not in counted)
    jobs_of: dict[str, deque[AJob]] = {}
    for job in waiting:
        if job.status != "running":
            jobs_of.setdefault(job.owner, deque()).append(job)
    # Of each person the oldest job.
    heap = [(turns[owner], own[0].number, owner) for owner, own in jobs_of.items()]
    heapq.heapify(heap)
    while heap:
        had, _, owner = heap[0]
        own = jobs_of[owner]
        order.append(own.popleft())
        if own:
            heapq.heapreplace(heap, (had + 1, own[0].number, owner))
        else:
            heapq.heappop(heap)
    return order


def _turns_had(
    jobs: Iterable[InQueue], training: Collection[str], trained: Sequence[Turn]
) -> Counter[str]:
    """Return how many turns each person has had within the hour."""
    ended = [turn.seconds for turn in trained if turn.has_ended]
    # Of a training that is under way nobody knows how long it will take.
    usual = statistics.median(ended) if ended else 0.0
    turns: Counter[str] = Counter()
    for turn in trained:
        turns[turn.owner] += max(1, round(turn.seconds / usual)) if usual else 1
    begun = {turn.job for turn in trained}
    turns.update(job.owner for job in jobs if job.id in training and job.id not in begun)
    return turns


def followers(order: Sequence[InQueue], training: Iterable[InQueue]) -> dict[str, str]:
    """Return which waiting jobs have an equal one that trains or starts before them, by their ids.

    Args:
        order: the jobs that wait, as `in_turn` gives them.
        training: those that train at present.
    """
    first: dict[str, str] = {}
    found = {}
    for job in training:
        if job.fingerprint:
            first[job.fingerprint] = job.id
    for job in order:
        if job.fingerprint is None:
            continue
        leader = first.setdefault(job.fingerprint, job.id)
        if leader != job.id:
            found[job.id] = leader
    return found


@dataclass(frozen=True)
class Queue:
    """The jobs that have not ended: which are under way, which wait, and for what.

    `order` has those that wait for a place alone; `ahead` tells of each how many go before it,
    those under way included, and the same of jobs that wait for an equal one.
    """

    order: list[InQueue]
    ahead: dict[str, int]


def queue(
    jobs: Sequence[InQueue], trained: Sequence[Turn], waiting_for: Mapping[str, str]
) -> Queue:
    """Return the queue as the store tells of it.

    Args:
        jobs: those that have not ended.
        waiting_for: what a job waits for beside its place, by its id, as its log says.
    """
    held = {job_id for job_id, cause in waiting_for.items() if cause != TWIN}
    open_jobs = [job for job in jobs if job.id not in held]
    # An interrupted job goes before all others, just as one that trains has done.
    training = [job for job in open_jobs if job.status == "running" and may_run(job)]
    ids = {job.id for job in training}
    order = in_turn(open_jobs, ids, trained)
    # Whether equal jobs are taken over at all is for the supervisor to say.
    following = {
        job_id: leader
        for job_id, leader in followers(order, training).items()
        if waiting_for.get(job_id) == TWIN
    }
    if following:
        others = [job for job in open_jobs if job.id not in following]
        order = in_turn(others, ids, trained)
    ahead = {job.id: len(training) + place for place, job in enumerate(order)}
    for job_id, leader in following.items():
        # Nothing else needs to end for it.
        ahead[job_id] = ahead.get(leader, 0) + 1
    return Queue(order, ahead)


class Places:
    """The places of the jobs that wait now; the store is read once, where a place is asked for."""

    def __init__(self, store: Store):
        self._store = store

    def ahead(self, job: InQueue) -> int | None:
        """Return how many jobs go before it; None where it waits for something else, or not."""
        if job.status not in WAITING or not may_run(job):
            return None
        return self.queue.ahead.get(job.id)

    @cached_property
    def queue(self) -> Queue:
        store = self._store
        # A place is one among everybody's.
        return queue(store.queued_by_all(), store.turns(time.time() - HOUR), store.waiting_for())


def in_order(store: Store, places: Places) -> list[Job]:
    """Return the jobs that have not ended: under way, then in the order of the queue, then others.

    The others are paused, or wait for something else than their turn.
    """

    def place(job: Job) -> tuple[bool, int, int]:
        under_way = job.status == "running" and may_run(job)
        ahead = -1 if under_way else places.ahead(job)
        return ahead is None, ahead or 0, job.number

    return sorted(store.unfinished(), key=place)

"""What `GET /v1/room` shows: to a person what is their own, to the leader the whole room.

    room_view(state) -> RoomView

Read from the store of the caller, which has nothing of anybody else; only the leader's has it all.
"""

import json
import time
from collections import Counter
from typing import Literal

from pydantic import BaseModel

from cookbook import __version__
from cookbook.i18n import language
from cookbook.job_states import TERMINAL, WAITING, Status
from cookbook.service import limits
from cookbook.service.room_gauges import Reading
from cookbook.service.state import AppState
from cookbook.service.store import Job, Store, shown
from cookbook.service.turns import Places, in_order

MOST = 50  # jobs that have ended, and models
MOST_KNOWN = 1000  # jobs that have ended, kept in memory as they are shown
SETTLED_SECONDS = 10
LOSSES = 40  # points of a curve that is drawn small


class Message(BaseModel):
    """What the leader tells everybody; `at` is in seconds since 1970."""

    text: str
    at: int


class Limit(BaseModel):
    used: int
    limit: int


class Limits(BaseModel):
    jobs: Limit
    bytes: Limit
    chats: Limit


class RoomJobError(BaseModel):
    code: str
    message: str


class RoomJob(BaseModel):
    """A job at a glance.

    `losses` are of steps at equal distances, `message` is that of the last event, `nodes` are those
    of a cluster on which it trains at present.
    """

    id: str
    owner: str
    task: str | None
    base: str
    status: Status
    paused: bool
    jobs_ahead: int | None
    step: int | None
    total_steps: int | None
    train_loss: float | None
    losses: list[float]
    seconds_left: float | None
    created_at: int
    finished_at: int | None
    error: RoomJobError | None
    message: str
    nodes: list[str]
    taken_over: bool


class RoomModel(BaseModel):
    id: str
    owner: str
    shared: bool
    created_at: int


class RoomPerson(BaseModel):
    """Somebody in the room; `job` is the id of what they train, or of what waits first."""

    name: str
    seen_at: int | None
    notebook: str | None
    act: str | None
    job: str | None
    jobs: int
    models: int
    bytes: int


class RoomView(BaseModel):
    """The room as its caller sees it; what is the leader's alone is null for others."""

    object: Literal["room"] = "room"
    name: str
    leader: bool
    base_model: str
    version: str
    now: int
    addresses: list[str] | None
    closes_at: int | None
    message: Message | None
    limits: Limits | None
    jobs: list[RoomJob]
    models: list[RoomModel]
    people: list[RoomPerson] | None
    machine: Reading | None


def room_view(state: AppState) -> RoomView:
    """Return the room as the caller of this request sees it."""
    store, caller = state.store, state.caller
    places = Places(store)
    queue = in_order(store, places)
    return RoomView(
        name=caller.name,
        leader=caller.is_leader,
        base_model=next(iter(state.bases)),
        version=__version__,
        now=int(time.time()),
        addresses=state.addresses() if caller.is_leader else None,
        closes_at=store.closes_at(),
        message=message_of(store),
        limits=None if caller.is_leader else _limits(state, len(queue)),
        jobs=_jobs(state, queue, places),
        models=_models(store),
        people=_people(state, queue) if caller.is_leader else None,
        machine=state.gauges.read() if caller.is_leader else None,
    )


def message_of(store: Store) -> Message | None:
    """Return what the leader tells everybody at present."""
    value = store.room_value("message")
    return Message.model_validate_json(value) if value else None


def as_value(message: Message) -> str:
    """Return a message as the store keeps it."""
    return json.dumps(message.model_dump())


def _limits(state: AppState, unfinished: int) -> Limits:
    name = state.caller.name
    kept = state.store.bytes_kept().get(name, 0)
    return Limits(
        jobs=Limit(used=unfinished, limit=limits.PERSON_JOBS),
        bytes=Limit(used=kept, limit=limits.PERSON_BYTES),
        chats=Limit(used=state.choices_of(name), limit=limits.PERSON_CHATS),
    )


def _jobs(state: AppState, queue: list[Job], places: Places) -> list[RoomJob]:
    seen = [_job(state.store, job, places.ahead(job)) for job in queue]
    return seen + [_ended(state, job) for job in state.store.ended(MOST)]


def _ended(state: AppState, job: Job) -> RoomJob:
    """Return a job that has ended, which is read once: pages ask for it every few seconds."""
    key = (job.id, language())
    known = state.ended_jobs.get(key)
    if known is not None:
        return known
    seen = _job(state.store, job, None)
    # Its process may add a last line yet.
    if time.time() - (job.finished_at or 0) > SETTLED_SECONDS:
        if len(state.ended_jobs) >= MOST_KNOWN:
            state.ended_jobs.clear()
        state.ended_jobs[key] = seen
    return seen


def _job(store: Store, job: Job, ahead: int | None) -> RoomJob:
    newest = store.events(job.id, limit=1)
    # One that has not started has no figures.
    metrics = store.last_metrics(job.id) if job.status not in WAITING else None
    figures = (metrics.data if metrics else None) or {}
    step, total = figures.get("step"), figures.get("total_steps")
    paused = job.requested_state == "pause" and job.status not in TERMINAL
    is_training = job.status == "running" and not paused
    return RoomJob.model_validate(
        {
            "id": job.id,
            "owner": job.owner,
            "task": job.suffix,
            "base": job.base,
            "status": job.status,
            "paused": paused,
            "jobs_ahead": ahead,
            "step": step,
            "total_steps": total,
            "train_loss": figures.get("train_loss"),
            "losses": store.losses(job.id, thinned(step)) if step else [],
            "seconds_left": figures.get("seconds_left") if is_training else None,
            "created_at": job.created_at,
            "finished_at": job.finished_at,
            "error": shown(job.error),
            "message": newest[0].first_line if newest else "",
            "nodes": list(dict.fromkeys(job.place or [])) if is_training else [],
            "taken_over": job.status == "succeeded" and store.is_taken_over(job.id),
        }
    )


def thinned(last: int, most: int = LOSSES) -> list[int]:
    """Return at most so many of the steps from 1 to `last`, both included, evenly spread."""
    if last <= most:
        return list(range(1, last + 1))
    return [1 + round(place * (last - 1) / (most - 1)) for place in range(most)]


def _models(store: Store) -> list[RoomModel]:
    models = []
    for model in store.newest_models(MOST):
        seen = RoomModel(
            id=model.id, owner=model.owner, shared=model.shared, created_at=model.created_at
        )
        models.append(seen)
    return models


def _people(state: AppState, queue: list[Job]) -> list[RoomPerson]:
    store = state.store
    unfinished = Counter(job.owner for job in queue)
    first: dict[str, str] = {}
    # Those that train come first, and of each person the first one stays.
    for job in queue:
        first.setdefault(job.owner, job.id)
    models, kept = store.models_kept(), store.bytes_kept()
    people = []
    for person in map(state.presence.up_to_date, store.people()):
        seen = RoomPerson(
            name=person.name,
            seen_at=person.seen_at,
            notebook=person.notebook,
            act=person.act,
            job=first.get(person.name),
            jobs=unfinished[person.name],
            models=models.get(person.name, 0),
            bytes=kept.get(person.name, 0),
        )
        people.append(seen)
    return people

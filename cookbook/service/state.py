"""What the routes share: one `AppState` for each application.

    @router.get("/v1/files/{file_id}")
    def get_file(file_id: str, state: State) -> FileObject: ...

A handler that declares a parameter of type `State` is given it by FastAPI.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from cookbook.bases import Base
from cookbook.machine import Machine
from cookbook.paths import Home
from cookbook.service import limits
from cookbook.service.callers import LEADER, Caller
from cookbook.service.chat_request import Submit
from cookbook.service.file_check import Verdict
from cookbook.service.languages import Languages
from cookbook.service.presence import Presence
from cookbook.service.room_gauges import Gauges
from cookbook.service.store import Store
from cookbook.service.upload_turns import UploadTurns

Check = Callable[[str, bytes, str], Verdict]
"""Checks a file by its name, its content and its purpose."""


class UnderWay(Protocol):
    """An answer that has not ended, with so many choices, and who asked for it."""

    choices: int
    owner: str


@dataclass(frozen=True)
class AppState:
    """The store, what the service was started with, what is under way at present, and who calls.

    Attributes:
        store: the database; for a request of somebody in a room, what is theirs.
        bases: the bases that can be tuned and asked, by id.
        submit: starts an answer of the chat engine.
        on_upload: called after a training file was stored.
        check: checks a file before it is stored.
        uploads: those that are being checked, in turns.
        presence: who was here when.
        languages: in which language to answer whom.
        gauges: measures the machine.
        machine: tells where a job would be trained.
        addresses: gives the addresses at which others reach the service.
        answers: those that are under way or waiting.
        ended_jobs: those that the room's view has read already.
        caller: whose request it is.
    """

    # What the application was made with
    store: Store
    home: Home
    bases: dict[str, Base]
    submit: Submit
    on_upload: Callable[[], None]
    check: Check
    presence: Presence
    languages: Languages
    gauges: Gauges
    machine: Callable[[], Machine | None]
    addresses: Callable[[], list[str]]
    # What is under way; the limits are read when the application is made, or at each request
    uploads: UploadTurns = field(default_factory=UploadTurns)
    answers: set[UnderWay] = field(default_factory=set)
    # As the room shows them, by id and language
    ended_jobs: dict[tuple[str, str], Any] = field(default_factory=dict)
    caller: Caller = LEADER

    @property
    def allowance(self) -> limits.Allowance:
        """What the caller may have at the same time."""
        return limits.of(self.caller.is_leader)

    def choices_of(self, owner: str) -> int:
        """Return how many choices of answers somebody has under way."""
        return sum(answer.choices for answer in tuple(self.answers) if answer.owner == owner)

    def seen_by(self, caller: Caller) -> "AppState":
        """Return the state of a request of this caller: what is others' is not there."""
        if caller.is_leader:
            return self
        return replace(self, store=self.store.of(caller.name), caller=caller)


# Asynchronous, since FastAPI runs other dependencies in a thread, which takes longer.
async def _app_state(request: Request) -> AppState:
    shared: AppState = request.app.state.shared
    return shared.seen_by(request.scope["caller"])


State = Annotated[AppState, Depends(_app_state)]
"""The type of a handler's parameter that receives the `AppState`."""

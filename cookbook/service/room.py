"""/v1/room: what a person of the room sees of it, and what its leader does in it.

The view itself is built in `room_view.py`. The leader's routes answer 403 to everybody else, who
would learn nothing from them: that there is a leader is no secret.
"""

import time
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import BaseModel, Field

from cookbook.errors import ArgumentError, CookbookError, PersonExists, PersonNotFound
from cookbook.room.names import tidy
from cookbook.service.api_error import ApiError
from cookbook.service.languages import asked_by
from cookbook.service.request_body import RequestBody, strict_router
from cookbook.service.room_view import Message, RoomView, as_value, room_view
from cookbook.service.state import AppState, State

MOST_MINUTES = 24 * 60
MOST_LETTERS = 500  # of a message to everybody
NOTEBOOK_LETTERS = 200  # of a notebook's name

Notebook = Annotated[str | None, Query(max_length=NOTEBOOK_LETTERS)]


class PersonBody(RequestBody):
    name: Annotated[str, Field(max_length=200)]


class MessageBody(RequestBody):
    text: Annotated[str, Field(max_length=MOST_LETTERS)]


class ExtendBody(RequestBody):
    minutes: Annotated[int, Field(ge=1, le=MOST_MINUTES)]


class PersonKey(BaseModel):
    """Somebody's key, which is shown this once."""

    name: str
    key: str


class RemovedPerson(BaseModel):
    name: str
    deleted: Literal[True] = True


class RoomMessage(BaseModel):
    message: Message | None


class RoomClosing(BaseModel):
    closes_at: int | None


def _check_leader(state: AppState) -> None:
    if not state.caller.is_leader:
        raise ApiError(
            403,
            zh="这是组织者的功能：请课堂的组织者来做",
            en="only the leader can do this: ask the leader of the room",
            code="leader_only",
        )


def _bad_name(status: int, error: CookbookError, code: str) -> ApiError:
    return ApiError(status, zh=error.zh, en=error.en, code=code, param="name")


router = strict_router("/v1/room")


@router.get("")
def get_room(state: State, request: Request, notebook: Notebook = None) -> RoomView:
    asked = asked_by(request)
    # From `connect()`. The room's page chooses its own language, and names no notebook.
    if notebook is not None and asked is not None:
        state.languages.note(state.caller.name, asked)
    if notebook and not state.caller.is_leader:
        state.presence.note(state.caller.name, "connect", notebook)
    return room_view(state)


@router.post("/people")
def add_person(body: PersonBody, state: State) -> PersonKey:
    _check_leader(state)
    try:
        name = tidy(body.name)
        return PersonKey(name=name, key=state.store.add_person(name))
    except PersonExists as error:
        raise _bad_name(409, error, "person_exists") from error
    except ArgumentError as error:
        raise _bad_name(400, error, "invalid_value") from error


@router.post("/people/{name}/renew")
def renew_person(name: str, state: State) -> PersonKey:
    _check_leader(state)
    try:
        return PersonKey(name=name, key=state.store.renew_key(name))
    except PersonNotFound as error:
        raise _bad_name(404, error, "person_not_found") from error


@router.delete("/people/{name}")
def remove_person(name: str, state: State) -> RemovedPerson:
    _check_leader(state)
    try:
        state.store.remove_person(name)
    except PersonNotFound as error:
        raise _bad_name(404, error, "person_not_found") from error
    return RemovedPerson(name=name)


@router.post("/message")
def set_message(body: MessageBody, state: State) -> RoomMessage:
    _check_leader(state)
    text = body.text.strip()
    message = Message(text=text, at=int(time.time())) if text else None
    state.store.set_room_value("message", as_value(message) if message else None)
    return RoomMessage(message=message)


@router.post("/extend")
def extend_room(body: ExtendBody, state: State) -> RoomClosing:
    _check_leader(state)
    return RoomClosing(closes_at=state.store.extend(body.minutes * 60))

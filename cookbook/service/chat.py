"""/v1/chat/completions: whole answers and streams.

A stream reports usage once, since some clients add up what every chunk says, and others drop the
text beside it: in the chunk with the finish reason, which has no text. `stream_options` may ask for
OpenAI's form (`include_usage`: a last chunk without choices), for none, or for every chunk as
SiliconCloud sends it (`continuous_usage_stats`).

How text is generated is not known here: the engine is called through `state.submit`
(`chat_request.py`).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from cookbook.bases import Base
from cookbook.service import limits
from cookbook.service.api_error import ApiError
from cookbook.service.chat_body import ChatBody, StreamOptions
from cookbook.service.chat_request import ChatRequest, Piece
from cookbook.service.models import tuned_model
from cookbook.service.request_body import StrictRoute
from cookbook.service.state import AppState, State
from cookbook.service.store import new_id

_ENGINE_STATUS = {"context_length_exceeded": 400, "model_unavailable": 503}  # others: 500
_POLL = 1.0  # seconds between two looks whether a client that waits is still there
_DONE = b"data: [DONE]\n\n"
_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}}
}


# Responses


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


def _usage(piece: Piece) -> dict[str, int]:
    return {
        "prompt_tokens": piece.prompt_tokens,
        "completion_tokens": piece.completion_tokens,
        "total_tokens": piece.prompt_tokens + piece.completion_tokens,
    }


def _event(body: dict[str, Any]) -> bytes:
    # By orjson, since a chunk is sent for every token of every answer.
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _engine_error(piece: Piece) -> ApiError:
    status = _ENGINE_STATUS.get(piece.error_code or "", 500)
    text = piece.error or ""
    return ApiError(status, zh=text, en=text, code=piece.error_code)


class Answer:
    """One answer, from the engine's pieces to what the client reads.

    It is in `state.answers` until it ends.
    """

    def __init__(self, body: ChatBody, request: ChatRequest, state: AppState):
        self._head = {"id": new_id("chatcmpl-"), "created": int(time.time()), "model": body.model}
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._state = state
        self._generation = state.submit(request, self._on_piece)
        state.answers.add(self)

    def _on_piece(self, piece: Piece) -> None:
        # Called in the engine's thread.
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    def end(self) -> None:
        """Stop the engine where it has not finished, and make room for another answer."""
        self._generation.cancel()
        self._state.answers.discard(self)

    async def next(self, request: Request) -> Piece:
        """Return the next piece.

        Raises:
            ApiError: the engine failed, or the client closed the connection.
        """
        while True:
            try:
                piece = await asyncio.wait_for(self._pieces.get(), _POLL)
            except TimeoutError:
                if await request.is_disconnected():
                    text = "the client closed the connection"
                    raise ApiError(499, zh=text, en=text) from None
                continue
            if piece.error:
                raise _engine_error(piece)
            return piece

    async def whole(self, piece: Piece, request: Request) -> ChatCompletion:
        """Return the answer that begins with `piece`, when it is complete."""
        text = piece.text
        while not piece.finish_reason:
            piece = await self.next(request)
            text += piece.text
        choice = {"message": {"content": text}, "finish_reason": piece.finish_reason}
        return ChatCompletion.model_validate(
            {**self._head, "choices": [choice], "usage": _usage(piece)}
        )

    async def chunks(self, piece: Piece, options: StreamOptions) -> AsyncIterator[bytes]:
        """Yield the answer that begins with `piece` as server-sent events."""
        everywhere, at_end = options.continuous_usage_stats, options.include_usage
        delta = {"role": "assistant", "content": piece.text}
        while not piece.finish_reason:
            yield self._chunk(delta, usage=_usage(piece) if everywhere else None)
            piece = await self._pieces.get()
            # The status is sent already: the error is an event of its own.
            if piece.error:
                yield _event(_engine_error(piece).body()) + _DONE
                return
            delta = {"content": piece.text}
        usage = _usage(piece)
        # The last text is in a chunk before the end: beside usage, some clients do not see it.
        if piece.text:
            yield self._chunk(delta, usage=usage if everywhere else None)
            delta = {"content": ""}
        in_last_choice = everywhere or at_end is None
        yield self._chunk(delta, piece.finish_reason, usage=usage if in_last_choice else None)
        if at_end:
            yield self._event([], usage)
        yield _DONE

    def _chunk(
        self,
        delta: dict[str, str],
        finish_reason: str | None = None,
        *,
        usage: dict[str, int] | None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return self._event([choice], usage)

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
        chunk = {"object": "chat.completion.chunk", "choices": choices, "usage": usage}
        return _event(self._head | chunk)


class AnswerStream(StreamingResponse):
    """A stream that ends its answer however it ends itself.

    Not by a `finally` in the generator: where the client leaves before the first chunk, the
    generator never starts.
    """

    def __init__(self, answer: Answer, first: Piece, options: StreamOptions):
        super().__init__(answer.chunks(first, options), media_type="text/event-stream")
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.end()


# Routes


def _find_model(state: AppState, model_id: str) -> tuple[Base, Path | None]:
    """Return the base and the adapter folder of a model; no folder for a base itself.

    Raises:
        ApiError: there is no such model, or its base is gone.
    """
    if model_id in state.bases:
        return state.bases[model_id], None
    tuned = tuned_model(state, model_id)
    if tuned.base not in state.bases:
        raise ApiError(
            400,
            zh=f"基础模型 {tuned.base} 不在了",
            en=f"its base model {tuned.base} is gone",
            code="model_not_found",
            param="model",
        )
    return state.bases[tuned.base], state.home.model_folder(tuned.folder)


def _check_answers(state: AppState) -> None:
    """Raise ApiError if no further answer can be started at present."""
    if len(state.answers) >= limits.CHATS:
        raise ApiError(
            429,
            zh=f"已有 {limits.CHATS} 个回答在进行，达到上限：稍后再问",
            en=f"{limits.CHATS} answers are under way, which is the limit: ask again in a moment",
            code="too_many_requests",
            headers={"retry-after": "2"},
        )


router = APIRouter(route_class=StrictRoute)


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=_STREAM)
async def create_chat_completion(
    body: ChatBody, request: Request, state: State
) -> ChatCompletion | AnswerStream:
    # The store is read in a thread: it may wait for a lock.
    base, adapter = await asyncio.to_thread(_find_model, state, body.model)
    _check_answers(state)
    answer = Answer(body, body.to_request(base, adapter), state)
    try:
        # Waited for before the response starts, so that an error can still choose its status.
        first = await answer.next(request)
        if body.stream:
            return AnswerStream(answer, first, body.stream_options)  # which ends the answer
        completion = await answer.whole(first, request)
    except BaseException:
        answer.end()
        raise
    answer.end()
    return completion

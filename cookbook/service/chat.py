"""/v1/chat/completions: whole answers and streams.

Usage is in every chunk of a stream, cumulative, as SiliconCloud sends it. How text is generated
is not known here: the engine is called through `state.submit` (`chat_request.py`).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.types import Receive, Scope, Send

from cookbook.bases import Base
from cookbook.service import limits
from cookbook.service.api_error import ApiError
from cookbook.service.chat_request import ChatRequest, Piece, joined
from cookbook.service.models import tuned_model
from cookbook.service.state import AppState, State
from cookbook.service.store import new_id

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_Stop = Annotated[str, Field(max_length=200)]
_ENGINE_STATUS = {  # others: 500
    "context_length_exceeded": 400,
    "model_broken": 400,
    "model_unavailable": 503,
}
_UNREAD = 64  # pieces of one answer that are kept apart while its client does not read
_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}}
}


# Requests


class Text(BaseModel):
    model_config = _STRICT
    type: Literal["text"]
    text: str


class Message(BaseModel):
    """`content` is text; parts of text, which some clients send, are joined."""

    model_config = _STRICT
    role: Literal["system", "user", "assistant"]
    content: str | list[Text]

    @field_validator("content")
    @classmethod
    def _join(cls, content: str | list[Text]) -> str:
        return content if isinstance(content, str) else "".join(part.text for part in content)


class ChatBody(BaseModel):
    """What `POST /v1/chat/completions` understands; anything else is refused by name."""

    model_config = _STRICT
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: dict | None = None  # accepted without effect: usage is in every chunk
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.7, gt=0, le=1)  # SiliconCloud's default
    top_k: int = Field(0, ge=0, lt=2**31)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=8)] | None = None
    n: Literal[1] | None = None
    user: str | None = None
    # Clients send the value that has no effect.
    frequency_penalty: float | None = Field(None, ge=0, le=0)
    presence_penalty: float | None = Field(None, ge=0, le=0)

    def to_request(self, base: Base, adapter: Path | None) -> ChatRequest:
        """Return what the engine is asked for."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return ChatRequest(
            base=base,
            adapter=adapter,
            messages=[message.model_dump() for message in self.messages],
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
            stop=tuple(text for text in stop if text),  # an empty text would end every answer
        )


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

    It is in `state.answers` until the engine has finished it.
    """

    def __init__(self, body: ChatBody, request: ChatRequest, state: AppState):
        self._head = {"id": new_id("chatcmpl-"), "created": int(time.time()), "model": body.model}
        self._unread: deque[Piece] = deque()
        self._news = asyncio.Event()  # there is an unread piece, or the client has left
        self._client_left = False
        self._loop = asyncio.get_running_loop()
        self._state = state
        self._generation = state.submit(request, self._on_piece)
        state.answers.add(self)

    def _on_piece(self, piece: Piece) -> None:
        # Called in the engine's thread.
        self._loop.call_soon_threadsafe(self._add, piece)

    def _add(self, piece: Piece) -> None:
        # What a client is slow to read takes little more memory than the text of the answer.
        is_behind = len(self._unread) >= _UNREAD
        both = joined(self._unread[-1], piece) if is_behind else None
        if both:
            self._unread[-1] = both
        else:
            self._unread.append(piece)
        self._news.set()
        # A client that never reads the rest keeps nobody else from asking.
        if piece.finish_reason:
            self._state.answers.discard(self)

    def end(self) -> None:
        """Stop the engine where it has not finished, and make room for another answer."""
        self._generation.cancel()
        self._state.answers.discard(self)

    async def watch_client(self, request: Request) -> None:
        """Let `next` raise as soon as the client has closed the connection."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        self._news.set()

    async def next(self) -> Piece:
        """Return the next piece.

        Raises:
            ApiError: the engine failed, or the client closed the connection.
        """
        await self._news.wait()
        if self._client_left:
            text = "the client closed the connection"
            raise ApiError(499, zh=text, en=text)
        piece = self._unread.popleft()
        if not self._unread:
            self._news.clear()
        if piece.error:
            raise _engine_error(piece)
        return piece

    async def whole(self, piece: Piece) -> ChatCompletion:
        """Return the answer that begins with `piece`, when it is complete."""
        text = piece.text
        while not piece.finish_reason:
            piece = await self.next()
            text += piece.text
        choice = {"message": {"content": text}, "finish_reason": piece.finish_reason}
        return ChatCompletion.model_validate(
            {**self._head, "choices": [choice], "usage": _usage(piece)}
        )

    async def chunks(self, piece: Piece) -> AsyncIterator[bytes]:
        """Yield the answer that begins with `piece` as server-sent events."""
        delta = {"role": "assistant", "content": piece.text}
        while True:
            choice = {
                "index": 0,
                "delta": delta,
                "finish_reason": piece.finish_reason,
                "logprobs": None,
            }
            chunk = {"object": "chat.completion.chunk", "choices": [choice], "usage": _usage(piece)}
            yield _event(self._head | chunk)
            if piece.finish_reason:
                break
            try:
                piece = await self.next()
            except ApiError as error:
                # The status is sent already: the error is an event of its own.
                yield _event(error.body())
                break
            delta = {"content": piece.text}
        yield b"data: [DONE]\n\n"


class AnswerStream(StreamingResponse):
    """A stream that ends its answer however it ends itself.

    Not by a `finally` in the generator: where the client leaves before the first chunk, the
    generator never starts.
    """

    def __init__(self, answer: Answer, first: Piece):
        super().__init__(answer.chunks(first), media_type="text/event-stream")
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


router = APIRouter()


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=_STREAM)
async def create_chat_completion(
    body: ChatBody, request: Request, state: State
) -> ChatCompletion | AnswerStream:
    # The store is read in a thread: it may wait for a lock.
    base, adapter = await asyncio.to_thread(_find_model, state, body.model)
    _check_answers(state)
    answer = Answer(body, body.to_request(base, adapter), state)
    # A stream watches for itself, once it has begun.
    watch = asyncio.create_task(answer.watch_client(request))
    try:
        # Waited for before the response starts, so that an error can still choose its status.
        first = await answer.next()
        if body.stream:
            return AnswerStream(answer, first)  # which ends the answer
        completion = await answer.whole(first)
    except BaseException:
        answer.end()
        raise
    finally:
        watch.cancel()
    answer.end()
    return completion

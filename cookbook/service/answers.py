"""Answers on their way to the client, whole or streamed; what chat and completions share.

    return await answer_to(body, form, request, state)      form: how a choice looks

An answer has a choice for each of its engine requests: several for `n`, and for several prompts.
How text is generated is not known here: the engine is called through `state.submit`
(`chat_request.py`).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import orjson
from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from cookbook.bases import Base
from cookbook.i18n import Text
from cookbook.service import neutral
from cookbook.service.api_error import ApiError
from cookbook.service.chat_request import MAX_CHOICES, ChatRequest, Generation, Piece, joined
from cookbook.service.models import find_model
from cookbook.service.request_body import RequestBody
from cookbook.service.state import AppState
from cookbook.service.store import new_id

_STATUS = {  # of the engine's errors; others are 500
    "context_length_exceeded": 400,
    "engine_refused": 400,
    "invalid_prompt": 400,
    "invalid_messages": 400,
    "invalid_schema": 400,
    "model_broken": 400,
    "model_unavailable": 503,
    "out_of_memory": 503,
}
_PARAM = {
    "invalid_prompt": "prompt",
    "invalid_messages": "messages",
    "invalid_schema": "response_format",
}
_UNREAD = 200  # pieces that wait for a client as they came, more than there can be choices
_DONE = b"data: [DONE]\n\n"
_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": _EVENT}}}
}


class StreamOptions(RequestBody):
    """Where a stream reports usage.

    Once, since some clients add up what every chunk says, and others drop the text beside it: in
    the chunk with the last finish reason, which has no text. A request may ask for OpenAI's form
    (`include_usage`: a last chunk without choices), for none, or for every chunk as SiliconCloud
    sends it (`continuous_usage_stats`).
    """

    neutral_values: ClassVar = neutral.STREAM_OPTIONS
    include_usage: bool | None = None
    continuous_usage_stats: bool = False


# What the bodies of both requests have in common
Choices = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
TopK = Annotated[int, Field(ge=-1, lt=2**31)]  # 0 and -1: all tokens
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Text = Annotated[str, Field(max_length=200)]
Stop = _Text | Annotated[list[_Text], Field(max_length=8)]


def stop_texts(stop: Stop | None) -> tuple[str, ...]:
    """Return the texts that end an answer; an empty one, which would end every answer, is none."""
    given = [stop] if isinstance(stop, str) else stop or []
    return tuple(filter(None, given))


class Body(Protocol):
    """What is asked for, as far as it does not matter how an answer looks."""

    model: str
    n: int
    stream: bool
    stream_options: StreamOptions

    def to_requests(self, base: Base, adapter: Path | None) -> list[ChatRequest]:
        """Return what the engine is asked for, one request for each choice."""
        ...


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Form(Protocol):
    """How one kind of answer looks."""

    id_prefix: str
    object: str
    chunk_object: str

    def choice(self, index: int, whole: Piece) -> dict[str, Any]:
        """Return a whole choice."""
        ...

    def chunk(self, index: int, piece: Piece, is_first: bool) -> dict[str, Any]:
        """Return what a chunk of a stream says about a choice."""
        ...


class Answer:
    """The answer to one request of a client, from the engine's pieces to what the client reads.

    It is in `state.answers` until the engine has finished it.

    Args:
        requests: one for each choice.
        each: successive choices that answer the same prompt.
    """

    def __init__(
        self, model: str, requests: Sequence[ChatRequest], each: int, state: AppState, form: Form
    ):
        self.choices = len(requests)
        self.owner = state.caller.name
        self._each = each
        self._form = form
        self._state = state
        # The same in the whole answer and in each chunk.
        self._head = {
            "id": new_id(form.id_prefix),
            "created": int(time.time()),
            "model": model,
        }
        self._unread: deque[tuple[int, Piece]] = deque()  # each with the index of its choice
        self._read: dict[int, Piece] = {}  # the latest of each choice
        self._unfinished = set(range(self.choices))
        self._news = asyncio.Event()  # there is an unread piece, or the client has left
        self._client_left = False
        self._loop = asyncio.get_running_loop()
        state.answers.add(self)
        self._generations: list[Generation] = []
        for index, request in enumerate(requests):
            on_piece = partial(self._on_piece, index)
            self._generations.append(state.submit(request, on_piece))

    def _on_piece(self, index: int, piece: Piece) -> None:
        # Called in a thread of the engine. A loop that has ended has nobody left who reads.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._add, index, piece)

    def _add(self, index: int, piece: Piece) -> None:
        self._unread.append((index, piece))
        if len(self._unread) > _UNREAD:
            self._join()
        self._news.set()
        if piece.finish_reason:
            self._unfinished.discard(index)
        # A client that never reads the rest keeps nobody else from asking.
        if not self._unfinished:
            self._state.answers.discard(self)

    def _join(self) -> None:
        """Keep a piece for each choice: what a client is slow to read takes no more memory."""
        whole: dict[int, Piece] = {}
        for index, piece in self._unread:
            whole[index] = _joined(whole.get(index), piece)
        self._unread = deque(whole.items())

    def end(self) -> None:
        """Stop the engine where it has not finished, and make room for another answer."""
        for generation in self._generations:
            generation.cancel()
        self._state.answers.discard(self)

    async def watch_client(self, request: Request) -> None:
        """Let `next` raise as soon as the client has closed the connection."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        self._news.set()

    async def next(self) -> tuple[int, Piece]:
        """Return the next piece, and the index of its choice.

        Raises:
            ApiError: the engine failed, or the client closed the connection.
        """
        await self._news.wait()
        if self._client_left:
            text = "the client closed the connection"
            raise ApiError(499, zh=text, en=text)
        index, piece = self._unread.popleft()
        if not self._unread:
            self._news.clear()
        if piece.error:
            raise _engine_error(piece)
        return index, piece

    async def whole(self, index: int, piece: Piece) -> dict[str, Any]:
        """Return the answer that begins with `piece`, when it is complete."""
        self._read[index] = piece
        while not self._is_read:
            index, piece = await self.next()
            self._read[index] = _joined(self._read.get(index), piece)
        choices = []
        for index in range(self.choices):
            choices.append(self._form.choice(index, self._read[index]))
        body = {"object": self._form.object, "choices": choices, "usage": self._usage()}
        return self._head | body

    async def chunks(
        self, index: int, piece: Piece, options: StreamOptions
    ) -> AsyncIterator[bytes]:
        """Yield the answer that begins with `piece` as server-sent events."""
        while True:
            for part in _split(piece):
                yield self._chunk(index, part, options)
            if self._is_read:
                break
            try:
                index, piece = await self.next()
            except ApiError as error:
                # The status is sent already: the error is an event of its own.
                yield _event(error.body()) + _DONE
                return
        if options.include_usage:
            yield self._event([], self._usage())
        yield _DONE

    def _chunk(self, index: int, piece: Piece, options: StreamOptions) -> bytes:
        is_first = index not in self._read
        self._read[index] = piece
        choice = self._form.chunk(index, piece, is_first)
        in_last = options.include_usage is None and self._is_read
        with_usage = options.continuous_usage_stats or in_last
        return self._event([choice], self._usage() if with_usage else None)

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
        chunk = {"object": self._form.chunk_object, "choices": choices, "usage": usage}
        return _event(self._head | chunk)

    @property
    def _is_read(self) -> bool:
        """Return whether the last piece of every choice has been read."""
        if len(self._read) < self.choices:
            return False
        return all(piece.finish_reason for piece in self._read.values())

    def _usage(self) -> dict[str, int]:
        """Return the tokens so far: those of a prompt count once for all its choices."""
        prompts = {}
        written = 0
        for index, piece in self._read.items():
            prompts[index // self._each] = piece.prompt_tokens
            written += piece.completion_tokens
        read = sum(prompts.values())
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }


def _check_limit(state: AppState, choices: int) -> None:
    """Raise ApiError if so many choices cannot be started at present."""
    under_way = state.choices_of(state.caller.name)
    limit = state.allowance.chats
    # Not sent to wait for what can never be.
    if choices > max(limit, 1):
        raise ApiError(
            400,
            zh=f"提示词的个数乘 n 是 {choices}，最多 {limit}：分几次请求",
            en=f"prompts times n is {choices}, at most {limit} are allowed: send several requests",
            code="invalid_value",
            param="prompt",
        )
    if under_way + choices > limit:
        raise ApiError(
            429,
            zh=f"你已有 {under_way} 个回答在进行，上限是 {limit} 个：稍后再问，或少开几个并发",
            en=f"{under_way} answers of yours are under way, the limit is {limit}: "
            "ask again in a moment, or ask fewer at a time",
            code="too_many_requests",
            headers={"retry-after": "2"},
        )


class AnswerStream(StreamingResponse):
    """A stream that ends its answer however it ends itself.

    Not by a `finally` in the generator: where the client leaves before the first chunk, the
    generator never starts.
    """

    def __init__(self, answer: Answer, chunks: AsyncIterator[bytes]):
        # nginx, for one, would keep an answer until it has many kilobytes of it.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(chunks, media_type="text/event-stream", headers=headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.end()


async def answer_to(body: Body, form: Form, request: Request, state: AppState) -> Any:
    """Return the answer when it is complete, or as a stream when it has begun.

    Raises:
        ApiError: there is no such model, too many answers are under way, the engine failed, or the
            client closed the connection.
    """
    requests = await _requests(body, state)
    _check_limit(state, len(requests))
    answer = Answer(body.model, requests, body.n, state, form)
    return await _respond(answer, request, body.stream_options if body.stream else None)


async def background_answer(body: Body, form: Form, state: AppState) -> dict[str, Any]:
    """Return the complete answer to a request for which no client waits.

    It is not counted among the answers of the caller, and starts where no other one waits.

    Raises:
        ApiError: there is no such model, or the engine failed.
    """
    requests = [replace(one, background=True) for one in await _requests(body, state)]
    answer = Answer(body.model, requests, body.n, replace(state, answers=set()), form)
    try:
        index, first = await answer.next()
        return await answer.whole(index, first)
    finally:
        answer.end()


async def _requests(body: Body, state: AppState) -> list[ChatRequest]:
    """Return what the engine is asked for in the name of the caller."""
    # The store is read in a thread: it may wait for a lock.
    base, adapter = await asyncio.to_thread(find_model, state, body.model)
    requests = body.to_requests(base, adapter)
    person = state.caller.name
    return [replace(one, model=body.model, person=person) for one in requests]


async def _respond(answer: Answer, request: Request, stream: StreamOptions | None) -> Any:
    """Return the answer when it is complete, or as a stream when it has begun.

    Args:
        stream: None for a whole answer.

    Raises:
        ApiError: the engine failed, or the client closed the connection.
    """
    # A stream watches for itself, once it has begun.
    watch = asyncio.create_task(answer.watch_client(request))
    try:
        # Waited for before the response starts, so that an error can still choose its status.
        index, first = await answer.next()
        if stream:
            chunks = answer.chunks(index, first, stream)
            return AnswerStream(answer, chunks)  # which ends the answer
        whole = await answer.whole(index, first)
    except BaseException:
        answer.end()
        raise
    finally:
        watch.cancel()
    answer.end()
    return whole


def _joined(before: Piece | None, piece: Piece) -> Piece:
    return joined(before, piece) if before else piece


def _split(piece: Piece) -> list[Piece]:
    """Return the last piece of a choice as two: beside its end, some clients do not see text."""
    if not piece.finish_reason or not piece.text:
        return [piece]
    return [replace(piece, finish_reason=None), replace(piece, text="", logprobs=())]


def _event(body: dict[str, Any]) -> bytes:
    # By orjson, since a chunk is sent for every token of every answer.
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _engine_error(piece: Piece) -> ApiError:
    code = piece.error_code or ""
    text = piece.error or Text("", "")
    status = _STATUS.get(code, 500)
    return ApiError(status, zh=text.zh, en=text.en, code=piece.error_code, param=_PARAM.get(code))

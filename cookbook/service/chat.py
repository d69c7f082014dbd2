"""/v1/chat/completions: whole answers and streams. Usage stands in every chunk, cumulative, as SiliconCloud sends it.

`submit(base, adapter, body, on_piece)` is the chat engine's door: it starts an answer and returns it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from cookbook.bases import Base
from cookbook.i18n import tr
from cookbook.service import limits
from cookbook.service.models import tuned_model
from cookbook.service.requests import ApiError, ChatBody, error_body
from cookbook.service.responses import ChatCompletion, Choice, usage_of
from cookbook.service.store import Store, new_id

STATUS = {"context_length_exceeded": 400, "model_unavailable": 503}
EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
ANSWER = {200: {"model": ChatCompletion, "content": {"text/event-stream": {"schema": EVENT}}}}


def router(store: Store, home: Path, bases: dict[str, Base], submit: Callable) -> APIRouter:
    api = APIRouter()
    under_way: set[_Answer] = set()

    @api.post("/v1/chat/completions", response_model=None, responses=ANSWER)
    async def chat(body: ChatBody, request: Request):
        base, adapter = await asyncio.to_thread(_model, body.model)
        if len(under_way) >= limits.CHATS:
            text = tr(
                f"已有 {limits.CHATS} 个回答在进行，达到上限：稍后再问",
                f"{limits.CHATS} answers are under way, which is the limit: ask again in a moment",
            )
            raise ApiError(429, text, code="too_many_requests", headers={"retry-after": "2"})
        answer = _Answer(
            body.model, under_way, lambda on_piece: submit(base, adapter, body, on_piece)
        )
        try:
            first = await answer.next(request)
            if not body.stream:
                return await answer.whole(first, request)
        except BaseException:
            answer.end()
            raise
        return StreamingResponse(answer.stream(first), media_type="text/event-stream")

    def _model(name: str) -> tuple[Base, Path | None]:
        if name in bases:
            return bases[name], None
        tuned = tuned_model(store, bases, name)
        if tuned.base not in bases:
            text = tr(f"基础模型 {tuned.base} 不在了", f"its base model {tuned.base} is gone")
            raise ApiError(400, text, code="model_not_found", param="model")
        return bases[tuned.base], home / "models" / tuned.folder

    return api


class _Answer:
    """One answer, from the engine's pieces to what the client reads. It is in `under_way` until it ends."""

    def __init__(self, model: str, under_way: set, start: Callable):
        self._head = {"id": new_id("chatcmpl-"), "created": int(time.time()), "model": model}
        self._pieces: asyncio.Queue = asyncio.Queue()
        self._under_way = under_way
        loop = asyncio.get_running_loop()
        self._engine = start(
            lambda piece: loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        )
        under_way.add(self)

    def end(self) -> None:
        self._engine.cancel()
        self._under_way.discard(self)

    async def next(self, request: Request):
        """The next piece; an error of the engine becomes an error answer, a client that left ends its answer."""
        while True:
            try:
                piece = await asyncio.wait_for(self._pieces.get(), 1)
            except TimeoutError:
                if await request.is_disconnected():
                    raise ApiError(499, "the client left") from None
                continue
            if piece.error:
                raise ApiError(
                    STATUS.get(piece.error_code, 500), piece.error, code=piece.error_code
                )
            return piece

    async def whole(self, piece, request: Request) -> ChatCompletion:
        text = piece.text
        while not piece.finish_reason:
            piece = await self.next(request)
            text += piece.text
        self.end()
        choice = Choice(message={"content": text}, finish_reason=piece.finish_reason)
        return ChatCompletion(**self._head, choices=[choice], usage=usage_of(piece))

    async def stream(self, piece) -> AsyncIterator[bytes]:
        role = {"role": "assistant"}
        try:
            while True:
                delta = {**role, "content": piece.text}
                choice = {
                    "index": 0,
                    "delta": delta,
                    "finish_reason": piece.finish_reason,
                    "logprobs": None,
                }
                chunk = {
                    "object": "chat.completion.chunk",
                    "choices": [choice],
                    "usage": usage_of(piece),
                }
                yield _event(self._head | chunk)
                if piece.finish_reason:
                    break
                role = {}
                piece = await self._pieces.get()
                if piece.error:
                    yield _event(error_body(piece.error, code=piece.error_code))
                    break
            yield b"data: [DONE]\n\n"
        finally:
            self.end()


def _event(body: dict) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"

"""/v1/chat/completions: whole answers and streams.

Usage is in every chunk of a stream, cumulative, as SiliconCloud sends it. How an answer travels is
in `answers.py`, which `completions.py` shares.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cookbook.bases import Base
from cookbook.i18n import tr
from cookbook.service.answers import (
    MAX_CHOICES,
    STREAM,
    Answer,
    Usage,
    check_room,
    find_model,
    respond,
    seed_of,
)
from cookbook.service.chat_request import ChatRequest, Piece
from cookbook.service.logprobs import MAX_TOP, ChatLogprobs, for_chat
from cookbook.service.response_format import ResponseFormat
from cookbook.service.state import State

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_Stop = Annotated[str, Field(max_length=200)]


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
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    response_format: ResponseFormat | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP)
    user: str | None = None
    # Clients send the value that has no effect.
    frequency_penalty: float | None = Field(None, ge=0, le=0)
    presence_penalty: float | None = Field(None, ge=0, le=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError(tr("top_logprobs 需要 logprobs: true", "top_logprobs needs logprobs"))
        # A stop text inside the JSON would leave half of it, as if it were complete.
        if self._schema() and self._stops():
            raise ValueError(
                tr(
                    "stop 不能和 JSON 的 response_format 一起用：JSON 完整时回答就结束",
                    "stop cannot be used with a JSON response_format: the answer ends by itself "
                    "where its JSON is complete",
                )
            )
        return self

    def _stops(self) -> tuple[str, ...]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in stops if text)  # an empty text would end every answer

    def _schema(self) -> str | None:
        return self.response_format.to_schema() if self.response_format else None

    def to_requests(self, base: Base, adapter: Path | None) -> list[ChatRequest]:
        """Return what the engine is asked for, one request for each choice."""
        first = ChatRequest(
            base=base,
            adapter=adapter,
            messages=[message.model_dump() for message in self.messages],
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
            stop=self._stops(),
            schema=self._schema(),
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )
        return [replace(first, seed=seed_of(self.seed, choice)) for choice in range(self.n)]


# Responses


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: ChatLogprobs | None = None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class _Form:
    """How a chat answer looks, with its logprobs or without."""

    id_prefix = "chatcmpl-"
    object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def __init__(self, logprobs: bool):
        self._logprobs = logprobs

    def choice(self, index: int, whole: Piece) -> dict[str, Any]:
        message = AnswerMessage(content=whole.text).model_dump()
        return self._with("message", message, index, whole)

    def chunk(self, index: int, piece: Piece, is_first: bool) -> dict[str, Any]:
        delta = {"content": piece.text}
        if is_first:
            delta = {"role": "assistant", "content": piece.text}
        return self._with("delta", delta, index, piece)

    def _with(self, name: str, said: dict[str, Any], index: int, piece: Piece) -> dict[str, Any]:
        logprobs = None
        if self._logprobs:
            logprobs = for_chat(piece.logprobs).model_dump()
        return {
            "index": index,
            name: said,
            "finish_reason": piece.finish_reason,
            "logprobs": logprobs,
        }


router = APIRouter()


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAM)
async def create_chat_completion(body: ChatBody, request: Request, state: State) -> Any:
    # The store is read in a thread: it may wait for a lock.
    base, adapter = await asyncio.to_thread(find_model, state, body.model)
    check_room(state, body.n)
    requests = body.to_requests(base, adapter)
    answer = Answer(body.model, requests, body.n, state, _Form(body.logprobs))
    return await respond(answer, request, stream=body.stream)

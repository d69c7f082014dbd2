"""/v1/completions: continue raw text, without a chat template.

For evaluation above all: `echo` with `logprobs` says how likely the model finds a text that is
given (lm-eval's `local-completions`, guidance). `max_tokens` 0 only reads.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Request
from pydantic import BaseModel, Field, ValidationInfo, field_validator

from cookbook.bases import Base
from cookbook.errors import ArgumentError
from cookbook.service import limits, neutral
from cookbook.service.answers import (
    STREAM,
    Choices,
    Seed,
    Stop,
    StreamOptions,
    TopK,
    Usage,
    answer_to,
    stop_texts,
)
from cookbook.service.chat_request import ChatRequest, Piece, seed_of
from cookbook.service.logprobs import MAX_TOP, CompletionLogprobs, ForCompletions
from cookbook.service.request_body import RequestBody, strict_router
from cookbook.service.state import State

_Id = Annotated[int, Field(ge=0, lt=2**31)]
_Ids = Annotated[list[_Id], Field(min_length=1)]
_Several = Annotated[list[str] | list[_Ids], Field(min_length=1)]


class CompletionBody(RequestBody):
    """What `POST /v1/completions` understands; anything else is refused by name."""

    neutral_values: ClassVar = {**neutral.GENERATION, "suffix": ("",)}
    model: str
    n: Choices = 1
    best_of: Choices = 1
    prompt: str | _Ids | _Several
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    echo: bool = False
    max_tokens: int = Field(16, ge=0)  # OpenAI's default
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: TopK = 0
    seed: Seed | None = None
    stop: Stop | None = None

    @field_validator("best_of")
    @classmethod
    def _is_n(cls, best_of: int, info: ValidationInfo) -> int:
        # Choices that are not returned are not drawn.
        if best_of not in (1, info.data.get("n")):
            raise ArgumentError(zh="只能等于 n", en="must be the same as n")
        return best_of

    @field_validator("prompt", mode="before")
    @classmethod
    def _has_one_form(cls, prompt: Any) -> Any:
        # First, and one sentence: a union has an error for each form, and each of its items.
        if not (isinstance(prompt, str) or _is_ids(prompt) or _are_prompts(prompt)):
            raise ArgumentError(
                zh="应当是一段文字、一个 token 编号的列表，或者其中一种的列表，不能混用或为空",
                en="must be a text, a list of token ids, or a list of either: not mixed, not empty",
            )
        return prompt

    @field_validator("prompt")
    @classmethod
    def _is_not_too_many(cls, prompt: Any, info: ValidationInfo) -> Any:
        # `n` is not there where it was refused itself.
        choices = len(_prompts(prompt)) * info.data.get("n", 1)
        if choices > limits.CHATS:
            raise ArgumentError(
                zh=f"提示的个数乘 n 是 {choices}，最多 {limits.CHATS}：分几次请求",
                en=f"the prompts times n are {choices}, the limit is {limits.CHATS}: "
                "send several requests",
            )
        return prompt

    @field_validator("max_tokens")
    @classmethod
    def _asks_for_something(cls, max_tokens: int, info: ValidationInfo) -> int:
        if max_tokens == 0 and not info.data.get("echo"):
            raise ArgumentError(zh="为 0 时需要 echo: true", en="0 needs echo: true")
        return max_tokens

    def to_requests(self, base: Base, adapter: Path | None) -> list[ChatRequest]:
        """Return what the engine is asked for: each prompt `n` times."""
        first = ChatRequest(
            base=base,
            adapter=adapter,
            echo=self.echo,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            stop=stop_texts(self.stop),
            logprobs=self.logprobs,
        )
        requests = []
        for prompt in _prompts(self.prompt):
            for choice in range(self.n):
                seed = seed_of(self.seed, choice)
                requests.append(replace(first, prompt=prompt, seed=seed))
        return requests


def _is_ids(given: Any) -> bool:
    """Return whether it is a list of whole numbers that a token id can be."""
    if not isinstance(given, list) or not given:
        return False
    return all(type(token) is int and 0 <= token < 2**31 for token in given)


def _are_prompts(given: Any) -> bool:
    """Return whether it is a list of texts alone, or of lists of token ids alone."""
    if not isinstance(given, list) or not given:
        return False
    return all(isinstance(one, str) for one in given) or all(map(_is_ids, given))


def _prompts(given: Any) -> list[str | tuple[int, ...]]:
    """Return one prompt or several, each a text or token ids, as a list."""
    if isinstance(given, str):
        return [given]
    if isinstance(given[0], int):
        return [tuple(given)]
    prompts = []
    for prompt in given:
        prompts.append(prompt if isinstance(prompt, str) else tuple(prompt))
    return prompts


class CompletionChoice(BaseModel):
    index: int
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: CompletionLogprobs | None = None


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class _Form:
    """How a completion looks; `top` is the number of likeliest tokens, None without logprobs."""

    id_prefix = "cmpl-"
    object = "text_completion"
    chunk_object = "text_completion"

    def __init__(self, top: int | None):
        self._top = top
        self._logprobs: dict[int, ForCompletions] = {}  # by choice

    def choice(self, index: int, whole: Piece) -> dict[str, Any]:
        # OpenAI's whole completions and their chunks look the same.
        return self.chunk(index, whole, is_first=True)

    def chunk(self, index: int, piece: Piece, is_first: bool) -> dict[str, Any]:
        logprobs = None
        if self._top is not None:
            # A report goes on where the one before it ended: it counts characters.
            if is_first:
                self._logprobs[index] = ForCompletions(bool(self._top))
            report = self._logprobs[index].next(piece.logprobs)
            logprobs = report.model_dump()
        return {
            "index": index,
            "text": piece.text,
            "finish_reason": piece.finish_reason,
            "logprobs": logprobs,
        }


router = strict_router()


@router.post("/v1/completions", response_model=Completion, responses=STREAM)
async def create_completion(body: CompletionBody, request: Request, state: State) -> Any:
    return await answer_to(body, _Form(body.logprobs), request, state)

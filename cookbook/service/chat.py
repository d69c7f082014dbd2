"""/v1/chat/completions: whole answers and streams.

What a request may hold is in `chat_body.py`; how an answer travels is in `answers.py`, which
`completions.py` shares.
"""

from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel

from cookbook.service.answers import STREAM, Usage, answer_to, background_answer
from cookbook.service.chat_body import ChatBody
from cookbook.service.chat_request import Piece
from cookbook.service.logprobs import ChatLogprobs, for_chat
from cookbook.service.request_body import strict_router
from cookbook.service.state import AppState, State


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
        return self._body(index, whole) | {"message": message}

    def chunk(self, index: int, piece: Piece, is_first: bool) -> dict[str, Any]:
        delta = {"content": piece.text}
        # The role comes once: clients put the deltas together.
        if is_first:
            delta = {"role": "assistant", "content": piece.text}
        return self._body(index, piece) | {"delta": delta}

    def _body(self, index: int, piece: Piece) -> dict[str, Any]:
        """Return what a whole choice and a chunk have in common."""
        logprobs = None
        if self._logprobs:
            logprobs = for_chat(piece.logprobs).model_dump()
        return {"index": index, "finish_reason": piece.finish_reason, "logprobs": logprobs}


async def answered(body: ChatBody, state: AppState) -> dict[str, Any]:
    """Return the answer to a line of a batch, as the route below would have sent it.

    Raises:
        ApiError: as the route would have answered.
    """
    answer = await background_answer(body, _Form(body.logprobs), state)
    return ChatCompletion.model_validate(answer).model_dump(mode="json")


router = strict_router()


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAM)
async def create_chat_completion(body: ChatBody, request: Request, state: State) -> Any:
    return await answer_to(body, _Form(body.logprobs), request, state)

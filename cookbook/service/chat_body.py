"""The body of `POST /v1/chat/completions`, from what clients send to what the engine is asked.

What changes nothing is accepted without effect (`neutral.py`); what would change the answer and
cannot be done is refused by name.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cookbook.bases import Base
from cookbook.errors import ArgumentError
from cookbook.service import neutral
from cookbook.service.answers import Choices, Seed, Stop, StreamOptions, TopK, stop_texts
from cookbook.service.chat_request import ChatRequest, seed_of
from cookbook.service.logprobs import MAX_TOP
from cookbook.service.request_body import RequestBody
from cookbook.service.response_format import ResponseFormat
from cookbook.service.sentences import shown

_TEXT_PARTS = ("text", "input_text", "output_text")  # the latter two are of the Responses API
_ROLES = ("system", "developer", "user", "assistant")


class Part(RequestBody):
    """A part of a message's content: only text."""

    neutral_values: ClassVar = neutral.PART
    type: Literal["text", "input_text", "output_text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def _check_type(cls, part: Any) -> Any:
        # First, so that the fields of an image are not refused one by one.
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in _TEXT_PARTS:
            raise ArgumentError(
                zh=f"只支持文字（text），不支持 {shown(kind)}",
                en=f"only text is supported, not {shown(kind)}",
            )
        return part


class Message(RequestBody):
    neutral_values: ClassVar = neutral.MESSAGE
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @model_validator(mode="before")
    @classmethod
    def _check_role(cls, message: Any) -> Any:
        # First, for the same reason: a message with the result of a tool has other fields.
        role = message.get("role") if isinstance(message, dict) else None
        if isinstance(role, str) and role not in _ROLES:
            raise ArgumentError(
                zh=f"role 只能是 {'、'.join(_ROLES)}，收到的是 {shown(role)}",
                en=f"role can only be {', '.join(_ROLES)}, got {shown(role)}",
            )
        return message

    def for_template(self) -> dict[str, str]:
        """Return it as the chat template reads it: with one text, and `system` for developer."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": text}


class ChatBody(RequestBody):
    neutral_values: ClassVar = neutral.CHAT
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.7, gt=0, le=1)  # SiliconCloud's default
    top_k: TopK = 0
    seed: Seed | None = None
    n: Choices = 1
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_TOP)
    response_format: ResponseFormat | None = None
    stop: Stop | None = None

    @field_validator("max_tokens", "max_completion_tokens", mode="before")
    @classmethod
    def _read_no_limit(cls, tokens: Any) -> Any:
        # -1 is how llama.cpp, LM Studio and LangChain write "as many as there is room for".
        return None if type(tokens) is int and tokens == -1 else tokens

    @field_validator("top_logprobs")
    @classmethod
    def _needs_logprobs(cls, top: int, info: ValidationInfo) -> int:
        if top and not info.data.get("logprobs"):
            raise ArgumentError(zh="需要 logprobs: true", en="needs logprobs: true")
        return top

    @field_validator("stop")
    @classmethod
    def _is_no_stop_of_json(cls, stop: Any, info: ValidationInfo) -> Any:
        response_format = info.data.get("response_format")
        # It would leave half of the JSON, with a finish reason that says it is complete.
        if stop and response_format and response_format.to_schema():
            raise ArgumentError(
                zh="不能和 JSON 的 response_format 一起用：JSON 完整时回答就结束",
                en="not together with a JSON response_format: the answer ends where its JSON does",
            )
        return stop

    def to_requests(self, base: Base, adapter: Path | None) -> list[ChatRequest]:
        """Return what the engine is asked for, one request for each choice."""
        first = ChatRequest(
            base=base,
            adapter=adapter,
            messages=[message.for_template() for message in self.messages],
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            stop=stop_texts(self.stop),
            schema=self.response_format.to_schema() if self.response_format else None,
            logprobs=self.top_logprobs if self.logprobs else None,
        )
        return [replace(first, seed=seed_of(self.seed, choice)) for choice in range(self.n)]

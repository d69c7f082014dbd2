"""What is asked over HTTP: the request bodies that are understood, and how a refusal is said.

No routes and no decisions here; `routes/` has them, and `answers.py` what they answer.
"""

from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException

Limit = Annotated[int, Query(ge=1, le=1000)]
Stop = Annotated[str, Field(max_length=200)]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class Text(BaseModel):
    model_config = STRICT
    type: Literal["text"]
    text: str


class Message(BaseModel):
    """`content` is text; parts of text, which some clients send, are put together."""

    model_config = STRICT
    role: Literal["system", "user", "assistant"]
    content: str | list[Text]

    @field_validator("content")
    @classmethod
    def _join(cls, content):
        return content if isinstance(content, str) else "".join(part.text for part in content)


class ChatBody(BaseModel):
    """What `POST /v1/chat/completions` understands; anything else is refused by name."""

    model_config = STRICT
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: dict | None = None  # accepted, and needless: usage is in every chunk
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.7, gt=0, le=1)  # SiliconCloud's default
    top_k: int = Field(0, ge=0, lt=2**31)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=8)] | None = None
    n: Literal[1] | None = None
    user: str | None = None
    frequency_penalty: float | None = Field(
        None, ge=0, le=0
    )  # clients send the value that does nothing
    presence_penalty: float | None = Field(None, ge=0, le=0)


class Supervised(BaseModel):
    model_config = STRICT
    hyperparameters: dict[str, Any] = {}


class Method(BaseModel):
    model_config = STRICT
    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class JobBody(BaseModel):
    """What `POST /v1/fine_tuning/jobs` understands."""

    model_config = STRICT
    model: str
    training_file: str
    validation_file: str | None = None
    validation_split: float = Field(0.1, ge=0, lt=1)
    suffix: str | None = Field(None, min_length=1, max_length=64)
    seed: int | None = Field(None, ge=0, lt=2**31)
    metadata: (
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None
    ) = Field(None, max_length=16)
    method: Method | None = None
    hyperparameters: dict[str, Any] | None = None


class ErrorFacts(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: ErrorFacts


class ApiError(HTTPException):
    """Becomes an error answer wherever it is raised, even while a body is being read."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers=None,
    ):
        super().__init__(status, message, headers)
        self.code, self.param = code, param


def refused(e: ApiError) -> JSONResponse:
    answer = error(e.status_code, e.detail, code=e.code, param=e.param)
    answer.headers.update(e.headers or {})
    return answer


def plain(text: str) -> str:
    """The text without half characters (lone surrogates), which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def error_body(
    message: str, *, code: str | None = None, param: str | None = None, kind="invalid_request_error"
) -> dict:
    return {
        "error": {
            "message": plain(message),
            "type": kind,
            "param": param and plain(param),
            "code": code,
        }
    }


def error(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse(error_body(message, code=code, param=param, kind=kind), status)

"""What travels over HTTP: the request bodies that are understood, and the answers, built with `openai`'s own types.

No routes and no decisions here; `api.py` has them.
"""

from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.responses import JSONResponse
from openai.types import FileObject, Model
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException

from cookbook.local import store as stored

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
    frequency_penalty: float | None = Field(None, ge=0, le=0)  # clients send the value that does nothing
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
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=16
    )
    method: Method | None = None
    hyperparameters: dict[str, Any] | None = None


class ErrorFacts(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: ErrorFacts


class Health(BaseModel):
    status: Literal["ok"]
    version: str


class _List(BaseModel):
    object: Literal["list"]


class _Page(_List):
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None


class ModelList(_List):
    data: list[Model]


class FileList(_Page):
    data: list[FileObject]


class JobList(_Page):
    data: list[FineTuningJob]


class EventList(_Page):
    data: list[FineTuningJobEvent]


class CheckpointList(_Page):
    data: list[FineTuningJobCheckpoint]


class Refusal(HTTPException):
    """Becomes an error answer wherever it is raised, even while a body is being read."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None, headers=None):
        super().__init__(status, message, headers)
        self.code, self.param = code, param


def refused(e: Refusal) -> JSONResponse:
    answer = error(e.status_code, e.detail, code=e.code, param=e.param)
    answer.headers.update(e.headers or {})
    return answer


def plain(text: str) -> str:
    """The text without half characters (lone surrogates), which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def error_body(
    message: str, *, code: str | None = None, param: str | None = None, kind="invalid_request_error"
) -> dict:
    return {"error": {"message": plain(message), "type": kind, "param": param and plain(param), "code": code}}


def error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse(error_body(message, code=code, param=param, kind=kind), status)


def page(items: list, limit: int) -> JSONResponse:
    """The first `limit` of the items; that there are more tells that there is another page."""
    shown = items[:limit]
    ends = {"first_id": shown[0].id, "last_id": shown[-1].id} if shown else {}
    return listed(shown, has_more=len(items) > limit, **ends)


def listed(items: list, **facts) -> JSONResponse:
    # Written here: FastAPI's encoder takes ten times as long over a hundred jobs.
    return JSONResponse({"object": "list", "data": [item.model_dump(mode="json") for item in items], **facts})


def usage_of(piece) -> dict:
    return {
        "prompt_tokens": piece.prompt_tokens,
        "completion_tokens": piece.completion_tokens,
        "total_tokens": piece.prompt_tokens + piece.completion_tokens,
    }


def model_of(model_id: str, created: int) -> Model:
    return Model(id=model_id, created=created, object="model", owned_by="local")


def file_of(f: stored.File, warnings: str | None = None) -> FileObject:
    """The answer about a file; `warnings` is what its check found that does not stop it from being used."""
    return FileObject(
        id=f.id,
        bytes=f.bytes,
        created_at=f.created_at,
        filename=f.filename,
        object="file",
        purpose=f.purpose,
        status="processed",
        status_details=warnings,
    )


def job_of(job: stored.Job) -> FineTuningJob:
    method = {"type": "supervised", "supervised": {"hyperparameters": job.hyperparameters}}
    return FineTuningJob(
        id=job.id,
        object="fine_tuning.job",
        created_at=job.created_at,
        finished_at=job.finished_at,
        status=job.status,
        paused=job.wanted == "pause" and job.status not in stored.TERMINAL,
        model=job.base,
        fine_tuned_model=job.model if job.status == "succeeded" else None,
        training_file=job.training_file,
        validation_file=job.validation_file,
        validation_split=None if job.validation_file else job.validation_split,
        hyperparameters=job.hyperparameters,
        method=method,
        user_provided_suffix=job.suffix,
        seed=job.seed,
        metadata=job.metadata,
        trained_tokens=job.trained_tokens,
        error=job.error,
        organization_id="local",
        result_files=[],
        integrations=[],
        estimated_finish=None,
    )


def event_of(e: stored.Event) -> FineTuningJobEvent:
    return FineTuningJobEvent(
        id=f"ftevent-{e.number}",
        created_at=e.created_at,
        level=e.level,
        message=e.message,
        object="fine_tuning.job.event",
        type=e.type,
        data=e.data,
    )


def checkpoint_of(m: stored.TunedModel) -> FineTuningJobCheckpoint:
    return FineTuningJobCheckpoint(
        id=f"ftckpt-{m.number}",
        created_at=m.created_at,
        fine_tuned_model_checkpoint=m.id,
        fine_tuning_job_id=m.job,
        metrics={"step": m.step, **m.metrics},
        object="fine_tuning.job.checkpoint",
        step_number=m.step,
    )

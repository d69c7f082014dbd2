"""What the service answers: OpenAI's objects with OpenAI's field names, and how each is made of what is stored.

Written out here, since importing `openai` would take as long as all the rest of the service's start. The official client
remains the contract: `tests/test_contract.py` has it check every answer strictly against its own types.
"""

from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from cookbook.service import store as stored


class Health(BaseModel):
    status: Literal["ok"]
    version: str


class Model(BaseModel):
    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "local"


class Deleted(BaseModel):
    id: str
    object: Literal["model", "file"]
    deleted: Literal[True] = True


class FileObject(BaseModel):
    """`status_details` is what the check found that does not stop the file from being used."""

    id: str
    bytes: int
    created_at: int
    filename: str
    object: Literal["file"] = "file"
    purpose: Literal["fine-tune"]
    status: Literal["processed"] = "processed"
    status_details: str | None


class JobError(BaseModel):
    code: str
    message: str
    param: str | None = None


class JobSupervised(BaseModel):
    hyperparameters: dict[str, int | float]


class JobMethod(BaseModel):
    type: Literal["supervised"] = "supervised"
    supervised: JobSupervised


class FineTuningJob(BaseModel):
    """OpenAI's job; `paused` and `validation_split` are this service's own."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    status: Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
    paused: bool
    model: str
    fine_tuned_model: str | None
    training_file: str
    validation_file: str | None
    validation_split: float | None
    hyperparameters: dict[str, int | float]
    method: JobMethod
    user_provided_suffix: str | None
    seed: int
    metadata: dict[str, str] | None
    trained_tokens: int | None
    error: JobError | None
    organization_id: str = "local"
    result_files: list[str] = []
    integrations: list[Any] = []
    estimated_finish: int | None = None


class FineTuningJobEvent(BaseModel):
    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class FineTuningJobCheckpoint(BaseModel):
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: dict[str, int | float | None]
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    step_number: int


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


def page(items: list, limit: int) -> JSONResponse:
    """The first `limit` of the items; that there are more tells that there is another page."""
    shown = items[:limit]
    ends = {"first_id": shown[0].id, "last_id": shown[-1].id} if shown else {}
    return listed(shown, has_more=len(items) > limit, **ends)


def listed(items: list, **facts) -> JSONResponse:
    # Written here: FastAPI's encoder takes ten times as long over a hundred jobs.
    return JSONResponse(
        {"object": "list", "data": [item.model_dump(mode="json") for item in items], **facts}
    )


def usage_of(piece) -> dict:
    return {
        "prompt_tokens": piece.prompt_tokens,
        "completion_tokens": piece.completion_tokens,
        "total_tokens": piece.prompt_tokens + piece.completion_tokens,
    }


def file_of(f: stored.File, warnings: str | None = None) -> FileObject:
    return FileObject(
        id=f.id,
        bytes=f.bytes,
        created_at=f.created_at,
        filename=f.filename,
        purpose=f.purpose,
        status_details=warnings,
    )


def job_of(job: stored.Job) -> FineTuningJob:
    return FineTuningJob(
        id=job.id,
        created_at=job.created_at,
        finished_at=job.finished_at,
        status=job.status,
        paused=job.requested_state == "pause" and job.status not in stored.TERMINAL,
        model=job.base,
        fine_tuned_model=job.model if job.status == "succeeded" else None,
        training_file=job.training_file,
        validation_file=job.validation_file,
        validation_split=None if job.validation_file else job.validation_split,
        hyperparameters=job.hyperparameters,
        method=JobMethod(supervised=JobSupervised(hyperparameters=job.hyperparameters)),
        user_provided_suffix=job.suffix,
        seed=job.seed,
        metadata=job.metadata,
        trained_tokens=job.trained_tokens,
        error=job.error,
    )


def event_of(e: stored.Event) -> FineTuningJobEvent:
    return FineTuningJobEvent(
        id=f"ftevent-{e.number}",
        created_at=e.created_at,
        level=e.level,
        message=e.message,
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
        step_number=m.step,
    )

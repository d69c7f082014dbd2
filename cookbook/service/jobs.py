"""/v1/fine_tuning/jobs: create, follow, cancel, pause and resume.

Events and checkpoints are in `job_log.py`. A route only writes to the store what is asked for.
The supervisor and the job's process read it there and act.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel

from cookbook.errors import QueueFull
from cookbook.i18n import Text
from cookbook.job_states import TERMINAL, Status
from cookbook.params import DEFAULT_SEED, TASK_NAME
from cookbook.service.api_error import ApiError
from cookbook.service.files import training_file
from cookbook.service.fingerprint import fingerprint
from cookbook.service.job_body import MOST_METADATA, JobBody
from cookbook.service.paging import Limit, Page, Resource
from cookbook.service.request_body import strict_router
from cookbook.service.sentences import shortened
from cookbook.service.state import AppState, State
from cookbook.service.store import LOCAL, Job, new_id, shown
from cookbook.service.turns import Places

_ENTRY_BEGINS, _ENTRY_ENDS = "metadata[", "]"


# Responses


class JobError(BaseModel):
    code: str
    message: str
    param: str | None = None


class JobSupervised(BaseModel):
    hyperparameters: dict[str, int | float]


class JobMethod(BaseModel):
    type: Literal["supervised"] = "supervised"
    supervised: JobSupervised


class FineTuningJob(Resource):
    """OpenAI's job; `paused`, `jobs_ahead` and `validation_split` are this service's own."""

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    status: Status
    paused: bool
    jobs_ahead: int | None
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
    organization_id: str = LOCAL
    # OpenAI's fields for what is not done here
    result_files: list[str] = []
    integrations: list[Any] = []
    estimated_finish: int | None = None


class JobList(Page[FineTuningJob]):
    pass


def job_object(job: Job, places: Places) -> FineTuningJob:
    """Return the stored job as the API shows it; `places` is read once for all of a page."""
    method = {"type": "supervised", "supervised": {"hyperparameters": job.hyperparameters}}
    return FineTuningJob.model_validate(
        {
            "id": job.id,
            "created_at": job.created_at,
            "finished_at": job.finished_at,
            "status": job.status,
            "paused": job.requested_state == "pause" and job.status not in TERMINAL,
            "jobs_ahead": places.ahead(job),
            "model": job.base,
            # Reserved from the start, but nothing to ask before the job has succeeded.
            "fine_tuned_model": job.model if job.status == "succeeded" else None,
            "training_file": job.training_file,
            "validation_file": job.validation_file,
            "validation_split": None if job.validation_file else job.validation_split,
            "hyperparameters": job.hyperparameters,
            "method": method,
            "user_provided_suffix": job.suffix,
            "seed": job.seed,
            "metadata": job.metadata,
            "trained_tokens": job.trained_tokens,
            "error": shown(job.error),
            "organization_id": job.owner,
        }
    )


# Checks


def stored_job(state: AppState, job_id: str, param: str = "fine_tuning_job_id") -> Job:
    """Return the job with that id.

    Raises:
        ApiError: there is none: 400 where a page is to follow it, 404 otherwise.
    """
    job = state.store.job(job_id)
    if not job:
        raise ApiError(
            400 if param == "after" else 404,
            zh=f"没有任务 {job_id}，用 jobs.list() 看看有哪些",
            en=f"there is no job {job_id}: see jobs.list()",
            code="job_not_found",
            param=param,
        )
    return job


def _unfinished_job(state: AppState, job_id: str) -> Job:
    job = stored_job(state, job_id)
    if job.status in TERMINAL:
        raise ApiError(
            400,
            zh=f"任务已经结束（{job.status}）",
            en=f"the job has ended already ({job.status})",
            code="job_ended",
            param="fine_tuning_job_id",
        )
    return job


def _check_job(state: AppState, body: JobBody) -> None:
    """Raise ApiError if the request names a base or file that is not there, or a bad task name."""
    if body.model not in state.bases:
        name = shortened(body.model)
        raise ApiError(
            400,
            zh=f"不能微调 {name}。可用的基础模型：{'、'.join(state.bases)}",
            en=f"{name} cannot be tuned. Bases: {', '.join(state.bases)}",
            code="model_not_found",
            param="model",
        )
    training_file(state.store, body.training_file, "training_file")
    if body.validation_file:
        training_file(state.store, body.validation_file, "validation_file")
    if body.suffix and not TASK_NAME.fullmatch(body.suffix):
        raise ApiError(
            400,
            zh="suffix 只能用字母、数字、_ 和 -",
            en="suffix may hold letters, digits, _ and - only",
            code="invalid_value",
            param="suffix",
        )


# FastAPI knows no parameters that are objects: `metadata[key]=value`.
_METADATA_FILTER = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "schema": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "maxProperties": MOST_METADATA,
    },
}


async def _metadata_filter(request: Request) -> Mapping[str, str] | None:
    """Return the entries that the jobs of a list must have; None for `metadata=null`.

    Raises:
        ApiError: `metadata` is written in another way, or has too many entries.
    """
    entries = {}
    for name, value in request.query_params.items():
        if name == "metadata" and value == "null":
            return None
        if name.startswith(_ENTRY_BEGINS) and name.endswith(_ENTRY_ENDS):
            key = name.removeprefix(_ENTRY_BEGINS).removesuffix(_ENTRY_ENDS)
            entries[key] = value
        elif name.startswith("metadata"):
            raise ApiError(
                400,
                zh="按 metadata 筛选要写成 metadata[名称]=值，或 metadata=null",
                en="to filter by metadata write metadata[key]=value, or metadata=null",
                code="invalid_value",
                param="metadata",
            )
    if len(entries) > MOST_METADATA:
        raise ApiError(
            400,
            zh=f"metadata 最多 {MOST_METADATA} 项，收到 {len(entries)} 项",
            en=f"metadata may have {MOST_METADATA} entries at most, got {len(entries)}",
            code="invalid_value",
            param="metadata",
        )
    return entries


# Routes

router = strict_router("/v1/fine_tuning/jobs")


@router.post("")
def create_job(body: JobBody, state: State) -> FineTuningJob:
    _check_job(state, body)
    seed = DEFAULT_SEED if body.seed is None else body.seed
    hyperparameters = body.all_hyperparameters().to_dict()
    # Last, so that a request that is wrong anyway is not sent to wait.
    try:
        job = state.store.add_job(
            base=body.model,
            model=new_id(f"ft:LoRA/{body.model}:{state.store.owner}:{body.suffix or 'task'}:"),
            training_file=body.training_file,
            validation_file=body.validation_file,
            validation_split=body.validation_split,
            suffix=body.suffix,
            seed=seed,
            metadata=body.metadata,
            hyperparameters=hyperparameters,
            limit=state.allowance.jobs,
            fingerprint=fingerprint(
                state.store,
                state.bases[body.model],
                training_file=body.training_file,
                validation_file=body.validation_file,
                validation_split=body.validation_split,
                seed=seed,
                hyperparameters=hyperparameters,
            ),
        )
    except QueueFull as error:
        headers = {"retry-after": "30"}
        raise ApiError(
            429, zh=error.zh, en=error.en, code="too_many_jobs", headers=headers
        ) from error
    return job_object(job, Places(state.store))


@router.get("", openapi_extra={"parameters": [_METADATA_FILTER]})
def list_jobs(
    state: State,
    metadata: Annotated[Mapping[str, str] | None, Depends(_metadata_filter)],
    after: str | None = None,
    limit: Limit = 20,
) -> JobList:
    last = stored_job(state, after, "after").number if after else None
    jobs = state.store.jobs_page(last, limit + 1, metadata)
    places = Places(state.store)
    return JobList.of([job_object(job, places) for job in jobs], limit)


@router.get("/{job_id}")
def get_job(job_id: str, state: State) -> FineTuningJob:
    return job_object(stored_job(state, job_id), Places(state.store))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: str, state: State) -> FineTuningJob:
    text = Text("任务已取消", "The job was cancelled")
    _unfinished_job(state, job_id)
    if not state.store.advance(job_id, "cancelled", text):
        _unfinished_job(state, job_id)  # it ended a moment ago
    return job_object(stored_job(state, job_id), Places(state.store))


@router.post("/{job_id}/pause")
def pause_job(job_id: str, state: State) -> FineTuningJob:
    text = Text("任务已暂停，resume 后从这一步继续", "Paused; resume continues from this step")
    _unfinished_job(state, job_id)
    state.store.request_state(job_id, "pause", text)
    # Read again: the response shows the change, or that the job ended meanwhile.
    return job_object(_unfinished_job(state, job_id), Places(state.store))


@router.post("/{job_id}/resume")
def resume_job(job_id: str, state: State) -> FineTuningJob:
    _unfinished_job(state, job_id)
    state.store.request_state(job_id, "run", Text("任务继续", "Resumed"))
    return job_object(_unfinished_job(state, job_id), Places(state.store))

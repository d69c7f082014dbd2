"""/v1/fine_tuning/jobs: create, follow, cancel, pause, resume; events and checkpoints."""

import re

from fastapi import APIRouter

from cookbook.bases import Base
from cookbook.errors import HyperparameterError
from cookbook.i18n import tr
from cookbook.params import WHOLE, Hyperparameters
from cookbook.service import limits
from cookbook.service import store as stored
from cookbook.service.files import stored_file
from cookbook.service.requests import ApiError, JobBody, Limit
from cookbook.service.responses import (
    CheckpointList,
    EventList,
    FineTuningJob,
    JobList,
    checkpoint_of,
    event_of,
    job_of,
    page,
)

JOBS = "/v1/fine_tuning/jobs"
JOB = JOBS + "/{job_id}"
ANSWER = {200: {"model": FineTuningJob}}


def router(store: stored.Store, bases: dict[str, Base]) -> APIRouter:
    api = APIRouter()

    @api.post(JOBS, response_model=None, responses=ANSWER)
    def create_job(body: JobBody):
        if body.model not in bases:
            text = tr(
                f"不能微调 {body.model}。可用的基础模型：{'、'.join(bases)}",
                f"{body.model} cannot be tuned. Bases: {', '.join(bases)}",
            )
            raise ApiError(400, text, code="model_not_found", param="model")
        stored_file(store, body.training_file, "training_file")
        if body.validation_file:
            stored_file(store, body.validation_file, "validation_file")
        if body.suffix and not re.fullmatch(r"[A-Za-z0-9_-]+", body.suffix):
            text = tr(
                "suffix 只能用字母、数字、_ 和 -", "suffix may hold letters, digits, _ and - only"
            )
            raise ApiError(400, text, code="invalid_value", param="suffix")
        given = (
            body.method.supervised.hyperparameters if body.method else body.hyperparameters or {}
        )
        hyperparameters = _hyperparameters(given).to_dict()
        _check_room(store)
        job = store.add_job(
            base=body.model,
            model=stored.new_id(f"ft:LoRA/{body.model}:local:{body.suffix or 'task'}:"),
            training_file=body.training_file,
            validation_file=body.validation_file,
            validation_split=body.validation_split,
            suffix=body.suffix,
            seed=42 if body.seed is None else body.seed,
            metadata=body.metadata,
            hyperparameters=hyperparameters,
        )
        return job_of(job)

    @api.get(JOBS, response_model=None, responses={200: {"model": JobList}})
    def list_jobs(after: str | None = None, limit: Limit = 20):
        last = stored_job(after, "after").number if after else None
        return page([job_of(job) for job in store.jobs_page(last, limit + 1)], limit)

    @api.get(JOB, response_model=None, responses=ANSWER)
    def get_job(job_id: str):
        return job_of(stored_job(job_id))

    @api.post(JOB + "/cancel", response_model=None, responses=ANSWER)
    def cancel(job_id: str):
        unfinished(job_id)
        if not store.advance(job_id, "cancelled", tr("任务已取消", "The job was cancelled")):
            unfinished(job_id)  # it ended at this very moment
        return job_of(store.job(job_id))

    @api.post(JOB + "/pause", response_model=None, responses=ANSWER)
    def pause(job_id: str):
        unfinished(job_id)
        store.request_state(
            job_id,
            "pause",
            tr("任务已暂停，resume 后从这一步继续", "Paused; resume goes on from this step"),
        )
        return job_of(unfinished(job_id))

    @api.post(JOB + "/resume", response_model=None, responses=ANSWER)
    def resume(job_id: str):
        unfinished(job_id)
        store.request_state(job_id, "run", tr("任务继续", "Resumed"))
        return job_of(unfinished(job_id))

    @api.get(JOB + "/events", response_model=None, responses={200: {"model": EventList}})
    def list_events(job_id: str, after: str | None = None, limit: Limit = 20):
        stored_job(job_id)
        events = store.events(job_id, before=_number(after, "ftevent-"), limit=limit + 1)
        return page([event_of(e) for e in events], limit)

    @api.get(JOB + "/checkpoints", response_model=None, responses={200: {"model": CheckpointList}})
    def list_checkpoints(job_id: str, after: str | None = None, limit: Limit = 10):
        stored_job(job_id)
        before = _number(after, "ftckpt-")
        return page(
            [checkpoint_of(m) for m in store.models(job_id) if before is None or m.number < before],
            limit,
        )

    def stored_job(job_id: str, param: str = "fine_tuning_job_id") -> stored.Job:
        job = store.job(job_id)
        if not job:
            text = tr(
                f"没有任务 {job_id}，用 jobs.list() 看看有哪些",
                f"there is no job {job_id}: see jobs.list()",
            )
            raise ApiError(
                400 if param == "after" else 404, text, code="job_not_found", param=param
            )
        return job

    def unfinished(job_id: str) -> stored.Job:
        job = stored_job(job_id)
        if job.status in stored.TERMINAL:
            text = tr(f"任务已经结束（{job.status}）", f"the job has ended already ({job.status})")
            raise ApiError(400, text, code="job_ended", param="fine_tuning_job_id")
        return job

    return api


def _check_room(store: stored.Store) -> None:
    if (waiting := store.count_unfinished()) >= limits.JOBS:
        text = tr(
            f"已经有 {waiting} 个任务没有结束，达到上限：等一些结束，或取消一些",
            f"{waiting} jobs have not ended, which is the limit: wait for some to end, or cancel some",
        )
        raise ApiError(429, text, code="too_many_jobs", headers={"retry-after": "30"})


def _number(after: str | None, prefix: str) -> int | None:
    """The number in an id such as `ftevent-12`, which is the last one of the page before."""
    if after is None:
        return None
    if not (found := re.fullmatch(rf"{prefix}([0-9]{{1,18}})", after)):
        text = tr(
            f"after 应当是上一页最后的 id，收到 {after!r}",
            f"after is the last id of a page, got {after!r}",
        )
        raise ApiError(400, text, code="invalid_value", param="after")
    return int(found[1])


def _hyperparameters(given: dict) -> Hyperparameters:
    """The values of a request; `"auto"` and numbers that are whole but written as 3.0 are understood."""
    names = Hyperparameters.__dataclass_fields__
    if unknown := [name for name in given if name not in names]:
        known = ", ".join(names)
        text = tr(
            f"没有超参数 {unknown[0]}，可用的是 {known}",
            f"there is no hyperparameter {unknown[0]}; known are {known}",
        )
        raise ApiError(
            400, text, code="unsupported_parameter", param=f"hyperparameters.{unknown[0]}"
        )
    values = {k: v for k, v in given.items() if v != "auto"}
    values = {
        k: int(v) if k in WHOLE and isinstance(v, float) and v.is_integer() else v
        for k, v in values.items()
    }
    try:
        return Hyperparameters(**values)
    except HyperparameterError as error:
        name = next(iter(error.problems))
        raise ApiError(
            400, str(error), code="invalid_hyperparameter", param=f"hyperparameters.{name}"
        ) from error

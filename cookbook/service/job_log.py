"""/v1/fine_tuning/jobs/{id}/events and /checkpoints: what a job leaves behind, newest first.

Both grow while it trains, so a page follows the number in an id (`ftevent-12`), not a position in
the list.
"""

import re
from typing import Any, Literal

from cookbook.service.api_error import ApiError
from cookbook.service.jobs import stored_job
from cookbook.service.paging import Limit, Page, Resource
from cookbook.service.request_body import strict_router
from cookbook.service.state import State
from cookbook.service.store import Event, TunedModel

# Ids are these and the number of the row.
_EVENT, _CHECKPOINT = "ftevent-", "ftckpt-"


class FineTuningJobEvent(Resource):
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class FineTuningJobCheckpoint(Resource):
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: dict[str, int | float | None]
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    step_number: int


class EventList(Page[FineTuningJobEvent]):
    pass


class CheckpointList(Page[FineTuningJobCheckpoint]):
    pass


def event_object(event: Event) -> FineTuningJobEvent:
    """Return the stored event as the API shows it."""
    return FineTuningJobEvent.model_validate(
        {
            "id": f"{_EVENT}{event.number}",
            "created_at": event.created_at,
            "level": event.level,
            "message": event.message,
            "type": event.type,
            "data": event.data,
        }
    )


def checkpoint_object(model: TunedModel) -> FineTuningJobCheckpoint:
    """Return the stored model, finished or not, as a checkpoint of its job."""
    return FineTuningJobCheckpoint(
        id=f"{_CHECKPOINT}{model.number}",
        created_at=model.created_at,
        fine_tuned_model_checkpoint=model.id,
        fine_tuning_job_id=model.job,
        metrics={"step": model.step, **model.metrics},
        step_number=model.step,
    )


def _number(after: str | None, prefix: str) -> int | None:
    """Return the number in an id such as `ftevent-12`, the last one of the page before.

    Raises:
        ApiError: it is not such an id.
    """
    if after is None:
        return None
    # Not more digits than SQLite's integers have.
    match = re.fullmatch(rf"{prefix}([0-9]{{1,18}})", after)
    if not match:
        raise ApiError(
            400,
            zh=f"after 应当是上一页最后的 id，收到 {after!r}",
            en=f"after must be the last id of a page, got {after!r}",
            code="invalid_value",
            param="after",
        )
    return int(match[1])


router = strict_router("/v1/fine_tuning/jobs/{job_id}")


@router.get("/events")
def list_events(
    job_id: str, state: State, after: str | None = None, limit: Limit = 20
) -> EventList:
    stored_job(state, job_id)
    before = _number(after, _EVENT)
    events = state.store.events(job_id, before=before, limit=limit + 1)
    return EventList.of([event_object(event) for event in events], limit)


@router.get("/checkpoints")
def list_checkpoints(
    job_id: str, state: State, after: str | None = None, limit: Limit = 10
) -> CheckpointList:
    stored_job(state, job_id)
    before = _number(after, _CHECKPOINT)
    # All of them: a job has at most one for each of its ten epochs.
    models = state.store.models(job_id)
    older = [model for model in models if before is None or model.number < before]
    return CheckpointList.of([checkpoint_object(model) for model in older], limit)

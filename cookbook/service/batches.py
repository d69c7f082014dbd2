"""/v1/batches: create, follow and cancel. The runner answers the lines (`batch_runner.py`).

A route only writes to the store what is asked for. The words of `status` are OpenAI's.
"""

from typing import Literal

from pydantic import BaseModel

from cookbook.errors import FilesFull, QueueFull
from cookbook.service import batch_file
from cookbook.service.api_error import ApiError
from cookbook.service.batch_body import BatchBody
from cookbook.service.files import BATCH, stored_file
from cookbook.service.models import find_model
from cookbook.service.paging import Limit, Page, Resource
from cookbook.service.request_body import strict_router
from cookbook.service.sentences import shortened
from cookbook.service.state import AppState, State
from cookbook.service.store import Batch, shown

Status = Literal[
    "in_progress", "finalizing", "completed", "cancelling", "cancelled", "expired", "failed"
]


class Counts(BaseModel):
    total: int
    completed: int
    failed: int


class CachedTokens(BaseModel):
    cached_tokens: int = 0


class ReasoningTokens(BaseModel):
    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens_details: ReasoningTokens = ReasoningTokens()


class BatchError(BaseModel):
    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchErrors(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchError]


class BatchObject(Resource):
    """OpenAI's batch. `errors` says why it failed, or what it waits for while it is under way."""

    object: Literal["batch"] = "batch"
    endpoint: Literal["/v1/chat/completions"] = "/v1/chat/completions"
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Status
    model: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: Counts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchList(Page[BatchObject]):
    pass


def batch_object(batch: Batch) -> BatchObject:
    """Return the stored batch as the API shows it."""
    ended = {"completed": None, "failed": None, "expired": None, "cancelled": None}
    ends = ended | {batch.status: batch.ended_at}
    tokens = {"input_tokens": batch.input_tokens, "output_tokens": batch.output_tokens}
    return BatchObject.model_validate(
        {
            "id": batch.id,
            "errors": {"data": [shown(batch.fault)]} if batch.fault else None,
            "input_file_id": batch.input_file,
            "completion_window": batch.completion_window,
            "status": batch.status,
            "model": batch.model,
            "output_file_id": batch.output_file,
            "error_file_id": batch.error_file,
            "created_at": batch.created_at,
            "in_progress_at": batch.created_at,
            "expires_at": batch.expires_at,
            "finalizing_at": batch.finalizing_at,
            "cancelling_at": batch.cancelling_at,
            **{f"{status}_at": ends[status] for status in ended},
            "request_counts": {
                "total": batch.total,
                "completed": batch.answered,
                "failed": batch.failed,
            },
            "usage": tokens | {"total_tokens": sum(tokens.values())},
            "metadata": batch.metadata,
        }
    )


# Checks


def stored_batch(state: AppState, batch_id: str, param: str = "batch_id") -> Batch:
    """Return the batch with that id.

    Raises:
        ApiError: there is none: 400 where a page is to follow it, 404 otherwise.
    """
    batch = state.store.batch(batch_id)
    if not batch:
        name = shortened(batch_id)
        raise ApiError(
            400 if param == "after" else 404,
            zh=f"没有批量任务 {name}，用 batches.list() 看看有哪些",
            en=f"there is no batch {name}: see batches.list()",
            code="batch_not_found",
            param=param,
        )
    return batch


def _checked_file(state: AppState, file_id: str) -> dict[str | None, list[int]]:
    """Return which models the lines of a batch file name.

    Raises:
        ApiError: there is no such file, or it is for another purpose.
    """
    file = stored_file(state.store, file_id, "input_file_id")
    if file.purpose != BATCH:
        raise ApiError(
            400,
            zh=f'文件 {file.id} 的 purpose 是 {file.purpose}：用 purpose="{BATCH}" 上传批量请求',
            en=f"the purpose of the file {file.id} is {file.purpose}: "
            f'upload the requests with purpose="{BATCH}"',
            code="invalid_purpose",
            param="input_file_id",
        )
    try:
        return batch_file.models_of(state.store.file_content(file.id))
    except LookupError:
        raise _deleted() from None


def _deleted() -> ApiError:
    return ApiError(
        400,
        zh="文件刚刚被删除了：重新上传",
        en="the file was deleted a moment ago: upload it again",
        code="file_not_found",
        param="input_file_id",
    )


def _only_model(models: dict[str | None, list[int]]) -> str:
    """Return the model that every line names.

    Raises:
        ApiError: some name none, or others.
    """
    nameless = models.pop(None, [])
    hint_zh = '写上 extra_body={"replace": {"model": …}}，或在每行的 body 里写同一个 model'
    hint_en = (
        'give extra_body={"replace": {"model": …}}, or the same model in the body of each line'
    )
    if nameless:
        lines = batch_file.spans(nameless)
        raise ApiError(
            400,
            zh=f"第 {lines} 行没有 model：{hint_zh}",
            en=f"no model in line {lines}: {hint_en}",
            code="model_missing",
            param="input_file_id",
        )
    if len(models) > 1:
        (one, _), (other, numbers) = list(models.items())[:2]
        one, other = shortened(str(one)), shortened(str(other))
        raise ApiError(
            400,
            zh=f"一个批量文件只能问一个模型，第 {numbers[0]} 行是 {other}，前面是 {one}：{hint_zh}",
            en=f"a batch asks one model: line {numbers[0]} names {other}, those before it {one}: "
            f"{hint_en}",
            code="several_models",
            param="input_file_id",
        )
    return str(next(iter(models)))


def _refused(error: QueueFull | FilesFull, code: str) -> ApiError:
    headers = {"retry-after": "30", "x-should-retry": "false"}
    return ApiError(429, zh=error.zh, en=error.en, code=code, headers=headers)


# Routes

router = strict_router("/v1/batches")


@router.post("")
def create_batch(body: BatchBody, state: State) -> BatchObject:
    models = _checked_file(state, body.input_file_id)
    total = sum(map(len, models.values()))
    model = body.replace.model if body.replace else _only_model(models)
    find_model(state, model)
    # Last, so that a request that is wrong anyway is not sent to wait.
    try:
        batch = state.store.add_batch(
            input_file=body.input_file_id,
            model=model,
            hours=body.hours,
            total=total,
            metadata=body.metadata,
            limit=state.allowance.batches,
            bytes_limit=state.allowance.bytes,
        )
    except QueueFull as error:
        raise _refused(error, "too_many_batches") from error
    except FilesFull as error:
        raise _refused(error, "too_many_bytes") from error
    if batch is None:
        raise _deleted()
    return batch_object(batch)


@router.get("")
def list_batches(state: State, after: str | None = None, limit: Limit = 20) -> BatchList:
    last = stored_batch(state, after, "after").number if after else None
    batches = state.store.batches_page(last, limit + 1)
    return BatchList.of([batch_object(batch) for batch in batches], limit)


@router.get("/{batch_id}")
def get_batch(batch_id: str, state: State) -> BatchObject:
    return batch_object(stored_batch(state, batch_id))


@router.post("/{batch_id}/cancel")
def cancel_batch(batch_id: str, state: State) -> BatchObject:
    batch = stored_batch(state, batch_id)
    if batch.ended_at is not None:
        raise ApiError(
            400,
            zh=f"批量任务已经结束（{batch.status}）",
            en=f"the batch has ended already ({batch.status})",
            code="batch_ended",
            param="batch_id",
        )
    state.store.cancel_batch(batch_id)
    return batch_object(stored_batch(state, batch_id))

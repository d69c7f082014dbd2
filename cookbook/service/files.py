"""/v1/files: training files and batch files, checked when they are uploaded; results of batches.

An upload is the only way into the store for what a reader has, and it stores no file that breaks a
rule of its purpose: a job or a batch need not check its files again. A file's name is a label: it
never reaches the file system.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile

from cookbook.errors import FilesFull
from cookbook.service.api_error import ApiError, error_of, replace_surrogates
from cookbook.service.paging import Limit, Page, Resource
from cookbook.service.request_body import strict_router
from cookbook.service.sentences import shortened, shown, unsupported
from cookbook.service.state import AppState, State
from cookbook.service.store import File, Store
from cookbook.service.validation import Problem

FINE_TUNE = "fine-tune"
BATCH = "batch"
_PURPOSES = (FINE_TUNE, BATCH)  # of uploads
_PART_BYTES = 512 * 1024  # of a content, in memory at a time
_NAME_LENGTH = 255  # characters of a file's name that are kept, from its end

# The form is read by hand, so that unknown fields are refused by name; FastAPI cannot describe it.
_UPLOAD_FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": [*_PURPOSES]},
    },
    "additionalProperties": False,
}
_UPLOAD_BODY = {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD_FORM}}}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/jsonl": {"schema": {"type": "string", "format": "binary"}}}}
}


class FileObject(Resource):
    """OpenAI's file. `status_details` has the check's warnings, in the response to the upload."""

    bytes: int
    created_at: int
    filename: str
    object: Literal["file"] = "file"
    purpose: Literal["fine-tune", "batch", "batch_output"]
    status: Literal["processed"] = "processed"
    status_details: str | None


class FileList(Page[FileObject]):
    pass


class DeletedFile(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def file_object(file: File, warnings: str | None = None) -> FileObject:
    """Return the stored file as the API shows it."""
    return FileObject.model_validate(
        {
            "id": file.id,
            "bytes": file.bytes,
            "created_at": file.created_at,
            "filename": file.filename,
            "purpose": file.purpose,
            "status_details": warnings,
        }
    )


def stored_file(store: Store, file_id: str, param: str = "file_id") -> File:
    """Return the file with that id.

    Raises:
        ApiError: there is none: 404 where the address names it, 400 where another parameter does.
    """
    file = store.file(file_id)
    if not file:
        raise ApiError(
            404 if param == "file_id" else 400,
            zh=f"没有文件 {shortened(file_id)}，先用 files.create 上传",
            en=f"there is no file {shortened(file_id)}: upload it with files.create",
            code="file_not_found",
            param=param,
        )
    return file


def _uploaded(form: FormData) -> tuple[UploadFile, str]:
    """Return the file of the form, and its purpose.

    Raises:
        ApiError: there is no file, another purpose, or a field that is not supported.
    """
    unknown = sorted(set(form) - {"file", "purpose"})
    if unknown:
        raise error_of(
            [Problem(name, "unsupported_parameter", unsupported(name)) for name in unknown]
        )
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise ApiError(
            400, zh="缺少 file", en="file is missing", code="invalid_value", param="file"
        )
    purpose = form.get("purpose")
    if not isinstance(purpose, str) or purpose not in _PURPOSES:
        given = shown(purpose) if isinstance(purpose, str) else "null"
        raise ApiError(
            400,
            zh=f"purpose 只支持 {' 和 '.join(_PURPOSES)}，收到的是 {given}",
            en=f"purpose must be {' or '.join(_PURPOSES)}, got {given}",
            code="unsupported_parameter",
            param="purpose",
        )
    return file, purpose


def _check_and_store(state: AppState, name: str, purpose: str, content: bytes) -> FileObject:
    """Check the file against every rule, and store it if it breaks none.

    Raises:
        ApiError: with the whole report, and the code of its first error; or the caller has as many
            bytes as each person of a room may have.
    """
    verdict = state.check(name, content, purpose)
    text = verdict.text
    if verdict.error:
        raise ApiError(400, zh=text, en=text, code=verdict.error, param="file")
    try:
        file = state.store.add_file(name, purpose, content, limit=state.allowance.bytes)
    except FilesFull as error:
        raise ApiError(
            429,
            zh=error.zh,
            en=error.en,
            code="too_many_bytes",
            param="file",
            headers={"retry-after": "30", "x-should-retry": "false"},
        ) from error
    return file_object(file, warnings=text if verdict.has_problems else None)


def training_file(store: Store, file_id: str, param: str) -> File:
    """Return the training file with that id.

    Raises:
        ApiError: there is none, or the file is for another purpose.
    """
    file = stored_file(store, file_id, param)
    if file.purpose != FINE_TUNE:
        raise ApiError(
            400,
            zh=f"文件 {file_id} 的 purpose 是 {file.purpose}，不能用来训练："
            f'用 purpose="{FINE_TUNE}" 上传训练数据',
            en=f"the purpose of the file {file_id} is {file.purpose}, it cannot be trained on: "
            f'upload training data with purpose="{FINE_TUNE}"',
            code="invalid_purpose",
            param=param,
        )
    return file


def _in_use(*, zh: str, en: str) -> ApiError:
    return ApiError(409, zh=zh, en=en, code="file_in_use", param="file_id")


def _parts(store: Store, file_id: str, size: int) -> Iterator[bytes]:
    """Yield a file's content as fast as it is read: many slow readers must not fill the memory."""
    for start in range(0, size, _PART_BYTES):
        yield store.file_part(file_id, start, _PART_BYTES)


router = strict_router()


@router.post("/v1/files", openapi_extra={"requestBody": _UPLOAD_BODY})
async def upload_file(request: Request, state: State) -> FileObject:
    async with request.form(max_files=1, max_fields=8) as form:
        upload, purpose = _uploaded(form)
        name = replace_surrogates(upload.filename or "upload.jsonl")[-_NAME_LENGTH:]
        # Before the content is read: it is in memory only while it has its turn.
        async with state.uploads.of(state.caller):
            content = await upload.read()
            # In a thread: a check takes up to a second, in which the service must go on answering.
            file = await asyncio.to_thread(_check_and_store, state, name, purpose, content)
    # A job mostly follows within seconds: its process can start already.
    if purpose == FINE_TUNE:
        state.on_upload()
    return file


@router.get("/v1/files")
def list_files(
    state: State,
    purpose: str | None = None,
    after: str | None = None,
    limit: Limit = 1000,
    order: Literal["asc", "desc"] = "desc",
) -> FileList:
    # Pages follow the number of a row, so that a file that is deleted shifts none.
    last = stored_file(state.store, after, "after").number if after else None
    files = state.store.files_page(last, limit + 1, newest_first=order == "desc", purpose=purpose)
    return FileList.of([file_object(file) for file in files], limit)


@router.get("/v1/files/{file_id}")
def get_file(file_id: str, state: State) -> FileObject:
    return file_object(stored_file(state.store, file_id))


@router.get("/v1/files/{file_id}/content", response_class=Response, responses=_CONTENT)
def get_file_content(file_id: str, state: State) -> Response:
    size = stored_file(state.store, file_id).bytes
    headers = {"content-length": str(size)}
    parts = _parts(state.store, file_id, size)
    return StreamingResponse(parts, media_type="application/jsonl", headers=headers)


@router.delete("/v1/files/{file_id}")
def delete_file(file_id: str, state: State) -> DeletedFile:
    stored_file(state.store, file_id)
    user_id = state.store.delete_file(file_id)
    if user_id:
        # The leader may use a person's file, who does not see the leader's job or batch.
        if not (state.store.job(user_id) or state.store.batch(user_id)):
            raise _in_use(
                zh="组织者的任务正在用这个文件，等它结束",
                en="a job or batch of the leader uses this file: wait for it",
            )
        raise _in_use(
            zh=f"任务 {user_id} 正在用这个文件，等它结束或取消它",
            en=f"{user_id} uses this file: wait for it or cancel it",
        )
    return DeletedFile(id=file_id)

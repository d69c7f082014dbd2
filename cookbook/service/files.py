"""/v1/files: training files, checked as they come. A file's name is a label: it never reaches the file system."""

import asyncio
from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from cookbook import data
from cookbook.i18n import tr
from cookbook.service import limits
from cookbook.service.requests import ApiError, Limit, plain
from cookbook.service.responses import Deleted, FileList, FileObject, file_of, page
from cookbook.service.store import File, Store

FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": ["fine-tune"]},
    },
    "additionalProperties": False,
}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}
CONTENT = {"content": {"application/jsonl": {"schema": {"type": "string", "format": "binary"}}}}


def router(store: Store, on_upload: Callable[[], None]) -> APIRouter:
    api = APIRouter()
    checking = asyncio.Semaphore(limits.UPLOADS)

    @api.post(
        "/v1/files", response_model=None, responses={200: {"model": FileObject}}, openapi_extra=BODY
    )
    async def upload(request: Request):
        async with request.form(max_files=1, max_fields=8) as form:
            file = _upload_of(form)
            async with checking:
                content, name = await file.read(), plain(file.filename or "upload.jsonl")[-255:]
                report = await asyncio.to_thread(data.check_bytes, content, name)
                if not report.ok:
                    code = next(p.code for p in report.problems if p.severity == "error")
                    raise ApiError(400, str(report), code=code, param="file")
                kept = await asyncio.to_thread(store.add_file, name, form["purpose"], content)
        on_upload()
        return file_of(kept, warnings=str(report) if report.problems else None)

    @api.get("/v1/files", response_model=None, responses={200: {"model": FileList}})
    def list_files(
        purpose: str | None = None,
        after: str | None = None,
        limit: Limit = 1000,
        order: Literal["asc", "desc"] = "desc",
    ):
        last = stored_file(store, after, "after").number if after else None
        files = store.files_page(last, limit + 1, newest_first=order == "desc")
        return page([file_of(f) for f in files if purpose in (None, f.purpose)], limit)

    @api.get("/v1/files/{file_id}", response_model=None, responses={200: {"model": FileObject}})
    def get_file(file_id: str):
        return file_of(stored_file(store, file_id))

    @api.get("/v1/files/{file_id}/content", response_class=Response, responses={200: CONTENT})
    def get_content(file_id: str):
        stored_file(store, file_id)
        return Response(store.file_content(file_id), media_type="application/jsonl")

    @api.delete("/v1/files/{file_id}", response_model=None, responses={200: {"model": Deleted}})
    def delete_file(file_id: str):
        stored_file(store, file_id)
        if job := store.delete_file(file_id):
            text = tr(
                f"任务 {job} 正在用这个文件，等它结束或取消它",
                f"job {job} uses this file: wait for it or cancel it",
            )
            raise ApiError(409, text, code="file_in_use", param="file_id")
        return Deleted(id=file_id, object="file")

    return api


def _upload_of(form) -> UploadFile:
    """The file of a form that asks for nothing else."""
    if unknown := sorted(set(form) - {"file", "purpose"}):
        text = tr(
            f"不支持参数 {unknown[0]}，请去掉它",
            f"{unknown[0]} is not supported here: leave it out",
        )
        raise ApiError(400, text, code="unsupported_parameter", param=unknown[0])
    if not isinstance(form.get("file"), UploadFile):
        raise ApiError(400, tr("缺少 file", "file is missing"), code="invalid_value", param="file")
    if (purpose := form.get("purpose")) != "fine-tune":
        text = tr(
            f"purpose 只支持 fine-tune，收到 {purpose!r}",
            f"purpose must be fine-tune, got {purpose!r}",
        )
        raise ApiError(400, text, code="unsupported_parameter", param="purpose")
    return form["file"]


def stored_file(store: Store, file_id: str, param: str = "file_id") -> File:
    """The file of that id, or a refusal: 404 where it was asked for, 400 where another request names it."""
    file = store.file(file_id)
    if not file:
        text = tr(
            f"没有文件 {file_id}，先用 files.create 上传",
            f"there is no file {file_id}: upload it with files.create",
        )
        raise ApiError(404 if param == "file_id" else 400, text, code="file_not_found", param=param)
    return file

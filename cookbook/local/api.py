"""The HTTP face of the embedded service: OpenAI's routes for files, fine-tuning, models and chat.

Contract: the unmodified `openai` client. Answers are built with that package's own types; errors are
`{"error": {"message", "type", "param", "code"}}`; what is not supported is refused by name with 400. Every route but
`/health` wants the bearer token. Usage stands in every chunk of a stream, cumulative, as SiliconCloud sends it.

    make_app(store, home=…, bases=…, submit=…, api_key=…)

`submit(base, adapter, body, on_piece)` is the chat engine's door; this module knows neither torch nor SQL.
"""

import asyncio
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from openai.types import FileDeleted, ModelDeleted
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from cookbook import __version__, data
from cookbook.errors import HyperparameterError, say
from cookbook.local import store as stored
from cookbook.local.models import Base
from cookbook.local.wire import (
    ChatBody,
    JobBody,
    checkpoint_of,
    error,
    error_body,
    event_of,
    file_of,
    job_of,
    model_of,
    page,
    usage_of,
)
from cookbook.params import WHOLE, Hyperparameters

BODY_LIMIT = data.MAX_BYTES + 64 * 1024  # an upload of the largest file, with its multipart wrapping
PAGE = Annotated[int, Query(ge=1, le=1000)]


class Refusal(Exception):
    """Becomes an error answer."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None):
        self.status, self.message, self.code, self.param = status, message, code, param


def make_app(
    store: stored.Store,
    *,
    home: Path,
    bases: list[Base],
    submit: Callable,
    api_key: str,
) -> FastAPI:
    """The application. `submit` starts a chat answer and returns it."""
    app = FastAPI(title="siliconcloud-cookbook", version=__version__, docs_url=None, redoc_url=None)
    app.state.last_request = time.monotonic()
    by_id = {base.id: base for base in bases}

    @app.middleware("http")
    async def guard(request: Request, call_next):
        if request.url.path != "/health":
            app.state.last_request = time.monotonic()
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not hmac.compare_digest(given, api_key.encode()):
                text = say(
                    "API key 不对：用 connect() 给出的 api_key", "wrong API key: use the api_key that connect() gives"
                )
                return error(401, text, code="invalid_api_key")
        if int(request.headers.get("content-length") or 0) > BODY_LIMIT:
            text = say("请求超过 10 MB 上限：拆成几个文件", "the request is over the limit of 10 MB: split the file")
            return error(413, text, code="file-size", param="file")
        return await call_next(request)

    @app.exception_handler(Refusal)
    async def refuse(_, e: Refusal):
        return error(e.status, e.message, code=e.code, param=e.param)

    @app.exception_handler(RequestValidationError)
    async def invalid(_, e: RequestValidationError):
        first = e.errors()[0]
        param = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path")) or None
        if first["type"] == "extra_forbidden":
            text = say(f"不支持参数 {param}，请去掉它", f"{param} is not supported here: leave it out")
            return error(400, text, code="unsupported_parameter", param=param)
        text = say(f"参数 {param} 不对：{first['msg']}", f"{param} is not valid: {first['msg']}")
        return error(400, text, code="invalid_value", param=param)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, e: HTTPException):
        text = say(f"没有 {request.method} {request.url.path}", f"there is no {request.method} {request.url.path}")
        return error(e.status_code, text if e.status_code in (404, 405) else str(e.detail))

    @app.get("/health")
    def health():
        return {"status": "ok", "version": __version__}

    # Models

    @app.get("/v1/models")
    def list_models():
        tuned = [model_of(m.id, m.created_at) for m in store.models()]
        return {"object": "list", "data": [model_of(base.id, 0) for base in bases] + tuned}

    @app.get("/v1/models/{model_id:path}")
    def get_model(model_id: str):
        if model_id in by_id:
            return model_of(model_id, 0)
        return model_of(model_id, _tuned(model_id).created_at)

    @app.delete("/v1/models/{model_id:path}")
    def delete_model(model_id: str):
        if model_id in by_id:
            raise Refusal(403, say("基础模型不能删除", "a base model cannot be deleted"), param="model")
        _tuned(model_id)
        store.delete_model(model_id)
        return ModelDeleted(id=model_id, object="model", deleted=True)

    def _tuned(model_id: str) -> stored.TunedModel:
        found = store.model(model_id)
        if not found:
            known = "、".join(by_id)
            raise Refusal(
                404,
                say(
                    f"没有模型 {model_id}。可用的基础模型：{known}；微调模型用 job.fine_tuned_model 的值",
                    f"there is no model {model_id}. Bases: {known}; for a tuned model use the value of job.fine_tuned_model",
                ),
                code="model_not_found",
                param="model",
            )
        return found

    # Files

    @app.post("/v1/files")
    async def upload(request: Request):
        async with request.form() as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile):
                raise Refusal(400, say("缺少 file", "file is missing"), param="file")
            content, name = await file.read(), file.filename or "upload.jsonl"
        if purpose != "fine-tune":
            text = say(f"purpose 只支持 fine-tune，收到 {purpose!r}", f"purpose must be fine-tune, got {purpose!r}")
            raise Refusal(400, text, code="unsupported_parameter", param="purpose")
        report = await asyncio.to_thread(data.check_bytes, content, name)
        if not report.ok:
            code = next(p.code for p in report.problems if p.severity == "error")
            raise Refusal(400, str(report), code=code, param="file")
        stored_file = await asyncio.to_thread(store.add_file, name, purpose, content)
        return file_of(stored_file, warnings=str(report) if report.problems else None)

    @app.get("/v1/files")
    def list_files(purpose: str | None = None, after: str | None = None, limit: PAGE = 1000, order: str = "desc"):
        files = [f for f in store.files() if purpose in (None, f.purpose)]
        return page([file_of(f) for f in (files if order == "desc" else files[::-1])], after, limit)

    @app.get("/v1/files/{file_id}")
    def get_file(file_id: str):
        return file_of(_stored_file(file_id))

    @app.get("/v1/files/{file_id}/content")
    def get_content(file_id: str):
        _stored_file(file_id)
        return Response(store.file_content(file_id), media_type="application/jsonl")

    @app.delete("/v1/files/{file_id}")
    def delete_file(file_id: str):
        _stored_file(file_id)
        if job := store.delete_file(file_id):
            text = say(
                f"任务 {job} 正在用这个文件，等它结束或取消它", f"job {job} uses this file: wait for it or cancel it"
            )
            raise Refusal(409, text, code="file_in_use", param="file_id")
        return FileDeleted(id=file_id, object="file", deleted=True)

    def _stored_file(file_id: str, param: str = "file_id") -> stored.File:
        file = store.file(file_id)
        if not file:
            text = say(
                f"没有文件 {file_id}，先用 files.create 上传",
                f"there is no file {file_id}: upload it with files.create",
            )
            raise Refusal(404 if param == "file_id" else 400, text, code="file_not_found", param=param)
        return file

    # Fine-tuning jobs

    @app.post("/v1/fine_tuning/jobs")
    def create_job(body: JobBody):
        if body.model not in by_id:
            raise Refusal(
                400,
                say(
                    f"不能微调 {body.model}。可用的基础模型：{'、'.join(by_id)}",
                    f"{body.model} cannot be tuned. Bases: {', '.join(by_id)}",
                ),
                code="model_not_found",
                param="model",
            )
        _stored_file(body.training_file, "training_file")
        if body.validation_file:
            _stored_file(body.validation_file, "validation_file")
        if body.suffix and not re.fullmatch(r"[A-Za-z0-9_-]+", body.suffix):
            text = say("suffix 只能用字母、数字、_ 和 -", "suffix may hold letters, digits, _ and - only")
            raise Refusal(400, text, code="invalid_value", param="suffix")
        given = body.method.supervised.hyperparameters if body.method else body.hyperparameters or {}
        job = store.add_job(
            base=body.model,
            model=stored.new_id(f"ft:LoRA/{body.model}:local:{body.suffix or 'task'}:"),
            training_file=body.training_file,
            validation_file=body.validation_file,
            validation_split=body.validation_split,
            suffix=body.suffix,
            seed=42 if body.seed is None else body.seed,
            metadata=body.metadata,
            hyperparameters=_hyperparameters(given).to_dict(),
            wanted="run",
        )
        return job_of(job)

    @app.get("/v1/fine_tuning/jobs")
    def list_jobs(after: str | None = None, limit: PAGE = 20):
        return page([job_of(job) for job in reversed(store.jobs())], after, limit)

    @app.get("/v1/fine_tuning/jobs/{job_id}")
    def get_job(job_id: str):
        return job_of(_stored_job(job_id))

    @app.post("/v1/fine_tuning/jobs/{job_id}/cancel")
    def cancel(job_id: str):
        _unfinished(job_id)
        store.advance(job_id, "cancelled", say("任务已取消", "The job was cancelled"))
        return job_of(store.job(job_id))

    @app.post("/v1/fine_tuning/jobs/{job_id}/pause")
    def pause(job_id: str):
        if _unfinished(job_id).wanted == "run":
            store.want(
                job_id, "pause", say("任务已暂停，resume 后从这一步继续", "Paused; resume goes on from this step")
            )
        return job_of(store.job(job_id))

    @app.post("/v1/fine_tuning/jobs/{job_id}/resume")
    def resume(job_id: str):
        if _unfinished(job_id).wanted == "pause":
            store.want(job_id, "run", say("任务继续", "Resumed"))
        return job_of(store.job(job_id))

    @app.get("/v1/fine_tuning/jobs/{job_id}/events")
    def list_events(job_id: str, after: str | None = None, limit: PAGE = 20):
        _stored_job(job_id)
        before = int(after.removeprefix("ftevent-")) if after and after.removeprefix("ftevent-").isdecimal() else None
        events = store.events(job_id, before=before, limit=limit + 1)
        return {"object": "list", "data": [event_of(e) for e in events[:limit]], "has_more": len(events) > limit}

    @app.get("/v1/fine_tuning/jobs/{job_id}/checkpoints")
    def list_checkpoints(job_id: str, after: str | None = None, limit: PAGE = 10):
        _stored_job(job_id)
        return page([checkpoint_of(m) for m in store.models(job_id)], after, limit)

    def _stored_job(job_id: str) -> stored.Job:
        job = store.job(job_id)
        if not job:
            text = say(f"没有任务 {job_id}，用 jobs.list() 看看有哪些", f"there is no job {job_id}: see jobs.list()")
            raise Refusal(404, text, code="job_not_found", param="fine_tuning_job_id")
        return job

    def _unfinished(job_id: str) -> stored.Job:
        job = _stored_job(job_id)
        if job.status in stored.TERMINAL:
            text = say(f"任务已经结束（{job.status}）", f"the job has ended already ({job.status})")
            raise Refusal(400, text, code="job_ended", param="fine_tuning_job_id")
        return job

    # Chat

    @app.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: Request):
        if body.model in by_id:
            base, adapter = by_id[body.model], None
        else:
            tuned = _tuned(body.model)
            base, adapter = by_id.get(tuned.base), home / "models" / tuned.folder
        if base is None:
            text = say(f"基础模型 {tuned.base} 不在了", f"its base model {tuned.base} is gone")
            raise Refusal(400, text, code="model_not_found", param="model")
        pieces: asyncio.Queue = asyncio.Queue()
        loop = asyncio.get_running_loop()
        answer = submit(base, adapter, body, lambda piece: loop.call_soon_threadsafe(pieces.put_nowait, piece))
        head = {"id": stored.new_id("chatcmpl-"), "created": int(time.time()), "model": body.model}
        first = await _next(pieces, request, answer)
        if body.stream:
            return StreamingResponse(_stream(first, pieces, answer, head), media_type="text/event-stream")
        text, piece = first.text, first
        while not piece.finish_reason:
            piece = await _next(pieces, request, answer)
            text += piece.text
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": piece.finish_reason, "logprobs": None}
        return ChatCompletion(**head, object="chat.completion", choices=[choice], usage=usage_of(piece))

    async def _next(pieces: asyncio.Queue, request: Request, answer):
        """The next piece; an error of the engine becomes an error answer, a client that left ends its answer."""
        while True:
            try:
                piece = await asyncio.wait_for(pieces.get(), 1)
            except TimeoutError:
                if await request.is_disconnected():
                    answer.cancel()
                    raise Refusal(499, "the client left") from None
                continue
            if piece.error:
                status = {"context_length_exceeded": 400, "model_unavailable": 503}.get(piece.error_code, 500)
                raise Refusal(status, piece.error, code=piece.error_code)
            return piece

    return app


async def _stream(piece, pieces: asyncio.Queue, answer, head: dict) -> AsyncIterator[str]:
    role = {"role": "assistant"}
    try:
        while True:
            delta = {**role, "content": piece.text}
            choice = {"index": 0, "delta": delta, "finish_reason": piece.finish_reason, "logprobs": None}
            chunk = ChatCompletionChunk(**head, object="chat.completion.chunk", choices=[choice], usage=usage_of(piece))
            yield f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"
            if piece.finish_reason:
                break
            role = {}
            piece = await pieces.get()
            if piece.error:
                yield f"data: {json.dumps(error_body(piece.error, code=piece.error_code), ensure_ascii=False)}\n\n"
                break
        yield "data: [DONE]\n\n"
    finally:
        answer.cancel()


def _hyperparameters(given: dict) -> Hyperparameters:
    """The values of a request; `"auto"` and numbers that are whole but written as 3.0 are understood."""
    names = Hyperparameters.__dataclass_fields__
    if unknown := [name for name in given if name not in names]:
        known = ", ".join(names)
        text = say(
            f"没有超参数 {unknown[0]}，可用的是 {known}", f"there is no hyperparameter {unknown[0]}; known are {known}"
        )
        raise Refusal(400, text, code="unsupported_parameter", param=f"hyperparameters.{unknown[0]}")
    values = {k: v for k, v in given.items() if v != "auto"}
    values = {k: int(v) if k in WHOLE and isinstance(v, float) and v.is_integer() else v for k, v in values.items()}
    try:
        return Hyperparameters(**values)
    except HyperparameterError as error:
        name = next(iter(error.problems))
        raise Refusal(400, str(error), code="invalid_hyperparameter", param=f"hyperparameters.{name}") from error

"""The HTTP face of the embedded service: OpenAI's routes for files, fine-tuning, models and chat.

Contract: the unmodified `openai` client (docs/api.md has the table of its methods), whose own types every answer fits;
errors are `{"error": {"message", "type", "param", "code"}}`; what is not supported is refused by name with 400. Every
route but `/health` wants the bearer token. `/openapi.json` describes every answer there is.

    make_app(store, home=…, bases=…, submit=…, on_upload=…, api_key=…)
"""

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cookbook import __version__, disk
from cookbook.bases import Base
from cookbook.i18n import tr
from cookbook.service import chat, files, jobs, models
from cookbook.service.middleware import Activity, Guard
from cookbook.service.requests import ApiError, ErrorAnswer, error, refused
from cookbook.service.responses import Health
from cookbook.service.store import Store

MEANING = {
    400: "Refused: the request is not valid, or asks for what this service does not do; `param` names the part",
    401: "The bearer token is missing or wrong",
    403: "A base model cannot be deleted",
    404: "No such object",
    409: "A job that has not ended uses the file",
    413: "Larger than the limit",
    421: "Addressed to another host",
    429: "A stated limit is reached; `Retry-After` tells when to try again",
    500: "An error of the service itself; its log has the details",
    503: "The base model cannot be loaded at present",
    507: "The disk is full",
}


def make_app(
    store: Store,
    *,
    home: Path,
    bases: list[Base],
    submit: Callable,
    on_upload: Callable[[], None] = lambda: None,
    api_key: str,
    loopback: bool = False,
) -> FastAPI:
    """The application. `submit` starts a chat answer and returns it; `on_upload` is called when a training file was kept;
    `loopback`: it is for this machine alone."""
    app = FastAPI(
        title="siliconcloud-cookbook",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses={
            status: {"model": ErrorAnswer, "description": text} for status, text in MEANING.items()
        },
    )
    app.state.activity = Activity()
    app.add_middleware(Guard, api_key=api_key, loopback=loopback, activity=app.state.activity)
    _answer_errors(app)

    @app.get("/health", response_model=None, responses={200: {"model": Health}})
    def health():
        return {"status": "ok", "version": __version__}

    by_id = {base.id: base for base in bases}
    app.include_router(files.router(store, on_upload))
    app.include_router(jobs.router(store, by_id))
    app.include_router(models.router(store, home, by_id))
    app.include_router(chat.router(store, home, by_id, submit))
    _describe(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape."""

    @app.exception_handler(ApiError)
    async def refuse(_, e: ApiError):
        return refused(e)

    @app.exception_handler(RequestValidationError)
    async def invalid(_, e: RequestValidationError):
        first = e.errors()[0]
        param = (
            ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
            or None
        )
        if first["type"] == "extra_forbidden":
            text = tr(
                f"不支持参数 {param}，请去掉它", f"{param} is not supported here: leave it out"
            )
            return error(400, text, code="unsupported_parameter", param=param)
        text = tr(f"参数 {param} 不对：{first['msg']}", f"{param} is not valid: {first['msg']}")
        return error(400, text, code="invalid_value", param=param)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, e: HTTPException):
        if e.status_code not in (404, 405):
            return error(e.status_code, str(e.detail), code="invalid_body")
        call = f"{request.method} {request.url.path}"
        if not request.url.path.startswith("/v1/"):
            text = tr(
                f"没有 {call}：地址都以 /v1 开头",
                f"there is no {call}: every address begins with /v1",
            )
            return error(404, text, code="unknown_url")
        text = tr(
            f"内嵌服务不支持 {call}，它会什么见 docs/api.md",
            f"this service does not support {call}; see docs/api.md",
        )
        return error(400, text, code="unsupported_route")

    @app.exception_handler(OSError)
    @app.exception_handler(Exception)
    async def failed(request: Request, e: Exception):
        if disk.is_full(e):
            text = tr(
                "磁盘满了，什么都没有保存：腾出空间再试",
                "the disk is full, nothing was kept: make room and try again",
            )
            return error(507, text, code="disk_full")
        if isinstance(e, OSError):
            raise RuntimeError(
                f"{request.method} {request.url.path} failed"
            ) from e  # to the log, and back here
        text = tr(
            f"服务内部错误（{type(e).__name__}），详见 service.log",
            f"internal error ({type(e).__name__}), see service.log",
        )
        return error(500, text, code="internal_error")


def _describe(app: FastAPI) -> None:
    """The OpenAPI document, with the bearer token and without 422, which is never sent: it is 400 here."""
    make = app.openapi

    def described() -> dict:
        document = make()
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for path, item in document["paths"].items():
            for operation in item.values():
                operation["responses"].pop("422", None)
                if path == "/health":
                    operation["security"] = []
        return document

    app.openapi = described

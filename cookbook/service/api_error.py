"""Answer every failure in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

`ApiError` may be raised anywhere while a request is handled, even while its body is being read.
`HANDLERS` turns it, and everything else that goes wrong, into a response; `RESPONSES` describes
those responses in the OpenAPI document. Knows no route and no store.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cookbook import causes, disk
from cookbook.errors import CookbookError
from cookbook.i18n import Text
from cookbook.service.request_id import HEADER, request_id
from cookbook.service.sentences import shortened
from cookbook.service.validation import Problem, problems, summary

log = logging.getLogger("cookbook")


class ErrorDetail(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


_MEANINGS = {
    400: "The request is not valid, or not supported; `param` names the part",
    401: "The bearer token is missing or wrong",
    403: "Not yours to do: a base or somebody else's model, the leader's routes, a closed room",
    404: "No such object",
    405: "A web page asks whether it may call the service, which it may not",
    408: "The request did not arrive in time",
    409: "A job or batch that has not ended uses the file; the name is taken",
    413: "Larger than the limit",
    415: "The body is compressed",
    421: "Addressed to another host",
    429: "A documented limit is reached; `Retry-After` gives the seconds to wait",
    500: "An error of the service or its disk; the message has the cause, or its log the details",
    503: "The base model, torch or another package cannot be loaded, or too many connections are "
    "open; the message has the cause",
    507: "The disk is full",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text} for status, text in _MEANINGS.items()
}


# An HTTPException, since FastAPI lets only that one through from the code that reads a body: the
# middleware raises it there when too many bytes come.
class ApiError(HTTPException):
    """A request that gets an error response.

    Args:
        status: the HTTP status.
        zh, en: the message in both languages.
        code: a short name of the reason, for programs.
        param: the part of the request that is not acceptable.
    """

    def __init__(
        self,
        status: int,
        *,
        zh: str,
        en: str,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        self.text = Text(zh, en)
        super().__init__(status, str(self.text), headers)
        self.code, self.param = code, param

    def body(self) -> dict[str, Any]:
        """Return the JSON object that the client reads."""
        kind = "invalid_request_error" if self.status_code < 500 else "server_error"
        param = self.param and replace_surrogates(self.param)
        message = replace_surrogates(str(self.text))
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}


def error_response(error: ApiError) -> JSONResponse:
    """Return the error as a response."""
    return JSONResponse(error.body(), error.status_code, error.headers)


def error_of(found: list[Problem]) -> ApiError:
    """Return the error that says all that is wrong; `code` and `param` are of the first."""
    text = summary(found)
    first = found[0]
    return ApiError(400, zh=text, en=text, code=first.code, param=first.param)


def replace_surrogates(text: str) -> str:
    """Return the text with "?" for each lone surrogate, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def _on_api_error(_: Request, error: ApiError) -> JSONResponse:
    return error_response(error)


async def _on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    """Name every part of the request that does not fit its model."""
    return error_response(error_of(problems(error.errors(), _described(request))))


def _described(request: Request) -> dict[str, Any]:
    """Return the schemas of the request's parameters by name, as the OpenAPI document has them."""
    document = request.app.openapi()
    path = document["paths"][request.scope["route"].path_format]
    operation = path[request.method.lower()]
    schemas = {}
    for parameter in operation.get("parameters", []):
        schemas[parameter["name"]] = parameter.get("schema", {})
    # A body in JSON is described by a reference to its model; a form has none.
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    model = schema.get("$ref", "").rpartition("/")[2]
    if model:
        schemas |= document["components"]["schemas"][model]["properties"]
    return schemas


async def _on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    """Answer what the framework itself refuses: unknown routes, bodies that cannot be parsed."""
    # Answered with 400 below /v1/, where it is a part of OpenAI's API that is not done here.
    call = f"{request.method} {shortened(request.url.path)}"
    if error.status_code not in (404, 405):
        refusal = ApiError(
            error.status_code,
            zh="请求体读不了：检查它的 Content-Type 和格式",
            en=f"the body cannot be read: {error.detail}",
            code="invalid_body",
        )
    elif "/v1/v1/" in request.url.path or request.url.path.count("/chat/completions") > 1:
        refusal = ApiError(
            404,
            zh=f"没有 {call}：base_url 应当以 /v1 结尾，/v1 只写一次，后面什么都不加",
            en=f"there is no {call}: base_url ends with one /v1 and nothing after it",
            code="unknown_url",
        )
    elif request.url.path.startswith("/v1/"):
        refusal = ApiError(
            400,
            zh=f"内嵌服务不支持 {call}，支持的接口见 docs/api.md",
            en=f"this service does not support {call}; see docs/api.md",
            code="unsupported_route",
        )
    else:
        refusal = ApiError(
            404,
            zh=f"没有 {call}：地址都以 /v1 开头，base_url 也以 /v1 结尾",
            en=f"there is no {call}: every address begins with /v1, with which base_url ends",
            code="unknown_url",
        )
    return error_response(refusal)


async def _on_client_gone(_: Request, error: ClientDisconnect) -> JSONResponse:
    """End a request whose body stopped coming; it is not an error of the service."""
    text = "the client closed the connection"
    return error_response(ApiError(499, zh=text, en=text))


async def _on_os_error(request: Request, error: OSError) -> JSONResponse:
    """Answer a full disk without a traceback in the log: it is not an error of the service."""
    if disk.is_full(error):
        return await _on_any_error(request, error)
    # Raised as another class, so that it reaches `_on_any_error`, after which Starlette logs it.
    raise RuntimeError(f"{request.method} {request.url.path} failed") from error


async def _on_any_error(request: Request, error: Exception) -> JSONResponse:
    """Say the cause and what to do, or else what kind of error it is.

    Never its text, which may name folders of this machine.
    """
    # Starlette sends this response past all middleware.
    headers = {HEADER: request_id(request.scope)}
    if disk.is_full(error):
        refusal = ApiError(
            507,
            zh="磁盘满了，什么都没有保存：腾出空间再试",
            en="the disk is full, nothing was saved: make room and try again",
            code="disk_full",
            headers=headers,
        )
        return error_response(refusal)
    call = f"{request.method} {request.url.path}"
    return error_response(internal_error(error, headers[HEADER], call, headers))


def internal_error(
    error: Exception, number: str, call: str, headers: Mapping[str, str] | None = None
) -> ApiError:
    """Return what is said of an error that nobody expected.

    Args:
        number: the id of the request, which is in the log.
        call: what was asked for.
    """
    # An error of our own that was not meant for HTTP may name a folder, too.
    cause = None if isinstance(error, CookbookError) else causes.known(error)
    if cause:
        return ApiError(500, zh=cause.zh, en=cause.en, code=cause.kind, headers=headers)
    kind = type(error).__name__
    # The traceback follows: whoever calls this has the error logged.
    log.error("%s: %s failed", number, call)
    return ApiError(
        500,
        zh=f"服务内部错误（{kind}），在 service.log 里查找 {number}",
        en=f"internal error ({kind}): look for {number} in service.log",
        code="internal_error",
        headers=headers,
    )


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
HANDLERS: dict[int | type[Exception], Handler] = {
    ApiError: _on_api_error,
    RequestValidationError: _on_invalid_request,
    HTTPException: _on_http_error,
    ClientDisconnect: _on_client_gone,
    OSError: _on_os_error,
    Exception: _on_any_error,
}
"""For `FastAPI(exception_handlers=…)`."""

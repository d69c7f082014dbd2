"""Read what a client sends: strictly where it means something, and leniently where it does not.

`RequestBody` is the base of every model of a body: it drops what changes nothing
(`neutral.py`) and refuses what it does not know. `StrictRoute` reads JSON with orjson, which
refuses what the JSON standard has no place for: half characters, NaN, numbers beyond a double,
a thousand levels of nesting. It also refuses query parameters that the route does not know, which
would otherwise be filters that filter nothing.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import orjson
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, model_validator

from cookbook.service.api_error import ApiError
from cookbook.service.neutral import Table, without_neutral

_BOM = b"\xef\xbb\xbf"  # begins what some programs on Windows write
# Clients' own version, which they add to every address
_QUERY_LABELS = {"api-version", "client_version"}


class RequestBody(BaseModel):
    """A part of a request; a subclass names the `neutral` values of the fields that it lacks."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    neutral: ClassVar[Table] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return without_neutral(given, cls.neutral, cls.model_fields)


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Return the body.

        Raises:
            json.JSONDecodeError: it is not JSON, which FastAPI turns into a validation error.
        """
        body = await self.body()
        return orjson.loads(body.removeprefix(_BOM))


class StrictRoute(APIRoute):
    """For `APIRouter(route_class=…)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict_handler(request: Request) -> Response:
            if request.url.query:
                self._check_query(request)
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict_handler

    def _check_query(self, request: Request) -> None:
        """Raise ApiError for a parameter that is not known, or is there twice."""
        known = {field.alias for field in self.dependant.query_params} | _QUERY_LABELS
        described = (self.openapi_extra or {}).get("parameters", [])
        objects = {parameter["name"] for parameter in described}
        given = Counter(name for name, _ in request.query_params.multi_items())
        unknown = [
            name for name in given if name not in known and name.partition("[")[0] not in objects
        ]
        if unknown:
            raise ApiError(
                400,
                zh=f"不支持查询参数 {'、'.join(unknown)}，请去掉",
                en=f"query parameters not supported here: {', '.join(unknown)}; leave them out",
                code="unsupported_parameter",
                param=unknown[0],
            )
        repeated = [name for name, times in given.items() if times > 1]
        if repeated:
            raise ApiError(
                400,
                zh=f"查询参数 {'、'.join(repeated)} 给了不止一次",
                en=f"query parameters given more than once: {', '.join(repeated)}",
                code="invalid_value",
                param=repeated[0],
            )

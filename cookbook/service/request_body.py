"""Read what a client sends: strictly where it means something, and leniently where it does not.

`RequestBody` is the base of every model of a body: it drops what changes nothing
(`neutral.py`) and refuses what it does not know. A `strict_router` reads JSON with orjson, which
refuses what the JSON standard has no place for: half characters, NaN, numbers beyond a double. It
also refuses query parameters that the route does not know, which would otherwise be filters that
filter nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from cookbook.i18n import tr
from cookbook.service.api_error import RESPONSES, error_of
from cookbook.service.neutral import Table, schema, without_neutral
from cookbook.service.sentences import too_many_values, unsupported
from cookbook.service.validation import Problem

_DEPTH = 100  # levels; code that follows them one inside the other would fail at a thousand
MOST_VALUES = 30_000  # to check more would keep others waiting; token ids are not counted
_BOM = b"\xef\xbb\xbf"  # begins what some programs on Windows write
# Clients' own version, which they add to every address
_QUERY_LABELS = {"api-version", "client_version"}


class RequestBody(BaseModel):
    """A part of a request; a subclass names the `neutral_values` of the fields that it lacks."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    neutral_values: ClassVar[Table] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        # By the names that clients use.
        declared = {field.alias or name for name, field in cls.model_fields.items()}
        return without_neutral(given, cls.neutral_values, declared)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the model's JSON schema, with the fields that are accepted without effect."""
        reference = handler(core_schema)
        # So that clients can read them in the OpenAPI document, and messages can name them.
        properties = handler.resolve_ref_schema(reference)["properties"]
        for name, values in cls.neutral_values.items():
            properties.setdefault(name, schema(values))
        return reference


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Return the body.

        Raises:
            json.JSONDecodeError: it is not JSON, which FastAPI turns into a validation error.
        """
        body = await self.body()
        value = orjson.loads(body.removeprefix(_BOM))
        if is_deep(value):
            raise json.JSONDecodeError("nested too deeply", "", 0)
        if has_many(value):
            raise error_of([Problem(None, "invalid_body", too_many_values(MOST_VALUES))])
        return value


def has_many(body: Any) -> bool:
    """Return whether a body has more values than any request has reason to have."""
    if isinstance(body, dict):
        # Token ids, of which there may be 64 prompts; they are checked up to the first wrong one.
        body = {name: value for name, value in body.items() if name != "prompt"}
    level, seen = [body], 0
    while level and seen <= MOST_VALUES:
        part = level.pop()
        if isinstance(part, dict):
            level += part.values()
            seen += len(part)
        elif isinstance(part, list):
            level += part
            seen += len(part)
    return seen > MOST_VALUES


def is_deep(value: Any) -> bool:
    """Return whether lists and objects are nested deeper than any request has reason to be."""
    level = [value]
    for _ in range(_DEPTH):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inner += part.values()
            elif isinstance(part, list):
                inner += part
        if not inner:
            return False
        level = inner
    return True


def strict_router(prefix: str = "") -> APIRouter:
    """Return a router whose routes refuse parameters that they do not know."""
    return APIRouter(prefix=prefix, route_class=_StrictRoute, responses=RESPONSES)


class _StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict_handler(request: Request) -> Response:
            if request.scope["query_string"]:
                self._check_query(request)
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict_handler

    def _check_query(self, request: Request) -> None:
        """Raise ApiError for a parameter that is not known, or is there twice."""
        known = {field.alias for field in self.dependant.query_params} | _QUERY_LABELS
        # Objects, such as `metadata[key]=value`, are described by the route itself.
        described = (self.openapi_extra or {}).get("parameters", [])
        objects = {parameter["name"] for parameter in described}
        given = Counter(name for name, _ in request.query_params.multi_items())
        found = []
        for name, times in given.items():
            if name not in known and name.partition("[")[0] not in objects:
                found.append(Problem(name, "unsupported_parameter", unsupported(name)))
            elif times > 1:
                text = tr(f"{name} 重复了", f"{name} is given more than once")
                found.append(Problem(name, "invalid_value", text))
        if found:
            raise error_of(found)

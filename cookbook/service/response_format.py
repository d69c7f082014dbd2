"""`response_format` of a chat request: text, any JSON object, or JSON that fits a schema.

Whether a schema can be used is found out by the engine (`engine/grammar.py`), which knows the
tokens. `strict` changes nothing: every answer fits its schema.
"""

from typing import Any, Literal

import orjson
from pydantic import Field, ValidationInfo, field_validator

from cookbook.errors import ArgumentError
from cookbook.service.request_body import RequestBody

_ANY_OBJECT = '{"type": "object"}'


class NamedSchema(RequestBody):
    name: str = Field(max_length=64)
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool = False


class ResponseFormat(RequestBody):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = Field(None, validate_default=True)

    @field_validator("json_schema")
    @classmethod
    def _belongs_to_type(
        cls, schema: NamedSchema | None, info: ValidationInfo
    ) -> NamedSchema | None:
        kind = info.data.get("type")
        if kind and (kind == "json_schema") != (schema is not None):
            raise ArgumentError(
                zh="type 是 json_schema 时要有它，否则不能有",
                en="needed where type is json_schema, and nowhere else",
            )
        return schema

    def to_schema(self) -> str | None:
        """Return the schema as JSON, with its properties in their order; None for text."""
        if self.type == "text":
            return None
        schema = self.json_schema and self.json_schema.schema_
        return orjson.dumps(schema).decode() if schema else _ANY_OBJECT

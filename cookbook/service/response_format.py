"""`response_format` of a chat request: text, any JSON object, or JSON that fits a schema.

Whether a schema can be used is found out by the engine (`engine/grammar.py`), which knows the
tokens. `strict` changes nothing: every answer fits its schema.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_ANY_OBJECT = '{"type": "object"}'


class Text(BaseModel):
    model_config = _STRICT
    type: Literal["text"]

    def to_schema(self) -> None:
        return None


class JsonObject(BaseModel):
    model_config = _STRICT
    type: Literal["json_object"]

    def to_schema(self) -> str:
        return _ANY_OBJECT


class NamedSchema(BaseModel):
    model_config = _STRICT
    name: str = Field(max_length=64)
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class JsonSchema(BaseModel):
    model_config = _STRICT
    type: Literal["json_schema"]
    json_schema: NamedSchema

    def to_schema(self) -> str:
        """Return the schema as JSON, in which the order of the properties is kept."""
        schema = self.json_schema.schema_
        return _ANY_OBJECT if schema is None else orjson.dumps(schema).decode()


ResponseFormat = Annotated[Text | JsonObject | JsonSchema, Field(discriminator="type")]

"""What a batch asks for: the body of `POST /v1/batches`, and that of each of its lines."""

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from cookbook.errors import ArgumentError
from cookbook.service.api_error import error_of
from cookbook.service.chat_body import ChatBody
from cookbook.service.job_body import MOST_METADATA, Metadata
from cookbook.service.request_body import RequestBody
from cookbook.service.sentences import shown
from cookbook.service.validation import problems

LEAST_HOURS, MOST_HOURS = 24, 336
# SiliconCloud's own example has `stream` in its lines: an answer in a file is a whole one.
_IGNORED = ("stream", "stream_options")


class Replace(RequestBody):
    """SiliconCloud's: what all lines are asked with, whatever they say themselves."""

    model: str


class BatchBody(RequestBody):
    """What `POST /v1/batches` understands; anything else is refused by name."""

    input_file_id: str
    endpoint: Literal["/v1/chat/completions"]
    completion_window: str
    metadata: Metadata | None = Field(None, max_length=MOST_METADATA)
    replace: Replace | None = None

    @field_validator("completion_window")
    @classmethod
    def _is_in_hours(cls, window: str) -> str:
        hours = window.removesuffix("h")
        is_number = hours != window and hours.isascii() and hours.isdecimal() and len(hours) < 4
        if not is_number or not LEAST_HOURS <= int(hours) <= MOST_HOURS:
            raise ArgumentError(
                zh=f"应当是 {LEAST_HOURS}h 到 {MOST_HOURS}h 的整小时数，收到的是 {shown(window)}",
                en=f"must be whole hours from {LEAST_HOURS}h to {MOST_HOURS}h, got {shown(window)}",
            )
        return window

    @property
    def hours(self) -> int:
        return int(self.completion_window.removesuffix("h"))


def chat_body(body: dict[str, Any], model: str) -> ChatBody:
    """Return the body of one line, checked as `POST /v1/chat/completions` checks it.

    Raises:
        ApiError: as the route would have answered.
    """
    given = {name: value for name, value in body.items() if name not in _IGNORED}
    try:
        return ChatBody.model_validate(given | {"model": model})
    except ValidationError as error:
        # Placed where FastAPI would have found it.
        found = [one | {"loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        properties = ChatBody.model_json_schema()["properties"]
        raise error_of(problems(found, properties)) from None

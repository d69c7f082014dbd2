"""The lines of a batch's result files, as OpenAI and SiliconCloud write them."""

from collections.abc import Collection
from typing import Any

import orjson

from cookbook.service import batch_file, limits
from cookbook.service.api_error import ApiError
from cookbook.service.store import new_id


def line(
    custom_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None = None
) -> bytes:
    """Return a line; `response` has `status_code`, `request_id` and `body`."""
    head = {"id": new_id("batch_req_"), "custom_id": custom_id}
    return orjson.dumps(head | {"response": response, "error": error})


def undone(content: bytes, left: Collection[int], code: str, message: str) -> dict[int, bytes]:
    """Return the lines for requests that were not answered, by their numbers.

    Args:
        content: the input file.
        left: the numbers of these requests.
    """
    error = {"code": code, "message": message}
    found = {}
    for number, request in batch_file.lines(content):
        if number in left:
            found[number] = line(request["custom_id"], None, error)
    return found


def too_large() -> ApiError:
    """Return the error of the lines that follow when a batch has as many bytes as it may have."""
    most = f"{limits.RESULT_BYTES >> 20} MB"
    return ApiError(
        413,
        zh=f"这个批量任务的回答已超过 {most}：余下的行放进另一个任务，或减小 max_tokens",
        en=f"the answers of this batch have more than {most}: send the remaining lines in another "
        "batch, or lower max_tokens",
        code="batch_too_large",
    )

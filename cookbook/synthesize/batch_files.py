"""The files of requests that batches are made of: one request a line, and their ids."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cookbook.synthesize.batch_faults import no_id, not_listed
from cookbook.synthesize.wanted import Wanted

if TYPE_CHECKING:
    from openai import OpenAI

ENDPOINT: Final = "/v1/chat/completions"
MOST_LINES = 5000  # of a file, on SiliconCloud and on the embedded service
MOST_BYTES = 9_000_000  # the embedded service takes 10 MB, SiliconCloud 1 GB


def files(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Divide requests into files that a service takes."""
    file: list[Wanted] = []
    size = 0
    for one in wanted:
        length = len(line_of(one))
        if file and (len(file) == MOST_LINES or size + length > MOST_BYTES):
            yield file
            file, size = [], 0
        file.append(one)
        size += length
    if file:
        yield file


def line_of(one: Wanted) -> bytes:
    request = {"custom_id": one.key, "method": "POST", "url": ENDPOINT, "body": one.body}
    try:
        text = json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(request).encode()
    return text + b"\n"


def id_of(answer: Any) -> str:
    """Return the id of an upload or a batch; SiliconCloud wraps that of an upload in `data`.

    Raises:
        ServiceError: there is none.
    """
    found = getattr(answer, "id", None)
    if not isinstance(found, str):
        data = getattr(answer, "data", None)
        found = data.get("id") if isinstance(data, dict) else None
    if not isinstance(found, str):
        raise no_id(answer)
    return found


def find_batch(client: "OpenAI", file: str, remembered: Path) -> Any:
    """Return the batch that was made of an input file; None where the service knows none.

    Args:
        remembered: the file that names the batch, for the error.

    Raises:
        ServiceError: the service does not list its batches in a form that is known.
    """
    # One page: SiliconCloud's list has no others, and elsewhere the newest come first.
    listed = client.batches.list(limit=100).data
    if not isinstance(listed, list):
        # To take it for an empty list would start, and pay for, a second batch.
        raise not_listed(file, remembered)
    for batch in listed:
        if getattr(batch, "input_file_id", None) == file:
            return batch
    return None

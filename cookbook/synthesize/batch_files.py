"""Divide requests into the input files of batches: one request a line."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from cookbook.synthesize.wanted import Wanted

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

"""Create batches with the official client, and wait for their results."""

import json
import time

ENDPOINT = "/v1/chat/completions"


def upload(client, lines):
    content = "\n".join(json.dumps(line) for line in lines).encode()
    return client.files.create(file=("a.jsonl", content), purpose="batch")


def create(client, lines, **options):
    given = {"endpoint": ENDPOINT, "completion_window": "24h"} | options
    return client.batches.create(input_file_id=upload(client, lines).id, **given)


def until(condition, seconds=20.0):
    """Return what the condition returns as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it takes too long")


def ended(client, batch, seconds=20.0):
    def look():
        seen = client.batches.retrieve(batch.id)
        return seen if seen.status in ("completed", "cancelled", "expired", "failed") else None

    return until(look, seconds)


def results(client, file_id):
    if file_id is None:
        return []
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]

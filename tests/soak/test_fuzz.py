"""Thousands of generated requests to a running service: no server error, no undocumented answer."""

import json
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openai import OpenAI
from unit.test_contract import UPLOAD, app, known_ids, send

CASES = 5000
UNVARIED = 4  # operations with too little to vary to use their share; the others make up for it

sent = Counter()
document = app.openapi()
operations = sum(len(item) for item in document["paths"].values())
schema = schemathesis.openapi.from_dict(document)


@pytest.fixture(scope="module")
def client(service):
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield client
        for job in client.fine_tuning.jobs.list(limit=1000):
            if not job.finished_at:
                client.fine_tuning.jobs.cancel(job.id)
        for batch in client.batches.list(limit=1000):
            if batch.status == "in_progress":
                client.batches.cancel(batch.id)


@pytest.fixture(scope="module")
def known(client, service):
    file = client.files.create(file=UPLOAD, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=service.base_model, training_file=file.id)
    request = {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "你好"}]}}
    requests = client.files.create(file=("b.jsonl", json.dumps(request).encode()), purpose="batch")
    batch = client.batches.create(
        input_file_id=requests.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"replace": {"model": service.base_model}},
    )
    return known_ids(service.base_model, file.id, job.id, batch.id, requests.id)


@schema.parametrize()
@settings(
    max_examples=CASES // (operations - UNVARIED),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_thousands_of_requests_meet_no_error_of_the_server(case, known, service):
    sent[case.method] += 1
    key = {"authorization": f"Bearer {service.api_key}"}
    send(case, known, base_url=service.base_url.removesuffix("/v1"), headers=key)


def test_that_many_were_sent():
    print(f"\n{sent.total()} requests: {dict(sent)}")
    assert sent.total() >= CASES

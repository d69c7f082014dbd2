"""Bodies that nobody should send, to a running service with its engine: never an error of its own.

The same ones go to the application in-process in `unit/test_bodies.py`.
"""

import contextlib
import json

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from openai import OpenAI
from unit import test_bodies
from unit.test_bodies import CASES, check, odd_bodies

EXAMPLES = 1000


@pytest.fixture(scope="module")
def http(service):
    key = {"authorization": f"Bearer {service.api_key}", "content-type": "application/json"}
    address = service.base_url.removesuffix("/v1")
    with (
        OpenAI(base_url=service.base_url, api_key=service.api_key) as client,
        httpx.Client(base_url=address, headers=key, timeout=120) as http,
    ):
        file = client.files.create(file=test_bodies.UPLOAD, purpose="fine-tune")
        test_bodies.CHAT["model"] = test_bodies.JOB["model"] = service.base_model
        test_bodies.JOB["training_file"] = file.id
        yield http
        for job in client.fine_tuning.jobs.list(limit=1000):
            # It may end meanwhile.
            with contextlib.suppress(openai.BadRequestError):
                client.fine_tuning.jobs.cancel(job.id)


@pytest.mark.parametrize("path, field", CASES)
def test_an_odd_value_in_any_field_is_no_error_of_the_service(http, path, field):
    for body in odd_bodies(path, field):
        check(http.post(path, content=body))


@given(test_bodies.bodies())
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
def test_generated_bodies_are_no_error_of_the_service(http, generated):
    path, body = generated
    check(http.post(path, content=json.dumps(body).encode()))

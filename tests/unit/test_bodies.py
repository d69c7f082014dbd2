"""Whatever a body holds, the service answers, and never with an error of its own: no torch."""

import json

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.test_contract import REQUESTS, UPLOAD, add_job, make

KEY = {"authorization": "Bearer test", "content-type": "application/json"}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
JOB = {"model": "tiny", "training_file": "file-x", "hyperparameters": {"n_epochs": 1}}
COMPLETION = {"model": "tiny", "prompt": "你好"}
BATCH = {
    "input_file_id": "file-x",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}
PATHS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETION,
    "/v1/fine_tuning/jobs": JOB,
    "/v1/batches": BATCH,
}

# JSON that Python writes and the standard does not know, and values at the edge of every type
ODD = [
    r'"\ud800"',
    r'"\udfff x"',
    r'{"\ud800": 1}',
    "1e4000",
    "-1e4000",
    "NaN",
    "Infinity",
    "-Infinity",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "18446744073709551616",
    "-9223372036854775809",
    "1e-4000",
    "0.5",
    "true",
    "null",
    '""',
    '"auto"',
    r'"\u0000"',
    '"' + "x" * 100_000 + '"',
    "[]",
    "{}",
    "[null]",
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    '{"a":' * 900 + "1" + "}" * 900,
]
HALF = '"\ud800"'.encode("utf-8", "surrogatepass")
WHOLE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"\x00",
    HALF,
    b'{"a": 1}{',
    "{}".encode("utf-16"),
]
CHAT_FIELDS = (
    "model messages stream stream_options max_tokens temperature top_p top_k seed stop n user "
    "tools response_format logprobs top_logprobs logit_bias metadata enable_thinking unknown"
)
COMPLETION_FIELDS = (
    "model prompt n best_of echo max_tokens logprobs stream stream_options temperature stop seed "
    "suffix unknown"
)
JOB_FIELDS = (
    "model training_file validation_file validation_split suffix seed metadata method "
    "hyperparameters integrations unknown"
)
BATCH_FIELDS = "input_file_id endpoint completion_window metadata replace unknown"
FIELDS = {
    "/v1/chat/completions": CHAT_FIELDS.split(),
    "/v1/completions": COMPLETION_FIELDS.split(),
    "/v1/fine_tuning/jobs": JOB_FIELDS.split(),
    "/v1/batches": BATCH_FIELDS.split(),
}
INNER = {
    "messages": '[{"role": "user", "content": %s}]',
    "stop": "[%s]",
    "prompt": "[%s]",
    "response_format": (
        '{"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": %s}}}'
    ),
    "metadata": '{"a": %s}',
    "replace": '{"model": %s}',
    "stream_options": '{"include_usage": %s}',
    "hyperparameters": '{"learning_rate": %s}',
    "method": '{"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": %s}}}',
}
CASES = [(path, field) for path, fields in FIELDS.items() for field in fields]


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    app, store = make(tmp_path_factory.mktemp("bodies"))
    file = store.add_file(UPLOAD[0], "fine-tune", UPLOAD[1])
    JOB["training_file"] = file.id
    BATCH["input_file_id"] = store.add_file("b.jsonl", "batch", REQUESTS.encode()).id
    # An error of the service is a response here, as it is for a client.
    with TestClient(app, raise_server_exceptions=False, headers=KEY) as http:
        http.job = add_job(store, file.id, "ft:x")
        yield http
        for job in store.unfinished():
            store.advance(job.id, "cancelled", "over")
        for batch in store.batches_under_way():
            store.end_batch(batch.id, "cancelled")


def body_with(path: str, field: str, value: str) -> bytes:
    """Return a valid body of the route, with the JSON text `value` in one field."""
    rest = {name: other for name, other in PATHS[path].items() if name != field}
    return (json.dumps(rest)[:-1] + f', "{field}": {value}}}').encode("utf-8", "surrogatepass")


def odd_bodies(path, field):
    """Yield bodies with each odd value in this field, and inside it where it is an object."""
    for value in ODD:
        yield body_with(path, field, value)
        if field in INNER:
            yield body_with(path, field, INNER[field] % value)


def check(answer) -> None:
    """The answer is one of the documented ones, in the promised form."""
    assert answer.status_code in (200, 400, 404, 413, 429), answer.text[:500]
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert error["message"] and error["type"] == "invalid_request_error"
        assert len(error["message"]) < 2000


@pytest.mark.parametrize("path, field", CASES)
def test_an_odd_value_in_any_field_is_answered_in_the_promised_form(http, path, field):
    for body in odd_bodies(path, field):
        check(http.post(path, content=body))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content", WHOLE)
def test_a_body_that_is_no_json_object_is_refused(http, path, content):
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "x"):
        answer = http.post(path, content=content, headers={"content-type": kind})
        check(answer)
        assert answer.status_code == 400


ODD_NUMBERS = ["1e4000", "-1e4000", "NaN", "Infinity", "1" + "0" * 5000]


@pytest.mark.parametrize("value", [*ODD_NUMBERS, r'"\ud800"'])
@pytest.mark.parametrize(
    "path, field",
    [
        ("/v1/chat/completions", "messages"),
        ("/v1/chat/completions", "temperature"),
        ("/v1/fine_tuning/jobs", "hyperparameters"),
        ("/v1/fine_tuning/jobs", "validation_split"),
        ("/v1/fine_tuning/jobs", "metadata"),
    ],
)
def test_half_characters_and_endless_numbers_are_refused_with_400(http, path, field, value):
    inner = INNER.get(field, "%s") % value
    answer = http.post(path, content=body_with(path, field, inner))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url"]) | JSON}, optional={"text": JSON}
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "developer", "tool"]) | JSON},
    optional={"content": JSON | st.lists(PARTS, max_size=3), "tool_calls": JSON, "name": JSON},
)
VALUES = {"messages": JSON | st.lists(MESSAGES, max_size=3)}


@st.composite
def bodies(draw):
    path = draw(st.sampled_from(sorted(PATHS)))
    fields = draw(st.lists(st.sampled_from(FIELDS[path]), max_size=5, unique=True))
    return path, PATHS[path] | {field: draw(VALUES.get(field, JSON)) for field in fields}


@given(bodies())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)
def test_generated_bodies_are_answered_in_the_promised_form(http, generated):
    path, body = generated
    # As Python writes it: with NaN, Infinity and half characters.
    check(http.post(path, content=json.dumps(body).encode()))


FORM = "multipart/form-data; boundary=x"
HEAD = b"--x\r\nContent-Disposition: form-data; "
NO_FORMS = [
    (b"", "multipart/form-data"),
    (b"--x", FORM),
    (b"junk", FORM),
    (b"--x\r\njunk", FORM),
    (b"--x\r\n: \r\n\r\n--x--", FORM),
    (HEAD + b"\r\n\r\n--x--", FORM),
    (HEAD + b'name="file"; filename="\xff"\r\n\r\n{\r\n--x--\r\n', FORM),
    (HEAD + b'name="\xed\xa0\x80"\r\n\r\n{\r\n--x--\r\n', FORM),
    (
        HEAD + b'name="purpose"\r\nContent-Type: text/plain; charset=no\r\n\r\n\xff\r\n--x--\r\n',
        FORM,
    ),
    (b"{}", "application/json"),
    (b"a=b&file=c", "application/x-www-form-urlencoded"),
    (b"\xff", "text/plain"),
    (b"--x", "multipart/form-data; boundary=" + "x" * 3000),
    (b"--x", 'multipart/form-data; boundary="\xff"; charset=no'),
]


@pytest.mark.parametrize("content, kind", NO_FORMS)
def test_an_upload_that_is_no_form_is_refused(http, content, kind):
    answer = http.post(
        "/v1/files", content=content, headers={"content-type": kind.encode("latin-1")}
    )
    check(answer)
    assert answer.status_code == 400


QUERIES = [
    "limit=1e4000",
    "limit=" + "9" * 5000,
    "limit=%FF",
    "limit=-1",
    "limit=0",
    "limit=",
    "limit=1&limit=2",
    "after=%ED%A0%80",
    "after=%00",
    "after=",
    "order=x",
    "purpose=%FF",
    "x=1",
    "metadata[a]=%ED%A0%80",
    "metadata[]=1",
    "metadata=1",
    "metadata[a][b]=1",
    "&".join(f"metadata[{i}]=1" for i in range(1500)),
    "&&&",
    "=",
    "%",
]


@pytest.mark.parametrize("query", QUERIES)
def test_odd_queries_are_answered_in_the_promised_form(http, query):
    job = f"/v1/fine_tuning/jobs/{http.job.id}"
    for path in (
        "/v1/files",
        "/v1/models",
        "/v1/fine_tuning/jobs",
        f"{job}/events",
        f"{job}/checkpoints",
    ):
        check(http.get(f"{path}?{query}"))

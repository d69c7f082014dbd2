"""What the service takes from its clients without a word, and how it refuses the rest: no torch."""

import asyncio
import gzip
import re
import socket
from types import SimpleNamespace

import openai
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI
from unit.test_contract import UPLOAD, make

from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service import validation
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.listening import bind
from cookbook.service.store import Store

HI = [{"role": "user", "content": "你好"}]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Return an application of a module's tests, and the list of what reaches its engine."""
    asked = []

    def submit(request, on_piece):
        asked.append(request)
        on_piece(Piece("好", prompt_tokens=1, completion_tokens=1, finish_reason="stop"))
        return SimpleNamespace(cancel=lambda: None)

    home = tmp_path_factory.mktemp("requests")
    bases = [Base("tiny", "nowhere")]
    store = Store(home / "a.db")
    app = make_app(store, home=Home(home), bases=bases, submit=submit, api_key="test")
    headers = {"authorization": "Bearer test"}
    with TestClient(app, raise_server_exceptions=False, headers=headers) as http:
        yield http, asked


@pytest.fixture
def http(running):
    return running[0]


@pytest.fixture
def asked(running):
    """Return the requests that reach the engine in this test."""
    running[1].clear()
    return running[1]


@pytest.fixture
def client(http):
    return OpenAI(base_url="http://testserver/v1", api_key="test", max_retries=0, http_client=http)


@pytest.fixture
def upload(client):
    return client.files.create(file=UPLOAD, purpose="fine-tune")


def chat(http, **fields):
    """Ask with these fields beside a valid question; return the response."""
    body = {"model": "tiny", "messages": HI} | fields
    return http.post("/v1/chat/completions", json=body)


def message_of(response) -> str:
    assert response.status_code == 400, response.text
    return response.json()["error"]["message"]


# What means nothing

NULLS = (
    "temperature top_p top_k stream n stop seed user max_tokens max_completion_tokens tools "
    "tool_choice functions function_call response_format logprobs top_logprobs logit_bias "
    "parallel_tool_calls store metadata reasoning_effort stream_options prediction audio "
    "modalities service_tier verbosity web_search_options anything_new"
)
NEUTRAL = [
    ("tools", []),
    ("tool_choice", "none"),
    ("tool_choice", "auto"),
    ("functions", []),
    ("function_call", "auto"),
    ("parallel_tool_calls", True),
    ("parallel_tool_calls", False),
    ("response_format", {"type": "text"}),
    ("modalities", ["text"]),
    ("n", 1),
    ("logprobs", False),
    ("logit_bias", {}),
    ("store", False),
    ("metadata", {}),
    ("metadata", {"run": "7"}),
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("verbosity", "medium"),
    ("reasoning_effort", "none"),
    ("truncation", "auto"),
    ("frequency_penalty", 0),
    ("presence_penalty", 0.0),
    ("repetition_penalty", 1.0),
    ("min_p", 0),
    ("top_k", -1),
    ("top_k", 0),
    ("ignore_eos", False),
    ("enable_thinking", False),
    ("thinking_budget", 4096),
    ("chat_template_kwargs", {}),
    ("chat_template_kwargs", {"enable_thinking": False}),
    ("stream_options", {"include_usage": False}),
    ("stream_options", {"include_usage": None, "include_obfuscation": False}),
    ("user", "somebody"),
    ("safety_identifier", "somebody"),
    ("prompt_cache_key", "somebody"),
    ("anything_new", False),
    ("anything_new", []),
    ("anything_new", {}),
]


@pytest.mark.parametrize("name, value", [*((name, None) for name in NULLS.split()), *NEUTRAL])
def test_what_means_nothing_changes_nothing(http, asked, name, value):
    assert chat(http).status_code == 200
    response = chat(http, **{name: value})
    assert response.status_code == 200, response.text
    assert asked[0] == asked[1]


NOT_NEUTRAL = [
    ("tools", [{"type": "function"}]),
    ("tool_choice", "required"),
    ("parallel_tool_calls", "x"),
    ("modalities", ["text", "audio"]),
    ("store", True),
    ("logit_bias", {"1": 5}),
    ("service_tier", "flex"),
    ("frequency_penalty", 0.5),
    ("frequency_penalty", False),
    ("repetition_penalty", 1.1),
    ("repetition_penalty", True),
    ("min_p", 0.05),
    ("ignore_eos", True),
    ("do_sample", False),
    ("skip_special_tokens", False),
    ("add_generation_prompt", False),
    ("enable_thinking", True),
    ("chat_template_kwargs", {"enable_thinking": True}),
    ("reasoning_effort", "high"),
    ("anything_new", 0),
    ("anything_new", ""),
]


@pytest.mark.parametrize("name, value", NOT_NEUTRAL)
def test_what_would_change_the_answer_is_refused_by_name(http, asked, name, value):
    response = chat(http, **{name: value})
    assert name in message_of(response) and response.json()["error"]["param"] == name
    assert not asked


def test_all_that_is_wrong_is_said_at_once(http):
    response = chat(
        http,
        temperature=3,
        tools=[{"type": "function"}],
        min_p=0.05,
        stop=list("abcdefghi"),
        messages=[{"role": "user"}, {"role": "tool", "content": "x", "tool_call_id": "1"}],
    )
    text = message_of(response)
    names = ("temperature", "tools", "min_p", "stop", "messages[0].content", "messages[1]")
    assert all(name in text for name in names)
    assert response.json()["error"]["param"] in names


def test_a_hundred_mistakes_make_a_short_message(http):
    text = message_of(chat(http, **{f"unknown_{i}" * 50: 1 for i in range(100)}))
    assert "还有 92 处" in text and len(text) < 1500


# Messages


def own_answers(client):
    """Return the service's own answer in each form that tutorials send back."""
    chat = client.chat.completions
    raw = chat.with_raw_response.create(model="tiny", messages=HI)
    message = raw.parse().choices[0].message
    with chat.stream(model="tiny", messages=HI) as stream:
        streamed = stream.get_final_completion().choices[0].message
    json = raw.http_response.json()["choices"][0]["message"]
    return [message, message.model_dump(), message.to_dict(), json, streamed, streamed.model_dump()]


def test_the_service_takes_back_its_own_answer(client, asked):
    for answer in own_answers(client):
        asked.clear()
        client.chat.completions.create(model="tiny", messages=[*HI, answer, *HI])
        assert asked[0].messages == [*HI, {"role": "assistant", "content": "好"}, *HI]


BACK = [
    {"refusal": None, "tool_calls": None, "function_call": None, "audio": None, "annotations": []},
    {"provider_specific_fields": {"refusal": None, "citations": []}},
    {"tool_calls": [], "reasoning_content": "", "name": "bot"},
    {"reasoning_content": "想了想", "reasoning": None, "id": "msg_1"},
    {"prefix": False, "provider_specific_fields": None, "parsed": {"a": 1}},
]


@pytest.mark.parametrize("fields", BACK)
def test_what_an_answer_carries_besides_its_text_is_taken_back(http, asked, fields):
    answer = {"role": "assistant", "content": "好"}
    assert chat(http, messages=[*HI, answer | fields, *HI]).status_code == 200
    assert asked[0].messages[1] == answer


def test_developer_is_read_as_system_and_parts_of_text_are_joined(http, asked):
    parts = [
        {"type": "text", "text": "你"},
        {"type": "input_text", "text": "好", "cache_control": {"type": "ephemeral"}},
        {"type": "output_text", "text": "吗", "annotations": []},
    ]
    messages = [{"role": "developer", "content": "短些"}, {"role": "user", "content": parts}]
    assert chat(http, messages=messages).status_code == 200
    assert asked[0].messages == [
        {"role": "system", "content": "短些"},
        {"role": "user", "content": "你好吗"},
    ]


IMAGE = {"type": "image_url", "image_url": {"url": "x"}}
BAD_MESSAGES = [
    ({"role": "user", "content": [IMAGE]}, "messages[0].content[0]", "image_url"),
    ({"role": "user", "content": ["x"]}, "messages[0].content[0]", "对象"),
    ({"role": "user", "content": 5}, "messages[0].content", "字符串或列表"),
    ({"role": "assistant", "content": None}, "messages[0].content", "缺少"),
    ({"role": "tool", "content": "x"}, "messages[0]", "tool"),
    ({"role": "user", "content": "x", "weight": 1}, "messages[0].weight", "不支持"),
    ({"role": "assistant", "content": "x", "refusal": "不"}, "messages[0].refusal", "不支持"),
    ("x", "messages[0]", "对象"),
]


@pytest.mark.parametrize("message, param, reason", BAD_MESSAGES)
def test_a_bad_message_is_refused_by_its_place_and_with_the_reason(http, message, param, reason):
    response = chat(http, messages=[message])
    assert reason in message_of(response)
    assert response.json()["error"]["param"] == param


# Wording

WRONG = [
    ("temperature", 3, "不小于 0、不大于 2", "at least 0 and at most 2"),
    ("top_p", 0, "大于 0、不大于 1", "above 0 and at most 1"),
    ("max_tokens", 0, "不小于 1", "at least 1"),
    ("max_tokens", 1.5, "整数", "a whole number"),
    ("max_tokens", "many", '"many"', '"many"'),
    ("temperature", "hot", "数字", "a number"),
    ("temperature", [1], "数字，收到的是列表", "a number, got a list"),
    ("stream", "maybe", "true 或 false", "true or false"),
    ("seed", 2**70, "收到的是", "got"),
    ("stop", 5, "字符串或列表", "a string or a list"),
    ("stop", ["x" * 201], "最多 200 个字符", "200 characters at most"),
    ("stop", list("abcdefghi"), "最多 8 项，收到 9 项", "8 items at most, got 9"),
    ("messages", [], "至少要有 1 项", "1 or more items"),
    ("messages", "x", "列表", "a list"),
    ("model", 5, "字符串", "a string"),
    ("model", None, "缺少", "is missing"),
    ("stream_options", "x", "对象", "an object"),
    ("n", 9, "不大于 8", "at most 8"),
]
PYDANTIC = re.compile(r"Input|Field required|Value error|Extra|valid (string|integer|list)")


@pytest.mark.parametrize("name, value, zh, en", WRONG)
def test_a_wrong_value_is_explained_in_one_language(http, monkeypatch, name, value, zh, en):
    for language, expected in (("zh", zh), ("en", en)):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        text = message_of(chat(http, **{name: value}))
        assert name in text and expected in text and not PYDANTIC.search(text)
        assert bool(re.search(r"[\u4e00-\u9fff]", text)) == (language == "zh")


# Jobs and lists


def test_a_job_takes_openais_own_example_and_what_means_nothing(client, upload):
    job = client.fine_tuning.jobs.create(
        model="tiny",
        training_file=upload.id,
        hyperparameters={"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"},
        integrations=[],
        method=None,
        metadata=None,
        extra_body={"validation_file": None, "suffix": None, "seed": None},
    )
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (2, 8)


@pytest.mark.parametrize("multiplier", [1, 1.0, None])
def test_a_multiplier_of_one_changes_nothing(client, upload, multiplier):
    method = {"hyperparameters": {"learning_rate_multiplier": multiplier}}
    client.fine_tuning.jobs.create(
        model="tiny", training_file=upload.id, method={"type": "supervised", "supervised": method}
    )


def test_every_bad_hyperparameter_is_named_at_once(client, upload):
    given = {"learning_rate_multiplier": 2, "warmup": 3, "n_epochs": 99, "lora_rank": "x" * 9999}
    with pytest.raises(openai.BadRequestError) as caught:
        client.fine_tuning.jobs.create(model="tiny", training_file=upload.id, hyperparameters=given)
    assert all(name in caught.value.message for name in given)
    assert len(caught.value.message) < 1000


def test_hyperparameters_in_both_places_are_all_used(client, upload):
    job = client.fine_tuning.jobs.create(
        model="tiny",
        training_file=upload.id,
        hyperparameters={"n_epochs": 2},
        method={"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 4}}},
    )
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (2, 4)


@pytest.fixture
def jobs(client, upload):
    """Return the list of jobs with the ids of three jobs: with `a: 1`, with `a: 1, b: 2`, plain."""
    api = client.fine_tuning.jobs
    given = ({"a": "1"}, {"a": "1", 'b"]': "二"}, None)
    made = [api.create(model="tiny", training_file=upload.id, metadata=m).id for m in given]
    return api.list, made


def test_jobs_are_filtered_by_metadata(jobs):
    list_jobs, (one, two, plain) = jobs
    ids = [job.id for job in list_jobs(metadata={"a": "1"})]
    assert ids == [two, one]
    assert [job.id for job in list_jobs(metadata={"a": "1"}, limit=1)] == ids  # by pages
    assert [job.id for job in list_jobs(metadata={"a": "1", 'b"]': "二"})] == [two]
    assert not list_jobs(metadata={"a": "2"}).data and not list_jobs(metadata={"1": "a"}).data
    without = [job.id for job in list_jobs(extra_query={"metadata": "null"})]
    assert without[0] == plain and not {one, two} & set(without)
    assert [job.id for job in list_jobs(metadata={}, limit=3).data] == [plain, two, one]


REFUSED_QUERIES = [
    ("/v1/fine_tuning/jobs?status=running", "status"),
    ("/v1/fine_tuning/jobs?limit=0", "limit"),
    ("/v1/fine_tuning/jobs?limit=1&limit=2", "limit"),
    ("/v1/fine_tuning/jobs?limit[a]=1", "limit[a]"),
    ("/v1/fine_tuning/jobs?metadata=1", "metadata"),
    ("/v1/files?order=up", "order"),
    ("/v1/files?limit=many", "limit"),
    ("/v1/models?limit=5", "limit"),
]


@pytest.mark.parametrize("address, param", REFUSED_QUERIES)
def test_a_filter_that_is_not_known_is_refused_rather_than_ignored(http, address, param):
    response = http.get(address)
    assert param in message_of(response) and response.json()["error"]["param"] == param
    assert not PYDANTIC.search(message_of(response))


def test_a_limit_is_refused_with_its_range(http):
    assert "不小于 1、不大于 1000" in message_of(http.get("/v1/files?limit=0"))


def test_an_empty_after_and_a_clients_own_version_mean_nothing(http):
    for query in ("after=", "api-version=2026-01-01", "client_version=1"):
        assert http.get(f"/v1/fine_tuning/jobs?{query}").status_code == 200


# Around the request


def test_every_response_has_an_id_of_its_own(http):
    paths = ("/health", "/v1/models", "/v1/files/x", "/v1/none", "/v1/files?limit=0")
    responses = [http.get(path) for path in paths]
    responses += [
        http.get("/v1/models", headers={"authorization": "x"}),
        http.options("/v1/models"),
    ]
    responses += [chat(http), chat(http, stream=True)]
    ids = [response.headers["x-request-id"] for response in responses]
    assert all(re.fullmatch(r"req_[0-9a-f]{24}", number) for number in ids)
    assert len(set(ids)) == len(ids)


def test_the_log_names_the_request_that_failed(http, caplog, monkeypatch):
    def fail(self, *_):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Store, "models", fail)
    response = http.get("/v1/models")
    number = response.headers["x-request-id"]
    assert response.status_code == 500 and number in response.json()["error"]["message"]
    assert number in caplog.text and "secret" not in response.text


def test_a_web_page_is_told_that_it_cannot_call(tmp_path):
    """A browser asks without the token."""
    app, _ = make(tmp_path)
    with TestClient(app) as http:
        headers = {"origin": "https://example.com", "access-control-request-method": "POST"}
        response = http.options("/v1/chat/completions", headers=headers)
    assert response.status_code == 405 and "CORS" in response.json()["error"]["message"]
    assert not any(name.startswith("access-control") for name in response.headers)


def test_a_container_is_told_how_the_service_must_be_started(tmp_path):
    app = make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=[],
        submit=None,
        api_key="test",
        loopback=True,
    )
    with TestClient(app, base_url="http://host.docker.internal:9") as http:
        response = http.get("/v1/models")
    assert response.status_code == 421
    assert "serve --host 0.0.0.0 --api-key" in response.json()["error"]["message"]


async def _accepted_option(listener: socket.socket) -> int:
    """Return TCP_NODELAY of a connection that asyncio accepts from the listener."""
    accepted = asyncio.get_running_loop().create_future()

    def connected(reader, writer):
        own = writer.get_extra_info("socket")
        accepted.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    server = await asyncio.start_server(connected, sock=listener)
    async with server:
        host, port = listener.getsockname()[:2]
        _, writer = await asyncio.open_connection(host, port)
        option = await accepted
        writer.close()
    return option


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_answer_waits_for_the_clients_delayed_acknowledgement(host):
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    assert asyncio.run(_accepted_option(bind(host, 0))) == 1


@pytest.mark.parametrize(
    "messages",
    [
        [1] * 300_000,
        [{"role": "user", "content": [1] * 300_000}],
        [{"role": "user", "content": "a"}] * 28_000,
        [{"role": "user", "content": "a"} | {f"k{i}": 1 for i in range(60_000)}],
    ],
)
def test_a_body_of_very_many_values_is_not_looked_at_one_by_one(http, messages):
    assert "30000" in message_of(chat(http, messages=messages))


def test_of_very_many_errors_only_the_first_are_put_into_words(http, monkeypatch):
    worded = []
    sentence = validation.sentence
    monkeypatch.setattr(validation, "sentence", lambda *a: worded.append(a) or sentence(*a))
    message_of(chat(http, **{f"k{i}": 1 for i in range(20_000)}))
    assert len(worded) < 1000


@pytest.mark.parametrize(
    "prompt",
    [[], [[]], ["a", [1]], [1, "a"], [-1], [1.5], [True], [2**40], [[1], [-1]], {}, 1, [[[1]]]],
)
def test_a_prompt_of_another_form_gets_one_sentence(http, prompt):
    message = message_of(http.post("/v1/completions", json={"model": "tiny", "prompt": prompt}))
    assert message.count("prompt") == 1


def test_token_ids_are_not_counted_as_values(http):
    prompts = [[1] * 2000] * 64
    body = {"model": "tiny", "prompt": prompts, "max_tokens": 1}
    assert http.post("/v1/completions", json=body).status_code == 200


@pytest.mark.parametrize(
    "habit",
    [
        {"max_tokens": -1},
        {"max_completion_tokens": -1},
        {"cache_prompt": True, "repeat_penalty": 1.0, "mirostat": 0, "xtc_probability": 0},
        {"reasoning": {"effort": "none"}, "reasoning_format": "auto"},
        {"keep_alive": 300, "session_id": "a", "chat_id": "b"},
        {"prediction": {"type": "content", "content": "a"}},
    ],
)
def test_more_habits_of_clients_change_nothing(http, asked, habit):
    assert chat(http, **habit).status_code == 200
    assert asked[-1].max_tokens is None


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/v1//models", "/v1/models//"])
def test_slashes_too_many_are_not_another_address(http, path):
    response = http.request("GET", "http://testserver" + path, follow_redirects=False)
    assert response.json()["data"]


def test_a_question_with_a_slash_behind_it_is_answered_without_a_redirect(http):
    body = {"model": "tiny", "messages": HI}
    response = http.post("/v1/chat/completions/", json=body, follow_redirects=False)
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/v1/v1/models", "/v1/chat/completions/chat/completions"])
def test_a_base_url_that_is_too_long_is_said_to_be(http, path):
    error = http.get(path).json()["error"]
    assert (error["code"], "base_url" in error["message"]) == ("unknown_url", True)


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_head_is_answered_as_get_is(http, path):
    assert http.head(path).status_code == 200


def test_a_compressed_body_is_refused_by_name(http):
    headers = {"content-encoding": "gzip"}
    response = http.post("/v1/chat/completions", content=gzip.compress(b"{}"), headers=headers)
    assert (response.status_code, "Content-Encoding" in response.text) == (415, True)

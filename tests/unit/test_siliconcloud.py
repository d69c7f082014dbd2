"""The test server does what the platform documents, as the official client sees it."""

import httpx
import openai
import pytest
from openai import OpenAI
from siliconcloud import FAULTS, TUNED

from cookbook import connect, tokens

MESSAGES = [
    {"role": "system", "content": "你是智说新语生成器"},
    {"role": "user", "content": "地铁"},
]


@pytest.fixture
def client(siliconcloud):
    siliconcloud.answers["地铁"] = "人贴着人，心却隔着屏幕。"
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


def chat(client, model=TUNED, **options):
    return client.chat.completions.create(model=model, messages=MESSAGES, **options)


def test_an_answer_says_how_it_ended_and_what_it_cost(client):
    answer = chat(client, seed=42)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (
        "人贴着人，心却隔着屏幕。",
        "eos",
    )
    assert answer.usage.prompt_tokens == tokens.count_request(MESSAGES)
    assert answer.usage.completion_tokens == tokens.count("人贴着人，心却隔着屏幕。")
    cut_off = chat(client, max_tokens=3)
    assert (cut_off.choices[0].finish_reason, cut_off.usage.completion_tokens) == ("length", 3)


def test_a_stream_has_usage_in_every_chunk_empty_choices_and_null_content(client):
    chunks = list(chat(client, stream=True))
    used = [c.usage.completion_tokens for c in chunks]
    assert used == sorted(used) and used[-1] == tokens.count("人贴着人，心却隔着屏幕。")
    assert any(not c.choices for c in chunks)
    contents = [c.choices[0].delta.content for c in chunks if c.choices]
    assert None in contents and "".join(filter(None, contents)) == "人贴着人，心却隔着屏幕。"
    assert chunks[-1].choices[0].finish_reason == "eos"


def test_every_answer_has_a_trace_id(client):
    assert client.chat.completions.with_raw_response.create(model=TUNED, messages=MESSAGES).headers[
        "x-siliconcloud-trace-id"
    ]


@pytest.mark.parametrize("fault", list(FAULTS))
def test_faults_come_in_the_order_the_test_asks_for(client, siliconcloud, fault):
    siliconcloud.next = [fault]
    with pytest.raises(openai.APIStatusError) as caught:
        chat(client)
    assert (caught.value.status_code, caught.value.body) == FAULTS[fault]
    assert chat(client).usage


def test_the_clients_own_retries_outlast_a_burst(client, siliconcloud):
    siliconcloud.next = [429, 503]
    assert chat(client.with_options(max_retries=2)).usage
    assert len(siliconcloud.requests) == 3


def test_a_stream_can_be_cut_in_the_middle(client, siliconcloud):
    siliconcloud.next = ["cut"]
    received = ""
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        for chunk in chat(client, stream=True):
            received += (chunk.choices and chunk.choices[0].delta.content) or ""
    assert received and received != "人贴着人，心却隔着屏幕。"


def test_a_wrong_model_is_400_and_a_wrong_key_401(client):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, model=TUNED + "x")
    assert caught.value.body["code"] == 20012
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(client.with_options(api_key="sk-other"))
    assert caught.value.body == "Invalid token"


def test_tuned_models_are_never_listed_and_fine_tuning_has_no_route(client):
    listed = client.models.list(extra_query={"sub_type": "chat"}).data
    assert listed and not [m.id for m in listed if m.id.startswith("ft:")]
    assert {(m.created, m.owned_by) for m in listed} == {(0, "")}
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.list()
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.create(model=listed[0].id, training_file="file-x")

"""The test server does what the platform documents, as the official client sees it."""

import json

import httpx
import openai
import pytest
from openai import OpenAI
from siliconcloud import FAULTS, TUNED

from cookbook import connect, tokens

BATCHED = "deepseek-ai/DeepSeek-V3"
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


# Files and batches


def upload(client, questions=("地铁",), **changes):
    lines = []
    for i, question in enumerate(questions):
        body = {"model": BATCHED, "messages": [{"role": "user", "content": question}]} | changes
        lines.append(json.dumps({"custom_id": f"r{i}", "body": body}, ensure_ascii=False))
    content = "\n".join(lines).encode()
    return client.files.create(file=("a.jsonl", content), purpose="batch")


def start(client, file, **options):
    known = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return client.batches.create(input_file_id=file, **known | options)


def test_an_upload_is_wrapped_and_a_batch_is_not(client):
    uploaded = upload(client)
    assert (uploaded.code, uploaded.status, uploaded.data["purpose"]) == (20000, True, "batch")
    batch = start(client, uploaded.data["id"], metadata={"description": "x"})
    assert batch.id.startswith("batch_") and batch.status == "in_queue"
    assert batch.errors is batch.output_file_id is batch.request_counts is None
    assert batch.metadata == {"description": "x"}


def test_a_batch_is_answered_after_its_states_and_replace_wins(client, siliconcloud):
    batch = start(client, upload(client).data["id"], extra_body={"replace": {"model": TUNED}})
    states = [client.batches.retrieve(batch.id).status for _ in range(4)]
    assert states == ["in_progress", "finalizing", "completed", "completed"]
    ended = client.batches.retrieve(batch.id)
    (line,) = client.files.content(ended.output_file_id).text.splitlines()
    answer = json.loads(line)
    assert answer["custom_id"] == "r0" and answer["response"]["body"]["model"] == TUNED
    content = answer["response"]["body"]["choices"][0]["message"]["content"]
    assert content == "人贴着人，心却隔着屏幕。" and ended.error_file_id is None


def test_answers_and_errors_of_a_batch_are_apart_and_a_url_needs_no_key(client, siliconcloud):
    siliconcloud.batches.failing["加班"] = (400, {"code": 20015, "message": "x"})
    siliconcloud.batches.as_url = True
    siliconcloud.batches.steps = ("in_queue",)
    batch = start(client, upload(client, ["地铁", "加班"]).data["id"])
    ended = client.batches.retrieve(batch.id)
    good, bad = (httpx.get(url).text for url in (ended.output_file_id, ended.error_file_id))
    assert json.loads(good)["custom_id"] == "r0"
    assert json.loads(bad)["response"]["status_code"] == 400


def test_a_cancelled_batch_is_cancelling_first_and_the_list_has_all(client):
    batch = start(client, upload(client).data["id"])
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.retrieve(batch.id).status == "cancelled"
    assert [listed.id for listed in client.batches.list().data] == [batch.id]


@pytest.mark.parametrize(
    "questions, options",
    [
        (["地铁"], {"completion_window": "23h"}),
        (["地铁"], {"endpoint": "/v1/embeddings"}),
        (["地铁"] * 5001, {}),
    ],
)
def test_a_batch_beyond_the_documented_limits_is_refused(client, questions, options):
    file = upload(client, questions).data["id"]
    with pytest.raises(openai.BadRequestError):
        start(client, file, **options)


def test_other_purposes_and_unknown_batches_are_refused(client):
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_x")

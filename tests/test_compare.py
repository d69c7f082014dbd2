import httpx
import pandas as pd
import pytest
from openai import OpenAI

from cookbook import compare


@pytest.fixture
def flaky():
    """A server that answers every word but one."""

    def answer(request: httpx.Request) -> httpx.Response:
        if "坏词" in request.content.decode():
            return httpx.Response(503, json={"code": 50505, "message": "Model service overloaded."})
        chunk = '{"choices":[%s],"id":"x","created":0,"model":"m","object":"chat.completion.chunk","usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":0}}'
        pieces = [
            (1, '{"index":0,"delta":{"content":"甲"}}'),
            (1, ""),
            (2, '{"index":0,"delta":{"content":null},"finish_reason":"eos"}'),
        ]
        body = "".join(f"data: {chunk % (choice, n)}\n\n" for n, choice in pieces) + "data: [DONE]\n\n"
        return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        yield OpenAI(base_url="http://test/v1", api_key="test", max_retries=0, http_client=http)


def test_one_failure_never_loses_the_other_answers(flaky):
    frame = compare.ask(flaky, {"a": ("m", None), "b": ("m", "提示")}, ["好词", "坏词"])
    assert frame.column.tolist() == ["a", "a", "b", "b"]
    assert frame.answer.tolist() == ["甲", "", "甲", ""]
    assert frame.error.notna().tolist() == [False, True, False, True]


def test_usage_is_taken_from_the_last_chunk_and_odd_chunks_are_skipped(flaky):
    first = compare.ask(flaky, {"a": ("m", None)}, ["好词"]).iloc[0]
    assert (first.prompt_tokens, first.completion_tokens, first.finish_reason) == (9, 2, "eos")
    assert 0 < first.first_token_seconds <= first.seconds


def test_the_table_shows_every_answer_and_escapes_it():
    frame = pd.DataFrame([{"column": c, "input": "词", "answer": f"<b>{c}</b>"} for c in "ab"])
    table = compare.side_by_side(frame)
    assert "<b>a</b>" not in table._repr_html_() and "&lt;b&gt;a" in table._repr_html_()
    assert repr(table).split() == ["【词】", "a", "<b>a</b>", "b", "<b>b</b>"]


def test_chinese_wraps_by_its_width():
    assert compare._wrap("甲乙丙丁", 4) == ["甲乙", "丙丁"]

"""Many requests at once, and the table of the answers.

Faults come from the server that behaves as SiliconCloud does.
"""

import http.server
import json
import sys
import threading
import time

import httpx
import pandas as pd
import pytest
from openai import OpenAI
from siliconcloud import TUNED

from cookbook import compare, connect
from cookbook.compare import send
from cookbook.compare.count import counted
from cookbook.compare.table import _wrap
from cookbook.retry_after import retry_after

BASE = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture
def client(siliconcloud, monkeypatch):
    monkeypatch.setattr(send, "FIRST_WAIT", 0.01)
    siliconcloud.answers |= {"地铁": "人贴着人，心却隔着屏幕。", "加班": "灯亮着，人却熄了。"}
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield client


def test_one_failure_never_loses_the_other_answers(client):
    columns = {"a": (BASE, None), "b": ("没有的模型", "提示"), "c": (TUNED, "提示")}
    frame = compare.ask(client, columns, ["地铁", "加班"])
    assert frame.column.tolist() == ["a", "a", "b", "b", "c", "c"]
    assert (
        frame.answer.tolist()
        == ["人贴着人，心却隔着屏幕。", "灯亮着，人却熄了。", "", ""] + frame.answer.tolist()[:2]
    )
    assert frame.error.notna().tolist() == [False, False, True, True, False, False]


def test_a_wrong_model_is_not_asked_for_again(client, siliconcloud):
    frame = compare.ask(client, {"a": ("没有的模型", None)}, ["地铁"])
    assert frame.attempts.tolist() == [1] and len(siliconcloud.requests) == 1


def test_a_column_without_a_model_is_refused_before_anything_is_asked(client, siliconcloud):
    with pytest.raises(ValueError, match="列“b”的模型是 None"):
        compare.ask(client, {"a": (BASE, None), "b": (None, None)}, ["地铁"])
    assert not siliconcloud.requests


def test_usage_is_taken_from_the_last_chunk_and_odd_chunks_are_skipped(client):
    first = compare.ask(client, {"a": (TUNED, "提示")}, ["地铁"]).iloc[0]
    assert (first.completion_tokens, first.finish_reason, first.model, first.system) == (
        10,
        "eos",
        TUNED,
        "提示",
    )
    assert 0 < first.first_token_seconds <= first.seconds


@pytest.mark.parametrize("faults", [[429], [503, 504], ["cut"], [429, "cut", 503]])
def test_bursts_and_cut_streams_are_sent_again_and_never_joined(client, siliconcloud, faults):
    siliconcloud.next = list(faults)
    row = compare.ask(client, {"a": (TUNED, None)}, ["地铁"]).iloc[0]
    assert (row.answer, row.attempts, row.error) == (
        "人贴着人，心却隔着屏幕。",
        len(faults) + 1,
        None,
    )
    assert len(siliconcloud.requests) == len(faults) + 1  # the client itself tried none again


def test_a_service_that_stays_busy_is_given_up_with_its_reason(client, siliconcloud):
    siliconcloud.next = ["cut", 503, 503]
    row = compare.ask(client, {"a": (TUNED, None)}, ["地铁"], retries=2).iloc[0]
    assert (row.answer, row.attempts, row.finish_reason) == ("", 3, None) and "过载" in row.error


class Crowded(http.server.BaseHTTPRequestHandler):
    """A room that answers one request in eight, and tells the others how long to wait."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.asked += 1
            is_turn = self.server.asked % 8 == 0
        content, head = TURN if is_turn else WAIT
        self.send_response(200 if is_turn else 429)
        for name, value in head.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_):
        pass


CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHOICE = {"index": 0, "delta": {"content": "好"}, "finish_reason": "stop"}
TURN = (
    f"data: {json.dumps(CHUNK | {'choices': [CHOICE]})}\n\ndata: [DONE]\n\n",
    {"content-type": "text/event-stream"},
)
WAIT = ('{"error": {"message": "排队中", "type": "x"}}', {"retry-after": "0.01"})


@pytest.fixture
def crowded(monkeypatch):
    monkeypatch.setattr(send, "FIRST_WAIT", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Crowded) as server:
        server.lock, server.asked = threading.Lock(), 0
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        with OpenAI(base_url=url, api_key="x") as client:
            yield client
        server.shutdown()
        thread.join()


def test_to_wait_for_ones_turn_costs_no_answer(crowded):
    frame = compare.ask(crowded, {"a": ("m", None)}, ["地铁"] * 6, concurrency=3, retries=0)
    assert frame.error.isna().all() and frame.attempts.sum() == 48


def test_a_turn_that_never_comes_is_given_up(crowded, monkeypatch):
    monkeypatch.setattr(send, "TURN_SECONDS", 0.0)
    row = compare.ask(crowded, {"a": ("m", None)}, ["地铁"], retries=2).iloc[0]
    assert row.attempts == 3 and row.error == "排队中"


def test_a_burst_while_many_are_asked_costs_no_answer(client, siliconcloud):
    siliconcloud.next = [429, 503, "cut"] * 4
    frame = compare.ask(
        client, {"a": (TUNED, None), "b": (BASE, None)}, ["地铁", "加班"] * 5, retries=12
    )
    assert frame.error.isna().all() and frame.attempts.sum() == 20 + 12
    assert set(frame.answer) == set(siliconcloud.answers.values())


def test_no_more_requests_than_allowed_are_under_way(client, siliconcloud, monkeypatch):
    under_way, seen, answer = [], [], siliconcloud.answer

    def watched(body):
        under_way.append(1)
        time.sleep(0.02)
        seen.append(len(under_way))
        under_way.pop()
        return answer(body)

    monkeypatch.setattr(siliconcloud, "answer", watched)
    compare.ask(client, {"a": (TUNED, None)}, ["地铁"] * 12, concurrency=3)
    assert len(seen) == 12 and 2 <= max(seen) <= 3


def test_progress_is_reported_and_an_interrupt_keeps_what_is_there(client):
    counts = []

    def interrupt(done, total):
        counts.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    frame = compare.ask(
        client, {"a": (TUNED, None)}, ["地铁"] * 8, concurrency=1, progress=interrupt
    )
    assert counts == [(1, 8), (2, 8), (3, 8)] and len(frame) == 8
    assert (frame.answer != "").sum() >= 3 and frame.error.notna().sum() == (
        frame.answer == ""
    ).sum() >= 1


def test_the_count_in_a_terminal_vanishes_and_a_file_gets_none(client, capsys, monkeypatch):
    compare.ask(client, {"a": (TUNED, None)}, ["地铁"])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    compare.ask(client, {"a": (TUNED, None)}, ["地铁", "加班"])
    shown = capsys.readouterr().err
    assert "1/2" in shown and shown.endswith("\r\033[K")


@pytest.mark.parametrize(
    "header, low, high", [("7", 7, 7.1), ("", 1, 2), ("soon", 1, 2), ("9999", 60, 60.1)]
)
def test_the_wait_is_the_services_own_or_doubles(header, low, high):
    error = Exception()
    error.response = httpx.Response(429, headers={"Retry-After": header})
    assert low <= send.wait(2, error) <= high


def test_a_date_in_retry_after_is_understood():
    assert retry_after({"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}) == 0
    assert retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) > 1e6


def test_what_is_no_time_in_retry_after_is_none():
    for text in ("soon", "nan", "inf", ""):
        assert retry_after({"retry-after": text}) is None


def frame_of(answers, **more):
    return pd.DataFrame(
        [{"column": c, "input": "词", "answer": text} | more for c, text in answers.items()]
    )


def test_the_table_shows_every_answer_and_escapes_it():
    table = compare.side_by_side(frame_of({"a": "<b>a</b>", "b": "<b>b</b>"}))
    assert "<b>a</b>" not in table._repr_html_() and "&lt;b&gt;a" in table._repr_html_()
    assert repr(table).split() == ["【词】", "a", "<b>a</b>", "b", "<b>b</b>"]


def test_a_failed_answer_shows_its_error_and_a_note_stands_below():
    html = compare.side_by_side(frame_of({"a": ""}, error="太忙"))._repr_html_()
    assert "⚠ 太忙" in html
    assert (
        "含原词"
        in compare.side_by_side(
            frame_of({"a": "句"}, rules_broken="含原词"), note="rules_broken"
        )._repr_html_()
    )


def test_the_page_names_models_and_prompts_and_loads_nothing(tmp_path):
    answers = frame_of({"a": "<script>", "b": "长" * 3000}, model="ft:m", system="提示<x>")
    page = (
        compare.side_by_side(answers)
        .to_html(tmp_path / "a.html", title="标题&")
        .read_text(encoding="utf-8")
    )
    assert (
        page.startswith("<!doctype html>")
        and '<meta charset="utf-8">' in page
        and "标题&amp;" in page
    )
    assert "ft:m" in page and "提示&lt;x&gt;" in page
    assert not [
        bad for bad in ("<script>", "src=", "href=", "://", "@import", "url(") if bad in page
    ]


def test_chinese_wraps_by_its_width_and_no_line_begins_with_a_mark():
    assert _wrap("甲乙丙丁", 4) == ["甲乙", "丙丁"]
    assert _wrap("甲乙，丙", 4) == ["甲乙，", "丙"]


def test_the_halves_of_a_character_are_joined_and_one_alone_is_marked():
    assert send.storable("\ud83d" + "\ude00" + "a" + "\ud83d") == "\U0001f600a\ufffd"


def test_a_count_says_how_long_the_rest_takes():
    assert counted(12, 180, 24.0) == "已回答 12/180，还需约 5.6 分钟"

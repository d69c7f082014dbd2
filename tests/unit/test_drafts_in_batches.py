"""Drafts as batches: what is waited for, what is kept of a batch that went wrong.

The service is the server that behaves as SiliconCloud does (`siliconcloud_batches.py`).
"""

import json

import pytest
from openai import OpenAI

from cookbook import connect, synthesize
from cookbook.compare import send
from cookbook.errors import ArgumentError, DataError, ServiceError
from cookbook.synthesize import batch, batch_files, results

MODEL = "deepseek-ai/DeepSeek-V3"
WORDS = ["地铁", "加班", "火锅"]


@pytest.fixture
def client(siliconcloud, monkeypatch):
    monkeypatch.setattr(send, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(batch, "FIRST_LOOK", 0.01)
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield client


@pytest.fixture
def ask(client, tmp_path):
    def ask(inputs=WORDS, **options):
        arguments = {"path": tmp_path / "drafts.jsonl", "n": 1, "batch": True} | options
        return synthesize.drafts(client, MODEL, "提示词", inputs, **arguments)

    return ask


@pytest.fixture
def batches(siliconcloud):
    return siliconcloud.batches


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_batch_gives_the_same_table_as_asking_at_once(ask, siliconcloud, batches, tmp_path):
    in_batch = ask(n=2)
    assert len(batches.started) == 1 and not siliconcloud.requests
    at_once = ask(n=2, batch=False, path=tmp_path / "other.jsonl")
    assert in_batch.to_dict("list") == at_once.to_dict("list")


def test_the_file_has_one_model_and_a_key_for_each_line(ask, batches):
    ask(n=2)
    (content,) = [batches.files[b["input_file_id"]] for b in batches.started.values()]
    lines = [json.loads(line) for line in content.splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines) == 6
    assert {line["body"]["model"] for line in lines} == {MODEL}
    assert lines[0]["body"]["messages"][-1] == {"role": "user", "content": "地铁"}


def test_run_again_or_at_once_nothing_is_asked_again(ask, siliconcloud, batches):
    ask()
    ask()
    assert ask(batch=False).error.isna().all()
    assert batches.posts == ["/v1/files", "/v1/batches"] and not siliconcloud.requests


def test_results_named_by_a_url_are_fetched_without_the_key(ask, batches):
    batches.as_url = True
    batches.failing["加班"] = (400, "bad")
    assert ask().error.isna().tolist() == [True, False, True]
    assert batches.fetched == [None, None]


@pytest.mark.parametrize(
    "body, said",
    [
        ({"code": 20015, "message": "The parameter is invalid."}, "The parameter is invalid."),
        ({"error": {"message": "too long", "code": None}}, "too long"),
        ("Gateway Timeout", "Gateway Timeout"),
    ],
)
def test_a_line_that_failed_says_why_and_alone_is_asked_again(ask, batches, body, said):
    batches.failing["加班"] = (400, body)
    frame = ask()
    assert frame.error.isna().tolist() == [True, False, True]
    assert frame.error[1] == f"[400] {said}"
    batches.failing.clear()
    assert ask().error.isna().all()
    assert batches.asked() == [*WORDS, "加班"]


def test_where_every_line_failed_no_output_file_is_needed(ask, batches):
    batches.failing = dict.fromkeys(WORDS, (500, "x"))
    assert ask().error.tolist() == ["[500] x"] * 3


@pytest.mark.parametrize("end, said", [("expired", "过期了"), ("cancelled", "被取消了")])
def test_a_batch_that_ends_early_keeps_what_it_has(ask, batches, end, said):
    batches.ends = end
    batches.unfinished = {"火锅"}
    frame = ask()
    assert frame.error.isna().tolist() == [True, True, False]
    assert said in frame.error[2] and "再运行会重新问" in frame.error[2]
    batches.unfinished = set()
    ask()
    assert batches.asked() == [*WORDS, "火锅"]


def test_a_batch_that_failed_says_what_the_service_said(ask, batches):
    batches.ends, batches.errors = "failed", ["line 3 is not valid"]
    assert ask().error.str.contains("失败了.*line 3 is not valid").all()


def test_a_batch_that_is_cancelled_meanwhile_is_waited_for(ask, client, batches, monkeypatch):
    looked = iter([lambda: client.batches.cancel(next(iter(batches.started)))])
    monkeypatch.setattr(batch.time, "sleep", lambda _: next(looked, int)())
    batches.unfinished = {"火锅"}
    frame = ask()
    assert frame.error.isna().tolist() == [True, True, False] and "被取消了" in frame.error[2]


def test_a_line_that_is_lost_is_a_failure_though_the_batch_is_complete(ask, batches):
    batches.unfinished = {"火锅"}
    assert "结果里却没有这一条" in ask().error[2]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda line: b"not JSON", "没有这一条（另有 3 行看不懂）"),
        (lambda line: b"[1]", "没有这一条（另有 3 行看不懂）"),
        (lambda line: json.dumps({"custom_id": line["custom_id"]}).encode(), "看不懂：{"),
        (lambda line: json.dumps(line | {"response": [1]}).encode(), "看不懂：{"),
    ],
)
def test_results_of_another_form_are_failures_and_not_guessed_at(ask, batches, change, said):
    def edit(content):
        return b"\n".join(change(json.loads(line)) for line in content.splitlines())

    batches.edit = edit
    assert ask().error.str.contains(said, regex=False).all()


def test_half_a_character_in_the_results_is_one_that_is_broken(ask, batches):
    # As JSON has them: one whole character in two halves, and a half alone.
    batches.edit = lambda content: content.replace("地铁".encode(), rb"\ud83d\ude00\ud83d")
    assert "“\U0001f600\ufffd”" in ask().draft[0]


def test_an_interrupted_cell_waits_for_the_same_batch(ask, batches, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        frame = ask()
    assert frame.error.str.contains("批量任务还在进行，再运行这一格就接着等").all()
    assert ask().error.isna().all()
    assert len(batches.started) == 1 and batches.posts == ["/v1/files", "/v1/batches"]


def test_what_a_batch_is_writing_is_not_asked_for_at_once(ask, siliconcloud, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        ask()
    with pytest.raises(ArgumentError, match="3 条已经在批量任务 batch_.*要付两次钱"):
        ask(batch=False)
    assert ask(["高考"], batch=False).error.isna().all() and len(siliconcloud.requests) == 1
    ask()
    assert ask(batch=False).error.isna().all() and len(siliconcloud.requests) == 1


def test_what_was_not_sent_before_the_interrupt_says_so(ask, batches, monkeypatch):
    monkeypatch.setattr(batch_files, "MOST_LINES", 1)
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        frame = ask()
    assert frame.error.str.contains("还在进行").tolist() == [True, True, False]
    assert frame.error[2] == "被中断，还没有发出"


def test_further_inputs_after_an_interrupt_get_a_batch_of_their_own(ask, batches, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        ask()
    assert ask([*WORDS, "高考"]).error.isna().all()
    assert batches.asked() == [*WORDS, "高考"]


def test_answers_that_are_no_longer_asked_for_are_kept_all_the_same(ask, batches, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        ask()
    assert ask(["地铁"]).error.isna().all()
    assert ask().error.isna().all() and len(batches.started) == 1


def test_the_batch_of_another_prompt_is_not_waited_for(ask, batches, client, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        ask()
    path = tmp_path / "drafts.jsonl"
    other = synthesize.drafts(client, MODEL, "另一个", WORDS, path=path, n=1, batch=True)
    assert other.error.isna().all()
    assert [b["status"] for b in batches.started.values()] == ["in_queue", "completed"]


def test_a_start_whose_answer_was_lost_is_found_again(ask, batches):
    batches.next = [None, "cut"]
    assert ask().error.isna().all()
    assert len(batches.started) == 1


def test_a_start_that_was_interrupted_is_found_by_the_next_run(ask, batches):
    batches.next = [None, "cut"]
    with pytest.raises(ServiceError, match="批量任务没有建成"):
        ask(retries=0)
    assert len(batches.started) == 1
    assert ask().error.isna().all() and len(batches.started) == 1


def test_a_start_that_never_arrived_is_made_by_the_next_run(ask, batches):
    batches.next = [None, 503]
    with pytest.raises(ServiceError, match="过载"):
        ask(retries=0)
    assert not batches.started
    assert ask().error.isna().all() and len(batches.started) == 1


def test_where_batches_are_not_listed_a_lost_start_is_not_made_twice(
    ask, batches, monkeypatch, tmp_path
):
    with monkeypatch.context() as patched:
        patched.setattr(batches, "list", lambda: (200, {"code": 20000, "data": {"batches": []}}))
        batches.next = [None, "cut"]
        for _ in range(2):
            with pytest.raises(ServiceError, match="不知道建成没有.*到控制台查看.*由 null 改成"):
                ask()
    remembered = tmp_path / "drafts.jsonl.batches.json"
    (started,) = batches.started
    remembered.write_text(remembered.read_text("utf-8").replace("null", f'"{started}"'), "utf-8")
    assert ask().error.isna().all() and list(batches.started) == [started]


@pytest.mark.parametrize("faults", [["balance"], [None, "balance"]])
def test_without_money_nothing_is_started_and_the_sentence_says_so(ask, batches, faults):
    batches.next = list(faults)
    with pytest.raises(ServiceError, match="批量任务没有建成：.*余额不足.*只能用充值的余额付"):
        ask()
    assert not batches.started and len(batches.posts) == len(faults)
    assert ask().error.isna().all() and len(batches.started) == 1


def test_a_busy_service_is_asked_again(ask, batches):
    batches.next = [429, 503, None, 429]
    batches.next_looks = [None, 503, "cut"]
    assert ask().error.isna().all() and len(batches.started) == 1


def test_a_service_that_stays_away_leaves_the_batch_to_the_next_run(ask, batches, monkeypatch):
    monkeypatch.setattr(batch, "PATIENCE", 0.0)
    batches.next_looks = [503]
    with pytest.raises(ServiceError, match="问不到批量任务 batch_.*再运行这一格"):
        ask()
    assert ask().error.isna().all() and len(batches.started) == 1


def test_a_batch_of_another_account_is_named(ask, batches, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        patched.setattr(batch.time, "sleep", interrupt)
        ask()
    batches.started.clear()
    remembered = tmp_path / "drafts.jsonl.batches.json"
    with pytest.raises(ServiceError, match="建在 127.0.0.1.*核对 key 和地址.*删掉 .*batches.json"):
        ask()
    remembered.unlink()
    assert ask().error.isna().all()


@pytest.mark.parametrize("as_url", [True, False])
def test_results_that_are_gone_are_said_to_be(ask, batches, as_url):
    batches.as_url = as_url
    batches.gone = True
    with pytest.raises(ServiceError, match="结果若已经不在了（平台保留 30 天）"):
        ask()


def test_many_requests_become_several_batches_two_at_a_time(ask, batches, monkeypatch):
    monkeypatch.setattr(batch_files, "MOST_LINES", 2)
    unfinished = []

    def watch(_):
        states = [b["status"] for b in batches.started.values()]
        unfinished.append(len([s for s in states if s != "completed"]))

    monkeypatch.setattr(batch.time, "sleep", watch)
    frame = ask([f"词{i}" for i in range(9)])
    assert frame.error.isna().all() and len(batches.started) == 5 and max(unfinished) == 2
    assert batches.asked() == [f"词{i}" for i in range(9)]


def test_a_file_never_has_more_bytes_than_a_service_takes(ask, batches, monkeypatch):
    monkeypatch.setattr(batch_files, "MOST_BYTES", 700)
    assert ask([f"词{i}" for i in range(6)]).error.isna().all()
    inputs = [batches.files[b["input_file_id"]] for b in batches.started.values()]
    assert len(inputs) > 1 and max(map(len, inputs)) <= 700


def test_progress_gets_the_counts_of_a_service_that_has_them(ask, batches, monkeypatch):
    counts = []
    look = batches.retrieve

    def counting(batch_id):
        status, found = look(batch_id)
        return status, found | {"request_counts": {"total": 3, "completed": 2, "failed": 0}}

    monkeypatch.setattr(batches, "retrieve", counting)
    ask(progress=lambda done, total: counts.append((done, total)))
    assert counts == [(2, 3), (2, 3), (3, 3)]


def test_what_a_batch_waits_for_is_shown(ask, batches, monkeypatch):
    lines = []
    monkeypatch.setattr(batch, "line", lambda progress: lines.append)
    batches.errors = ["模型还没有加载"]
    monkeypatch.setattr(batches, "steps", ("in_queue", "in_progress"))
    look = batches.retrieve

    def waiting(batch_id):
        status, found = look(batch_id)
        return status, found | {"errors": batches.errors}

    monkeypatch.setattr(batches, "retrieve", waiting)
    ask()
    assert "in_progress（模型还没有加载）" in lines[1] and lines[-1] == ""


def test_a_damaged_memory_of_batches_is_refused(ask, batches, tmp_path):
    (tmp_path / "drafts.jsonl.batches.json").write_text("{")
    with pytest.raises(DataError, match="batches.json 坏了.*控制台"):
        ask()
    assert not batches.posts


def test_a_url_is_never_shown_since_it_may_be_signed(siliconcloud):
    with pytest.raises(results.NotFetched) as caught:
        results.fetch(None, f"http://localhost:{siliconcloud.port}/results/x?signature=secret")
    assert str(caught.value) == "localhost: HTTP 404" and not caught.value.passes
    with pytest.raises(results.NotFetched, match="^127.0.0.1: ConnectError$") as caught:
        results.fetch(None, "http://127.0.0.1:9/x")
    assert caught.value.passes

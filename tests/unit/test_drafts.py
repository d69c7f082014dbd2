"""Drafts are asked for once: the file of answers, what interrupts it, and what it refuses.

The writer is the server that behaves as SiliconCloud does.
"""

import json

import pytest
from openai import OpenAI

from cookbook import connect, synthesize
from cookbook.compare import send
from cookbook.errors import ArgumentError, DataError, DiskFull, ServiceError
from cookbook.synthesize.record import Record

MODEL = "Qwen/Qwen2.5-72B-Instruct"
PROMPT = "你是智说新语生成器。"
WORDS = ["地铁", "加班", "火锅"]


@pytest.fixture
def client(siliconcloud, monkeypatch):
    monkeypatch.setattr(send, "FIRST_WAIT", 0.01)
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield client


@pytest.fixture
def ask(client, tmp_path):
    def ask(inputs=WORDS, **options):
        arguments = {"path": tmp_path / "drafts.jsonl", "n": 2, "model": MODEL, "prompt": PROMPT}
        arguments |= options
        model, prompt = arguments.pop("model"), arguments.pop("prompt")
        return synthesize.drafts(client, model, prompt, inputs, **arguments)

    return ask


def test_every_input_has_n_drafts_each_with_a_seed_of_its_own(ask, siliconcloud):
    frame = ask()
    assert frame.columns.tolist() == [
        "input",
        "attempt",
        "draft",
        "finish_reason",
        "prompt_tokens",
        "completion_tokens",
        "error",
        "model",
    ]
    assert frame.input.tolist() == ["地铁", "地铁", "加班", "加班", "火锅", "火锅"]
    assert frame.attempt.tolist() == [0, 1] * 3 and frame.error.isna().all()
    assert sorted(request["seed"] for request in siliconcloud.requests) == [42] * 3 + [43] * 3
    assert {request["messages"][0]["content"] for request in siliconcloud.requests} == {PROMPT}


def test_run_again_nothing_is_asked_again_and_the_table_is_the_same(ask, siliconcloud):
    first = ask()
    again = ask()
    assert len(siliconcloud.requests) == 6 and again.equals(first)


def test_more_drafts_and_further_inputs_ask_for_those_alone(ask, siliconcloud):
    ask(n=1)
    ask(n=2)
    assert len(siliconcloud.requests) == 6
    ask([*WORDS, "高考"], n=2)
    assert len(siliconcloud.requests) == 8


def test_without_a_seed_the_request_has_none(ask, siliconcloud):
    ask(seed=None, n=1)
    assert not any("seed" in request for request in siliconcloud.requests)


def test_one_file_holds_several_prompts_and_models_apart(ask, siliconcloud):
    siliconcloud.answers["地铁"] = "一"
    ask(["地铁"], n=1)
    siliconcloud.answers["地铁"] = "二"
    assert ask(["地铁"], n=1, prompt="另一个提示词").draft.tolist() == ["二"]
    assert ask(["地铁"], n=1, model="Qwen/Qwen2.5-7B-Instruct").draft.tolist() == ["二"]
    assert ask(["地铁"], n=1, temperature=0.5).draft.tolist() == ["二"]
    assert ask(["地铁"], n=1).draft.tolist() == ["一"] and len(siliconcloud.requests) == 4


def test_a_whole_number_is_the_same_temperature(ask, siliconcloud):
    ask(n=1, temperature=1)
    ask(n=1, temperature=1.0)
    assert len(siliconcloud.requests) == 3


def test_what_failed_says_why_and_is_asked_again(ask, siliconcloud):
    siliconcloud.next = ["balance"] * 6
    failed = ask()
    assert failed.error.str.contains("余额").all() and (failed.draft == "").all()
    assert ask().error.isna().all() and len(siliconcloud.requests) == 12


def test_bursts_and_cut_streams_are_sent_again(ask, siliconcloud):
    siliconcloud.next = [429, "cut", 503]
    assert ask().error.isna().all() and len(siliconcloud.requests) == 9


def test_an_interrupt_keeps_what_came_and_the_next_run_asks_for_the_rest(ask, siliconcloud):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    frame = ask(concurrency=1, progress=interrupt)
    there = int(frame.error.isna().sum())
    assert 2 <= there < 6 and frame.error.dropna().str.contains("中断").all()
    before = len(siliconcloud.requests)
    assert ask().error.isna().all()
    assert len(siliconcloud.requests) - before == 6 - there


def test_an_interrupt_leaves_something_of_every_input(ask):
    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    frame = ask(concurrency=1, progress=interrupt)
    assert frame[frame.attempt == 0].error.isna().all()


def test_half_a_line_of_a_killed_process_is_asked_again(ask, siliconcloud, tmp_path):
    ask()
    path = tmp_path / "drafts.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert ask().error.isna().all() and len(siliconcloud.requests) == 7
    assert len(path.read_bytes().splitlines()) == 6


def test_a_last_line_without_its_line_break_is_kept(ask, siliconcloud, tmp_path):
    ask()
    path = tmp_path / "drafts.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    ask([*WORDS, "高考"])
    assert len(siliconcloud.requests) == 8 and len(path.read_bytes().splitlines()) == 8


def test_zeros_that_a_power_cut_left_are_no_answer(ask, siliconcloud, tmp_path):
    ask()
    with (tmp_path / "drafts.jsonl").open("ab") as file:
        file.write(bytes(100))
    assert ask().error.isna().all() and len(siliconcloud.requests) == 6


@pytest.mark.parametrize(
    "content",
    [
        "输入,输出\n地铁,好\n",
        "没有换行的一行",
        '{"messages": []}\n',
        '{"key": 1}\n',
        '{"key": "begins like an answer, and ends"}',
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(
    ask, siliconcloud, tmp_path, content
):
    path = tmp_path / "corpus.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"corpus.jsonl 第 1 行不是 drafts\(\) 写的回答"):
        ask(path=path)
    assert path.read_text(encoding="utf-8") == content and not siliconcloud.requests


def test_a_folder_is_no_path_and_a_missing_folder_is_made(ask, tmp_path):
    with pytest.raises(ArgumentError, match="是文件夹：path 要给一个文件"):
        ask(path=tmp_path)
    ask(path=tmp_path / "new" / "drafts.jsonl")
    assert (tmp_path / "new" / "drafts.jsonl").exists()


def test_a_path_below_a_file_is_explained(ask, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="不能写 .*file/drafts.jsonl"):
        ask(path=tmp_path / "file" / "drafts.jsonl")


@pytest.fixture
def little_room():
    """Let files grow to 600 bytes, as a quota would: more is the error of a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_it_and_leaves_whole_lines(ask, tmp_path, little_room):
    with pytest.raises(DiskFull, match="磁盘满了.*腾出空间再运行这一格"):
        ask(concurrency=1)
    lines = (tmp_path / "drafts.jsonl").read_bytes().splitlines()
    assert 1 <= len(lines) < 6 and all(json.loads(line) for line in lines)


def test_two_notebooks_never_write_to_one_file(ask, tmp_path, siliconcloud):
    path = tmp_path / "drafts.jsonl"
    with Record(path), pytest.raises(ServiceError, match="另一个 notebook 或进程正在往"):
        ask()
    assert not siliconcloud.requests
    assert ask().error.isna().all()


def test_half_characters_and_odd_text_of_a_model_are_stored(ask, siliconcloud, tmp_path):
    siliconcloud.answers |= {"地铁": "行\u2028分\n👍🏽e\u0301", "加班": " \t"}
    frame = ask(["地铁", "加班"], n=1)
    assert frame.draft.tolist() == ["行\u2028分\n👍🏽e\u0301", " \t"]
    assert ask(["地铁", "加班"], n=1).equals(frame)
    with Record(tmp_path / "other.jsonl") as record:
        answer = {"input": "a", "attempt": 0, "draft": "\ud800", "finish_reason": None}
        record.add("k", dict(answer))
    with Record(tmp_path / "other.jsonl") as record:
        assert record.answer("k") == answer


@pytest.mark.parametrize(
    "inputs, sentence",
    [
        ([], "inputs 是空的"),
        ("地铁", "inputs 要给一组输入，这里是一段文字"),
        (["地铁", " "], r"inputs\[1\] 是 ' '"),
        (["地铁", None], r"inputs\[1\] 是 None"),
        (["\ud800"], r"inputs\[0\] 里有半个字符"),
        (["地铁", "加班", "地铁"], "1 个输入不止一次（地铁）.*dict.fromkeys"),
    ],
)
def test_inputs_that_cannot_be_used_are_named_before_anything_is_asked(
    ask, siliconcloud, tmp_path, inputs, sentence
):
    with pytest.raises(ArgumentError, match=sentence):
        ask(inputs)
    assert not siliconcloud.requests and not list(tmp_path.glob("drafts*"))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"n": 0}, "n=0"),
        ({"n": 1.5}, "n=1.5"),
        ({"n": 4, "temperature": 0}, "4 条草稿会一模一样"),
        ({"model": None}, "model 是 None"),
        ({"prompt": None}, "prompt 是 NoneType"),
    ],
)
def test_arguments_that_cannot_be_used_are_named_before_anything_is_asked(
    ask, siliconcloud, options, sentence
):
    with pytest.raises(ArgumentError, match=sentence):
        ask(**options)
    assert not siliconcloud.requests


def test_an_estimate_counts_what_will_be_asked_and_dates_its_price(ask, siliconcloud):
    expected = synthesize.estimate(MODEL, PROMPT, WORDS, n=2, max_tokens=50)
    frame = ask(max_tokens=50)
    assert expected.requests == len(frame) and expected.prompt_tokens == frame.prompt_tokens.sum()
    assert expected.completion_tokens == 300 >= frame.completion_tokens.sum()
    assert 0 < expected.yuan <= 0.01 and expected.date == "2026-07-21"
    assert "2026-07-21 的价格" in str(expected) and "2026-07-21" in expected._repr_html_()


def test_an_unknown_price_is_said_and_none_is_invented():
    unknown = synthesize.estimate("某个模型", PROMPT, WORDS)
    assert (unknown.yuan, unknown.date, unknown.source) == (None, None, None)
    assert "没有 某个模型 的单价记录" in str(unknown)
    # This one has a price for batches alone.
    assert synthesize.estimate("Qwen/QwQ-32B", PROMPT, WORDS).yuan is None
    assert synthesize.estimate("Qwen/QwQ-32B", PROMPT, WORDS, batch=True).yuan == 0.01


def test_a_batch_costs_half_where_both_prices_are_known():
    at_once = synthesize.estimate("deepseek-ai/DeepSeek-V3", PROMPT, WORDS, n=400)
    batch = synthesize.estimate("deepseek-ai/DeepSeek-V3", PROMPT, WORDS, n=400, batch=True)
    assert at_once.yuan == pytest.approx(2 * batch.yuan, abs=0.02) and batch.date != at_once.date


@pytest.mark.parametrize("changes", [{"n": 0}, {"n": 2.5}, {"n": True}, {"model": ""}])
def test_an_estimate_refuses_what_cannot_be_asked_for(changes):
    arguments = {"model": MODEL, "prompt": PROMPT, "inputs": WORDS} | changes
    with pytest.raises(ArgumentError):
        synthesize.estimate(**arguments)

"""What travels to an engine and back, its folder, and what its refusals become; no sockets."""

import asyncio
import os
import shutil

import pytest

from cookbook.bases import Base
from cookbook.engine_options import EngineSettings
from cookbook.paths import Home
from cookbook.service import answers
from cookbook.service.chat_request import ChatRequest, Piece, TokenLogprob
from cookbook.service.engines import faults, wire
from cookbook.service.engines.faults import EngineFault
from cookbook.service.engines.folder import own_folder, shared_folder
from cookbook.service.engines.pool import Pool

BASE = Base("Qwen/x", "/models/x")
QUESTION = [{"role": "user", "content": "问"}]
HERE = "http://127.0.0.1:8000"


def request(**fields):
    return ChatRequest(BASE, None, **{"messages": QUESTION} | fields)


# To the engine


def test_everything_that_changes_an_answer_is_written_out():
    route, body = wire.to_engine(request(), "x")
    assert route == "/v1/chat/completions"
    assert body == {
        "model": "x",
        "messages": QUESTION,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "temperature": 0.7,
        "top_p": 0.7,
        "top_k": -1,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "min_p": 0.0,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"top_k": 3}, {"top_k": 3}),
        ({"seed": 0}, {"seed": 0}),
        ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        ({"logprobs": 0}, {"logprobs": True, "top_logprobs": 0}),
        ({"prompt": (1, 2), "max_tokens": 0}, {"prompt": [1, 2], "echo": False, "max_tokens": 0}),
        (
            {"prompt": "a", "echo": True, "logprobs": 2},
            {"prompt": "a", "echo": True, "logprobs": 2},
        ),
    ],
)
def test_each_field_has_its_parameter(fields, expected):
    _, body = wire.to_engine(request(**fields), "x")
    assert {name: body[name] for name in expected} == expected


def test_a_schema_keeps_the_order_of_its_properties():
    _, body = wire.to_engine(request(schema='{"properties": {"b": {}, "a": {}}}'), "x")
    named = body["response_format"]["json_schema"]
    assert list(named["schema"]["properties"]) == ["b", "a"] and named["strict"]


@pytest.mark.parametrize("mark", ["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
def test_a_message_with_a_mark_is_refused(mark):
    messages = [{"role": "user", "content": f"写作{mark}"}]
    with pytest.raises(EngineFault, match="特殊标记") as refused:
        wire.to_engine(request(messages=messages), "x")
    assert refused.value.code == "invalid_messages"


# And back


def chunk(text="", reason=None, *, usage=(3, 1), logprobs=None, **fields):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason} | fields
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    return {"choices": [choice], "usage": counts(*usage)}


def counts(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def read(events, **fields):
    reading = wire.Reading(request(**fields))
    pieces = [reading.take(event) for event in events]
    return [*filter(None, pieces), reading.end()]


def test_an_answer_is_read_piece_by_piece_with_its_counts():
    events = [chunk(usage=(3, 0)), chunk("你"), chunk("好", usage=(3, 2)), chunk("", "length")]
    events.append({"choices": [], "usage": counts(3, 5)})
    assert read(events) == [Piece("你", 3, 1), Piece("好", 3, 2), Piece("", 3, 5, "length")]


def test_an_answer_without_an_end_has_no_last_piece():
    assert read([chunk("你")])[-1] is None


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "content_filter"])
def test_every_other_reason_is_stop(reason):
    assert read([chunk("你", reason)])[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    "event", [chunk(reason="abort"), {"error": {"message": "died", "code": 500}}]
)
def test_an_answer_that_the_engine_gave_up_is_an_error(event):
    with pytest.raises(ValueError, match="abort|died"):
        wire.Reading(request()).take(event)


def entry(text, logprob=-0.5, top=()):
    shown = {"token": text, "logprob": logprob, "bytes": list(text.encode())}
    return shown | {"top_logprobs": [entry(*other) for other in top]}


def test_the_mark_that_ends_a_turn_is_no_part_of_the_answer():
    events = [
        chunk("你", logprobs=[entry("你")]),
        chunk("", "stop", logprobs=[entry("<|im_end|>")]),
    ]
    assert [len(piece.logprobs) for piece in read(events, logprobs=0)] == [1, 0]
    # The last token of a text that a stop text has ended is one.
    ended = chunk("", "stop", logprobs=[entry("。")], stop_reason="。")
    assert len(read([ended], logprobs=0)[0].logprobs) == 1


def test_as_many_likeliest_tokens_are_told_as_were_asked_for():
    events = [chunk("你", logprobs=[entry("你", -3, [("我", -1), ("他", -2), ("你", -3)])])]
    [piece, _] = read(events, logprobs=2)
    top = (("我".encode(), -1), ("他".encode(), -2))
    assert piece.logprobs == (TokenLogprob("你".encode(), -3, top),)


def test_to_read_a_prompt_alone_writes_no_token():
    event = {"choices": [{"text": "问", "finish_reason": "length"}], "usage": counts(1, 1)}
    assert read([event], prompt="问", max_tokens=0)[-1].completion_tokens == 0


def events_of(*chunks):
    async def come():
        for one in chunks:
            yield one

    async def gather():
        return [event async for event in wire.events(come())]

    return asyncio.run(gather())


def test_events_are_put_together_however_they_arrive():
    whole = 'data: {"a": "好\u2028\\n"}\r\n\r\n: comment\n\ndata: [DONE]\n\n'.encode()
    for size in (1, 5, len(whole)):
        chunks = [whole[i : i + size] for i in range(0, len(whole), size)]
        assert events_of(*chunks) == [{"a": "好\u2028\n"}, None]


@pytest.mark.parametrize("line", [b"data: <html>\n", b"data: [1]\n"])
def test_what_is_no_stream_of_objects_is_an_error(line):
    with pytest.raises(ValueError):
        events_of(line)


# Refusals


@pytest.mark.parametrize(
    ("status", "text", "fields", "code"),
    [
        (400, "This model's maximum context length is 512 tokens.", {}, "context_length_exceeded"),
        (
            400,
            "'max_tokens' or 'max_completion_tokens' is too large",
            {},
            "context_length_exceeded",
        ),
        (400, "Grammar error: unsupported", {"schema": "{}"}, "invalid_schema"),
        (400, "Token id 99 is out of vocabulary", {"prompt": (99,)}, "invalid_prompt"),
        (400, "something new", {}, "engine_refused"),
        (401, "Unauthorized", {}, "model_unavailable"),
        (404, "The model `x` does not exist.", {}, "model_unavailable"),
        (429, "busy", {}, "model_unavailable"),
        (500, "EngineDeadError", {}, "model_unavailable"),
    ],
)
def test_a_refusal_has_a_code_and_names_the_engine(status, text, fields, code):
    fault = faults.answer_refused(HERE, status, text, request(**fields))
    assert fault.code == code and HERE in fault.zh and HERE in fault.en
    assert code in answers._STATUS


@pytest.mark.parametrize(
    ("status", "text", "part"),
    [
        (400, "LoRA rank 33 is greater than max_lora_rank 16.", "--max-lora-rank 64"),
        (404, "Not Found", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
        (405, "Method Not Allowed", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
        (500, "Call to add_lora method failed: LoRA is not enabled.", "--enable-lora"),
        (404, "Loading lora x failed: No adapter found for /a", "--engine-models"),
        (500, "out of memory", "500"),
    ],
)
def test_an_adapter_that_is_not_loaded_has_its_reason(status, text, part):
    fault = faults.load_refused(HERE, status, text, "/a")
    assert part in fault.zh and part in fault.en


def test_an_adapter_that_is_loaded_already_is_loaded():
    text = "The lora adapter 'x' has already been loaded. If you want to load the adapter in place"
    assert faults.load_refused(HERE, 400, text, "/a") is None


def test_a_password_in_an_address_is_in_no_sentence():
    address = "http://me:hidden@gpu:8000"
    error = OSError("cannot connect to http://me:hidden@gpu:8000")
    found = [
        faults.unreachable(address, error),
        faults.broke_off(address, str(error)),
        faults.key_refused(address),
        faults.no_engine_for(BASE, {address: ["a"]}),
        faults.no_runtime_loading(address),
        faults.no_folder(address),
        faults.load_refused(address, 500, str(error), "/a"),
        faults.answer_refused(address, 500, str(error), request()),
        faults.unknown_server(address, str(error)),
    ]
    assert not any("hidden" in fault.zh + fault.en for fault in found)


@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "why"}}', b'{"detail": "why"}', b'{"error": "why"}', b"why"]
)
def test_the_text_of_an_error_is_found_in_every_shape(body):
    assert faults.message_of(body) == "why"


# The folder


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "home" / "models" / "job-step_3"
    source.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors", "README.md"):
        (source / name).write_text(name)
    return source


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def home(source):
    return Home(source.parent.parent)


def names(folder):
    return sorted(copy.name for copy in folder.here.iterdir())


def fail(*_):
    raise OSError("not possible")


def test_for_an_engine_on_this_machine_a_copy_is_a_link(source, home):
    folder = own_folder(home)
    path = folder.give(source)
    assert path == str(home.engine_models / source.name) and folder.source_of(path) == source
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert os.path.samefile(source / name, folder.here / source.name / name)
    # The model may be deleted while an engine has the adapter.
    shutil.rmtree(source)
    assert folder.has_copy(path) and folder.source_of(path) == source
    folder.take_back(path)
    assert not names(folder)


def test_a_disk_without_links_gets_a_copy(source, home, monkeypatch):
    monkeypatch.setattr(os, "link", fail)
    folder = own_folder(home)
    assert folder.has_copy(folder.give(source))


def test_a_shared_copy_comes_and_goes_and_is_never_half(source, home, shared, monkeypatch):
    folder = shared_folder(home, shared, "/adapters/")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="not possible"):
            folder.give(source)
    assert not names(folder)
    path = folder.give(source)
    assert path == f"/adapters/{folder.here.name}/{source.name}" == folder.give(source)
    copied = {file.name for file in (folder.here / source.name).iterdir()}
    assert copied == {"adapter_config.json", "adapter_model.safetensors"}
    folder.take_back(path)
    assert not names(folder) and source.is_dir()


@pytest.mark.parametrize(
    "path", ["", "/", "/adapters/job-step_3", "/adapters/other/job-step_3", ".."]
)
def test_what_another_has_loaded_is_not_taken_for_ours(source, home, shared, path):
    folder = shared_folder(home, shared, "/adapters")
    folder.give(source)
    assert folder.source_of(path) is None
    folder.take_back(path)
    assert names(folder) == [source.name]


def test_services_that_share_a_folder_leave_each_other_alone(source, home, shared):
    ours, other = shared_folder(home, shared, ""), shared_folder(Home(source), shared, "")
    assert ours.give(source).startswith(str(shared))
    other.remove_all_but([])
    assert names(ours) == [source.name]


def test_what_no_engine_has_is_removed(source, home, shared):
    folder = shared_folder(home, shared, "/adapters")
    path = folder.give(source)
    (folder.here / "left.part").mkdir()
    folder.remove_all_but([path])
    assert names(folder) == [source.name]
    folder.remove_all_but(["/adapters/elsewhere"])
    assert not names(folder)


def test_a_model_whose_files_are_gone_is_not_given(source, home):
    (source / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        own_folder(home).give(source)


# Which engine


def choose(pool, tried=(), **fields):
    return pool._choose(request(**fields), list(tried))


@pytest.fixture
def pool(tmp_path):
    addresses = ("http://a:1", "http://b:1", "http://c:1")
    pool = Pool(EngineSettings(addresses), Home(tmp_path))
    for engine in pool.engines:
        engine.bases = {"Qwen/x": "/models/x"}
    yield pool
    asyncio.run(pool.close())


def test_the_idlest_engine_is_asked(pool):
    a, b, c = pool.engines
    a.under_way, b.under_way, c.under_way = 2, 1, 3
    assert choose(pool) is b and choose(pool, [b]) is a and choose(pool, [a, b, c]) is None


def test_an_engine_that_has_the_adapter_is_preferred_until_it_is_clearly_busier(pool, tmp_path):
    a, b, c = pool.engines
    b.listed = {"ft:x": "/x"}
    b.under_way = 8
    asked = {"model": "ft:x"}
    tuned = ChatRequest(BASE, tmp_path, QUESTION, **asked)
    assert pool._choose(tuned, []) is b
    b.under_way = 9
    assert pool._choose(tuned, []) in (a, c)


def test_an_engine_of_another_base_is_never_asked(pool):
    a, b, c = pool.engines
    a.bases = b.bases = {"other": "/other"}
    assert choose(pool) is c and choose(pool, [c]) is None


def test_an_engine_that_is_away_is_asked_last(pool):
    a, b, c = pool.engines
    a._gone(faults.key_refused(a.address))
    b.under_way = c.under_way = 5
    assert choose(pool) is not a and choose(pool, [b, c]) is a

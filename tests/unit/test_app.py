"""The HTTP face with the official client over the in-process app: no process, no torch."""

import dataclasses
import errno
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial, partialmethod
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from cookbook import bases, compare, data, machine
from cookbook.bases import Base
from cookbook.machine import GB, Machine
from cookbook.params import Hyperparameters, plan
from cookbook.paths import Home
from cookbook.service import limits
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.events import Checkpoint, Finished, Step
from cookbook.service.store import Store
from cookbook.shapes import Shape, published


def speak(request, on_piece):
    """A chat engine of a few lines: says the last message back, character by character."""

    text = request.messages[-1]["content"]

    def run():
        for i, character in enumerate(text, 1):
            on_piece(Piece(character, 7, i))
        on_piece(Piece("", 7, len(text), "stop"))

    threading.Thread(target=run).start()
    return SimpleNamespace(cancel=lambda: None)


@pytest.fixture
def http(store, tmp_path):
    app = make_app(
        store, home=Home(tmp_path), bases=[Base("tiny", "nowhere")], submit=speak, api_key="test"
    )
    with TestClient(app, raise_server_exceptions=True) as http:
        yield http


@pytest.fixture
def state(http):
    return http.app.state.shared


@pytest.fixture
def client(http):
    return OpenAI(base_url="http://testserver/v1", api_key="test", max_retries=0, http_client=http)


@pytest.fixture
def upload(client, row):
    content = data.to_jsonl([row(user=f"问题{i}") for i in range(10)])
    return client.files.create(file=("a.jsonl", content), purpose="fine-tune")


def create(client, upload, **options):
    return client.fine_tuning.jobs.create(model="tiny", training_file=upload.id, **options)


def test_health_needs_no_key_and_everything_else_does(http):
    assert http.get("/health").json()["status"] == "ok"
    assert http.get("/v1/models").status_code == 401
    assert (
        http.get("/v1/models", headers={"authorization": "Bearer wrong"}).json()["error"]["code"]
        == "invalid_api_key"
    )


def test_files_walk_through_their_life(client, upload):
    assert client.files.retrieve(upload.id) == upload.model_copy(update={"status_details": None})
    assert [f.id for f in client.files.list()] == [upload.id]
    assert client.files.content(upload.id).text.count("\n") == 10
    assert client.files.delete(upload.id).deleted
    with pytest.raises(openai.NotFoundError, match="没有文件"):
        client.files.retrieve(upload.id)


def test_warnings_come_back_with_the_upload(upload):
    assert "[row-count-low]" in upload.status_details
    assert upload.status == "processed"


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("a.txt", b"{}", "file-suffix"),
        ("a.jsonl", b"{", "json"),
        ("a.jsonl", b"", "file-empty"),
        ("a.jsonl", b"\xff", "encoding"),
    ],
)
def test_a_bad_file_is_refused_with_the_checkers_code(client, name, content, code):
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=(name, content), purpose="fine-tune")
    assert caught.value.code == code
    assert client.files.list().data == []


def test_an_upload_over_the_limit_is_refused_before_it_is_read(client):
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.create(
            file=("a.jsonl", b" " * (data.MAX_BYTES + 100_000)), purpose="fine-tune"
        )
    assert caught.value.status_code == 413 and caught.value.code == "file-size"
    assert "拆成几个文件，或删掉过长的行" in str(caught.value)


def test_another_purpose_is_refused_by_name(client):
    with pytest.raises(openai.BadRequestError, match="fine-tune 和 batch"):
        client.files.create(file=("a.jsonl", b"{}"), purpose="assistants")


def test_a_job_walks_through_its_life(client, upload, store):
    job = create(client, upload, suffix="t", seed=1, metadata={"a": "b"})
    assert (job.status, job.seed, job.metadata, job.fine_tuned_model) == (
        "validating_files",
        1,
        {"a": "b"},
        None,
    )
    assert client.fine_tuning.jobs.retrieve(job.id).id == job.id
    assert [j.id for j in client.fine_tuning.jobs.list()] == [job.id]
    assert client.fine_tuning.jobs.list_events(job.id).data[0].message == "任务已创建"
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []
    assert client.fine_tuning.jobs.pause(job.id).paused
    assert not client.fine_tuning.jobs.resume(job.id).paused
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="已经结束"):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_finished_job_gives_its_model_and_checkpoints(client, upload, store):
    job = store.job(create(client, upload, suffix="t").id)
    store.advance(job.id, "running", "go")
    store.record(job, Checkpoint(2, 1, Path("a"), train_loss=2.0, valid_loss=2.5))
    store.record(
        job,
        Finished(
            4,
            Path("b"),
            train_loss=1.0,
            valid_loss=None,
            trained_tokens=99,
            update_norm=1.0,
            logits_difference=1.0,
        ),
    )
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded" and done.trained_tokens == 99
    assert (
        done.fine_tuned_model.startswith("ft:LoRA/tiny:local:t:")
        and len(done.fine_tuned_model.split(":")[4]) == 20
    )
    names = [
        c.fine_tuned_model_checkpoint for c in client.fine_tuning.jobs.checkpoints.list(job.id)
    ]
    assert names == [done.fine_tuned_model, f"{done.fine_tuned_model}-ckpt_step_2"]
    assert {m.id for m in client.models.list()} == {"tiny", *names}
    assert (
        client.models.delete(names[1]).deleted and client.models.retrieve(names[0]).id == names[0]
    )


def test_every_event_is_paged_through(client, upload, store):
    job = create(client, upload)
    for i in range(44):
        store.add_event(job.id, str(i))
    page = client.fine_tuning.jobs.list_events(job.id)
    assert len(page.data) == 20 and page.has_more
    assert len(list(page)) == 45
    assert len({e.id for e in page}) == 45


HYPERPARAMETERS = [
    ("n_epochs", 11),
    ("learning_rate", 0),
    ("learning_rate", "fast"),
    ("lora_rank", 65),
    ("lora_dropout", 1),
    ("max_tokens", 0),
    ("batch_size", 2.5),
    ("warmup", 3),
]


@pytest.mark.parametrize("name, value", HYPERPARAMETERS)
def test_a_bad_hyperparameter_is_refused_by_name_and_no_job_is_left(client, upload, name, value):
    with pytest.raises(openai.BadRequestError, match=name) as caught:
        create(
            client,
            upload,
            method={"type": "supervised", "supervised": {"hyperparameters": {name: value}}},
        )
    assert caught.value.param == f"hyperparameters.{name}"
    assert client.fine_tuning.jobs.list().data == []


def test_hyperparameters_in_the_older_place_and_auto_are_understood(client, upload):
    job = create(client, upload, hyperparameters={"n_epochs": 2.0, "batch_size": "auto"})
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (2, 8)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "nobody"},
        {"training_file": "file-no"},
        {"suffix": "a b"},
        {"integrations": [{"type": "wandb"}]},
        {"seed": -1},
    ],
)
def test_a_bad_request_for_a_job_says_which_part(client, upload, options):
    with pytest.raises(openai.BadRequestError) as caught:
        client.fine_tuning.jobs.create(**{"model": "tiny", "training_file": upload.id} | options)
    assert caught.value.param == next(iter(options))


def test_chat_answers_whole_and_streamed(client):
    messages = [{"role": "user", "content": "你好吗"}]
    whole = client.chat.completions.create(model="tiny", messages=messages)
    assert whole.choices[0].message.content == "你好吗" and whole.usage.total_tokens == 10
    chunks = list(client.chat.completions.create(model="tiny", messages=messages, stream=True))
    assert "".join(c.choices[0].delta.content for c in chunks) == "你好吗"
    assert [c.choices[0].finish_reason for c in chunks] == [None, None, None, "stop"]


# Asked for in `stream_options`, and the completion tokens that each chunk reports.
USAGE = [
    (None, [None, None, None, 3]),
    ({}, [None, None, None, 3]),
    ({"include_usage": False}, [None, None, None, None]),
    ({"include_usage": True}, [None, None, None, None, 3]),
    ({"continuous_usage_stats": True}, [1, 2, 3, 3]),
    ({"continuous_usage_stats": True, "include_usage": True}, [1, 2, 3, 3, 3]),
]


@pytest.mark.parametrize("options, reported", USAGE)
def test_usage_is_in_one_chunk_unless_asked_otherwise(client, options, reported):
    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "你好吗"}],
            stream=True,
            stream_options=options,
        )
    )
    assert [chunk.usage and chunk.usage.completion_tokens for chunk in chunks] == reported
    # As OpenAI sends it: the chunk that `include_usage` asks for has no choices.
    assert [not chunk.choices for chunk in chunks] == [i == 4 for i in range(len(chunks))]


def test_no_text_is_beside_usage_where_clients_would_drop_it(tmp_path):
    """One word, which the engine sends in the same piece as the end."""

    def say(request, on_piece):
        on_piece(Piece("好", prompt_tokens=1, completion_tokens=1, finish_reason="stop"))
        return SimpleNamespace(cancel=lambda: None)

    app = make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=say,
        api_key="test",
    )
    with TestClient(app) as http:
        client = OpenAI(base_url="http://testserver/v1", api_key="test", http_client=http)
        messages = [{"role": "user", "content": "你好"}]
        chunks = list(client.chat.completions.create(model="tiny", messages=messages, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["好", ""]
    assert chunks[1].usage.completion_tokens == 1 and chunks[0].usage is None


@pytest.mark.parametrize("options, reported", USAGE)
def test_helpers_read_the_last_usage_in_every_form(client, monkeypatch, options, reported):
    completions = type(client.chat.completions)
    create = partialmethod(completions.create, stream_options=options)
    monkeypatch.setattr(completions, "create", create)
    row = compare.ask(client, {"a": ("tiny", None)}, ["你好吗"], progress=False).iloc[0]
    assert (row.answer, row.get("completion_tokens")) == ("你好吗", reported[-1])


@pytest.mark.parametrize(
    "name, value",
    [
        ("tools", [{"type": "function"}]),
        ("n", 9),
        ("response_format", {"type": "xml"}),
        ("temperature", 3),
    ],
)
def test_what_chat_does_not_support_is_refused_by_name(client, name, value):
    with pytest.raises(openai.BadRequestError, match=name):
        client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x"}], **{name: value}
        )


def test_an_unknown_model_is_refused_with_the_known_ones(client):
    with pytest.raises(openai.NotFoundError, match="tiny"):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "x"}])


def test_a_route_of_openais_that_is_missing_here_is_refused_by_name(client):
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
        client.embeddings.create(model="tiny", input="x", encoding_format="float")


def test_the_answer_to_an_address_without_v1_says_so(http):
    answer = http.get("/models", headers={"authorization": "Bearer test"})
    assert answer.status_code == 404 and "/v1" in answer.json()["error"]["message"]


def test_text_in_parts_and_penalties_of_zero_which_some_clients_send_are_understood(client):
    parts = [{"type": "text", "text": "你好"}, {"type": "text", "text": "吗"}]
    answer = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": parts}],
        frequency_penalty=0,
        presence_penalty=0.0,
    )
    assert answer.choices[0].message.content == "你好吗"


def test_a_stated_limit_answers_429_and_when_to_come_back(client, upload, monkeypatch):
    monkeypatch.setattr(limits, "JOBS", 1)
    monkeypatch.setattr(limits, "CHATS", 0)
    job = create(client, upload)
    for call in (
        lambda: create(client, upload),
        lambda: client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x"}]
        ),
    ):
        with pytest.raises(openai.RateLimitError, match="上限") as caught:
            call()
        assert int(caught.value.response.headers["retry-after"]) > 0
    client.fine_tuning.jobs.cancel(job.id)
    assert create(client, upload).id


def test_requests_that_come_together_do_not_pass_the_limit_together(client, upload, monkeypatch):
    monkeypatch.setattr(limits, "JOBS", 5)

    def outcome(_):
        try:
            return create(client, upload).status
        except openai.RateLimitError:
            return "refused"

    with ThreadPoolExecutor(40) as clients:
        outcomes = Counter(clients.map(outcome, range(40)))
    assert outcomes == {"validating_files": 5, "refused": 35}
    assert len(client.fine_tuning.jobs.list(limit=100).data) == 5


def test_figures_that_are_no_numbers_are_null_in_events_and_checkpoints(client, store, upload):
    job = store.job(create(client, upload).id)
    store.advance(job.id, "running", "go")
    nan = float("nan")
    store.record(job, Step(1, 2, 0.5, float("inf"), nan, 1e-4, 10, 1.0, 1.0))
    store.record(job, Checkpoint(1, 1, Path("x"), nan, nan))
    # As an older release wrote it.
    with store._database.write() as db:
        sql = (
            "INSERT INTO events (job, created_at, level, type, message, data) VALUES (?,?,?,?,?,?)"
        )
        db.execute(sql, (job.id, 1, "info", "metrics", "Step 2", '{"train_loss": NaN}'))
    events = client.fine_tuning.jobs.list_events(job.id).data
    assert events[0].data == {"train_loss": None}
    step = next(event.data for event in events if event.message.startswith("Step 1"))
    assert (step["train_loss"], step["valid_loss"]) == (None, None)
    checkpoint = client.fine_tuning.jobs.checkpoints.list(job.id).data[0]
    assert checkpoint.metrics.valid_loss is None


@pytest.mark.parametrize("after", ["ftevent-x", "ftevent-" + "9" * 400, "nothing"])
def test_a_page_after_nothing_is_refused_rather_than_begun_again(client, upload, after):
    job = create(client, upload)
    for call in (
        lambda: client.fine_tuning.jobs.list_events(job.id, after=after),
        lambda: client.fine_tuning.jobs.list(after=after),
        lambda: client.files.list(after=after),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert caught.value.param == "after"


@pytest.mark.parametrize(
    "error, said",
    [
        (sqlite3.OperationalError("disk I/O error"), "COOKBOOK_HOME"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "不能写"),
        (OSError(errno.EROFS, "Read-only file system", "/home/somebody/x"), "不能写"),
        (PermissionError(errno.EACCES, "Permission denied", "/home/somebody/x"), "没有权限"),
        (MemoryError(), "内存不够"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit"),
    ],
)
def test_an_error_of_the_disk_is_said_in_words_and_names_no_folder(
    store, tmp_path, upload, row, monkeypatch, error, said
):
    def refuse(*_, **__):
        raise error

    app = make_app(
        store, home=Home(tmp_path), bases=[Base("tiny", "x")], submit=speak, api_key="test"
    )
    for name in ("add_file", "add_job", "model"):
        monkeypatch.setattr(store, name, refuse)
    with TestClient(app, raise_server_exceptions=False) as http:
        client = OpenAI(
            base_url="http://testserver/v1", api_key="test", max_retries=0, http_client=http
        )
        messages = [{"role": "user", "content": "你好"}]
        content = data.to_jsonl([row() for _ in range(10)])
        for call in (
            partial(client.files.create, file=("a.jsonl", content), purpose="fine-tune"),
            partial(create, client, upload),
            partial(client.chat.completions.create, model="ft:x", messages=messages),
        ):
            with pytest.raises(openai.InternalServerError, match=said) as caught:
                call()
            assert "/home/somebody" not in str(caught.value)


def test_a_reader_elsewhere_learns_which_corpus_suits_the_services_base(store, tmp_path):
    mine = Base("mine", "/srv/mine", corpus=bases.TEACHING_CORPUS)
    strange = Base("strange", "/srv/strange", corpus="../../secret.jsonl")
    app = make_app(store, home=Home(tmp_path), bases=[mine, strange], submit=speak, api_key="test")
    with TestClient(app) as http:
        client = OpenAI(base_url="http://testserver/v1", api_key="test", http_client=http)
        mine, strange = (bases.card(name, client) for name in ("mine", "strange"))
        assert mine.measures == bases.TEACHING_MEASURES and mine.eval_words == 60
        # A real base may answer on a CPU.
        assert strange.corpus == bases.CORPUS and strange.eval_words == 20
        assert bases.card("gone", client) == Base("gone", "gone")


def test_a_bases_own_route_tells_its_sizes_and_the_machine_and_the_list_does_not(client, state):
    base = state.bases["tiny"]
    tiny = bases.card("cookbook/tiny-zh")
    state.bases["tiny"] = dataclasses.replace(base, shape=tiny.shape)
    told = client.models.retrieve("tiny")
    assert Shape.of(told.config) == tiny.shape
    assert Machine.of_dict(told.machine).total > 0
    assert not any(getattr(model, "machine", None) for model in client.models.list())


def test_a_plan_for_a_service_elsewhere_is_one_for_its_memory(client, state, monkeypatch):
    there = Machine("cuda", 15 * GB, 16 * GB, bfloat16=True, four_bit=True, name="RTX")
    shape = published("Qwen/Qwen2.5-7B-Instruct")
    state.bases["tiny"] = dataclasses.replace(state.bases["tiny"], shape=shape)
    monkeypatch.setattr(machine, "here", lambda: there)
    card = bases.card("tiny", client)
    memory = plan([4096] * 100, Hyperparameters(), base=card).memory
    assert (card.machine, card.shape) == (there, shape)
    assert memory.device == "cuda" and memory.fits and memory.free == there.free


def test_where_the_nodes_of_a_cluster_are_not_known_no_plan_is_made_for_this_machine(
    client, state, monkeypatch
):
    shape = published("Qwen/Qwen2.5-7B-Instruct")
    state.bases["tiny"] = dataclasses.replace(state.bases["tiny"], shape=shape)
    monkeypatch.setattr(machine, "here", lambda: None)
    card = bases.card("tiny", client)
    assert card.machine is None and card.trains_elsewhere
    assert plan([100] * 100, Hyperparameters(), base=card).memory is None


@pytest.mark.parametrize("workers, devices, expected", [(1, 1, (1, False)), (4, 8, (4, False))])
def test_a_plan_for_a_cluster_says_how_many_workers_share_a_job(workers, devices, expected):
    there = Machine("cuda", 40 * GB, 48 * GB, bfloat16=True, workers=workers, devices=devices)
    name = "Qwen/Qwen2.5-7B-Instruct"
    card = dataclasses.replace(bases.card(name), trains_elsewhere=False, machine=there)
    memory = plan([1000] * 100, Hyperparameters(), base=card).memory
    assert (memory.workers, memory.sharded) == expected
    # What no single one can hold is spread over as many as it takes.
    large = dataclasses.replace(card, shape=published("Qwen/Qwen2.5-72B-Instruct"))
    memory = plan([1000] * 100, Hyperparameters(), base=large).memory
    assert memory.fits == memory.sharded == (devices > 1)

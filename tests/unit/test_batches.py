"""Batches over HTTP with the official client, and the thread that answers them: no torch.

The engine is a few lines that say the question back; a test may hold its answers, or let it fail.
"""

import contextlib
import dataclasses
import sqlite3
import threading
import time
from types import SimpleNamespace

import openai
import pytest
from batches import ENDPOINT, create, ended, results, until, upload
from fastapi.testclient import TestClient
from openai import OpenAI
from support import make_row

from cookbook import data
from cookbook.bases import Base
from cookbook.errors import DiskFull
from cookbook.i18n import Text
from cookbook.paths import Home
from cookbook.service import limits, status
from cookbook.service.app import make_app
from cookbook.service.batch_runner import BatchRunner
from cookbook.service.chat_request import Piece
from cookbook.service.store import BatchAnswer, Store

KEY = "leaders"


class Engine:
    """Says the question back; `held` keeps every answer until it is let go.

    `fails` gives the errors of the next answers to a question, as (code, text).
    """

    def __init__(self):
        self.asked = []  # requests, in the order they came
        self.cancelled = []
        self.held = False
        self.fails = {}
        self._waiting = []
        self._lock = threading.Lock()

    def submit(self, request, on_piece):
        with self._lock:
            self.asked.append(request)
            self._waiting.append((request, on_piece))
        if not self.held:
            threading.Thread(target=self.let_go).start()
        return SimpleNamespace(cancel=lambda: self.cancelled.append(request))

    def let_go(self, count=1):
        """Answer the requests that have waited longest."""
        for _ in range(count):
            with self._lock:
                request, on_piece = self._waiting.pop(0)
            text = request.messages[-1]["content"]
            errors = self.fails.get(text)
            if errors:
                code, error = errors.pop(0)
                on_piece(Piece("", 0, 0, "stop", error=Text(error, error), error_code=code))
            else:
                on_piece(Piece(text, 3, len(text), "stop"))

    @property
    def questions(self):
        return [request.messages[-1]["content"] for request in self.asked]


class Service:
    """The application with its batches answered, and the clients of the leader and two people."""

    def __init__(self, folder):
        self.engine = Engine()
        self.store = Store(folder / "service.db")
        self.app = make_app(
            self.store,
            home=Home(folder),
            bases=[Base("tiny", "nowhere"), Base("other", "nowhere")],
            submit=self.engine.submit,
            api_key=KEY,
        )
        self.people = {name: self.store.add_person(name) for name in ("zhao", "qian")}
        self.http = TestClient(self.app)

    def client(self, person=None):
        key = self.people[person] if person else KEY
        options = {"max_retries": 0, "_strict_response_validation": True}
        return OpenAI(
            base_url="http://testserver/v1", api_key=key, http_client=self.http, **options
        )

    @contextlib.contextmanager
    def running(self, **options):
        """Answer batches while the block runs, as one service would."""
        options = {"tick_seconds": 0.02, "wait_seconds": 0.05} | options
        runner = BatchRunner(self.app.state.shared, **options)
        runner.start()
        try:
            yield runner
        finally:
            runner.join()


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    with service.http:
        yield service


def line_of(question, **body):
    messages = [{"role": "user", "content": question}]
    return {"custom_id": f"id-{question}", "body": {"model": "tiny", "messages": messages} | body}


def questions(count):
    return [line_of(f"问{number}") for number in range(count)]


def refusal(call, *arguments, **options):
    """Return the error with which a call is refused."""
    with pytest.raises(openai.APIStatusError) as caught:
        call(*arguments, **options)
    return caught.value


# A batch from beginning to end


def test_a_batch_walks_through_its_life(service):
    client = service.client()
    batch = create(client, questions(20), metadata={"a": "b"})
    assert (batch.status, batch.metadata, batch.model) == ("in_progress", {"a": "b"}, "tiny")
    assert batch.expires_at - batch.created_at == 24 * 3600
    with service.running():
        done = ended(client, batch)
    assert done.status == "completed" and done.completed_at and not done.errors
    assert done.error_file_id is None
    assert done.request_counts.to_dict() == {"total": 20, "completed": 20, "failed": 0}
    assert (done.usage.input_tokens, done.usage.total_tokens) == (60, 60 + 10 * 2 + 10 * 3)
    lines = results(client, done.output_file_id)
    assert [line["custom_id"] for line in lines] == [f"id-问{number}" for number in range(20)]
    file = client.files.retrieve(done.output_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert [one.id for one in client.batches.list()] == [batch.id]


def test_an_answer_in_a_batch_is_what_chat_answers(service):
    client = service.client()
    line = line_of("你好", n=2, logprobs=True, seed=7, stream=True, stream_options={"x": 1})
    with service.running():
        done = ended(client, create(client, [line]))
    [result] = results(client, done.output_file_id)
    assert result["id"].startswith("batch_req_") and result["error"] is None
    response = result["response"]
    assert response["status_code"] == 200 and response["request_id"].startswith("req_")
    body = {k: v for k, v in line["body"].items() if not k.startswith("stream")}
    headers = {"authorization": f"Bearer {KEY}"}
    chat = service.http.post(ENDPOINT, json=body, headers=headers).json()
    same = {"id": "", "created": 0}
    assert response["body"] | same == chat | same
    assert list(response["body"]) == list(chat)
    # The engine was asked for the same, but for whether somebody waits.
    behind, asked = service.engine.asked[:2], service.engine.asked[2:]
    assert [dataclasses.replace(one, background=False) for one in behind] == asked
    assert all(one.background for one in behind)


def test_lines_that_fail_are_in_the_error_file_as_chat_would_have_refused_them(service):
    client = service.client()
    lines = questions(6)
    for line in lines[::2]:
        line["body"]["tools"] = [{"type": "function"}]
    lines[2]["body"] |= {"temperature": 9}
    with service.running():
        done = ended(client, create(client, lines))
    assert done.status == "completed"
    assert done.request_counts.to_dict() == {"total": 6, "completed": 3, "failed": 3}
    assert len(results(client, done.output_file_id)) == 3
    failed = results(client, done.error_file_id)
    assert [line["custom_id"] for line in failed] == ["id-问0", "id-问2", "id-问4"]
    headers = {"authorization": f"Bearer {KEY}"}
    for line, result in zip(lines[::2], failed, strict=True):
        chat = service.http.post(ENDPOINT, json=line["body"], headers=headers)
        assert result["response"]["status_code"] == chat.status_code == 400
        assert result["response"]["body"] == chat.json()


def test_a_batch_without_one_answer_has_no_output_file(service):
    client = service.client()
    with service.running():
        done = ended(client, create(client, [line_of("你好", unknown=1)]))
    assert (done.status, done.output_file_id) == ("completed", None)
    [line] = results(client, done.error_file_id)
    assert "unknown" in line["response"]["body"]["error"]["message"]


def test_the_replaced_model_wins_over_those_of_the_lines(service):
    client = service.client()
    lines = [line_of("一", model="no-such-model"), line_of("二")]
    del lines[1]["body"]["model"]
    replace = {"replace": {"model": "other"}}
    with service.running():
        done = ended(client, create(client, lines, extra_body=replace))
    assert done.model == "other"
    models = [line["response"]["body"]["model"] for line in results(client, done.output_file_id)]
    assert models == ["other", "other"]


# What is refused


def test_what_a_batch_cannot_be_is_said_in_one_sentence(service):
    client = service.client()
    file = upload(client, questions(1)).id
    several = upload(client, [line_of("一"), line_of("二", model="other")]).id
    nameless = upload(client, [line_of("一"), line_of("二", model=None)]).id
    unknown = upload(client, [line_of("一", model="nobody")]).id

    def error_of(**given):
        usual = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"}
        return refusal(client.batches.create, **usual | given)

    for given, code, part in (
        ({"input_file_id": "file-x"}, "file_not_found", "没有文件"),
        ({"input_file_id": several}, "several_models", "第 2 行是 other"),
        ({"input_file_id": nameless}, "model_missing", "第 2 行没有 model"),
        ({"endpoint": "/v1/embeddings"}, "invalid_value", ENDPOINT),
        ({"completion_window": "1h"}, "invalid_value", "24h 到 336h"),
        ({"completion_window": "337h"}, "invalid_value", "24h 到 336h"),
        ({"completion_window": "２4h"}, "invalid_value", "24h 到 336h"),
        ({"extra_body": {"priority": 1}}, "unsupported_parameter", "priority"),
        (
            {"extra_body": {"replace": {"model": "tiny", "url": "x"}}},
            "unsupported_parameter",
            "replace.url",
        ),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 9}}, *UNSUPPORTED),
    ):
        error = error_of(**given)
        assert (error.status_code, error.code) == (400, code), given
        assert part in str(error)
    assert error_of(input_file_id=unknown).code == "model_not_found"
    assert error_of(extra_body={"replace": {"model": "nobody"}}).code == "model_not_found"
    assert client.batches.list().data == []


UNSUPPORTED = ("unsupported_parameter", "output_expires_after")


def test_a_faulty_file_is_refused_at_the_upload_with_all_of_its_lines(service):
    lines = [line_of("一"), {"custom_id": "a"}, line_of("一"), {"body": {}}]
    error = refusal(upload, service.client(), lines)
    assert (error.status_code, error.code) == (400, "body")
    for part in ("第 2 行", "第 3 行", "第 4 行"):
        assert part in str(error)
    assert service.client().files.list().data == []


def test_a_batch_file_does_not_train_and_a_training_file_is_no_batch(service):
    client = service.client()
    rows = data.to_jsonl([make_row(user=f"问题{i}") for i in range(10)])
    training = client.files.create(file=("t.jsonl", rows), purpose="fine-tune").id
    batch = upload(client, questions(2)).id
    jobs = client.fine_tuning.jobs
    for call, given in (
        (jobs.create, {"model": "tiny", "training_file": batch}),
        (jobs.create, {"model": "tiny", "training_file": training, "validation_file": batch}),
        (
            client.batches.create,
            {"input_file_id": training, "endpoint": ENDPOINT, "completion_window": "24h"},
        ),
    ):
        error = refusal(call, **given)
        assert (error.status_code, error.code) == (400, "invalid_purpose")
    assert [file.id for file in client.files.list(purpose="batch")] == [batch]
    assert [file.id for file in client.files.list(purpose="fine-tune", limit=1)] == [training]


def test_a_person_has_two_batches_at_a_time_and_the_leader_many(service):
    client = service.client("zhao")
    first = create(client, questions(1))
    create(client, questions(1))
    error = refusal(create, client, questions(1))
    assert (error.status_code, error.code) == (429, "too_many_batches")
    with service.running():
        ended(client, first)
    create(client, questions(1))
    for _ in range(3):
        create(service.client(), questions(1))


def test_whoever_has_no_bytes_left_starts_no_batch(service, monkeypatch):
    client = service.client("zhao")
    file = upload(client, questions(2))
    monkeypatch.setattr(limits, "PERSON_BYTES", file.bytes - 1)
    given = {"endpoint": ENDPOINT, "completion_window": "24h"}
    error = refusal(client.batches.create, input_file_id=file.id, **given)
    assert (error.status_code, error.code) == (429, "too_many_bytes")


def test_answers_beyond_the_limit_of_bytes_fail_and_those_before_stay(service, monkeypatch):
    monkeypatch.setattr(limits, "RESULT_BYTES", 2000)
    client = service.client()
    with service.running():
        done = ended(client, create(client, questions(60)))
    counts = done.request_counts
    assert counts.completed >= 2 and counts.failed >= 2 and counts.total == 60
    failed = results(client, done.error_file_id)[-1]["response"]
    assert (failed["status_code"], failed["body"]["error"]["code"]) == (413, "batch_too_large")


def test_a_file_in_use_is_not_deleted_before_its_batch_has_ended(service):
    client = service.client("zhao")
    batch = create(client, questions(2))
    error = refusal(client.files.delete, batch.input_file_id)
    assert (error.status_code, error.code) == (409, "file_in_use") and batch.id in str(error)
    # A batch of the leader, which is nothing to its owner.
    given = {"endpoint": ENDPOINT, "completion_window": "24h"}
    file = upload(client, questions(1)).id
    leaders = service.client().batches.create(input_file_id=file, **given)
    error = refusal(client.files.delete, file)
    assert error.status_code == 409 and leaders.id not in str(error)
    with service.running():
        ended(client, batch)
    assert client.files.delete(batch.input_file_id).deleted


# Cancelled, expired, interrupted


def test_a_cancelled_batch_keeps_its_answers_and_names_the_lines_without_one(service):
    service.engine.held = True
    client = service.client()
    batch = create(client, questions(10))
    with service.running():
        until(lambda: len(service.engine.asked) == limits.BATCH_UNDER_WAY)
        service.engine.let_go(2)
        until(lambda: client.batches.retrieve(batch.id).request_counts.completed == 2)
        assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
        done = ended(client, batch)
    assert (done.status, done.cancelled_at is not None) == ("cancelled", True)
    assert done.request_counts.to_dict() == {"total": 10, "completed": 2, "failed": 0}
    assert len(results(client, done.output_file_id)) == 2
    left = results(client, done.error_file_id)
    assert len(left) == 8
    assert {line["error"]["code"] for line in left} == {"batch_cancelled"}
    assert all(line["response"] is None for line in left)
    # What was under way is not written to its end.
    until(lambda: len(service.engine.cancelled) >= limits.BATCH_UNDER_WAY)
    error = refusal(client.batches.cancel, batch.id)
    assert (error.status_code, error.code) == (400, "batch_ended")


def test_a_batch_expires_with_what_it_has(service):
    client = service.client()
    service.engine.held = True
    batch = create(client, questions(10))
    now = [time.time()]
    with service.running(clock=lambda: now[0]):
        until(lambda: len(service.engine.asked) == limits.BATCH_UNDER_WAY)
        service.engine.let_go(1)
        until(lambda: client.batches.retrieve(batch.id).request_counts.completed == 1)
        now[0] += 24 * 3600 + 1
        done = ended(client, batch)
    assert (done.status, done.expired_at is not None) == ("expired", True)
    left = results(client, done.error_file_id)
    assert [line["error"]["code"] for line in left] == ["batch_expired"] * 9
    assert len(results(client, done.output_file_id)) == 1


def test_after_a_restart_no_finished_line_is_asked_again(service):
    client = service.client()
    service.engine.held = True
    batch = create(client, questions(12))
    with service.running():
        until(lambda: len(service.engine.asked) == limits.BATCH_UNDER_WAY)
        service.engine.let_go(3)
        until(lambda: client.batches.retrieve(batch.id).request_counts.completed == 3)
    before = service.store.answered_lines(batch.id)
    rows = service.store._database.rows("SELECT line, content FROM batch_answers ORDER BY line")
    kept = {row["line"]: row["content"] for row in rows}
    assert len(before) == 3
    service.engine.held = False
    service.engine.asked.clear()
    service.engine._waiting.clear()
    with service.running():
        done = ended(client, batch)
    assert done.request_counts.completed == 12
    assert not {f"问{number - 1}" for number in before} & set(service.engine.questions)
    assert len(service.engine.asked) == 9
    lines = client.files.content(done.output_file_id).read().splitlines()
    assert {number: lines[number - 1] for number in before} == kept


def test_a_batch_that_was_killed_between_its_last_line_and_its_files_gets_them(service):
    client = service.client()
    batch = create(client, questions(1))
    answer = BatchAnswer(1, 200, b'{"custom_id": "id"}')
    assert service.store.add_batch_answer(batch.id, answer)
    service.store.finalize_batch(batch.id)
    assert client.batches.retrieve(batch.id).status == "finalizing"
    with service.running():
        done = ended(client, batch)
    assert done.status == "completed" and service.engine.asked == []
    assert client.files.content(done.output_file_id).read() == answer.content + b"\n"


# When the engine does not answer


def test_a_model_that_cannot_be_loaded_is_waited_for(service):
    client = service.client()
    service.engine.fails["问0"] = [("model_unavailable", "torch is away")] * 3
    batch = create(client, questions(1))
    with service.running(wait_seconds=0.2):
        waiting = until(lambda: client.batches.retrieve(batch.id).errors)
        assert waiting.data[0].code == "model_unavailable"
        assert "torch is away" in "\n".join(status.batches(service.store))
        done = ended(client, batch)
    assert (done.request_counts.completed, done.errors) == (1, None)
    assert service.engine.questions == ["问0"] * 4


def test_one_line_without_memory_does_not_hold_up_the_others(service):
    client = service.client()
    service.engine.fails["问0"] = [("out_of_memory", "too little")] * 2
    with service.running():
        done = ended(client, create(client, questions(12)))
    assert done.request_counts.completed == 12
    assert service.engine.questions.count("问0") == 3
    assert service.engine.questions[-1] == "问0"


def test_an_error_of_the_engine_is_tried_again_and_then_written_down(service):
    client = service.client()
    service.engine.fails["问0"] = [("engine_error", "odd")] * 9
    service.engine.fails["问1"] = [("engine_error", "odd")]
    with service.running():
        done = ended(client, create(client, questions(2)))
    assert service.engine.questions.count("问0") == 3
    assert service.engine.questions.count("问1") == 2
    [failed] = results(client, done.error_file_id)
    assert failed["response"]["status_code"] == 500 and failed["custom_id"] == "id-问0"


def test_an_answer_that_a_full_disk_refuses_is_kept_and_not_asked_for_again(service, monkeypatch):
    client = service.client()
    monkeypatch.setattr("cookbook.service.batch_runner.RETRY_SECONDS", 0.05)
    add, refused = service.store.add_batch_answer, []

    def add_later(batch_id, answer):
        if len(refused) < 3:
            refused.append(answer)
            raise DiskFull(zh="磁盘满了", en="the disk is full")
        return add(batch_id, answer)

    monkeypatch.setattr(service.store, "add_batch_answer", add_later)
    with service.running():
        done = ended(client, create(client, questions(2)))
    assert done.request_counts.completed == 2 and len(refused) == 3
    assert sorted(service.engine.questions) == ["问0", "问1"]


# Several people


def test_batches_of_several_people_take_turns_and_few_lines_are_under_way(service):
    service.engine.held = True
    zhao, qian = service.client("zhao"), service.client("qian")
    first, second = create(zhao, questions(30)), create(zhao, questions(30))
    with service.running() as runner:
        until(lambda: len(service.engine.asked) == limits.BATCH_UNDER_WAY)
        third = create(qian, questions(30))
        until(lambda: third.id in runner._open)
        # Every free place goes to whoever has fewer, until both have half.
        for count in range(limits.BATCH_UNDER_WAY, 40):
            until(lambda count=count: len(service.engine.asked) == count)
            service.engine.let_go()
        people = [request.person for request in service.engine.asked]
        assert people[8:12] == ["qian"] * 4
        assert 11 <= people[12:36].count("qian") <= 13
        for client, batch in ((zhao, first), (zhao, second), (qian, third)):
            client.batches.cancel(batch.id)
            ended(client, batch)
    assert service.store.batch(second.id).answered == 0


def test_a_batch_takes_nothing_of_what_its_owner_may_ask_meanwhile(service):
    service.engine.held = True
    client = service.client("zhao")
    batch = create(client, questions(20))
    with service.running():
        until(lambda: len(service.engine.asked) == limits.BATCH_UNDER_WAY)
        assert service.app.state.shared.choices_of("zhao") == 0
        client.batches.cancel(batch.id)
        ended(client, batch)


def test_everyone_has_their_own_batches_and_the_leader_sees_all(service):
    zhao, qian, leader = service.client("zhao"), service.client("qian"), service.client()
    with service.running():
        done = ended(zhao, create(zhao, questions(1)))
    for call in (qian.batches.retrieve, qian.batches.cancel):
        assert refusal(call, done.id).status_code == 404
    assert refusal(qian.files.content, done.output_file_id).status_code == 404
    assert qian.batches.list().data == [] and qian.files.list().data == []
    assert [batch.id for batch in leader.batches.list()] == [done.id]
    assert leader.files.content(done.output_file_id).text
    kept = service.store.bytes_kept()["zhao"]
    assert kept == sum(file.bytes for file in zhao.files.list())


def test_a_batch_asks_with_the_models_of_its_owner_alone(service):
    zhao = service.client("zhao")
    error = refusal(create, zhao, [line_of("一", model="ft:LoRA/tiny:qian:task:abc")])
    assert (error.status_code, error.code) == (404, "model_not_found")
    with service.running():
        ended(zhao, create(zhao, questions(3)))
    assert {request.person for request in service.engine.asked} == {"zhao"}


def test_pages_of_batches_follow_each_other(service):
    client = service.client()
    made = [create(client, questions(1)).id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    assert refusal(client.batches.list, after="batch_x").status_code == 400


# The store


def test_an_answer_is_counted_once_and_never_after_the_end(service):
    batch = create(service.client(), questions(2))
    store, answer = service.store, BatchAnswer(1, 200, b"{}", 3, 4)
    assert store.add_batch_answer(batch.id, answer)
    assert not store.add_batch_answer(batch.id, answer)
    counted = store.batch(batch.id)
    assert (counted.answered, counted.failed, counted.result_bytes) == (1, 0, 2)
    assert (counted.input_tokens, counted.output_tokens) == (3, 4)
    store.end_batch(batch.id, "cancelled", {2: b"[]"})
    assert not store.add_batch_answer(batch.id, BatchAnswer(2, 200, b"{}"))
    assert store.end_batch(batch.id, "completed").status == "cancelled"
    assert not store.has_batches_under_way()
    assert store._database.rows("SELECT count(*) FROM batch_answers")[0][0] == 0


def test_a_batch_whose_file_was_just_deleted_is_not_added(service):
    usual = {"model": "tiny", "hours": 24, "total": 1}
    assert service.store.add_batch(input_file="file-x", **usual) is None


def test_a_full_disk_at_the_end_leaves_the_batch_and_no_file(service):
    batch, store = create(service.client(), questions(2)), service.store
    store.add_batch_answer(batch.id, BatchAnswer(1, 200, b"{}"))
    files = store.files_page(None, 9)
    pages = store._database.rows("PRAGMA page_count")[0][0]
    store._database.rows(f"PRAGMA max_page_count = {pages + 2}")
    undone = {2: b"x" * 100_000}
    with pytest.raises(DiskFull):
        store.end_batch(batch.id, "cancelled", undone)
    assert store.batch(batch.id).ended_at is None
    assert store.answered_lines(batch.id) == {1}
    assert store.files_page(None, 9) == files
    store._database.rows("PRAGMA max_page_count = 100000")
    assert store.end_batch(batch.id, "cancelled", undone).output_file
    assert len(store.files_page(None, 9)) == len(files) + 2


def test_a_line_that_meets_a_locked_database_is_not_lost(service, monkeypatch):
    client = service.client()
    part, refused = service.store.file_part, []

    def read_later(*arguments):
        if len(refused) < 3:
            refused.append(arguments)
            raise sqlite3.OperationalError("database is locked")
        return part(*arguments)

    batch = create(client, questions(10))
    monkeypatch.setattr(service.store, "file_part", read_later)
    with service.running():
        done = ended(client, batch)
    assert done.request_counts.completed == 10 and len(refused) == 3

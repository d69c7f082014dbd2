"""Everyone their own: every route, asked with a second person's key for a first person's things.

What one person may not see must look to another as if it did not exist: each probe is sent once
with an id of A and once with one that nobody has, and B must get the same answer to both, while A
gets what was asked for. A route, a parameter or a field of a body that is not in the tables below
fails the test: whoever adds one says here which ids it takes.
"""

import json
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from support import make_row

from cookbook import data
from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.events import Checkpoint, Finished, Step
from cookbook.service.page import PATHS
from cookbook.service.store import Store

A, B = "阿依古丽", "Bo_b.1-x"
ROWS = data.to_jsonl([make_row(user=f"问题{i}") for i in range(10)])
JOBS = "/v1/fine_tuning/jobs"
ENDPOINT = "/v1/chat/completions"
BATCHES = "/v1/batches"
REQUESTS = (
    '{"custom_id": "a", "body": {"model": "tiny", "messages": [{"role": "user", "content": "问"}]}}'
)
STEP = Step(
    step=2,
    total_steps=2,
    epoch=1.0,
    train_loss=1.5,
    valid_loss=None,
    learning_rate=1e-4,
    tokens=100,
    tokens_per_second=50.0,
    seconds_left=0.0,
)


def speak(request, on_piece):
    """A chat engine of one word."""
    piece = Piece("好", prompt_tokens=1, completion_tokens=1, finish_reason="stop")
    threading.Thread(target=on_piece, args=(piece,)).start()
    return SimpleNamespace(cancel=lambda: None)


class Room:
    """A service with two people in it."""

    def __init__(self, folder):
        self.store = Store(folder / "service.db")
        self.home = Home(folder)
        bases = [Base("tiny", "nowhere")]
        self.app = make_app(
            self.store, home=self.home, bases=bases, submit=speak, api_key="leaders"
        )
        self.a, self.b = (self._client(self.store.add_person(name)) for name in (A, B))
        self.leader = self._client("leaders")

    def _client(self, key):
        return TestClient(self.app, headers={"authorization": f"Bearer {key}"})

    def file(self, person=A):
        return self.store.of(person).add_file("a.jsonl", "fine-tune", ROWS).id

    def job(self, person=A, **fields):
        body = {"model": "tiny", "training_file": self.file(person), "metadata": {"of": person}}
        client = {A: self.a, B: self.b}[person]
        job_id = client.post(JOBS, json=body).json()["id"]
        # Another one of the same person must not meet the limit.
        self.store.advance(job_id, "running", "Started")
        return job_id

    def batch_file(self, person=A):
        return self.store.of(person).add_file("b.jsonl", "batch", REQUESTS.encode()).id

    def batch(self, person=A):
        client = {A: self.a, B: self.b}[person]
        body = BATCHED | {"input_file_id": self.batch_file(person)}
        batch_id = client.post(BATCHES, json=body).json()["id"]
        # Another one of the same person must not meet the limit.
        for before in self.store.of(person).batches_under_way():
            if before.id != batch_id:
                self.store.end_batch(before.id, "completed")
        return batch_id

    def ended_job(self, person=A):
        """Return a job with a step, a checkpoint and a model."""
        job = self.store.job(self.job(person))
        at, loss = self.home.model_folder, {"train_loss": 1.5, "valid_loss": None}
        self.store.record(job, STEP)
        self.store.record(job, Checkpoint(step=1, epoch=1, folder=at(f"{job.id}-step_1"), **loss))
        end = {"trained_tokens": 1, "update_norm": 1.0, "logits_difference": 1.0}
        self.store.record(job, Finished(step=2, folder=at(f"{job.id}-step_2"), **loss, **end))
        return job.id

    def model(self, person=A):
        return self.store.job(self.ended_job(person)).model

    def everything_of(self, person):
        """Return the ids of all that somebody has, but for names that say nothing of them."""
        mine = self.store.of(person)
        found = [file.id for file in mine.files_page(None, 1000)]
        found += [job.id for job in mine.jobs_page(None, 1000)]
        found += [batch.id for batch in mine.batches_page(None, 1000)]
        return found + [model.id for model in mine.models()]


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


# What a probe asks for: who makes an id of A, and an id that nobody has.


@dataclass(frozen=True)
class Probe:
    """An id in one place of a request; `path` and `body` have it where they say ID."""

    method: str
    path: str
    make: str = "file"
    unknown: str = "file-abcdefghijklmnopqrst"
    body: dict = field(default_factory=dict)
    query: dict = field(default_factory=dict)
    leader: bool = False  # whose answer is the one that is not refused

    def send(self, client, value):
        def filled(given):
            return json.loads(json.dumps(given).replace("ID", value)) or None

        # Quoted as the official client does it.
        path = self.path.replace("ID", value)
        return client.request(self.method, path, json=filled(self.body), params=filled(self.query))


NO_BATCH = "batch_abcdefghijklmnopqrst"
NO_JOB = "ftjob-abcdefghijklmnopqrst"
NO_MODEL = "ft:LoRA/tiny:nobody:task:abcdefghijklmnopqrst"
ASKED = {"model": "ID", "messages": [{"role": "user", "content": "你好"}]}
TUNED = {"model": "tiny", "training_file": "ID"}


def file_probe(method, path, **options):
    return Probe(method, path, **options)


BATCHED = {"input_file_id": "ID", "endpoint": ENDPOINT, "completion_window": "24h"}


def batch_probe(method, path, **options):
    return Probe(method, path, "batch", NO_BATCH, **options)


def job_probe(method, path, make="job", **options):
    return Probe(method, path, make, NO_JOB, **options)


def model_probe(method, path, **options):
    return Probe(method, path, "model", NO_MODEL, **options)


def person_probe(method, path, **options):
    return Probe(method, path, "name", "nobody", leader=True, **options)


# By method and route: a probe for each parameter or field that takes an id.
PROBES = {
    ("GET", "/v1/files"): {"after": file_probe("GET", "/v1/files", query={"after": "ID"})},
    ("POST", "/v1/files"): {},
    ("GET", "/v1/files/{file_id}"): {"file_id": file_probe("GET", "/v1/files/ID")},
    ("DELETE", "/v1/files/{file_id}"): {"file_id": file_probe("DELETE", "/v1/files/ID")},
    ("GET", "/v1/files/{file_id}/content"): {"file_id": file_probe("GET", "/v1/files/ID/content")},
    ("GET", JOBS): {"after": job_probe("GET", JOBS, query={"after": "ID"})},
    ("POST", JOBS): {
        "training_file": file_probe("POST", JOBS, body=TUNED),
        "validation_file": file_probe("POST", JOBS, body=TUNED | {"validation_file": "ID"}),
        "model": None,  # of a base: a tuned model is not tuned again
    },
    ("GET", JOBS + "/{job_id}"): {"job_id": job_probe("GET", JOBS + "/ID")},
    ("POST", JOBS + "/{job_id}/cancel"): {"job_id": job_probe("POST", JOBS + "/ID/cancel")},
    ("POST", JOBS + "/{job_id}/pause"): {"job_id": job_probe("POST", JOBS + "/ID/pause")},
    ("POST", JOBS + "/{job_id}/resume"): {"job_id": job_probe("POST", JOBS + "/ID/resume")},
    ("GET", JOBS + "/{job_id}/events"): {
        "job_id": job_probe("GET", JOBS + "/ID/events"),
        "after": None,  # a number; see the test of cursors
    },
    ("GET", JOBS + "/{job_id}/checkpoints"): {
        "job_id": job_probe("GET", JOBS + "/ID/checkpoints", make="ended_job"),
        "after": None,
    },
    ("GET", "/v1/models"): {},
    ("GET", "/v1/models/{model_id:path}"): {"model_id": model_probe("GET", "/v1/models/ID")},
    ("DELETE", "/v1/models/{model_id:path}"): {"model_id": model_probe("DELETE", "/v1/models/ID")},
    ("POST", "/v1/models/{model_id:path}/share"): {
        "model_id": model_probe("POST", "/v1/models/ID/share")
    },
    ("POST", "/v1/models/{model_id:path}/unshare"): {
        "model_id": model_probe("POST", "/v1/models/ID/unshare")
    },
    ("POST", "/v1/chat/completions"): {
        "model": model_probe("POST", "/v1/chat/completions", body=ASKED)
    },
    ("POST", "/v1/completions"): {
        "model": model_probe("POST", "/v1/completions", body={"model": "ID", "prompt": "你"})
    },
    ("GET", BATCHES): {"after": batch_probe("GET", BATCHES, query={"after": "ID"})},
    ("POST", BATCHES): {
        "input_file_id": Probe("POST", BATCHES, "batch_file", body=BATCHED),
        "replace": None,  # see the test of a batch's model
    },
    ("GET", BATCHES + "/{batch_id}"): {"batch_id": batch_probe("GET", BATCHES + "/ID")},
    ("POST", BATCHES + "/{batch_id}/cancel"): {
        "batch_id": batch_probe("POST", BATCHES + "/ID/cancel")
    },
    ("GET", "/v1/room"): {},
    # People's names are told to the leader alone.
    ("POST", "/v1/room/people"): {"name": None},  # see the test of the leader's routes
    ("POST", "/v1/room/people/{name}/renew"): {
        "name": person_probe("POST", "/v1/room/people/ID/renew")
    },
    ("DELETE", "/v1/room/people/{name}"): {"name": person_probe("DELETE", "/v1/room/people/ID")},
    ("POST", "/v1/room/message"): {},
    ("POST", "/v1/room/extend"): {},
    ("GET", "/health"): {},
    ("GET", "/openapi.json"): {},
} | {("GET", path): {} for path in PATHS}

# Parameters and fields that name nothing which could be somebody else's.
NO_IDS = {
    "limit",
    "order",
    "purpose",
    "metadata",
    "nonce",
    "notebook",
    "minutes",
    "text",
    # of a job
    "suffix",
    "seed",
    "method",
    "hyperparameters",
    "validation_split",
    "learning_rate",
    "n_epochs",
    "batch_size",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "max_tokens",
    # of a batch
    "endpoint",
    "completion_window",
    # of an answer
    "messages",
    "prompt",
    "echo",
    "n",
    "best_of",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "max_completion_tokens",
    "response_format",
    "logprobs",
    "top_logprobs",
}


def routes_of(app):
    """Return every route × method of the application."""
    found = {}
    for context in iter_route_contexts(app.routes):
        # HEAD is answered as GET is.
        for method in context.methods - {"HEAD"}:
            found[method, context.path] = context.original_route
    return found


def inputs_of(route):
    """Return the names of all that a request to a route may say."""
    if not isinstance(route, APIRoute):
        return set()
    names, unseen = set(), [route.dependant]
    while unseen:
        part = unseen.pop()
        unseen += part.dependencies
        names |= {field.alias for field in [*part.path_params, *part.query_params]}
        for body in part.body_params:
            names |= set(body.field_info.annotation.model_fields)
    return names


def probes_of(app):
    """Return every probe, and fail for a route or an input that is in no table."""
    found = []
    for (method, path), route in routes_of(app).items():
        assert (method, path) in PROBES, f"{method} {path} is new: say in PROBES which ids it takes"
        known = PROBES[method, path]
        unknown = inputs_of(route) - set(known) - NO_IDS
        assert not unknown, f"{method} {path} takes {unknown}: say in PROBES or NO_IDS what it is"
        found += [probe for probe in known.values() if probe is not None]
    return found


def test_what_is_somebody_elses_looks_as_if_it_did_not_exist(room):
    probes = probes_of(room.app)
    for probe in probes:
        # Another one for each probe: some change it, or take it away.
        value = A if probe.make == "name" else getattr(room, probe.make)()
        of_a, unknown = probe.send(room.b, value), probe.send(room.b, probe.unknown)
        told = (of_a.status_code, of_a.text.replace(value, "ID"))
        assert told == (unknown.status_code, unknown.text.replace(probe.unknown, "ID")), probe
        assert of_a.status_code in (400, 403, 404), probe
        # The probe is a request that its owner may send.
        owner = room.leader if probe.leader else room.a
        assert probe.send(owner, value).status_code == 200, probe
        for job in room.store.unfinished():
            room.store.advance(job.id, "cancelled", "So that there is room for the next")
        for batch in room.store.batches_under_way():
            room.store.end_batch(batch.id, "cancelled")
    print(f"{len(routes_of(room.app))} routes × methods, {len(probes)} places of an id")


def test_a_new_route_or_parameter_is_not_forgotten(room):
    @room.app.get("/v1/new")
    def new() -> None: ...

    with pytest.raises(AssertionError, match="/v1/new is new"):
        probes_of(room.app)
    room.app.router.routes.pop()

    @room.app.get("/v1/models")
    def models(of_job: str) -> None: ...

    with pytest.raises(AssertionError, match="of_job"):
        probes_of(room.app)


def test_no_list_holds_what_is_somebody_elses_and_the_leader_sees_all(room):
    room.ended_job(A)
    room.job(A)
    room.ended_job(B)
    room.batch(A)
    room.batch(B)
    of_a, of_b = room.everything_of(A), room.everything_of(B)
    assert len(of_a) == 8 and len(of_b) == 6
    lists = ["/v1/batches", "/v1/files?limit=1000", f"{JOBS}?limit=1000", "/v1/models", "/v1/room"]
    for path in lists:
        seen = room.b.get(path).text
        assert not [name for name in [*of_a, A] if name in seen], path
    whole = "".join(room.leader.get(path).text for path in lists)
    assert not [name for name in [*of_a, *of_b] if name not in whole]


def test_pages_step_over_what_is_somebody_elses(room):
    mine = []
    for _ in range(3):
        room.file(A)
        mine.append(room.file(B))
        room.file(A)
    pages, after = [], None
    while True:
        cursor = {"after": after} if after else {}
        page = room.b.get("/v1/files", params={"limit": 1} | cursor)
        pages += [file["id"] for file in page.json()["data"]]
        if not page.json()["has_more"]:
            break
        after = page.json()["last_id"]
    assert pages == mine[::-1]


def test_a_filter_finds_nothing_of_somebody_else(room):
    room.job(A)
    assert room.a.get(JOBS, params={"metadata[of]": A}).json()["data"]
    assert room.b.get(JOBS, params={"metadata[of]": A}).json()["data"] == []


@pytest.mark.parametrize("part, prefix", [("events", "ftevent-"), ("checkpoints", "ftckpt-")])
def test_a_cursor_from_somebody_elses_job_is_a_number_like_any_other(room, part, prefix):
    # Numbers are the database's: those in between belong to A.
    mine, first, theirs = room.ended_job(B), room.ended_job(A), room.ended_job(A)
    cursor = room.a.get(f"{JOBS}/{theirs}/{part}").json()["first_id"]
    page = room.b.get(f"{JOBS}/{mine}/{part}", params={"after": cursor}).json()
    beyond = room.b.get(f"{JOBS}/{mine}/{part}", params={"after": f"{prefix}999999"}).json()
    assert page == beyond
    assert [item["id"] for item in page["data"]]
    assert first not in json.dumps(page) and theirs not in json.dumps(page)


def test_an_error_of_ones_own_names_nobody_else(room):
    # The leader tunes with a file of B, who deletes it meanwhile.
    file = room.file(B)
    job = room.leader.post(JOBS, json={"model": "tiny", "training_file": file}).json()["id"]
    refused = room.b.delete(f"/v1/files/{file}")
    assert refused.status_code == 409
    assert job not in refused.text


def test_a_batch_asks_no_model_of_somebody_else(room):
    model = room.model(A)
    for name, client, status in (
        (model, room.b, 404),
        (NO_MODEL, room.b, 404),
        (model, room.a, 200),
    ):
        owner = A if client is room.a else B
        body = BATCHED | {"input_file_id": room.batch_file(owner), "replace": {"model": name}}
        answer = client.post(BATCHES, json=body)
        assert answer.status_code == status
        if status == 404:
            told = answer.json()["error"]["message"].replace(name, "ID")
            assert "ID" in told and A not in told


def test_a_shared_model_can_be_asked_by_all_and_changed_by_its_owner_alone(room):
    model = room.model(A)
    assert room.a.post(f"/v1/models/{model}/share").json()["shared"]
    assert model in room.b.get("/v1/models").text
    seen = room.b.get(f"/v1/models/{model}").json()
    assert (seen["owned_by"], seen["shared"]) == (A, True)
    assert room.b.post("/v1/chat/completions", json=ASKED | {"model": model}).status_code == 200
    for method, path in (("DELETE", ""), ("POST", "/share"), ("POST", "/unshare")):
        refused = room.b.request(method, f"/v1/models/{model}{path}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_yours")
    # Its job stays with its owner.
    assert room.store.model(model).job not in room.b.get(JOBS).text
    assert room.b.get(f"{JOBS}/{room.store.model(model).job}").status_code == 404
    assert not room.leader.post(f"/v1/models/{model}/unshare").json()["shared"]
    assert room.b.get(f"/v1/models/{model}").status_code == 404


def test_names_of_any_script_are_the_tenants_of_models(room):
    model = room.model(A)
    assert model.startswith(f"ft:LoRA/tiny:{A}:task:")
    job = room.a.get(JOBS).json()["data"][0]
    assert (job["organization_id"], job["fine_tuned_model"]) == (A, model)
    assert room.model(B).startswith(f"ft:LoRA/tiny:{B}:task:")
    file = room.store.add_file("a.jsonl", "fine-tune", ROWS).id
    own = room.leader.post(JOBS, json={"model": "tiny", "training_file": file}).json()
    assert own["organization_id"] == "local"
    assert room.store.job(own["id"]).model.startswith("ft:LoRA/tiny:local:task:")


def test_the_store_keeps_to_what_is_seen_where_a_route_forgets_to_ask(room):
    job, file = room.ended_job(A), room.file(A)
    model, running = room.store.job(job).model, room.job(A)
    of_b = room.store.of(B)
    with pytest.raises(LookupError):
        of_b.file_content(file)
    assert of_b.file_part(file, 0, 10) == b"" != room.store.file_part(file, 0, 10)
    batch = room.batch(A)
    of_b.cancel_batch(batch)
    assert of_b.batch(batch) is None and room.store.batch(batch).status == "in_progress"
    of_b.delete_file(file)
    of_b.delete_model(model)
    of_b.share_model(model, True)
    of_b.request_state(running, "pause", "Paused")
    assert not of_b.advance(running, "cancelled", "Cancelled")
    assert not of_b.events(job) and not of_b.losses(job, [2])
    assert of_b.last_metrics(job) is None and of_b.started_event(job) is None
    assert room.store.file_content(file)
    assert not room.store.model(model).shared
    assert room.store.job(running).status == "running"
    assert room.store.job(running).requested_state == "run"

"""The contract: what the OpenAPI document says, and every method of the official client.

python tests/unit/test_contract.py        writes the table of docs/api.md again
"""

import asyncio
import inspect
import re
import tempfile
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cookbook.bases import Base
from cookbook.paths import DATA, Home
from cookbook.service.app import make_app
from cookbook.service.chat_request import Piece
from cookbook.service.events import Checkpoint
from cookbook.service.store import Store

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FEW = settings(  # tests/soak/test_fuzz.py sends thousands
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
RESOURCES = [
    "files",
    "models",
    "fine_tuning.jobs",
    "fine_tuning.jobs.checkpoints",
    "chat.completions",
    "chat.completions.messages",
    "completions",
    "batches",
]
ROW = (
    '{"messages": [{"role": "user", "content": "问%d"}, {"role": "assistant", "content": "答"}]}\n'
)
UPLOAD = ("a.jsonl", "".join(ROW % i for i in range(10)).encode())
REQUEST = '{"custom_id": "a", "body": {"model": "tiny", "messages": [%s]}}'
REQUESTS = REQUEST % '{"role": "user", "content": "问"}'
DOCS = DATA.parent / "docs" / "api.md"


def speak(request, on_piece):
    """A chat engine of one word."""
    piece = Piece("好", prompt_tokens=1, completion_tokens=1, finish_reason="stop")
    threading.Thread(target=on_piece, args=(piece,)).start()
    return SimpleNamespace(cancel=lambda: None)


def make(home: Path):
    store = Store(home / "service.db")
    bases = [Base("tiny", "nowhere")]
    app = make_app(store, home=Home(home), bases=bases, submit=speak, api_key="test")
    return app, store


app, store = make(Path(tempfile.mkdtemp(prefix="cookbook-contract-")))
schema = schemathesis.openapi.from_asgi(
    "/openapi.json", app, headers={"authorization": "Bearer test"}
)


def send(case, known: dict, **where) -> None:
    """Send one case, every other one with ids that exist; check the answer by the document."""
    lucky = len(str(case.body) + str(case.path_parameters)) % 2
    for part in (case.path_parameters, case.body):
        if lucky and isinstance(part, dict):
            part.update({name: value for name, value in known.items() if name in part})
    case.call_and_validate(
        checks=CHECKS, headers={"authorization": "Bearer test"} | where.pop("headers", {}), **where
    )


def add_job(store: Store, training_file: str, model: str):
    # Not by support.py, which this file does not find when it is run as a program.
    return store.add_job(
        base="tiny",
        model=model,
        training_file=training_file,
        validation_split=0.1,
        suffix=None,
        seed=1,
        hyperparameters={"n_epochs": 1},
    )


def add_batch(store: Store):
    file = store.add_file("b.jsonl", "batch", REQUESTS.encode())
    return store.add_batch(input_file=file.id, model="tiny", hours=24, total=1)


def known_ids(model: str, file_id: str, job_id: str, batch_id: str, requests_id: str) -> dict:
    return {
        "batch_id": batch_id,
        "input_file_id": requests_id,
        "model": model,
        "model_id": model,
        "file_id": file_id,
        "training_file": file_id,
        "job_id": job_id,
    }


@pytest.fixture
def known():
    file = store.add_file(UPLOAD[0], "fine-tune", UPLOAD[1])
    job = add_job(store, file.id, "ft:x")
    batch = add_batch(store)
    yield known_ids("tiny", file.id, job.id, batch.id, batch.input_file)
    for job in store.unfinished():
        store.advance(job.id, "cancelled", "over")
    for batch in store.batches_under_way():
        store.end_batch(batch.id, "cancelled")


@schema.parametrize()
@FEW
def test_every_answer_is_one_that_the_openapi_document_knows(case, known):
    send(case, known)


def test_the_openapi_document_asks_for_the_token_everywhere_but_for_health():
    document = app.openapi()
    assert document["security"] == [{"token": []}]
    operations = [op for item in document["paths"].values() for op in item.values()]
    assert [op["operationId"] for op in operations if op.get("security") == []] == [
        "health_health_get"
    ]
    assert all("422" not in op["responses"] and "400" in op["responses"] for op in operations)


# Every method of the official client


def resource(client, path: str):
    for name in path.split("."):
        client = getattr(client, name)
    return client


def methods() -> list[str]:
    """All public methods of the resources, as the installed package has them."""
    client = openai.OpenAI(api_key="x")
    return [
        f"{path}.{name}"
        for path in RESOURCES
        for name, value in inspect.getmembers(type(resource(client, path)), inspect.isfunction)
        if not name.startswith("_")
    ]


def arguments(ids: dict) -> dict[str, dict]:
    """What each method is called with; an id that is missing here fails the test."""
    messages = [{"role": "user", "content": "你好"}]
    chat = {"model": "tiny", "messages": messages}
    file = {"file_id": ids["file_id"]}
    job = {"fine_tuning_job_id": ids["job_id"]}
    completion = {"completion_id": "chatcmpl-x"}
    return {
        "files.create": {"file": UPLOAD, "purpose": "fine-tune"},
        "files.list": {},
        "files.retrieve": file,
        "files.content": file,
        "files.retrieve_content": file,
        "files.delete": file,
        "files.wait_for_processing": {"id": ids["file_id"], "poll_interval": 0},
        "models.list": {},
        "models.retrieve": {"model": "tiny"},
        "models.delete": {"model": ids["model"]},
        "fine_tuning.jobs.create": {"model": "tiny", "training_file": ids["file_id"]},
        "fine_tuning.jobs.list": {},
        "fine_tuning.jobs.retrieve": job,
        "fine_tuning.jobs.cancel": job,
        "fine_tuning.jobs.pause": job,
        "fine_tuning.jobs.resume": job,
        "fine_tuning.jobs.list_events": job,
        "fine_tuning.jobs.checkpoints.list": job,
        "chat.completions.create": chat,
        "chat.completions.parse": chat,
        "chat.completions.stream": chat,
        "chat.completions.list": {},
        "chat.completions.retrieve": completion,
        "chat.completions.update": completion | {"metadata": {}},
        "chat.completions.delete": completion,
        "chat.completions.messages.list": completion,
        "completions.create": {"model": "tiny", "prompt": "你好"},
        "batches.create": {
            "input_file_id": ids["input_file_id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        },
        "batches.list": {},
        "batches.retrieve": {"batch_id": ids["batch_id"]},
        "batches.cancel": {"batch_id": ids["batch_id"]},
    }


def fresh_ids(store: Store) -> dict:
    """A file, a job that is under way and a tuned model, for a method to act on."""
    file = store.add_file(UPLOAD[0], "fine-tune", UPLOAD[1])
    job = add_job(store, "file-x", f"ft:{file.id}")
    store.advance(job.id, "running", "go")
    store.record(job, Checkpoint(1, 1, Path("nowhere"), 1.0, None))
    batch = add_batch(store)
    return {
        "file_id": file.id,
        "job_id": job.id,
        "model": store.models(job.id)[0].id,
        "batch_id": batch.id,
        "input_file_id": batch.input_file,
    }


def outcome(call) -> str:
    """ "yes", or how the service refused; whatever else happens is an error of the test."""
    try:
        call()
        return "yes"
    except openai.BadRequestError as error:
        assert error.code and re.search(r"(GET|POST|DELETE) /v1/", error.message), error
        return f"no: 400 `{error.code}`"


async def walk(client, method: str, given: dict) -> None:
    """Call it on the asynchronous client and read the answer to its end."""
    answer = resource(client, method)(**given)
    if method.endswith(".stream"):
        async with answer as stream:
            await stream.until_done()
    elif method.endswith(("list", "list_events")):
        _ = [item async for item in answer]
    else:
        await answer


def read(client, method: str, given: dict) -> None:
    answer = resource(client, method)(**given)
    if method.endswith(".stream"):
        with answer as stream:
            stream.until_done()
    elif method.endswith(("list", "list_events")):
        list(answer)


def try_methods(home: Path) -> dict[str, tuple[str, str]]:
    """Each method with its outcome, (sync, async)."""
    from fastapi.testclient import TestClient
    from httpx2 import ASGITransport, AsyncClient

    app, store = make(home)
    found = {}
    with TestClient(app) as http:
        options = {"base_url": "http://testserver/v1", "api_key": "test", "max_retries": 0}
        # What does not fit the client's own types is an error.
        options["_strict_response_validation"] = True
        sync_client = openai.OpenAI(http_client=http, **options)

        async def walk_once(method: str, given: dict) -> None:
            over = AsyncClient(transport=ASGITransport(app=app))
            async with openai.AsyncOpenAI(http_client=over, **options) as client:
                await walk(client, method, given)

        for method in methods():
            given = arguments(fresh_ids(store))[method]
            sync = outcome(partial(read, sync_client, method, given))
            # New ids, since the method may have deleted what it was given.
            given = arguments(fresh_ids(store))[method]
            found[method] = (sync, outcome(partial(run_async, walk_once, method, given)))
    return found


def run_async(function, *arguments) -> None:
    asyncio.run(function(*arguments))


def table(found: dict[str, tuple[str, str]]) -> str:
    lines = [f"| `client.{method}` | {sync} | {other} |" for method, (sync, other) in found.items()]
    return "\n".join(["| method | `OpenAI` | `AsyncOpenAI` |", "| --- | --- | --- |", *lines])


@pytest.mark.filterwarnings("ignore:The ..content:DeprecationWarning")
def test_every_method_of_the_client_works_or_is_refused_by_name_as_the_docs_say(tmp_path):
    assert table(try_methods(tmp_path)) in DOCS.read_text(encoding="utf-8"), (
        "python tests/unit/test_contract.py writes it"
    )


if __name__ == "__main__":
    text = DOCS.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        new = table(try_methods(Path(folder)))
    DOCS.write_text(
        re.sub(r"\| method \|.*?(?=\n\n)", lambda _: new, text, flags=re.DOTALL), encoding="utf-8"
    )

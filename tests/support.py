"""What tests of several folders share: valid rows, small models, the soak's short job."""

import ast
import contextlib
import functools
import json
import socket
import threading
from types import SimpleNamespace

import psutil
from openai import OpenAI

from cookbook import connect, jobs
from cookbook.paths import _CHECKOUT, DATA, Home


def make_row(
    system="你是客服助手", user="如何修改收货地址？", assistant="您可以在订单详情里修改。"
):
    """Return a valid row; a test overrides one field, and None leaves a message out."""
    contents = {"system": system, "user": user, "assistant": assistant}
    messages = []
    for role, content in contents.items():
        if content is not None:
            messages.append({"role": role, "content": content})
    return {"messages": messages}


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
"""Sizes of a Qwen2 model that is quick enough for a test."""


def write_base(folder, tokenizer, **sizes):
    """Write a Qwen2 checkpoint with random weights, of SMALL but for `sizes`; return the folder."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    usual = SMALL | {"max_position_embeddings": 512, "tie_word_embeddings": True}
    ids = {
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=len(tokenizer), **usual | ids | sizes)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_adapter(folder, value):
    """Write what makes a folder an adapter: its settings, and weights as safetensors has them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensor = {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}
    header = json.dumps({"a": tensor}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes([value % 256]) * 64
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "local:tiny"}')


def assert_accounted(cleaned):
    """Assert that every entry that was read is in one place: a row, gone, or left."""
    gone, left, kept = set(cleaned.rows_gone), set(cleaned.rows_left), set(cleaned.row_numbers)
    assert kept | gone | left == set(range(1, cleaned.read + 1))
    assert len(kept) + len(gone) + len(left) == cleaned.read, (kept, gone, left)
    assert len(cleaned.rows) == len(cleaned.row_numbers) == len(kept)
    assert len(cleaned.rows_left) == len(left)


SECRETS = {
    "FAKE_TOKEN": "planted",
    "X_SECRET_Y": "planted",
    "AWS_ACCESS_KEY_ID": "planted",
    "AWS_SESSION": "planted",
    "GITHUB_TOKEN": "planted",
    "OPENAI_API_KEY": "planted",
    "SILICONFLOW_API_KEY": "planted",
    "COOKBOOK_KEY": "planted",
    "COOKBOOK_SERVICE": "http://planted.example:8765",
    "COOKBOOK_API_KEY": "planted",
    "COOKBOOK_ENGINE_KEY": "planted",
    "DATABASE_URL": "postgres://me:planted@db/x",
    "PGPASSWORD": "planted",
    "PIP_INDEX_URL": "https://me:planted@pypi/simple",
    "HTTPS_PROXY": "http://me:planted@proxy:1",
    "HF_TOKEN": "planted",
    "HF_ENDPOINT": "https://me:planted@mirror",
    "CONDA_TOKEN": "planted",
    "PYTHONSTARTUP": "/home/me/planted.py",
    "JPY_API_TOKEN": "planted",
    "KUBECONFIG": "/home/me/planted",
    "MY_COMPANY": "planted",
}
"""What a reader's environment may hold, and what no process of the service is to be told."""


@functools.cache
def sentences() -> str:
    """Return every text in the package's code, a value in it being a line break."""
    found = []
    for path in (_CHECKOUT / "cookbook").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "\n" for v in node.values]
                found.append("".join(map(str, parts)))
    return "\n\n".join(found)


# The soak's short job: 12 steps, three epochs.

TOLERANCE = 1e-6  # of an adapter's weight, resumed against unbroken
DISTURBED = ("意外结束", "磁盘满了", "集群", "节点")
"""What is in the events that only a job has which was disturbed, or trained on a cluster."""
CORPUS = DATA / "zhishuoxinyu" / "train_tiny.jsonl"
ROWS = CORPUS.read_bytes().splitlines(keepends=True)[:32]


def add_job(store, **fields):
    """Put a job into a store by hand and return it; a test names the fields that matter to it."""
    usual = {
        "base": "cookbook/tiny-zh",
        "model": "ft:x",
        "training_file": "file-x",
        "validation_split": 0.1,
        "suffix": None,
        "seed": 1,
        "hyperparameters": {},
    }
    return store.add_job(**usual | fields)


def client_of(app, key: str, **options):
    """Return an HTTP client of an application, in this process, that sends this key."""
    from fastapi.testclient import TestClient

    return TestClient(app, headers={"authorization": f"Bearer {key}"}, **options)


def launch(client, model: str):
    """Start the short job on a file of its own."""
    upload = client.files.create(file=("small.jsonl", b"".join(ROWS)), purpose="fine-tune")
    return client.fine_tuning.jobs.create(model=model, training_file=upload.id, suffix="soak")


def result(home, view) -> SimpleNamespace:
    """Return the steps and the adapter of a job that has ended."""
    from safetensors.torch import load_file

    losses = [(s["step"], s["train_loss"], s["valid_loss"]) for s in view.steps]
    last = view.steps[-1]["total_steps"]
    folder = Home(home).model_folder(f"{view.job.id}-step_{last}")
    adapter = load_file(folder / "adapter_model.safetensors")
    return SimpleNamespace(view=view, losses=losses, adapter=adapter)


def train_disturbed(home, disturb=lambda: None) -> SimpleNamespace:
    """Launch, disturb, connect again, and watch to the end."""
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        job = launch(client, service.base_model)
    disturb()
    # The service may have been killed; this starts another if so.
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        jobs.watch(client, job.id, every=0.5)
        return result(home, jobs.view(client, job.id))


def assert_same(disturbed: SimpleNamespace, unbroken: SimpleNamespace) -> None:
    """Assert that nothing is lost, nothing is doubled, and the figures and adapters agree."""
    import torch

    assert disturbed.view.job.status == "succeeded"
    steps = [step for step, *_ in disturbed.losses]
    assert steps == list(range(1, len(unbroken.losses) + 1))
    assert disturbed.losses == unbroken.losses
    messages = usual_messages(disturbed)
    assert len(messages) == len(set(messages)) == len(usual_messages(unbroken))
    for name, weights in unbroken.adapter.items():
        same = torch.allclose(disturbed.adapter[name], weights, rtol=0, atol=TOLERANCE)
        assert same, name


def usual_messages(job: SimpleNamespace) -> list[str]:
    """Return the messages of a job's events, without those that only a disturbed job has."""
    messages = [event.message for event in job.view.events]
    return [text for text in messages if not any(word in text for word in DISTURBED)]


def training_processes(home) -> list[psutil.Process]:
    """Return the training processes of a data folder, one that waits for a job included."""
    arguments = {"cookbook.service.worker", str(home)}
    processes = []
    for process in psutil.process_iter(["cmdline"]):
        # A process of another user may not show its command line.
        if arguments <= set(process.info["cmdline"] or []):
            processes.append(process)
    return processes


# A service in this process, whose parts a test can watch.


@contextlib.contextmanager
def served(app, *, tls=None, **settings):
    """Serve an application as the service does, `tls` being an SSL context; give (host, port)."""
    import uvicorn

    from cookbook.service.connections import LimitedProtocol, LimitedServer, Secured

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=LimitedProtocol, ws="none", log_config=None, lifespan="off", **settings
    )
    server = LimitedServer(config, tls and Secured(listener, tls))
    server.capture_signals = contextlib.nullcontext  # this thread is not the main one
    thread = threading.Thread(target=server.run, kwargs={"sockets": [] if tls else [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()
        listener.close()

"""What the soak tests share: one short job, how it is launched, and what it must end as."""

from types import SimpleNamespace

import pytest
import torch
from openai import OpenAI
from safetensors.torch import load_file

from cookbook import connect, jobs
from cookbook.connection import stop
from cookbook.paths import DATA

TOLERANCE = 1e-6  # largest difference of a weight of the adapter, resumed against unbroken
DISTURBED = ("意外结束", "磁盘满了")  # what a disturbed job says besides
ROWS = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)[:32]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


def launch(client, model: str):
    """A job of 12 steps and three epochs, on a file of its own."""
    upload = client.files.create(file=("small.jsonl", b"".join(ROWS)), purpose="fine-tune")
    return client.fine_tuning.jobs.create(model=model, training_file=upload.id, suffix="soak")


def result(home, view) -> SimpleNamespace:
    """The steps and the adapter of a job that has ended."""
    losses = [(s["step"], s["train_loss"], s["valid_loss"]) for s in view.steps]
    folder = home / "models" / f"{view.job.id}-step_{view.steps[-1]['total_steps']}"
    return SimpleNamespace(view=view, losses=losses, adapter=load_file(folder / "adapter_model.safetensors"))


def train(home, disturb=lambda: None) -> SimpleNamespace:
    """Launch, disturb, connect again, and watch to the end."""
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        job = launch(client, service.base_model)
    disturb()
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        jobs.watch(client, job.id, every=0.5)
        return result(home, jobs.view(client, job.id))


def assert_same(broken: SimpleNamespace, whole: SimpleNamespace) -> None:
    """Nothing lost, nothing doubled, the same figures and the same adapter."""
    assert broken.view.job.status == "succeeded"
    assert [step for step, *_ in broken.losses] == list(range(1, len(whole.losses) + 1))
    assert broken.losses == whole.losses
    said, expected = (
        [e.message for e in job.view.events if not any(word in e.message for word in DISTURBED)]
        for job in (broken, whole)
    )
    assert len(said) == len(set(said)) == len(expected)
    for name, weights in whole.adapter.items():
        assert torch.allclose(broken.adapter[name], weights, rtol=0, atol=TOLERANCE), name


@pytest.fixture(scope="module")
def unbroken(home):
    return train(home)

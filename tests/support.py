"""What tests of several folders share: valid rows, small models, the soak's short job."""

from types import SimpleNamespace

from openai import OpenAI

from cookbook import connect, jobs
from cookbook.paths import DATA


def make_row(
    system="你是客服助手", user="如何修改收货地址？", assistant="您可以在订单详情里修改。"
):
    """A valid row; a test overrides one field."""
    roles = {"system": system, "user": user, "assistant": assistant}
    return {
        "messages": [
            {"role": role, "content": text} for role, text in roles.items() if text is not None
        ]
    }


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
"""Sizes of a Qwen2 model that is quick enough for a test."""


def write_base(folder, tokenizer, **sizes):
    """A Qwen2 checkpoint with random weights, two small layers unless told otherwise; returns the folder."""
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


TOLERANCE = 1e-6  # largest difference of a weight of the adapter, resumed against unbroken
DISTURBED = ("意外结束", "磁盘满了")  # what a disturbed job says besides
ROWS = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)[:32]


def launch(client, model: str):
    """A job of 12 steps and three epochs, on a file of its own."""
    upload = client.files.create(file=("small.jsonl", b"".join(ROWS)), purpose="fine-tune")
    return client.fine_tuning.jobs.create(model=model, training_file=upload.id, suffix="soak")


def result(home, view) -> SimpleNamespace:
    """The steps and the adapter of a job that has ended."""
    from safetensors.torch import load_file

    losses = [(s["step"], s["train_loss"], s["valid_loss"]) for s in view.steps]
    folder = home / "models" / f"{view.job.id}-step_{view.steps[-1]['total_steps']}"
    return SimpleNamespace(
        view=view, losses=losses, adapter=load_file(folder / "adapter_model.safetensors")
    )


def train_disturbed(home, disturb=lambda: None) -> SimpleNamespace:
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
    import torch

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

"""What a running service and PEFT itself say of a base, against its card."""

import dataclasses
import time

from cookbook import bases
from cookbook.data import to_jsonl
from cookbook.paths import DATA

TINY = "cookbook/tiny-zh"


def test_weights_are_counted_as_peft_counts_them():
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(DATA / "models" / "tiny-zh")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        parameters = model.num_parameters()
        lora = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        tuned = get_peft_model(model, lora)
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    tiny = bases.card(TINY)
    assert (tiny.parameters, tiny.adapter_parameters(16)) == (parameters, trained)


def test_a_base_by_folder_is_read_from_its_configuration(monkeypatch, small_base):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", small_base.source)
    small = bases.card("small")
    assert small.adapter_share(8) > small.adapter_share(4) > 0
    assert small.learning_rate_scale == 1


def test_speed_and_weights_come_from_the_newest_finished_job(client, service, row, monkeypatch):
    content = to_jsonl([row(user=f"第 {i} 个问题") for i in range(12)])
    file = client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    values = {"n_epochs": 1, "lora_rank": 4}
    job = client.fine_tuning.jobs.create(
        model=service.base_model, training_file=file.id, hyperparameters=values
    )
    while client.fine_tuning.jobs.retrieve(job.id).status not in ("succeeded", "failed"):
        time.sleep(0.2)
    configured = bases.card(service.base_model)
    measured = bases.card(service.base_model, client)
    events = client.fine_tuning.jobs.list_events(job.id)
    last = next(event for event in events if event.type == "metrics")
    assert measured.tokens_per_second == last.data["tokens_per_second"]

    # A base whose configuration tells nothing: the job's own event does.
    unknown = dataclasses.replace(configured, parameters=None, parameters_per_rank=None)
    monkeypatch.setattr(bases, "installed", lambda: [unknown])
    from_events = bases.card(service.base_model, client)
    assert from_events.parameters == configured.parameters
    assert from_events.parameters_per_rank == configured.parameters_per_rank
    assert not [name for name in bases.offered(client) if name.startswith("ft:")]

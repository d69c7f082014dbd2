import shutil
import time

import pytest
from openai import OpenAI

from cookbook import bases
from cookbook.bases import Facts
from cookbook.data import to_jsonl
from cookbook.paths import DATA

TINY = "cookbook/tiny-zh"


@pytest.mark.parametrize(
    "base, published",
    [
        ("7B", 7_615_616_512),
        ("14B", 14_770_033_664),
        ("32B", 32_763_876_352),
        ("72B", 72_706_203_648),
    ],
)
def test_the_weights_of_the_platforms_bases_are_those_published(base, published):
    assert bases.facts(f"Qwen/Qwen2.5-{base}-Instruct").parameters == published


def test_weights_are_counted_as_peft_counts_them():
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(DATA / "models" / "tiny-zh")
        )
        known, parameters = bases.facts(TINY), model.num_parameters()
        tuned = get_peft_model(
            model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    assert (known.parameters, known.trained(16)) == (parameters, trained)
    assert known.learning_rate_scale == 17 and known.tokens_per_second is None


def test_a_base_by_folder_is_read_from_its_configuration(monkeypatch, small_base):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", small_base.source)
    assert bases.facts("small").share(8) > bases.facts("small").share(4) > 0
    assert bases.facts("small").learning_rate_scale == 1


def test_a_rebuilt_base_brings_its_own_learning_rate_scale(monkeypatch, tmp_path):
    copy = shutil.copytree(DATA / "models" / "tiny-zh", tmp_path / "mine")
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(copy))
    assert bases.facts("mine") == bases.facts(TINY)


def test_nothing_is_made_up_for_a_base_that_is_not_known():
    assert bases.facts("someone/else") == Facts() and Facts().share(8) is None


def test_siliconcloud_is_not_asked_for_what_it_does_not_say():
    client = OpenAI(
        base_url="https://api.siliconflow.cn/v1", api_key="x"
    )  # a request would fail here
    assert bases.offered(client) == list(bases.CONSOLE_BASES)
    assert bases.facts(TINY, client) == bases.facts(TINY)


def test_speed_and_weights_come_from_the_newest_finished_job(client, service, row, monkeypatch):
    content = to_jsonl([row(user=f"第 {i} 个问题") for i in range(12)])
    file = client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    values = {"n_epochs": 1, "lora_rank": 4}
    job = client.fine_tuning.jobs.create(
        model=service.base_model, training_file=file.id, hyperparameters=values
    )
    while client.fine_tuning.jobs.retrieve(job.id).status not in ("succeeded", "failed"):
        time.sleep(0.2)
    found = bases.facts(service.base_model, client)
    last = next(e for e in client.fine_tuning.jobs.list_events(job.id) if e.type == "metrics")
    assert found.tokens_per_second == last.data["tokens_per_second"]
    configured = bases.facts(service.base_model)
    monkeypatch.setattr(bases, "_configured", lambda _: Facts())
    learned = bases.facts(service.base_model, client)
    assert (learned.parameters, learned.per_rank) == (configured.parameters, configured.per_rank)
    assert not [base for base in bases.offered(client) if base.startswith("ft:")]

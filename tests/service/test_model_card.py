"""An adapter's folder is complete alone: what is in it, and what is not."""

import json
import re

import pytest
from huggingface_hub.utils import HFValidationError, validate_repo_id

from cookbook import bases, data
from cookbook.params import Hyperparameters
from cookbook.paths import DATA, Home
from cookbook.service.engine.train import train
from cookbook.service.store import Store
from cookbook.service.worker import run_job

HP = Hyperparameters(n_epochs=2, batch_size=4, lora_rank=2, max_tokens=128).to_dict()


@pytest.fixture
def make_adapter(tmp_path, row):
    """base -> the folders of the adapters that a job left, the finished one last."""

    def make(base: str, filename: str = "问答.jsonl"):
        home = Home(tmp_path / "home")
        home.folder.mkdir()
        store = Store(home.database)
        rows = [row(user=f"第{i}个问题") for i in range(12)]
        file = store.add_file(filename, "fine-tune", data.to_jsonl(rows))
        job = store.add_job(
            base=base,
            model="ft:x",
            training_file=file.id,
            validation_split=0.25,
            suffix="my_task",
            seed=7,
            hyperparameters=HP,
        )
        run_job(store, home, job, train)
        assert store.job(job.id).status == "succeeded"
        models = sorted(store.models(), key=lambda model: model.step)
        return [home.model_folder(model.folder) for model in models]

    return make


def card(folder) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def reference(folder) -> str:
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return config["base_model_name_or_path"]


def test_the_card_of_each_adapter_names_base_data_parameters_seed_date_and_losses(make_adapter):
    checkpoint, finished = make_adapter("cookbook/tiny-zh")
    for folder, step in ((checkpoint, 3), (finished, 6)):
        text = card(folder)
        assert f"第 {step} 步" in text and "`cookbook/tiny-zh`" in text and "`my_task`" in text
        assert "`问答.jsonl`，训练 9 条" in text and "留出 25%，3 条" in text and "个 token" in text
        for name, value in HP.items():
            assert f"| {name} | {value:.10g} |" in text
        assert "| seed | 7 |" in text and re.search(r"\d{4}-\d\d-\d\d \(UTC\)", text)
        assert re.search(r"train_loss \| \d+\.\d{4} .*\n.*valid_loss \| \d+\.\d{4}", text)
    assert card(checkpoint) != card(finished)


def test_the_cards_own_lines_load_the_adapter(make_adapter, monkeypatch):
    finished = make_adapter("cookbook/tiny-zh")[-1]
    [snippet] = re.findall(r"```python\n(.*?)```", card(finished), flags=re.S)
    monkeypatch.chdir(finished)
    names = {}
    exec(snippet, names)
    assert names["model"].peft_config["default"].r == 2 and names["tokenizer"].chat_template


def test_nothing_in_the_folder_names_a_path_of_this_machine(
    make_adapter, small_base, tmp_path, monkeypatch
):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", small_base.source)
    folder = make_adapter("small", filename=r"C:\Users\me\/home/me/甲`](x).jsonl")[-1]
    for path in folder.rglob("*"):
        content = path.read_bytes()
        for own in (small_base.source, str(tmp_path), str(DATA), "/home/me", r"C:\Users"):
            assert own.encode() not in content, (path.name, own)
    assert "`甲'](x).jsonl`" in card(folder) and "本地文件夹" in card(folder)


def test_a_base_from_a_folder_has_a_name_that_nobody_can_claim_on_a_hub(make_adapter):
    from peft import AutoPeftModelForCausalLM

    folder = make_adapter("cookbook/tiny-zh")[-1]
    assert bases.referred(reference(folder)) == "cookbook/tiny-zh"
    with pytest.raises(HFValidationError):
        validate_repo_id(reference(folder))
    # Without asking anybody for it: the name is no address.
    with pytest.raises(OSError, match="local:cookbook/tiny-zh"):
        AutoPeftModelForCausalLM.from_pretrained(folder)
    assert "base_model:" not in card(folder)


def test_a_base_from_a_hub_keeps_its_name():
    base = bases.card("Qwen/Qwen2.5-7B-Instruct")
    assert base.reference == base.id
    validate_repo_id(base.reference)


def test_the_card_is_in_the_language_of_whoever_created_the_job(make_adapter, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    text = card(make_adapter("cookbook/tiny-zh", filename="rows.jsonl")[-1])
    assert "## How to load it" in text and not re.search("[一-龥]", text)

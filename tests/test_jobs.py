import pytest

from cookbook import jobs
from cookbook.errors import IdentifierError, JobNotFound
from cookbook.params import PRESETS

NAME = "ft:LoRA/Qwen/Qwen2.5-7B-Instruct:abc123:my_task-1:abcdefghijklmnopqrst"


def test_an_identifier_is_taken_apart():
    assert jobs.identifier(f" {NAME}\n") == jobs.Identifier(
        "Qwen/Qwen2.5-7B-Instruct", "abc123", "my_task-1", "abcdefghijklmnopqrst", None
    )
    assert jobs.identifier(f"{NAME}-ckpt_step_96").step == 96


@pytest.mark.parametrize(
    "text", ["", "Qwen/Qwen2.5-7B-Instruct", "ft:LoRA/x:y:z", NAME.replace("LoRA/", ""), "ft:LoRA/a::b:c"]
)
def test_what_is_no_identifier_is_explained(text):
    with pytest.raises(IdentifierError, match="ft:LoRA/"):
        jobs.identifier(text)


def test_the_console_sheet_has_every_field_in_the_forms_order():
    sheet = jobs.console_sheet("zhishuo", "train.jsonl", PRESETS["quality"])
    assert list(sheet.fields)[:4] == ["任务名称", "基础模型", "训练数据", "验证数据"]
    assert list(sheet.fields.values())[3:] == ["10%", "0.0001", "5", "16", "4096", "16", "64", "0.1"]
    assert "cloud.siliconflow.cn" in sheet._repr_html_()


def test_an_unknown_job_is_explained(client):
    with pytest.raises(JobNotFound, match="jobs.list"):
        jobs.view(client, "ftjob-nobody")

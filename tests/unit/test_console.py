"""The console form and the identifier, against a server that behaves as SiliconCloud documents."""

import os

import openai
import pytest
from openai import OpenAI
from siliconcloud import FAULTS, TUNED

from cookbook import connect, jobs
from cookbook.errors import IdentifierError
from cookbook.params import PRESETS
from cookbook.paths import DATA, Home, home
from cookbook.siliconcloud import Identifier

NAME = "ft:LoRA/Qwen/Qwen2.5-7B-Instruct:abc123:my_task-1:abcdefghijklmnopqrst"


@pytest.fixture
def cloud(siliconcloud, monkeypatch, tmp_path):
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path))
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


def test_an_identifier_is_taken_apart():
    assert jobs.identifier(f" {NAME}\n") == Identifier(
        "Qwen/Qwen2.5-7B-Instruct", "abc123", "my_task-1", "abcdefghijklmnopqrst", None
    )
    assert jobs.identifier(f"{NAME}-ckpt_step_96").step == 96


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qwen/Qwen2.5-7B-Instruct",
        "ft:LoRA/x:y:z",
        NAME.replace("LoRA/", ""),
        "ft:LoRA/a::b:c",
        f"{NAME} {NAME}",
    ],
)
def test_what_is_no_identifier_is_explained(text):
    with pytest.raises(IdentifierError, match="ft:LoRA/"):
        jobs.identifier(text)


def test_the_console_sheet_has_every_field_in_the_forms_order():
    sheet = jobs.console_sheet("zhishuo", "train.jsonl", PRESETS["quality"])
    assert list(sheet.fields)[:4] == ["任务名称", "基础模型", "训练数据", "验证数据"]
    values = "train.jsonl 10% 0.0001 5 16 4096 16 64 0.1"
    assert list(sheet.fields.values())[2:] == values.split()
    assert "cloud.siliconflow.cn" in sheet._repr_html_()


def test_each_value_has_a_copy_button_and_each_file_a_link(monkeypatch):
    monkeypatch.chdir(DATA.parent / "notebooks")
    path = DATA / "zhishuoxinyu" / "train.jsonl"
    html = jobs.console_sheet("zhishuo", path, PRESETS["standard"], validation=path)._repr_html_()
    assert html.count("cookbook-copy") == 9
    assert html.count('href="../data/zhishuoxinyu/train.jsonl"') == 2
    assert str(DATA) not in html


def test_what_the_reader_typed_is_text_in_the_sheet():
    html = jobs.console_sheet("<script>", "a<b>.jsonl", PRESETS["fast"])._repr_html_()
    assert "<script>" not in html and "a<b>" not in html


def test_a_verified_identifier_is_remembered_for_its_platform_alone(cloud, siliconcloud):
    assert jobs.remembered(cloud) is None
    verified = jobs.verify(cloud, f" {TUNED}\n")
    assert verified.parts.task == "zhishuo" and verified.answer in repr(verified)
    assert jobs.remembered(cloud) == TUNED and siliconcloud.requests[-1]["max_tokens"] == 16
    assert jobs.remembered(cloud.with_options(base_url="https://elsewhere.example/v1")) is None
    assert cloud.api_key not in Home(home()).identifiers.read_text()


@pytest.mark.parametrize("spoil", ["{", "[]", '{"x": 1}'])
def test_a_spoilt_note_is_no_note(cloud, spoil):
    Home(home()).identifiers.write_text(spoil)
    assert jobs.remembered(cloud) is None
    jobs.verify(cloud, TUNED)
    assert jobs.remembered(cloud) == TUNED


def test_an_identifier_the_platform_does_not_know_is_explained_and_not_remembered(cloud):
    with pytest.raises(IdentifierError, match="20012"):
        jobs.verify(cloud, TUNED + "x")
    assert jobs.remembered(cloud) is None


@pytest.mark.parametrize(
    "fault, word",
    [
        ("model", "标识符"),
        ("parameter", "参数"),
        (401, "SILICONFLOW_API_KEY"),
        (403, "实名"),
        ("balance", "余额"),
        (404, "控制台"),
        (429, "限流"),
        (503, "过载"),
        (504, "max_tokens"),
    ],
)
def test_each_error_the_platform_is_known_to_send_is_one_sentence_with_a_remedy(
    cloud, siliconcloud, fault, word
):
    siliconcloud.next = [fault]
    with pytest.raises(openai.APIStatusError) as caught:
        cloud.chat.completions.create(model=TUNED, messages=[{"role": "user", "content": "你好"}])
    text = jobs.explain(caught.value)
    assert word in text and f"[{FAULTS[fault][0]}" in text and "\n" not in text


def test_a_stream_that_breaks_off_is_explained(cloud, siliconcloud):
    siliconcloud.next = ["cut"]
    messages = [{"role": "user", "content": "你好"}]
    with pytest.raises(openai.APIConnectionError) as caught:
        list(cloud.chat.completions.create(model=TUNED, messages=messages, stream=True))
    assert "断了" in jobs.explain(caught.value)


def test_a_platform_out_of_reach_is_explained():
    nowhere = OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0)
    with nowhere as client, pytest.raises(IdentifierError, match="base_url"):
        jobs.verify(client, TUNED)


def test_what_is_not_known_is_still_said():
    assert jobs.explain(ZeroDivisionError("division")) == "ZeroDivisionError: division"


def test_the_box_verifies_what_is_pasted(cloud):
    box = jobs.IdentifierBox(cloud)
    box.text.value = "Qwen/Qwen2.5-7B-Instruct"
    box.button.click()
    assert "✘" in box.message.value and jobs.remembered(cloud) is None
    box.text.value = TUNED
    box.button.click()
    assert "✔" in box.message.value and jobs.remembered(cloud) == TUNED
    assert TUNED in jobs.IdentifierBox(cloud).message.value


def test_an_unreadable_data_folder_does_not_lose_the_answer(cloud, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COOKBOOK_HOME", os.path.join(tmp_path, "file", "home"))
    verified = jobs.verify(cloud, TUNED)
    assert verified.model == TUNED and "COOKBOOK_HOME" in repr(verified)

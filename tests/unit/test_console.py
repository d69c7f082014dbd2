"""The console form and the identifier, against a server that behaves as SiliconCloud documents."""

import os
import re
from urllib.parse import unquote

import openai
import pytest
from openai import OpenAI
from siliconcloud import FAULTS, TUNED

from cookbook import connect, data, jobs
from cookbook.errors import IdentifierError
from cookbook.panel import ParameterPanel
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


CORPUS = DATA / "zhishuoxinyu" / "train.jsonl"


def sheet(path, **options):
    return jobs.console_sheet("zhishuo", path, PRESETS["standard"], **options)


def links(html: str) -> list[str]:
    return [unquote(found) for found in re.findall(r'href="([^"]+)" download', html)]


def test_each_value_has_a_copy_button_and_each_file_a_link(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    html = sheet(CORPUS, validation=CORPUS)._repr_html_()
    assert html.count("cookbook-copy") == 9
    assert len(links(html)) == 2 and str(DATA) not in html and str(tmp_path) not in html


def test_a_file_that_jupyter_cannot_serve_is_copied_beside_the_notebook(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hidden = tmp_path / ".cookbook" / "训练 1.jsonl"
    hidden.parent.mkdir()
    hidden.write_bytes(b"hidden")
    for path in (CORPUS, hidden):
        found = sheet(path)
        [link] = links(found._repr_html_())
        copy = tmp_path / link
        assert copy.read_bytes() == path.read_bytes() and copy.stat().st_mode & 0o777 == 0o600
        assert f'download="{path.name}"' in found._repr_html_()
    assert (copy.parent / ".gitignore").read_text() == "*\n"
    assert len(list(copy.parent.iterdir())) == 3


def test_a_file_beside_the_notebook_is_linked_where_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "甲#1.jsonl").write_bytes(b"x")
    assert links(sheet("my data/甲#1.jsonl")._repr_html_()) == ["my data/甲#1.jsonl"]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_link_is_relative_to_the_notebook_whatever_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "a.ipynb"))
    monkeypatch.chdir(DATA)
    [link] = links(sheet(CORPUS)._repr_html_())
    assert (tmp_path / link).is_file() and not (DATA / "siliconcloud-upload").exists()


def test_two_drives_are_no_error(monkeypatch, tmp_path):
    def relpath(*_):
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "relpath", relpath)
    assert len(links(sheet(CORPUS)._repr_html_())) == 1
    panel = ParameterPanel(rows_file=CORPUS, base_model="other/base")
    assert str(CORPUS) in panel.to_script()
    assert len(links(panel.console_sheet()._repr_html_())) == 1


@pytest.mark.parametrize("why", ["folder cannot be written", "larger than the console takes"])
def test_a_file_without_a_link_is_found_by_its_path(monkeypatch, tmp_path, why):
    monkeypatch.chdir(tmp_path)
    path = CORPUS
    if why.startswith("folder"):
        (tmp_path / "siliconcloud-upload").write_text("a file")
    else:
        path = tmp_path / ".large.jsonl"
        path.write_bytes(b" " * (data.MAX_BYTES + 1))
    html = sheet(path)._repr_html_()
    assert links(html) == [] and str(path) in html and html.count("cookbook-copy") == 11


def test_the_panels_form_names_the_chosen_file_and_copies_nothing(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    # Another file of the same name, which must not be taken for the chosen one.
    (tmp_path / CORPUS.name).write_bytes(b"another")
    panel = ParameterPanel(rows_file=CORPUS)
    form = list(panel._exports.values())[2].value
    assert links(form) == [] and str(CORPUS) in form
    assert len(list(tmp_path.iterdir())) == 1
    assert "siliconcloud-upload" in links(panel.console_sheet()._repr_html_())[0]


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

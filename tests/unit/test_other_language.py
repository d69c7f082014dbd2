"""The check of what readers are shown: it finds the other language, and only that."""

import pytest
from other_language import edition, sentences, strings

from cookbook import data, siliconcloud
from cookbook.paths import DATA

CHINESE = "没有权限：多半是没有实名认证，或余额不足，在控制台的账户页查看"


@pytest.mark.parametrize("shown", [CHINESE, f"<p title='{CHINESE}'>x</p>", f"…{CHINESE}…"])
def test_a_chinese_text_is_found_in_english_pages_alone(shown):
    assert sentences([shown], "en") and not sentences([shown], "zh")


def test_an_english_text_is_found_in_chinese_pages_alone():
    shown = siliconcloud.REMEDIES[403][1].replace(" ", "\n  ")
    assert sentences([shown], "zh") and not sentences([shown], "en")


def test_every_string_of_an_output_counts_but_pictures():
    output = {"data": {"text/html": [CHINESE], "image/png": "iVBO"}, "metadata": {"alt": "curve"}}
    assert list(strings(output)) == [CHINESE, "curve"]


def test_data_and_names_belong_to_no_language():
    rows = (DATA / "zhishuoxinyu" / "train.jsonl").read_text(encoding="utf-8")
    assert sentences([rows, *siliconcloud.FORM_GLOSSES], "en") == []
    assert sentences(["train_loss 0.1 · step 3/10", "ft:LoRA/x:y:z:abc"], "zh") == []


def test_what_is_filled_in_divides_a_text():
    report = data.check([{"messages": []}])
    assert sentences([str(report)], "en") and not sentences([str(report)], "zh")


def test_a_notebook_has_the_language_of_its_folder(tmp_path):
    assert edition(tmp_path / "en" / "00.ipynb") == "en"
    assert edition(tmp_path / "notebooks" / "00.ipynb") == "zh"

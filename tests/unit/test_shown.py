"""What notebooks show, in each language: widgets and pages have nothing of the other one."""

import re

import nbformat
import pandas as pd
import pytest
from other_language import sentences, strings

from cookbook import compare, data, execute, jobs, siliconcloud
from cookbook.panel import ParameterPanel
from cookbook.params import PRESETS
from cookbook.paths import DATA
from cookbook.room import slips
from cookbook.room.slips import Slip

LANGUAGES = {"zh": "zh-CN", "en": "en"}
BAD_ROWS = b'{"messages": []}\n[1]\n{"text": "a"}\n{"messages": [{"role": "boss"}]}\n'
ANSWERS = pd.DataFrame(
    [
        {"column": name, "input": "创新", "answer": answer}
        for name, answer in (("A", "把旧的再卖一次。"), ("B", "an answer"))
    ]
)


@pytest.fixture(params=LANGUAGES)
def language(request, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", request.param)
    return request.param


def widget_texts(widget):
    """What a widget and those inside it say."""
    yield from strings(widget.get_state())
    for child in getattr(widget, "children", ()):
        yield from widget_texts(child)


def test_the_panel_is_in_one_language(language, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(BAD_ROWS)
    for file in (DATA / "zhishuoxinyu" / "train.jsonl", path, None):
        panel = ParameterPanel(rows_file=file, task_name="任务", price=-1, folder=tmp_path)
        panel.controls["n_epochs"].value = 99
        assert sentences(widget_texts(panel.widget), language) == []


def test_reports_are_in_one_language(language, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(BAD_ROWS)
    for shown in (data.check(path), data.clean(path)):
        assert sentences([str(shown), shown._repr_html_()], language) == []


def test_the_console_form_has_its_own_labels_and_in_english_what_they_mean(language):
    sheet = jobs.console_sheet("zhishuo", "train.jsonl", PRESETS["quality"])
    shown = [repr(sheet), sheet._repr_html_()]
    assert sentences(shown, language) == []
    for text in shown:
        assert "任务名称" in text and ("task name" in text) == (language == "en")


def test_prices_have_one_unit_and_one_source(language):
    for table in (siliconcloud.prices(), siliconcloud.writer_prices()):
        text = table[["unit", "source"]].to_string()
        assert ("yuan" in text, "元" in text) == (language == "en", language == "zh")
        assert not [name for name in table.columns if name.endswith("_en")]


def test_a_page_of_answers_has_the_readers_language_and_its_answers_their_own(language, tmp_path):
    page = compare.side_by_side(ANSWERS).to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert f'<html lang="{LANGUAGES[language]}">' in page
    assert re.findall(' lang="zh">([^<]*)', page) == ["创新", "把旧的再卖一次。"]


def test_slips_are_in_the_readers_language(language):
    page = slips.sheet([Slip("韩梅梅", "http://room", "room-key")])
    assert f'<html lang="{LANGUAGES[language]}">' in page and sentences([page], language) == []


@pytest.mark.parametrize("declared", ["zh", "en", ""])
def test_the_page_of_a_notebook_has_the_language_that_the_notebook_declares(declared, language):
    source = f'import x\n\nuse_language("{declared}")  # of messages' if declared else "import x"
    cells = [nbformat.v4.new_code_cell(source)]
    page = execute._html(nbformat.v4.new_notebook(cells=cells))
    assert f'<html lang="{declared or language}">' in page

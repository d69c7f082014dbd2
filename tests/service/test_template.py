"""A base's chat template is a program: one that does not end is refused by the base's name."""

import shutil

import pytest
from transformers import AutoTokenizer

from cookbook import chatml
from cookbook.bases import Base
from cookbook.errors import ModelError
from cookbook.service.engine import template
from cookbook.service.engine.load import load

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def test_a_usual_template_is_tried_and_taken():
    # Another text than the known one, so that it is tried.
    template.probe("x", chatml.TEMPLATE + "{# another #}")


@pytest.mark.parametrize(
    "text",
    ["{{ raise_exception('no') }}", "{{ messages[9]['role'] }}", "{% if %}", "{% generation %}"],
)
def test_what_a_template_refuses_is_left_to_those_who_use_it(text):
    template.probe("x", text)


@pytest.mark.parametrize(
    "text",
    [
        LOOPS,
        "{% if messages|length > 2 %}" + LOOPS + "{% endif %}",
        "{% if add_generation_prompt %}" + LOOPS + "{% endif %}",
        "{% generation %}" + LOOPS + "{% endgeneration %}",
        "{{ 'x' * 10 ** 11 }}",
        "{{ 9 ** (9 ** 9) }}",
    ],
)
def test_a_template_that_does_not_end_is_refused_by_name(text, monkeypatch):
    monkeypatch.setattr(template, "SECONDS", 3)
    with pytest.raises(ModelError, match="some/base"):
        template.probe("some/base", text)


def test_a_base_with_such_a_template_is_not_loaded(small_base, tmp_path, monkeypatch):
    monkeypatch.setattr(template, "SECONDS", 1)
    base = tmp_path / "base"
    shutil.copytree(small_base.source, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = LOOPS
    tokenizer.save_pretrained(base)
    with pytest.raises(ModelError, match="运行不完"):
        load(Base("some/base", str(base)))

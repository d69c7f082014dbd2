"""What docs/take_home.md and its Chinese twin say is what options, code and bench say."""

import re
import shlex

import pytest
from support import sentences

from cookbook.__main__ import _parser
from cookbook.bases import Base
from cookbook.exports import calls, gguf_file, modelfile, take_home
from cookbook.exports.calls import Files
from cookbook.exports.facts import Facts
from cookbook.paths import _CHECKOUT

PAGES = [_CHECKOUT / "docs" / name for name in ("take_home.md", "take_home.zh-CN.md")]
both = pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
RESULTS = (_CHECKOUT / "tests" / "bench" / "RESULTS.md").read_text(encoding="utf-8")


def text_of(page):
    return page.read_text(encoding="utf-8")


def export_parser():
    choices = _parser()._subparsers._group_actions[0].choices
    return choices["export"]


@both
def test_every_option_is_explained_and_no_other(page):
    actions = [one for one in export_parser()._actions if one.dest != "help"]
    options = [(one.option_strings or [one.metavar])[0] for one in actions]
    rows = re.findall(r"^\| `(--[a-z]+|[A-Z]+)[^`]*` \|", text_of(page), re.M)
    assert sorted(rows) == sorted(options)


@both
def test_every_form_and_type_is_explained(page):
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text_of(page), re.M)
    assert rows == list(take_home.FORMS)
    chosen = {one.dest: one.choices for one in export_parser()._actions}
    assert tuple(chosen["form"]) == take_home.FORMS
    assert tuple(chosen["type"]) == gguf_file.TYPES
    assert f"`{gguf_file.INSTALL}`" in text_of(page)


@both
def test_the_commands_of_the_page_can_be_read(page):
    lines = re.findall(r"^python -m cookbook (.+)$", text_of(page), re.M)
    assert [line.split()[0] for line in lines] == ["export", "export", "import"]
    for line in lines:
        assert _parser().parse_args(shlex.split(line)).carry_out


@both
def test_the_commands_of_other_programs_are_those_that_are_printed(page):
    text = text_of(page)
    facts = Facts("ft:x", "Qwen/Qwen2.5-0.5B-Instruct", title="my-task")
    base = Base(facts.base, source=facts.base)
    files = Files("my-model", "my-task-f16.gguf", "f16", rank=8)
    for form in take_home.FORMS:
        for call in calls.commands(facts, base, form, files):
            # The converter is named in the text.
            assert call.text in text or call.text.startswith("python convert_hf_to_gguf.py")


@both
def test_the_numbers_of_the_page_are_those_of_code_and_tests(page):
    text = text_of(page).replace("\n", " ")
    assert f"`temperature` {modelfile.TEMPERATURE}" in text
    assert f"`top_p` {modelfile.TOP_P}" in text
    test = (_CHECKOUT / "tests" / "service" / "test_exports.py").read_text(encoding="utf-8")
    [near] = re.findall(r"^NEAR = \{(.+)\}$", test, re.M)
    bounds = dict(re.findall(r'"(\w+)": ([\d.]+)', near))
    english = page == PAGES[0]
    for name, bound in bounds.items():
        said = rf"{bound} (and )?\(`{name}`\)" if english else f"`{name}` 是 {bound}"
        assert re.search(said, text) or f"and {bound} (`{name}`)" in text, name


@both
def test_the_table_of_the_page_is_that_of_the_bench(page):
    rows = [
        line for line in text_of(page).splitlines() if re.match(r"\| [\w ]+ \| (PEFT|t|l)", line)
    ]
    assert len(rows) == 5
    for row in rows:
        form, engine, equal, size, *_ = [cell.strip() for cell in row.strip("|").split("|")]
        number = equal.replace(" / ", " of ")
        assert re.search(
            rf"^\| {form} \| {re.escape(engine)} \| {number} \| {re.escape(size)} \|", RESULTS, re.M
        ), row


@both
def test_what_the_page_quotes_is_said_by_the_code(page):
    table = text_of(page).rpartition("\n## ")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(quoted) == 7
    assert [one for one in quoted if one not in sentences()] == []


def test_both_pages_have_the_same_parts():
    counts = []
    for page in PAGES:
        text = text_of(page)
        counts.append([text.count(mark) for mark in ("\n## ", "\n```", "\n| ", "\n- ")])
    assert counts[0] == counts[1]

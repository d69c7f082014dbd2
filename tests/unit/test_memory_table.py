"""The pages on real bases: their table is what the plans say today."""

import memory_table
import pytest

from cookbook.paths import DATA

DOCS = DATA.parent / "docs"
RESULTS = DATA.parent / "tests" / "bench" / "RESULTS.md"
PAGES = [("real_base.md", "en"), ("real_base.zh-CN.md", "zh")]


@pytest.mark.parametrize("page, lang", PAGES)
def test_the_table_of_the_page_is_what_the_plans_say(page, lang):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert memory_table.table(lang) in text, f"python tools/memory_table.py --lang {lang}"


@pytest.mark.parametrize("page, lang", PAGES)
def test_what_the_page_says_was_measured_is_among_the_results(page, lang):
    text = (DOCS / page).read_text(encoding="utf-8")
    table = text.partition("<!-- measured:")[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    results = RESULTS.read_text(encoding="utf-8")
    assert rows and all(row in results for row in rows)

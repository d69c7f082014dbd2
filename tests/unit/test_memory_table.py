"""The pages on real bases: their table is what the plans say today."""

import memory_table
import pytest

from cookbook.paths import DATA

DOCS = DATA.parent / "docs"


@pytest.mark.parametrize(("page", "lang"), [("real_base.md", "en"), ("real_base.zh-CN.md", "zh")])
def test_the_table_of_the_page_is_what_the_plans_say(page, lang):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert memory_table.table(lang) in text, f"python tools/memory_table.py --lang {lang}"

"""The tables that explain the case in English, against the case itself.

What the English says is for people to judge; that the Chinese beside it is whole is checked here.
"""

import re

import nbformat

from cookbook import zhishuo
from cookbook.paths import DATA
from cookbook.zhishuo.patterns import OPENERS, OTHER_OPENERS
from cookbook.zhishuo.texts import lexicon

NOTEBOOK = DATA.parent / "notebooks" / "en" / "04_zhishuoxinyu.ipynb"


def table(heading):
    """The rows of the table whose first heading this is, each as the list of its cells."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    _, _, rows = prose.partition(f"| {heading} |")
    lines = rows.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def chinese(text):
    """The Chinese at the beginning of a cell."""
    return re.match(r"[\u4e00-\u9fff，]+", text)[0]


def test_every_pair_of_turn_words_is_explained_once():
    *listed, other = table("measure word")
    pairs = {row[0]: (chinese(row[2]), chinese(row[3])) for row in listed}
    assert pairs == OPENERS and len(listed) == len(OPENERS)
    assert (chinese(other[2]), chinese(other[3])) == OTHER_OPENERS


def test_every_phrase_of_the_ten_words_is_in_the_lexicon():
    rows = table("word | image")
    assert [chinese(row[0]) for row in rows] == zhishuo.eval_words()[:10]
    for word, *phrases in rows:
        entry = lexicon()[chinese(word)]
        said = [chinese(phrase) for phrase in phrases]
        assert said == [entry["image"], entry["praise"], entry["criticism"]]


def test_every_rule_is_explained_and_the_prompt_quoted_as_it_is():
    rows = table("rule")
    assert [row[0].strip("`") for row in rows] == list(zhishuo.rules)
    for name, quoted, _ in rows:
        assert quoted == "–" or quoted in zhishuo.LONG_PROMPT, name


def test_the_published_pairs_are_all_translated():
    rows = table("word | before tuning, long prompt")
    words = list(dict.fromkeys(zhishuo.published().input))
    assert [chinese(row[0]) for row in rows] == words
    assert all(len(row) == 3 and all(row) for row in rows)

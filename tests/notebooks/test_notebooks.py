"""What every notebook promises its reader, checked without running it (nbval runs them)."""

import ast
import re
import statistics

import nbformat
import pytest
from other_language import edition, sentences, strings
from wcwidth import wcswidth

from cookbook.paths import DATA

FOLDER = DATA.parent / "notebooks"
CHINESE, ENGLISH = sorted(FOLDER.glob("*.ipynb")), sorted(FOLDER.glob("en/*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def name(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


@pytest.fixture(params=[*CHINESE, *ENGLISH], ids=name)
def notebook(request):
    return read(request.param)


@pytest.fixture(params=CHINESE, ids=name)
def chinese(request):
    return read(request.param)


@pytest.fixture(params=ENGLISH, ids=name)
def english(request):
    return read(request.param)


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def prose(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "markdown"]


def outputs(notebook):
    return [o for c in code(notebook) for o in c.outputs]


def test_the_course_is_complete():
    names = [
        "00_quickstart",
        "01_prepare_data",
        "02_choose_parameters",
        "03_launch_and_monitor",
        "04_zhishuoxinyu",
        "05_compare_presets",
        "06_measure",
        "07_own_corpus",
    ]
    assert [p.stem for p in CHINESE] == names
    assert {p.stem for p in ENGLISH} <= set(names)


def test_it_is_of_a_size_for_one_sitting(notebook):
    assert 20 <= len(notebook.cells) <= 45
    lengths = [len(c.source.splitlines()) for c in code(notebook)]
    assert statistics.median(lengths) <= 4 and max(lengths) <= 25


def test_lines_of_code_fit_beside_a_file_browser(notebook):
    """80 columns, where a Chinese character takes two."""
    for cell in code(notebook):
        for line in cell.source.splitlines():
            assert wcswidth(line) <= 80, line


def test_every_heading_has_an_english_line(chinese):
    for text in prose(chinese):
        for heading, below in re.findall(r"^(#+ .+)\n(.*)", text, flags=re.M):
            assert re.fullmatch(r"\*[A-Za-z0-9 ,:.'-]+\*", below), heading


def opens_and_closes(notebook, opening, closing):
    first, last = prose(notebook)[0], prose(notebook)[-1]
    assert all(f"**{word}**" in first for word in opening)
    exercises = last.partition(closing[0])[2].partition("\n## ")[0]
    assert 2 <= len(re.findall(r"^\d\. ", exercises, flags=re.M)) <= 3
    assert f"\n## {closing[1]}\n" in last


def test_it_opens_with_what_is_learned_and_ends_with_exercises_and_where_to_go(chinese):
    closing = ("## 练习\n*Exercises*\n", "接下来")
    opens_and_closes(chinese, ("你会学到", "用时", "费用", "需要"), closing)


def test_an_english_edition_opens_and_ends_alike(english):
    closing = ("## Exercises\n", "Where next")
    opens_and_closes(english, ("You will learn", "Time", "Cost", "You need"), closing)


class WithoutTexts(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node


def without_texts(cell):
    """The code of a cell; its strings are empty, its comments gone."""
    return ast.dump(WithoutTexts().visit(ast.parse(cell.source)))


@pytest.mark.parametrize("path", ENGLISH, ids=name)
def test_both_editions_have_the_same_code_with_other_texts(path):
    english, chinese = read(path), read(FOLDER / path.name)
    assert [c.cell_type for c in english.cells] == [c.cell_type for c in chinese.cells]
    for one, other in zip(code(english), code(chinese), strict=True):
        assert without_texts(one) == without_texts(other), one.source
        assert one.metadata.get("tags") == other.metadata.get("tags")


def test_an_english_edition_translates_only_what_its_outputs_show(english):
    """A gloss of a sentence that no reader sees would help nobody."""
    shown = "".join(o.data.get("text/html", "") for o in outputs(english) if "data" in o)
    quoted = re.findall(r"[\u4e00-\u9fff，]+。", "\n".join(prose(english)))
    assert [sentence for sentence in quoted if sentence not in shown] == []


def test_every_cell_ran_in_order_and_stored_its_output(notebook):
    assert [c.execution_count for c in code(notebook)] == list(range(1, len(code(notebook)) + 1))


def test_outputs_are_small_and_free_of_noise(notebook):
    stored = nbformat.writes(notebook)
    assert len(stored.encode()) < 300_000 and "widgets" not in notebook.metadata
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"


@pytest.mark.parametrize("path", [*CHINESE, *ENGLISH], ids=name)
def test_outputs_show_no_text_of_the_package_in_the_other_language(path):
    for cell in code(read(path)):
        assert sentences(strings(cell.outputs), edition(path)) == [], cell.source


def test_there_are_no_keys_paths_or_addresses_of_a_machine(notebook):
    text = nbformat.writes(notebook)
    assert not re.search(
        r"sk-[A-Za-z0-9]{16,}|/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\|127\.0\.0\.1|Warning", text
    )


def test_no_id_is_typed_by_hand(notebook):
    for cell in code(notebook):
        assert not re.search(r"(file|ftjob|ftevent|ftckpt)-[a-z]{20}|ft:LoRA", cell.source)


# Rules are written where they are taught: one in 04, a reader's own in 07.
TAUGHT = {"word_absent", "sentence", "one_sentence", "pauses_by_comma", "plain", "right_length"}


def test_it_defines_no_functions_and_imports_in_one_cell(notebook):
    sources = [c.source for c in code(notebook)]
    defined = {name for s in sources for name in re.findall(r"^\s*def (\w+)", s, flags=re.M)}
    assert defined <= TAUGHT
    assert sum(bool(re.search(r"^(import|from) ", s, flags=re.M)) for s in sources) == 1


def test_no_cell_shows_a_bare_truth_value(notebook):
    """A reader learns more from the two values than from `True`."""
    shown = [o.data.get("text/plain") for o in outputs(notebook) if "data" in o]
    assert not {"True", "False"} & set(shown)


def test_where_the_corpus_follows_the_base_one_line_says_which(notebook):
    text = "\n".join(c.source for c in code(notebook))
    assert ("base.corpus" in text) == ("print(base.note)" in text)
    # The panel of 02 shows the teaching corpus and trains nothing.
    assert "train_tiny" not in text or "ParameterPanel" in text

"""Pictures with and without a Chinese font; a glyph that is missing is a warning, so an error."""

import logging

import matplotlib
import pandas as pd
import pytest
from font_file import write_font
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from cookbook import compare, data, fonts
from cookbook.jobs import plot

NAME = "FandolHei"


def curve(label="kefu"):
    steps = pd.DataFrame(
        {
            "total_steps": 4,
            "epoch": [0.5, 1.0, 1.5],
            "train_loss": [3.0, 2.0, 1.5],
            "valid_loss": [None, 2.0, None],
            "learning_rate": 1e-4,
            "tokens_per_second": 900.0,
        },
        index=pd.RangeIndex(1, 4, name="step"),
    )
    return plot.LearningCurve(label, steps)


def answers(column):
    return pd.DataFrame({"column": column, "first_token_seconds": [None, None], "seconds": 1.0})


def rows():
    messages = [
        {"role": "user", "content": "您好"},
        {"role": "assistant", "content": "您好，请讲。"},
    ]
    return [{"messages": messages}] * 3


PICTURES = {
    "one job": lambda: plot.figure([curve()]),
    "two jobs": lambda: plot.figure([curve("a"), curve("b")]),
    "data": lambda: data.figure(rows(), max_tokens=20),
    "timings": lambda: compare.timings(answers("A")),
}


def words(figure: Figure) -> str:
    """Return all words of a figure, which need not be drawn."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def drawn(figure: Figure) -> str:
    """Lay out each text of the figure, glyph by glyph; return its words."""
    canvas = FigureCanvasAgg(figure)
    # Where the axes are does not matter, and takes most of the time to draw.
    for text in figure.findobj(Text):
        text.get_window_extent(canvas.get_renderer())
    return words(figure)


def has_chinese(text: str) -> bool:
    """Return whether there are ideographs, or full-width punctuation."""
    return max(text) >= "\u3000"


@pytest.fixture(params=PICTURES)
def picture(request):
    return PICTURES[request.param]


def test_a_picture_speaks_chinese_where_a_font_draws_it(picture, chinese_font, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "zh")
    assert has_chinese(drawn(picture()))


def test_a_picture_speaks_english_to_who_reads_it_and_where_no_font_draws_chinese(
    picture, no_chinese_font, chinese_font_file, monkeypatch
):
    monkeypatch.setenv("COOKBOOK_LANG", "zh")
    without_font = drawn(picture())
    font_manager.fontManager.addfont(chinese_font_file)
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert without_font == words(picture()) and not has_chinese(without_font)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_metrics_keep_their_names_in_both_languages(language, chinese_font, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    shown = words(plot.figure([curve()])) + words(compare.timings(answers("A")))
    for name in ("train_loss", "valid_loss", "learning_rate", "tokens_per_second", "seconds"):
        assert name in shown


def test_names_in_chinese_are_drawn_for_english_readers_too(chinese_font, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert "客服" in drawn(plot.figure([curve("客服"), curve("b")]))
    assert "微调后 一" in drawn(compare.timings(answers("微调后 一")))


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("A 微调后", "A: "),
        ("微调后", "column 1: "),
        ("my model", "my model: "),
        (" ", "column 1: "),
        ("_a", "_a: "),
    ],
)
def test_a_column_without_a_font_for_its_name_is_still_told_apart(column, label, no_chinese_font):
    figure = compare.timings(answers(column))
    assert drawn(figure)
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == f"{label}none"


def test_the_layout_of_a_picture_changes_with_its_language(chinese_font, monkeypatch):
    layouts = set()
    for language in ("zh", "en"):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        layouts.add(plot.layout([curve()]))
    assert len(layouts) == 2


# Which font


def test_there_may_be_no_font(no_chinese_font, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "zh")
    assert (
        fonts.family() is None and fonts.language() == "en" and fonts.tr("步数", "step") == "step"
    )


def test_a_font_is_found_that_was_installed_after_matplotlib_made_its_list(
    no_chinese_font, tmp_path, monkeypatch
):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    files = [str(broken), str(write_font(tmp_path / "new.ttf", NAME))]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: files)
    assert fonts.family() == NAME and fonts.drawable("任务")


def test_a_font_that_a_reader_adds_is_found_although_there_was_none(no_chinese_font, tmp_path):
    assert fonts.family() is None
    font_manager.fontManager.addfont(write_font(tmp_path / "added.ttf", NAME))
    assert fonts.family() == NAME


def test_the_readers_own_chinese_font_comes_first(no_chinese_font, tmp_path, monkeypatch):
    font_manager.fontManager.addfont(write_font(tmp_path / "own.ttf", "Mine"))
    monkeypatch.setenv("COOKBOOK_LANG", "zh")
    with matplotlib.rc_context({"font.family": ["Mine"]}):
        assert fonts.family() is None and fonts.language() == "zh"


@pytest.mark.parametrize(
    "flaw",
    [{"characters": [ord(c) for c in "步軸損檢驗"]}, {"size": 0}],
    ids=["without simplified characters", "without outlines"],
)
def test_a_font_is_used_only_if_it_draws_what_is_needed(flaw, no_chinese_font, tmp_path):
    font_manager.fontManager.addfont(write_font(tmp_path / "flawed.ttf", NAME, **flaw))
    assert fonts.family() is None


def test_a_font_whose_file_is_gone_is_not_used(no_chinese_font, tmp_path, monkeypatch):
    path = write_font(tmp_path / "gone.ttf", NAME)
    font_manager.fontManager.addfont(path)
    path.unlink()
    # matplotlib then makes its list again, which takes seconds and is its own affair.
    rest = [entry for entry in font_manager.fontManager.ttflist if entry.name != NAME]
    made = type("Made", (), {"ttflist": rest})
    monkeypatch.setattr(font_manager, "_load_fontmanager", lambda **_: made())
    assert fonts.family() is None


def test_a_font_that_is_only_light_is_used_without_a_word(no_chinese_font, tmp_path, caplog):
    font_manager.fontManager.addfont(write_font(tmp_path / "light.ttf", NAME, weight=300))
    with caplog.at_level(logging.WARNING):
        drawn(plot.figure([curve("任务")]))
    assert fonts.family() == NAME and not caplog.records


def test_the_readers_settings_are_the_same_afterwards(chinese_font):
    before = matplotlib.rcParams.copy()
    for make in PICTURES.values():
        make()
    assert matplotlib.rcParams == before


# Names that readers type


def test_what_can_be_drawn_depends_on_each_character(chinese_font):
    assert fonts.drawable("客服 2") and fonts.drawable("é") and fonts.drawable("")
    assert (
        not fonts.drawable("客服🙂") and not fonts.drawable("客\n服") and not fonts.drawable("\t")
    )


def test_a_dollar_sign_in_a_name_begins_no_formula(no_chinese_font):
    for name in ("$x$", r"$\no$ formula"):
        assert name in drawn(plot.figure([curve(name), curve("b")]))
        assert name in drawn(compare.timings(answers(name)))

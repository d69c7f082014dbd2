import pytest

from cookbook import data, params
from cookbook.errors import DataError
from cookbook.paths import DATA

ROWS = data.load(DATA / "customer_service" / "train.jsonl")


def test_habits_are_counted():
    table = data.phrases(ROWS, length=2)
    openings = table[table["where"] == "opening"]
    assert openings.answers.is_monotonic_decreasing and openings.phrase.iloc[0] == "您好"


@pytest.mark.parametrize(
    "make", [data.statistics, data.phrases, data.to_jsonl, data.split, params.token_counts]
)
def test_whatever_holds_rows_is_taken_and_a_path_has_its_remedy(make):
    given = ROWS[:20]
    usual = [str(part) for part in make(given)]
    for rows in (iter(given), tuple(given), dict(enumerate(given)).values(), data.clean(given)):
        assert [str(part) for part in make(rows)] == usual
    for other in ("a.jsonl", DATA, b"", None, data.check(given), data.statistics(given)):
        with pytest.raises(DataError, match="data.load"):
            make(other)


def test_the_figure_has_four_pictures_with_titles():
    titles = [axes.get_title() for axes in data.figure(ROWS).axes]
    assert len(titles) == 4 and all(titles)


def test_an_answer_of_weight_0_counts_as_read_and_makes_no_habit(row):
    plain, masked = row(assistant="嗯，不知道。"), row(assistant="嗯，不知道。")
    masked["messages"][-1]["weight"] = 0
    table = data.statistics([plain, masked])
    assert table.tokens[0] == table.tokens[1] == table.prompt_tokens[1]
    assert table.trained_tokens[0] > 0 == table.trained_tokens[1] == table.trained_share[1]
    assert data.phrases([plain, masked]).answers.max() == 1
    assert data.phrases([masked]).empty

"""Shares, similarity, paired tests, costs."""

import math
import subprocess
import sys

import pandas as pd
import pytest

from cookbook import compare, tokens, zhishuo
from cookbook.compare.stats import Share, longest_shared_run, mcnemar, similarity


def columns(measure, **values):
    rows = [
        {"column": name, "input": str(i), measure: v}
        for name, vs in values.items()
        for i, v in enumerate(vs)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "hits, n, low, high",
    [(0, 10, 0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 10, 0.2366, 0.7634), (60, 60, 0.9398, 1)],
)
def test_intervals_are_wilsons(hits, n, low, high):
    assert Share(hits, n).interval == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_claims_nothing():
    assert (
        Share(0, 0).interval == (0, 1) and math.isnan(Share(0, 0).value) and str(Share(0, 0)) == "–"
    )


@pytest.mark.parametrize(
    "gained, lost, p", [(0, 0, 1), (5, 5, 1), (6, 0, 0.03125), (1, 9, 0.021484375)]
)
def test_mcnemar_is_exact(gained, lost, p):
    assert mcnemar(gained, lost) == pytest.approx(p)


def test_flags_are_compared_pair_by_pair():
    found = compare.paired(
        columns("rules_passed", a=[False] * 8 + [True] * 2, b=[True] * 9 + [False]),
        "rules_passed",
        "a",
        "b",
    )
    assert (found.kind, found.gained, found.lost, found.n, found.direction) == (
        "mcnemar",
        8,
        1,
        10,
        1,
    )
    assert found.p == pytest.approx(mcnemar(8, 1)) and "只有后者做到的 8 个" in str(found)


def test_no_difference_is_said_so():
    found = compare.paired(
        columns("rules_passed", a=[True, False], b=[False, True]), "rules_passed", "a", "b"
    )
    assert found.direction == 0 and "看不出差别" in str(found)


def test_numbers_are_compared_by_a_bootstrap_of_the_difference():
    a = [10.0, 12, 9, 30, 11, 14]
    found = compare.paired(
        columns("characters", a=a, b=[x + 2 + i / 10 for i, x in enumerate(a)]),
        "characters",
        "a",
        "b",
    )
    assert found.kind == "bootstrap" and 2 < found.low < found.high < 2.6 and found.direction == 1
    same = compare.paired(
        columns("characters", a=a, b=[11, 11, 10, 29, 12, 13.0]), "characters", "a", "b"
    )
    assert same.low < 0 < same.high and same.direction == 0


def test_one_word_shows_nothing_of_a_difference_in_numbers():
    found = compare.paired(columns("characters", a=[10.0], b=[14.0]), "characters", "a", "b")
    assert (found.p, found.direction, found.means) == (1, 0, (10, 14))
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_the_same_numbers_always_give_the_same_figures():
    frame = columns("characters", a=[10.0, 12, 9, 30], b=[11.0, 12, 14, 28])
    first = compare.paired(frame, "characters", "a", "b")
    assert first == compare.paired(frame, "characters", "a", "b") and 0 < first.p < 1


def test_scipy_is_loaded_with_the_first_figure_and_not_before():
    code = "import sys; from cookbook import compare; assert 'scipy' not in sys.modules; "
    code += "str(compare.share([1, 0])); assert 'scipy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_words_that_both_columns_have_are_compared():
    frame = pd.concat([columns("rules_passed", a=[True, True]), columns("rules_passed", b=[False])])
    assert compare.paired(frame, "rules_passed", "a", "b").n == 1
    with pytest.raises(ValueError, match="没有共同的词"):
        compare.paired(frame, "rules_passed", "a", "c")


def test_a_word_asked_several_times_counts_once():
    frame = pd.concat(
        [
            columns("rules_passed", a=[True, False], b=[True, True]),
            columns("rules_passed", a=[False, False], b=[True, True]),
        ]
    )
    found = compare.paired(frame, "rules_passed", "a", "b")
    assert found.n == 2 and found.means == (0.25, 1.0)


def test_similarity_sees_the_style_and_not_the_text_itself():
    style = ["看上去，花团锦簇，走近了，一地鸡毛。", "看上去，风平浪静，走近了，暗流汹涌。"]
    new, plain = "看上去，人人都笑，走近了，没人开心。", "猫是一种动物。"
    inside, outside = similarity([new, plain], style)
    assert 0.4 < inside <= 1 and outside < 0.2
    assert similarity(style[:1], style)[0] < 0.8 and similarity(["甲乙"], ["甲乙", "甲乙"]) == [1]
    assert similarity([""], style) == [0]


def test_the_longest_shared_run_is_found_and_never_across_two_sources():
    assert longest_shared_run("甲乙丙丁", ["丙丁", "乙丙丁戊"]) == 3
    assert longest_shared_run("甲乙", ["甲", "乙"]) == 1 and longest_shared_run("", ["甲"]) == 0


def test_a_prompts_parts_add_up_to_what_is_billed():
    parts = compare.prompt_parts(zhishuo.LONG_PROMPT, "地铁")
    assert (
        parts["system"] == 553 and compare.prompt_parts(zhishuo.SHORT_PROMPT, "地铁")["system"] == 8
    )
    messages = [
        {"role": "system", "content": zhishuo.LONG_PROMPT},
        {"role": "user", "content": "地铁"},
    ]
    assert parts["total"] == tokens.count(messages) + 3 == 553 + parts["user"] + parts["template"]


CALLS = pd.DataFrame(
    {"column": ["long", "short"], "prompt_tokens": [570, 20], "completion_tokens": [30, 30]}
)


def test_ten_thousand_calls_cost_what_their_tokens_cost():
    table = compare.cost(CALLS, {"long": 0.35, "short": None})
    assert table.cost_of_10000_calls["long"] == pytest.approx(600 * 10_000 * 0.35 / 1e6)
    assert math.isnan(table.cost_of_10000_calls["short"])


@pytest.mark.parametrize(
    "before, after, training, calls, outcome",
    [
        (1, 2, 5, 10_000, "10,000 次回本"),
        (1, 12, 5, None, "永远不回本"),
        (1, None, 5, None, "还没有填"),
        (0, 0, 5, None, "免费"),
        (1, 2, None, None, "每 1 元"),
    ],
)
def test_tuning_pays_when_it_saves_and_never_when_it_does_not(
    before, after, training, calls, outcome
):
    found = compare.break_even(
        CALLS, "long", "short", price_before=before, price_after=after, training_cost=training
    )
    assert found.break_even_ratio == 12 and found.calls == calls
    assert outcome in str(found)


def test_prices_carry_their_date_and_source_and_no_tuned_price_is_invented():
    table = compare.prices()
    assert (
        table.price["Qwen/Qwen2.5-7B-Instruct"] == 0
        and table.price["Qwen/Qwen2.5-72B-Instruct"] == 4.13
    )
    assert table[["unit", "date", "source"]].notna().all().all() and not [
        m for m in table.index if "ft:" in m
    ]


def test_times_are_drawn_as_distributions(no_chinese_font):
    rows = [
        {"column": f"{c} 列", "first_token_seconds": i / 10, "seconds": i}
        for c in "AB"
        for i in range(1, 6)
    ]
    panels = compare.timings(pd.DataFrame(rows)).axes
    labels = [text.get_text() for axes in panels for text in axes.get_legend().get_texts()]
    assert labels == [
        "A: median 0.30 s",
        "B: median 0.30 s",
        "A: median 3.00 s",
        "B: median 3.00 s",
    ]


def test_answers_without_a_first_token_leave_its_picture_empty(no_chinese_font):
    rows = [
        {"column": "A 列", "input": word, "first_token_seconds": None, "seconds": 1.0}
        for word in "甲乙"
    ]
    first, whole = compare.timings(pd.DataFrame(rows)).axes
    labels = [axes.get_legend().get_texts()[0].get_text() for axes in (first, whole)]
    assert labels == ["A: none", "A: median 1.00 s"]


def test_a_number_that_is_zero_everywhere_is_no_flag():
    rows = [
        {"column": column, "input": word, "similarity": 0.0} for column in "AB" for word in "甲乙"
    ]
    both = compare.paired(pd.DataFrame(rows), "similarity", "A", "B")
    assert both.kind == "bootstrap" and "平均 0.00" in str(both) and not both.certain

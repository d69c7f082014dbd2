import json

import pytest

from cookbook import zhishuo

GOOD = "一同下海捞金时，个个都是乘风破浪的水手，待到分金之际，方知彼此是劫财的海盗。"


def test_a_good_sentence_passes_every_rule():
    assert all(zhishuo.score("合伙人", GOOD).values())


@pytest.mark.parametrize(
    "rule, word, output",
    [
        ("one_sentence", "x", "前一句，很好。后一句，也好，凑够长度。"),
        ("ends_in_full_stop", "x", "看似凤凰涅槃的奇迹，实则换汤不换药"),
        ("ends_in_full_stop", "x", "看似凤凰涅槃的奇迹，实则换汤不换药。。"),
        ("pauses_by_comma", "x", "看似凤凰涅槃的奇迹,实则换汤不换药。"),
        ("word_absent", "海盗", GOOD),
        ("no_quotes", "x", "看似“凤凰”涅槃的奇迹，实则换汤不换药。"),
        ("chinese_only", "x", "看似 phoenix 涅槃的奇迹，实则换汤不换药。"),
        ("length", "x", "太短，了。"),
    ],
)
def test_each_rule_catches_its_own_fault(rule, word, output):
    assert not zhishuo.score(word, output)[rule]


def test_three_published_base_outputs_and_one_tuned_break_a_rule():
    table = zhishuo.published()
    broken = [not all(zhishuo.score(r.input, r.answer).values()) for r in table.itertuples()]
    assert table[broken].groupby("column", sort=False).input.apply(list).to_list() == [
        ["五道口", "新时代", "降维打击"],
        ["新时代"],
    ]


def test_one_published_base_output_is_the_prompts_own_example():
    copied = [r.input for r in zhishuo.published().itertuples() if r.answer in zhishuo.LONG_PROMPT]
    assert copied == ["基金"]


def test_the_sentence_is_taken_out_of_the_json_answer():
    assert zhishuo.unwrap(json.dumps({"prompt": "合伙人", "output": GOOD})) == GOOD
    assert all(zhishuo.score("合伙人", json.dumps({"prompt": "合伙人", "output": GOOD})).values())
    for odd in ("[]", '{"output": 3}', "null", ""):
        assert zhishuo.unwrap(odd) == odd


def test_garbage_passes_every_rule_and_is_not_relevant():
    garbage = "它把它说它，却把它却把，却它把它说把它。"
    assert all(zhishuo.score("加班", garbage).values())
    assert not zhishuo.relevant("加班", garbage)


def test_relevance_belongs_to_the_word():
    sentence = "看似关键时刻多走一步，实则用健康去填补管理的窟窿。"
    assert zhishuo.relevant("加班", sentence)
    assert not zhishuo.relevant("会议", sentence)
    assert not zhishuo.relevant("不在词库里的词", sentence)

"""Blind judging, by clicks and by a model that is asked twice."""

import json

import pandas as pd
import pytest
from openai import OpenAI

from cookbook import compare, connect
from cookbook.compare.judge import _question

WORDS = ["地铁", "加班", "火锅", "高考"]
MODEL = "Qwen/Qwen2.5-72B-Instruct"


@pytest.fixture
def answers():
    rows = [
        {"column": c, "input": w, "answer": f"{w}{c}", "error": None} for c in "ab" for w in WORDS
    ]
    return pd.DataFrame(rows)


def test_the_better_side_is_credited_to_its_column_wherever_it_stood(answers):
    page = compare.blind(answers, "a", "b")
    for _ in WORDS:
        _, left, _ = page.shown()
        page.choose("left" if left.endswith("b") else "right")
    assert page.winners == dict.fromkeys(page.winners, "b") and set(page.winners) == set(WORDS)
    assert (page.tally.wins_a, page.tally.wins_b, page.tally.ties) == (0, 4, 0)


def test_both_orders_occur_and_the_seed_fixes_them(answers):
    many = pd.concat([answers.assign(input=answers.input + str(i)) for i in range(5)])
    one, same = compare.blind(many, "a", "b", seed=1), compare.blind(many, "a", "b", seed=1)
    sides = []
    for _ in one.pairs:
        assert one.shown() == same.shown()
        sides.append(one.shown()[1][-1])
        one.choose("tie")
        same.choose("tie")
    assert set(sides) == {"a", "b"} and one.tally.ties == 20


def test_what_was_judged_is_still_there_when_the_page_is_shown_again(answers):
    page = compare.blind(answers, "a", "b")
    assert "1/4" in page._repr_mimebundle_()["text/html"]
    page._buttons[0].click()
    assert page.current == 1 and "2/4" in page._repr_mimebundle_()["text/html"]
    page.undo()
    assert page.current == 0 and str(page.tally) == "还没有评过"


def test_the_page_names_no_column_before_the_end(answers):
    named = answers.assign(column=answers.column.map({"a": "微调前", "b": "微调后"}))
    page = compare.blind(named, "微调前", "微调后")
    shown = page._repr_mimebundle_()
    assert "微调" not in shown["text/html"] + shown["text/plain"]
    for _ in WORDS:
        page._buttons[1].click()
    assert "微调后" in page._word.value and page._buttons[0].disabled


def test_failed_answers_are_not_judged(answers):
    answers.loc[0, "error"] = "太忙"
    assert len(compare.blind(answers, "a", "b").pairs) == 3
    with pytest.raises(ValueError, match="没有共同的词"):
        compare.blind(answers[answers["column"] == "a"], "a", "b")


@pytest.fixture
def verdicts(answers, siliconcloud):
    """A judge: b for the first word, the first place for the second, a tie, and a mumble."""
    preferences = [("乙", "甲"), ("甲", "甲"), ("平", "平"), ("嗯", "甲")]
    for word, (first, second) in zip(WORDS, preferences, strict=True):
        for sides, winner in (
            ((f"{word}a", f"{word}b"), first),
            ((f"{word}b", f"{word}a"), second),
        ):
            text = (
                "说不好。"
                if winner == "嗯"
                else "```json\n" + json.dumps({"winner": winner}, ensure_ascii=False) + "\n```"
            )
            siliconcloud.answers[_question(word, *sides)] = text
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield compare.judge(client, MODEL, answers, "a", "b", criteria="要好笑。")


def test_the_judge_sees_each_pair_in_both_orders(verdicts, siliconcloud):
    asked = {r["messages"][-1]["content"] for r in siliconcloud.requests}
    assert {
        _question("地铁", "地铁a", "地铁b"),
        _question("地铁", "地铁b", "地铁a"),
    } < asked and len(asked) == 8
    assert all(
        "要好笑。" in r["messages"][0]["content"] and r["model"] == MODEL
        for r in siliconcloud.requests
    )


def test_a_verdict_that_follows_the_place_is_a_tie_and_a_mumbled_one_is_none(verdicts):
    assert verdicts.winner.fillna("").tolist() == ["b", "tie", "tie", ""]
    assert verdicts.consistent.tolist() == [True, False, True, False]
    assert str(compare.tally(verdicts.winner, "a", "b")).startswith(
        "“b”胜 1，“a”胜 0，平 2，读不出 1；"
    )


def test_agreement_counts_only_what_both_judged(verdicts):
    found = compare.agreement({"地铁": "b", "加班": "a", "高考": "b"}, verdicts)
    assert (found.hits, found.n) == (1, 2)
    assert compare.agreement({}, verdicts).n == 0


def test_a_judge_that_fails_leaves_its_reason(answers, siliconcloud):
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        found = compare.judge(client, "没有的模型", answers, "a", "b", criteria="")
    assert found.winner.isna().all() and found.error.str.contains("没有这个模型").all()

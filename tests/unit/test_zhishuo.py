import json
import math

import pandas as pd
import pytest
from texts import HAN

from cookbook import bases, zhishuo
from cookbook.compare.stats import similarity
from cookbook.zhishuo.measures import fluency, other_word, relevant, repeats
from cookbook.zhishuo.patterns import pattern_ok
from cookbook.zhishuo.rules import is_json, unwrap
from cookbook.zhishuo.texts import GUIDE_WORDS, corpus

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
    table = zhishuo.published()
    assert table.input[table.answer.isin(zhishuo.prompt_examples())].tolist() == ["基金"]
    assert len(zhishuo.prompt_examples()) == 8


def test_one_published_tuned_output_contains_its_word_and_breaks_nothing_else():
    tuned = zhishuo.published().iloc[5:]
    found = {r.input: zhishuo.rules_broken(r.input, r.answer) for r in tuned.itertuples()}
    assert found == dict.fromkeys(GUIDE_WORDS, "") | {"新时代": "未做到：不含原词"}


@pytest.mark.parametrize(
    "output, right",
    [
        ({"prompt": "合伙人", "output": GOOD}, True),
        ({"prompt": "合伙", "output": GOOD}, False),
        ({"output": GOOD}, False),
        ({"prompt": "合伙人", "output": GOOD, "note": ""}, False),
        ({"prompt": "合伙人", "output": 3}, False),
        (GOOD, False),
    ],
)
def test_json_is_a_rule_of_its_own(output, right):
    text = json.dumps(output, ensure_ascii=False)
    assert is_json("合伙人", text) is right
    assert not is_json("合伙人", text + "。") and not is_json("合伙人", GOOD)


def test_the_sentence_is_taken_out_of_the_json_answer():
    assert unwrap(json.dumps({"prompt": "合伙人", "output": GOOD})) == GOOD
    assert all(zhishuo.score("合伙人", json.dumps({"prompt": "合伙人", "output": GOOD})).values())
    for odd in ("[]", '{"output": 3}', "null", ""):
        assert unwrap(odd) == odd


def test_garbage_passes_every_rule_and_is_not_relevant():
    garbage = "它把它说它，却把它却把，却它把它说把它。"
    assert all(zhishuo.score("加班", garbage).values())
    assert not relevant("加班", garbage)


def test_relevance_belongs_to_the_word():
    sentence = "看似关键时刻多走一步，实则用健康去填补管理的窟窿。"
    assert relevant("加班", sentence)
    assert not relevant("会议", sentence)
    assert not relevant("不在词库里的词", sentence)


def measured(**texts):
    rows = [
        {"column": c, "input": w, "answer": t}
        for c, pairs in texts.items()
        for w, t in pairs.items()
    ]
    table = zhishuo.measure(
        pd.DataFrame(rows),
        held_out=[GOOD, "名为围炉，实为修行。"],
        trained=["抄来的一句，一字不差。"],
    )
    return table.set_index("input")


def test_every_answer_is_measured_by_itself():
    example = "西装革履，看似掌握命运的舵手，实则不过是写字楼里的高级囚徒。"
    table = measured(
        a={
            "白领": example,
            "火锅": "抄来的一句，一字不差。",
            "会议": GOOD,
            "合伙人": "合伙人是股东。",
        }
    )
    assert table.from_prompt.tolist() == [True, False, True, False]
    assert table.copied.tolist() == [False, True, False, False]
    assert (
        table.rules_passed.tolist() == [True, False, True, False]
        and table.rules_broken["合伙人"] == "未做到：用“，”停顿、不含原词、12–80 字"
    )
    assert (
        table.similarity["会议"]
        < 0.2
        < similarity(["名为修行，实为围炉。"], ["名为围炉，实为修行。"])[0]
    )


def test_a_request_that_failed_is_not_measured():
    frame = pd.DataFrame(
        [
            {"column": "a", "input": w, "answer": GOOD, "error": e}
            for w, e in (("甲", None), ("乙", "太忙"))
        ]
    )
    assert zhishuo.measure(frame, held_out=[], trained=[]).input.tolist() == ["甲"]


def test_a_column_that_says_one_thing_is_similar_to_itself_and_not_distinct():
    table = measured(
        same=dict.fromkeys(["加班", "会议"], GOOD),
        other={"加班": GOOD, "会议": "名为围炉，实为修行。"},
    )
    assert table[table.column == "same"].self_similarity.tolist() == pytest.approx([1, 1])
    assert table[table.column == "other"].self_similarity.max() < 0.3
    assert str(zhishuo.summary(table.reset_index())["same"]["distinct"]).startswith("50%")


@pytest.mark.parametrize(
    "sentence, kept",
    [
        ("一位绑在腕上的管家，人前，替人守着时辰，人后，催得人停不下来。", True),
        (
            "一位绑在腕上的管家，人前，替人守着时辰，有始有终，人后，催得人停不下来，还要人谢。",
            True,
        ),
        (
            "一位绑在腕上的管家，远远看，替人守着时辰，凑近了，催得人停不下来。",
            False,
        ),  # of another measure word
        ("一位绑在腕上的管家，人前，替人守着时辰，凑近了，催得人停不下来。", False),
        (
            "一盏不肯熄灭的台灯，名义上，照亮夜路，其实呢，照着加班。",
            True,
        ),  # a measure word without a pattern of its own
        ("一盏不肯熄灭的台灯，人前，照亮夜路，人后，照着加班。", False),
        ("人前，替人守着时辰，人后，催得人停不下来。", False),
        ("一位(绑在腕上的管家，人前", False),
        ("", False),
    ],
)
def test_a_sentence_keeps_the_pattern_when_it_opens_its_halves_as_its_image_asks(sentence, kept):
    assert pattern_ok(sentence) is kept


def test_fluency_is_the_share_of_runs_that_were_read_before():
    known = "看上去，十年寒窗换一日满街花香，走近了，题名那天便把本事用尽了。"
    assert fluency([known]) == 1 and fluency(["它把它说，却把它却把。"]) == 0
    assert math.isnan(fluency(["短，句。"]))


def test_other_word_is_another_words_phrase():
    sentence = "看似关键时刻多走一步，实则用健康去填补管理的窟窿。"
    assert other_word("会议", sentence) and not other_word("加班", sentence)


def test_references_are_in_no_training_file():
    trained = {
        *corpus("train.jsonl").values(),
        *corpus("train_tiny.jsonl").values(),
    }
    assert len(zhishuo.references()) >= 30 and not trained & set(zhishuo.references())


def test_a_repeat_says_two_characters_three_times():
    assert repeats("等着人夸，等着人夸，还是等着人夸。") and not repeats(GOOD)
    assert not repeats("人前，人后，一个人，人。"), "a comma is no character"
    assert repeats("一，一，替，一。"), "a clause of one character that comes again and again"


def three_columns():
    texts = {
        "A": ["{w}是一个词。", "{w}就是这样的一个词。"],
        "B": ["{w}，也许有些意思。", "它，怎样也说不好，{w}就是{w}。"],
        "C": [GOOD, GOOD[:-1] + "吧。"],
    }
    rows = [
        {
            "column": f"{c} 列",
            "input": w,
            "answer": ts[i % 2].format(w=w),
            "error": None,
            "first_token_seconds": i / 100,
        }
        | {
            "prompt_tokens": 567 if c == "B" else 22,
            "completion_tokens": len(c) * 9 + i,
            "seconds": ord(c) + i,
        }
        for c, ts in texts.items()
        for i, w in enumerate(zhishuo.eval_words()[:12])
    ]
    return pd.DataFrame(rows)


def test_each_claim_is_judged_in_its_own_direction():
    answers = zhishuo.measure(three_columns(), held_out=[GOOD], trained=[])
    table = zhishuo.claims(
        answers, answers, answers, before="B 列", after="C 列", control="A 列"
    ).set_index("measure")
    assert (
        table["B → C"][["rules_passed", "always", "prompt_tokens", "tokens"]].tolist()
        == ["更好"] * 4
    )
    assert table["B → C"]["seconds"] == table["A → C"]["seconds"] == "更差"
    assert table["A → C"]["prompt_tokens"] == table["B → C"]["first_token_seconds"] == "看不出差别"


def test_what_only_the_tiny_base_was_taught_is_not_measured_of_a_real_one():
    real = bases.card("Qwen/Qwen2.5-0.5B-Instruct")
    answers = zhishuo.measure(three_columns(), held_out=[GOOD], trained=[], base=real)
    shown = zhishuo.summary(answers)
    table = zhishuo.claims(
        answers, answers, answers, before="B 列", after="C 列", control="A 列"
    ).set_index("measure")
    for name in bases.TEACHING_MEASURES:
        assert name not in answers and name not in shown.index and name not in table.index
    assert real.style_measure in answers and {"rules_passed", "repeats"} <= set(table.index)


def test_nonsense_is_measured_without_an_error():
    nonsense = ["", "\n\n\n", " discard" * 40, "<|im_end|>", "\ufffd"]
    rows = [
        {"column": f"{c} 列", "input": word, "answer": answer}
        | {"prompt_tokens": 22, "completion_tokens": 0, "first_token_seconds": None, "seconds": 1.0}
        for c in "ABC"
        for word, answer in zip("甲乙丙丁戊", nonsense, strict=True)
    ]
    answers = zhishuo.measure(pd.DataFrame(rows), held_out=[], trained=[])
    assert zhishuo.summary(answers[answers.input.isin(["甲", "乙"])])["A 列"]["fluent"] == "–"
    table = zhishuo.claims(answers, answers, answers, before="B 列", after="C 列", control="A 列")
    verdicts = table.set_index("measure")["B → C"]
    # No answer has a first token, so there is nothing to compare.
    assert verdicts["first_token_seconds"] == "没法比" and verdicts["rules_passed"] == "看不出差别"


def test_claims_and_published_outputs_are_named_in_the_readers_language(monkeypatch):
    answers = zhishuo.measure(three_columns(), held_out=[GOOD], trained=[])
    names = {"before": "B 列", "after": "C 列", "control": "A 列"}
    for language, claim in (("zh", "风格更统一"), ("en", "a more uniform style")):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        assert zhishuo.claims(answers, answers, answers, **names)["claim"][0] == claim
        columns = " ".join(zhishuo.published()["column"].unique())
        assert bool(HAN.search(columns)) == (language == "zh")

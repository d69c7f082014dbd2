"""Every draft is kept, or dropped for one reason, and the counts add up."""

import json
import math
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data, synthesize, zhishuo
from cookbook.errors import ArgumentError, DataError
from cookbook.paths import shipped_rows
from cookbook.synthesize.alike import examples_of
from cookbook.synthesize.crowding import opening
from cookbook.synthesize.leaks import Leaks
from cookbook.synthesize.reasons import AFTER_RULES, BEFORE_RULES
from cookbook.synthesize.refusals import refusal

GOOD = "人贴着人往前挤，心却隔着一整块屏幕。"
OTHER = "灯亮到天明，账单也跟着亮，只有人熄了。"
PROMPT = '你是生成器。\n示例：{"prompt": "基金", "output": "别人的钱在涨，我的钱在学做人。"}'


def frame(*drafts):
    """Make a table of drafts: texts, or (input, text), or dicts with what differs."""
    rows = []
    for i, draft in enumerate(drafts):
        row = {"input": f"词{i}", "attempt": 0, "draft": "", "finish_reason": "stop", "error": None}
        if isinstance(draft, str):
            row["draft"] = draft
        elif isinstance(draft, tuple):
            row |= dict(zip(("input", "draft"), draft, strict=True))
        else:
            row |= draft
        rows.append(row)
    return pd.DataFrame(rows)


def keep(*drafts, **options):
    return synthesize.keep(frame(*drafts), **{"prompt": PROMPT, "system": "短提示词"} | options)


def reasons(kept):
    assert len(kept.rows) + len(kept.dropped) == kept.report.drafts.sum()
    return kept.dropped.reason.tolist()


def test_what_passes_becomes_rows_of_the_guides_format():
    kept = keep(("地铁", GOOD))
    assert kept.rows == [
        {
            "messages": [
                {"role": "system", "content": "短提示词"},
                {"role": "user", "content": "地铁"},
                {"role": "assistant", "content": GOOD},
            ]
        }
    ]
    assert data.check(kept.rows).errors == 0


def test_without_a_system_prompt_the_rows_have_none():
    (row,) = keep(GOOD, system=None).rows
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]


SENTENCES = {
    "failed": {"error": "太忙", "draft": ""},
    "cut_off": {"draft": GOOD, "finish_reason": "length"},
    "empty": " \n",
    "refused": "抱歉，我无法写讽刺的句子。",
    "unreadable": GOOD + "\ufffd",
    "leak": "比火锅还热闹，散场时却各付各的。",
    "copy_of_prompt": "别人的钱在涨，我的钱在学做人。",
    "in_existing": OTHER,
}


@pytest.mark.parametrize("reason", SENTENCES)
def test_a_draft_is_dropped_with_its_reason(reason):
    rows = keep(OTHER).rows
    kept = keep(GOOD, SENTENCES[reason], held_out=["火锅"], against=rows)
    assert reasons(kept) == [reason] and len(kept.rows) == 1
    assert kept.report.reason.tolist() == [reason, "kept"]
    assert str(kept).startswith("2 条草稿，留下 1 条，去掉 1 条")


def test_the_order_of_the_report_is_that_of_the_checks_and_it_sums_to_all():
    kept = keep(
        GOOD, *SENTENCES.values(), GOOD, "短", rules={"long": lambda _, text: len(text) > 5}
    )
    named = [r for r in kept.report.reason if not r.startswith("rule:")]
    order = [*BEFORE_RULES, *AFTER_RULES, "kept"]
    assert named == sorted(named, key=order.index)
    assert kept.report.drafts.sum() == len(SENTENCES) + 3
    assert Counter(kept.dropped.reason)["rule:long"] == 1


def test_the_first_rule_that_is_broken_counts_and_all_are_named():
    rules = {"a": lambda *_: True, "b": lambda *_: False, "c": lambda *_: False}
    kept = keep(GOOD, rules=rules)
    assert kept.dropped.reason.tolist() == ["rule:b"] and kept.dropped.detail.tolist() == ["b、c"]


def test_the_rules_of_the_case_can_be_passed_as_they_are():
    kept = keep(("地铁", GOOD), ("地铁", "地铁里的人都低着头，像在默哀。"), rules=zhishuo.rules)
    assert reasons(kept) == ["rule:word_absent"]


def test_a_rule_that_fails_is_named_with_what_it_was_given():
    with pytest.raises(ArgumentError, match="规则 'r' 自己出错了（输入 '地铁'.*ZeroDivisionError"):
        keep(("地铁", GOOD), rules={"r": lambda *_: 1 / 0})


def field(draft):
    return json.loads(draft)["output"]


@pytest.mark.parametrize(
    "draft, detail",
    [
        ("没有 JSON", "JSONDecodeError"),
        ('{"output": "半', "JSONDecodeError"),
        ('{"other": "x"}', "KeyError"),
        ("[1]", "TypeError"),
        ('{"output": 3}', "read 返回的是 int"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_a_draft_that_cannot_be_read_is_dropped_and_says_how(draft, detail):
    kept = keep(json.dumps({"output": GOOD}), draft, read=field)
    assert reasons(kept) == ["unreadable"] and detail in kept.dropped.detail[0]
    assert kept.rows[0]["messages"][-1]["content"] == GOOD


def test_what_is_empty_or_declines_inside_json_is_found():
    drafts = [json.dumps({"output": text}) for text in ("", "抱歉，我不能写。")]
    assert reasons(keep(*drafts, read=field)) == ["empty", "refused"]


# Refusals


@pytest.mark.parametrize(
    "text",
    [
        "抱歉，我无法满足这个要求。",
        "非常抱歉，作为一个AI助手，我不能生成讽刺内容。",
        "对不起，我无法回答。",
        "作为一个人工智能语言模型，我没有个人观点。",
        "我无法提供有关内容。",
        "抱歉，我不会生成这类内容。",
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot write this.",
        "Sorry, but as an AI, I cannot do that.",
        "As an AI language model, I do not have opinions.",
        "Unfortunately, I am unable to comply.",
        '"抱歉，我不能写。"',
    ],
)
def test_an_answer_that_declines_is_a_refusal(text):
    assert refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "他说抱歉，我无法相信，然后照旧迟到。",
        "抱歉是最便宜的赔偿，谁都付得起，谁也不肯多付。",
        "抱歉，让您久等了，菜已经凉了。",
        "抱歉，我们无法退款，只能换货。",
        "抱歉，我不会游泳，所以常在岸上指导。",
        "对不起三个字，说得越早越值钱。",
        "作为一个过来人，他劝所有人别来。",
        "我不能没有你，就像账单不能没有我。",
        "我是一个兵。",
        "Sorry seems to be the hardest word.",
        "I can't stop loving the subway.",
        "Unfortunately the train was late.",
        "",
    ],
)
def test_a_sentence_with_an_apology_is_no_refusal(text):
    assert refusal(text) is None


def test_none_of_the_projects_own_answers_is_a_refusal():
    files = ("zhishuoxinyu/train.jsonl", "zhishuoxinyu/train_tiny.jsonl")
    for name in (*files, "customer_service/train.jsonl"):
        messages = [m for row in shipped_rows(name) for m in row["messages"]]
        answers = [m["content"] for m in messages if m["role"] == "assistant"]
        assert answers and not list(filter(refusal, answers))


@pytest.mark.parametrize(
    "text", ["抱歉" * 40_000, "“" * 40_000, "i'm sorry, " * 40_000, "a," * 40_000]
)
def test_a_text_made_to_hang_the_checks_is_checked(text):
    # What is not linear would take minutes here.
    keep(text, prompt=text, held_out=["a,a", "抱抱"])


def test_a_filter_of_the_platform_is_a_refusal():
    assert reasons(keep({"draft": GOOD, "finish_reason": "content_filter"})) == ["refused"]


# Leaks


def test_an_input_that_is_an_evaluation_word_is_dropped():
    kept = keep((" 地铁", GOOD), held_out=["地铁"])
    assert reasons(kept) == ["leak"] and kept.dropped.detail.tolist() == ["地铁"]


@pytest.mark.parametrize(
    "word, text, found",
    [
        ("cat", "A Cat sleeps.", True),
        ("cat", "A category sleeps.", False),
        ("AI", "人人谈ai，人人怕", True),
        ("Ａ股", "今天A股又红了", True),
        ("café", "in the cafe\u0301 today", True),
        ("新时代", "新时 代", False),
        ("C++", "written in c++ today", True),
    ],
)
def test_a_word_is_found_whatever_its_case_and_its_unicode_form(word, text, found):
    assert (Leaks([word]).find("x", text) is not None) is found


def test_the_longest_word_is_named():
    assert Leaks(["时代", "新时代"]).find("x", "在新时代里") == "新时代"


@pytest.mark.parametrize("words", ["地铁", [""], [None]])
def test_evaluation_words_that_cannot_be_used_are_refused(words):
    with pytest.raises(ArgumentError, match="held_out"):
        keep(GOOD, held_out=words)


# Copies and repeats


def test_examples_are_the_lines_and_what_is_quoted():
    prompt = '一行足够长的说明文字\n短\n{"output": "一句足够长的例子。"}\n“另一句足够长的例子。”'
    assert examples_of(prompt) == [
        "一行足够长的说明文字",
        '{"output": "一句足够长的例子。"}',
        "“另一句足够长的例子。”",
        "一句足够长的例子。",
        "另一句足够长的例子。",
    ]


def test_every_example_of_the_long_prompt_is_a_copy_also_nearly():
    examples = zhishuo.prompt_examples()
    near = [example.replace("，", ",").removesuffix("。") for example in examples]
    kept = keep(*examples, *near, prompt=zhishuo.LONG_PROMPT)
    assert set(reasons(kept)) == {"copy_of_prompt"} and not kept.rows


def test_the_first_of_equal_and_near_texts_is_kept_whatever_the_input():
    near = GOOD.removesuffix("。") + "！"
    kept = keep(("地铁", GOOD), ("加班", GOOD), ("火锅", near), ("高考", OTHER))
    assert reasons(kept) == ["duplicate", "near_duplicate"] and len(kept.rows) == 2
    assert kept.dropped.detail.tolist() == [GOOD, GOOD]


def test_a_label_may_be_right_for_many_inputs_but_once_for_each():
    kept = keep(("好吃", "积极"), ("难吃", "消极"), ("真香", "积极"), ("好吃", "积极"))
    assert reasons(kept) == ["duplicate"] and len(kept.rows) == 3


def test_labels_may_be_english_and_are_never_too_many():
    labels = ("positive", "积极", "not relevant", "消极", "technical support case")
    prompt = "Answer positive, not relevant, or technical support case."
    drafts = [(f"{label} {i}", label) for i in range(20) for label in labels]
    assert not reasons(keep(*drafts, prompt=prompt))


def test_labels_that_exist_already_are_known_by_their_input():
    rows = keep(("好吃", "积极")).rows
    assert reasons(keep(("好吃", "积极"), ("真香", "积极"), against=rows)) == ["in_existing"]


@pytest.mark.parametrize("against", ["rows.jsonl", [{"a": 1}], [{"messages": [1]}]])
def test_existing_rows_that_are_none_are_refused(against):
    with pytest.raises(DataError):
        keep(GOOD, against=against)


# Too many of one kind

CLAUSES = "山水风云花鸟鱼虫日月星辰春夏秋冬东西南北琴棋书画笔墨纸砚"


def sentence(i):
    """Return a sentence that shares neither opening nor frame with another."""
    a, b, c = CLAUSES[i % 28], CLAUSES[(i * 5 + 3) % 28], CLAUSES[(i * 11 + 7) % 28]
    return f"{a}{b}第{i}回过门，{b}{c}已凉了{i * 7}遍，{c}{a}还在{i * 3}里数{b}。"


def test_at_most_so_many_of_one_input_are_kept_and_the_seed_fixes_which():
    drafts = [("地铁", sentence(i)) for i in range(8)] + [("加班", sentence(9))]
    kept = keep(*drafts, per_input=2)
    assert len(kept.rows) == 3 and set(reasons(kept)) == {"too_many_of_input"}
    assert keep(*drafts, per_input=2).rows == kept.rows
    others = [keep(*drafts, per_input=2, seed=seed).rows for seed in range(5)]
    assert any(rows != kept.rows for rows in others)


def test_one_opening_never_has_more_than_its_share():
    drafts = [f"看似热闹{sentence(i)}" for i in range(40)] + [sentence(i) for i in range(40, 80)]
    kept = keep(*drafts, same_opening=0.2)
    answers = [row["messages"][-1]["content"] for row in kept.rows]
    crowded = [answer for answer in answers if answer.startswith("看似热闹")]
    assert set(reasons(kept)) == {"same_opening"} and kept.dropped.detail[0] == "看似热闹"
    assert len(crowded) == 10 and len(crowded) <= 0.2 * len(answers)


def test_one_frame_never_has_more_than_its_share():
    drafts = [f"{sentence(i)[:5]}，看似{i}人称道，实则{i * 7}人不信。" for i in range(40)]
    kept = keep(*drafts, *(sentence(i) for i in range(40, 80)), same_opening=0.2)
    assert set(reasons(kept)) == {"same_frame"} and len(kept.rows) == 50
    assert kept.dropped.detail[0] == "看似…实则"


NOUNS = ("river", "lantern", "ledger", "kite", "violin", "harbour", "pillow", "compass", "orchard")
VERBS = ("hums", "waits", "bends", "glows", "drifts", "listens", "shrinks")


def english(i, first, second):
    noun, verb, other = NOUNS[i % 9], VERBS[i % 7], NOUNS[(i * 4 + 1) % 9]
    return f"{first} {noun} {verb} at {i} in the old {other}, {second} {other} {verb} {i * 7} times"


def test_articles_and_but_are_no_frame_of_english_sentences():
    plain = [english(i, "A", "but my") for i in range(18)]
    framed = [english(i, "It seems", "in truth") for i in range(18, 40)]
    kept = keep(*plain, *framed, same_opening=0.2)
    dropped = kept.dropped[kept.dropped.reason == "same_frame"]
    assert len(dropped) and set(dropped.detail) == {"it seems…in truth"}


def test_three_of_a_kind_are_never_too_many_and_a_share_of_1_allows_all():
    few = [f"看似热闹{sentence(i)}" for i in range(3)]
    assert not reasons(keep(*few, same_opening=0.01))
    assert not reasons(keep(*(f"看似热闹{sentence(i)}" for i in range(20)), same_opening=1))


def test_json_has_no_opening_since_structure_is_no_habit():
    drafts = [json.dumps({"output": sentence(i)}, ensure_ascii=False) for i in range(20)]
    assert not reasons(keep(*drafts))


@pytest.mark.parametrize(
    "text, begins",
    [
        ("“看似，热闹非凡", "看似热闹"),
        ("The cat sat on it", "the cat sat"),
        ("短", None),
        ("……", None),
        ("……………………", None),
        ('{"a": 1}', None),
    ],
)
def test_an_opening_is_four_characters_or_three_words(text, begins):
    assert opening(text) == begins


# Whole tables


def test_an_empty_table_gives_no_rows_and_a_report_all_the_same():
    kept = synthesize.keep(frame("x")[:0], prompt="", system="s")
    assert kept.rows == [] and len(kept.dropped) == 0
    assert kept.report.to_dict("records") == [{"reason": "kept", "drafts": 0, "example": ""}]
    assert "0 条草稿" in repr(kept) and "0 条草稿" in kept._repr_html_()


def test_where_all_failed_the_report_has_the_error():
    kept = keep(*[{"error": "余额不足"}] * 4)
    assert kept.report.drafts.tolist() == [4, 0] and "余额不足" in kept.report.example[0]


def test_what_a_model_wrote_is_never_markup_nor_obeyed():
    kept = keep("<script>x</script>\x1b[2J", rules={"no": lambda *_: False})
    assert "<script>" not in kept._repr_html_() and "\x1b" not in repr(kept)


def test_a_table_of_something_else_is_refused():
    with pytest.raises(ArgumentError, match=r"要 drafts\(\) 返回的表，而它没有列 input、answer"):
        synthesize.keep(pd.DataFrame({"a": [1]}), prompt="", system="")
    with pytest.raises(ArgumentError, match="没有列"):
        synthesize.keep([GOOD], prompt="", system="")


@pytest.mark.parametrize(
    "options", [{"per_input": 0}, {"same_opening": 0}, {"same_opening": 10}, {"rules": [len]}]
)
def test_arguments_that_cannot_be_used_are_named(options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        keep(GOOD, **options)


@given(
    st.lists(st.tuples(st.sampled_from(["地铁", "加班", "a"]), st.text(max_size=30)), max_size=12)
)
def test_every_draft_is_kept_or_dropped_exactly_once(drafts):
    drafts = [("x", GOOD), *drafts]
    kept = keep(*drafts, held_out=["地"], per_input=2, rules={"r": lambda _, text: "0" not in text})
    assert len(kept.rows) + len(kept.dropped) == len(drafts) == kept.report.drafts.sum()
    there = Counter((r["messages"][1]["content"], r["messages"][2]["content"]) for r in kept.rows)
    there.update(zip(kept.dropped.input, kept.dropped.draft, strict=True))
    assert there == Counter(drafts)


# The pass rate


def test_the_pass_rate_counts_answers_and_leaves_out_requests_that_failed():
    table = frame(GOOD, "短", "抱歉，我无法写。", {"error": "太忙"}, {"finish_reason": "length"})
    rate = synthesize.pass_rate(table, {"long": lambda _, text: len(text) > 5})
    assert (rate.hits, rate.n) == (1, 4) and str(rate).startswith("25% (")


def test_the_pass_rate_reads_answers_of_a_comparison_too():
    answers = frame(json.dumps({"output": GOOD}), GOOD).rename(columns={"draft": "answer"})
    rate = synthesize.pass_rate(answers, zhishuo.rules, read=field)
    assert (rate.hits, rate.n) == (1, 2)


def test_the_pass_rate_of_nothing_is_no_figure():
    rate = synthesize.pass_rate(frame({"error": "太忙"}), {})
    assert rate.n == 0 and math.isnan(rate.value)

"""What `clean` fixes in single rows, and what `check` says of the same: texts, weights, keys."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import make_row

from cookbook import data
from cookbook.data.damage import REPAIRABLE
from cookbook.errors import DataError

ANSWER = "您好，请到三楼。"


def talk(*turns, **keys):
    """Return a row; a turn is (role, content), or a message as it is."""
    messages = [t if isinstance(t, dict) else {"role": t[0], "content": t[1]} for t in turns]
    return {"messages": messages, **keys}


def answer(content=ANSWER, **keys):
    return {"role": "assistant", "content": content, **keys}


def found(rows, code):
    return [p for p in data.check(rows).problems if p.code == code]


def changed(cleaned):
    return {change.code: change.message for change in cleaned.changes}


def texts(cleaned):
    return [[m["content"] for m in row["messages"]] for row in cleaned]


def assert_accounted_for(cleaned):
    numbers = [*cleaned.row_numbers, *cleaned.rows_gone, *cleaned.rows_left]
    assert sorted(numbers) == list(range(1, cleaned.read + 1))
    assert {p.row for p in cleaned.left.problems if p.row} == set(cleaned.rows_left)


# Damaged texts

DAMAGED = {
    "escape-text": ("登记。\\n取号。", "登记。\n取号。"),
    "markup": ("登记。<br/>取号&amp;还书。", "登记。\n取号&还书。"),
    "mojibake": ("三楼".encode().decode("latin-1"), "三楼"),
    "invisible": ("您好\u200b，\ufeff请进。", "您好，请进。"),
    "thinking": ("<think>\n</think>\n您好。", "您好。"),
}


@pytest.mark.parametrize("code", DAMAGED)
def test_damage_is_reported_with_its_place_and_repaired_when_asked(code):
    damaged, repaired = DAMAGED[code]
    rows = [talk(("user", "在几楼？"), answer(damaged))]
    (problem,) = [p for p in found(rows, code) if p.row]
    assert problem.severity == "warning" and problem.message_index == 1
    assert problem.at[0] == "content" and problem.excerpt[1]
    assert texts(data.clean(rows))[0][1] == damaged

    cleaned = data.clean(rows, fix=[code])
    assert texts(cleaned) == [["在几楼？", repaired]] and set(changed(cleaned)) == {code}
    assert not found(cleaned, code)
    assert data.clean(cleaned, fix=[code]).changes == []


def test_a_text_with_many_places_is_one_problem_and_one_change():
    rows = [talk(("user", "怎么办证？"), answer("一\\n二\\n三\\n四"))]
    (problem,) = found(rows, "escape-text")
    assert "共 3 处" in problem.message
    assert "3 处：\\n → 换行" in changed(data.clean(rows, fix="escape-text"))["escape-text"]


@pytest.mark.parametrize("code, text", [("mojibake", "下午\ufffd"), ("thinking", "<think>想一想")])
def test_a_row_in_which_something_would_be_guessed_is_left(code, text):
    cleaned = data.clean([talk(("user", "几点？"), answer(text)), make_row()], fix=[code])
    assert [(p.row, p.code, p.severity) for p in cleaned.left.problems] == [(1, code, "error")]
    assert len(cleaned) == 1
    assert_accounted_for(cleaned)


def test_a_text_that_is_empty_after_its_repair_is_left():
    cleaned = data.clean([talk(("user", "几点？"), answer("<think>想</think>"))], fix=["thinking"])
    assert {p.code for p in cleaned.left.problems} == {"content-empty"}


def test_thinking_of_some_answers_is_a_warning_about_the_file():
    thinks = talk(("user", "几点？"), answer("<think>看公告</think>九点。"))
    whole = [p for p in found([thinks, make_row()], "thinking") if p.line is None]
    assert len(whole) == 1 and "1 行" in whole[0].message
    assert not found(
        [thinks, talk(("user", "周一？"), answer("<think>闭馆</think>不开。"))], "thinking"
    )
    assert not found(data.clean([thinks, make_row()], fix=["thinking"]), "thinking")


def test_a_mark_of_a_template_is_reported_and_rows_with_it_can_be_dropped():
    rows = [talk(("user", "几点？"), answer("九点。<|im_end|>")), make_row()]
    assert "<|im_end|>" in found(rows, "template-mark")[0].message
    cleaned = data.clean(rows, drop=["template-mark"])
    assert len(cleaned) == 1
    assert_accounted_for(cleaned)


@pytest.mark.parametrize("option", [{"fix": ["secret"]}, {"drop": ["nothing"]}, {"weights": "x"}])
def test_an_unknown_code_is_refused_with_those_that_are_known(option):
    with pytest.raises(DataError, match="escape-text|mask"):
        data.clean([make_row()], **option)


# Weights


def weighted(mark):
    ask = ("user", "几点开门？")
    return talk(ask, answer("去问别人。", **mark), ("user", "请好好回答。"), answer())


@pytest.mark.parametrize(
    "mark",
    [{"weight": 0}, {"weight": 0.0}, {"loss": False}, {"train": "false"}, {"loss_weight": 0}],
)
def test_an_answer_that_is_not_to_be_learned_is_named_and_kept_or_removed(mark):
    rows = [weighted(mark)]
    (problem,) = found(rows, "weight")
    assert problem.message_index == 1 and not found(rows, "extra-key")
    masked = data.clean(rows)
    assert [m.get("weight") for m in masked[0]["messages"]] == [None, 0, None, None]
    assert data.clean(masked).rows == masked.rows and data.clean(masked).changes == []
    dropped = data.clean(rows, weights="drop")
    assert texts(dropped) == [["请好好回答。", ANSWER]] and "weight" in changed(dropped)
    assert_accounted_for(dropped)


def test_an_answer_that_is_removed_is_not_said_to_stay():
    ask = ("user", "几点开门？")
    row = talk(ask, answer("去问别人。", weight=0), ask, answer(weight=1))
    said = {how: str(data.clean([row], weights=how)) for how in ("mask", "drop")}
    assert "留着" in said["mask"] and "留着" not in said["drop"]


def test_a_weight_of_1_is_the_default_and_another_counts_as_1():
    rows = [weighted({"weight": 1}), weighted({"weight": 0.5})]
    assert [p.row for p in found(rows, "weight")] == [2]
    cleaned = data.clean(rows)
    assert "0.5 当作 1" in " ".join(c.message for c in cleaned.changes if c.code == "weight")
    assert not any("weight" in m for row in cleaned for m in row["messages"])


@pytest.mark.parametrize(
    "row",
    [talk(("user", "几点？"), answer(weight=0)), talk(("user", "几点？"), answer(), weight=0)],
)
def test_a_row_of_which_nothing_is_to_be_learned_is_an_error_or_dropped(row):
    assert [p.code for p in data.check([row]).problems if p.severity == "error"] == ["no-assistant"]
    masked, dropped = data.clean([row]), data.clean([row], weights="drop")
    assert masked.rows_left == [1] and dropped.rows_gone == [1]
    for cleaned in (masked, dropped):
        assert_accounted_for(cleaned)


def test_rows_that_differ_in_weight_alone_are_both_kept():
    assert len(data.clean([weighted({"weight": 0}), weighted({})])) == 2


# Keys, roles, parts


def test_keys_that_mean_something_are_named_in_words():
    row = talk(("user", "几点？"), answer(reasoning_content="看公告"), tools=[{"name": "f"}], id=3)
    assert "思考过程" in found([row], "thinking")[0].message
    (problem,) = found([row], "extra-key")
    assert "多了键 id" in problem.message and "tools（工具的说明）" in problem.message
    cleaned = data.clean([row])
    assert "思考过程" in changed(cleaned)["not-used"] and "id" in changed(cleaned)["extra-key"]


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]}


@pytest.mark.parametrize(
    "turns",
    [
        [("user", "在几楼？"), CALL, ("tool", "3"), answer()],
        [("user", "在几楼？"), CALL, answer()],
        [("user", "在几楼？"), ("function", "3"), answer()],
    ],
)
def test_tool_calls_are_one_error_of_the_row(turns):
    report = data.check([talk(*turns)])
    errors = [(p.code, p.message_index) for p in report.problems if p.severity == "error"]
    assert errors == [("tool-calls", 1)]
    assert data.clean([talk(*turns)]).rows_left == [1]


def test_parts_of_text_are_joined_and_pictures_left():
    part = {"type": "text", "text": "在几楼？"}
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    rows = [
        talk({"role": "user", "content": [part, {"text": "快。"}]}, answer()),
        talk({"role": "user", "content": [picture, part]}, answer()),
    ]
    text, image = found(rows, "content-type")
    assert "2 段" in text.message and "data.clean" in text.fix
    assert "图片" in image.message and "只训练文字" in image.fix
    cleaned = data.clean(rows)
    assert texts(cleaned) == [["在几楼？\n快。", ANSWER]] and cleaned.rows_left == [2]


def test_a_role_in_capitals_is_lowered_and_another_name_gets_its_call():
    rows = [
        talk(("User", "几点？"), answer() | {"role": "ASSISTANT"}),
        talk(("human", "几点？"), ("gpt", "九点。")),
    ]
    problems = found(rows, "role-unknown")
    assert "小写" in problems[0].fix
    assert 'data.clean(rows, roles={"human": "user", "gpt": "assistant"})' in problems[2].fix
    cleaned = data.clean(rows, roles={"human": "user", "gpt": "assistant"})
    assert len(cleaned) == 2 and {"role", "role-case"} <= set(changed(cleaned))


def test_a_greeting_before_the_first_question_is_removed():
    row = talk(("system", "你是馆员"), answer("这里是图书馆。"), ("user", "几点？"), answer())
    cleaned = data.clean([row])
    assert texts(cleaned) == [["你是馆员", "几点？", ANSWER]]
    assert "这里是图书馆" in changed(cleaned)["opening-answer"]


def test_messages_written_as_a_string_are_named_and_decoded():
    row = {"messages": json.dumps(make_row()["messages"])}
    assert "编码了两次" in found([row], "messages-missing")[0].message
    cleaned = data.clean([row])
    assert cleaned.rows == [make_row()] and set(changed(cleaned)) == {"decoded"}


def test_an_entry_of_another_tool_is_left_with_the_call():
    cleaned = data.clean([{"instruction": "几点开门？", "output": "九点。"}, make_row()])
    (problem,) = cleaned.left.problems
    assert problem.code == "other-shape" and "data.from_messages" in problem.fix
    assert_accounted_for(cleaned)


# All together


def test_a_flood_of_rows_that_need_a_person_is_counted_and_every_number_kept():
    cleaned = data.clean([{"messages": []}] * 6000)
    assert len(cleaned.left.problems) == 5000
    assert cleaned.left.errors == len(cleaned.rows_left) == 6000


TEXTS = [
    *["好", " 好。\u3000", "甲\\n乙", "<br>", "&lt;b", "\u200b好", "好\ufffd", "<think>好", "Ã©"],
    *["<think>想</think>好", "", "\\\\n", "&amp;amp;", "好\r\n"],
]
TEXT = st.sampled_from(TEXTS)
CONTENT = st.one_of(TEXT, st.none(), st.just([{"text": "好"}]), st.just([{"image": "a.png"}]))
ROLE = st.sampled_from(["system", "user", "User", "assistant", "assistant", "human", "tool"])
MARKS = st.fixed_dictionaries(
    {},
    optional={
        "weight": st.sampled_from([0, 1, 0.5, False, None, "0", []]),
        "loss": st.booleans(),
        "cot": TEXT,
        "tool_calls": st.sampled_from([None, [], [{}]]),
    },
)
MESSAGE = st.builds(dict.__or__, st.fixed_dictionaries({"role": ROLE, "content": CONTENT}), MARKS)
QUESTION = st.fixed_dictionaries({"role": st.just("user"), "content": CONTENT})
ANSWERED = st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXT})
PAIR = st.tuples(QUESTION, st.builds(dict.__or__, ANSWERED, MARKS))
TALK = st.lists(PAIR, max_size=3).map(lambda pairs: [turn for pair in pairs for turn in pair])
TURNS = st.one_of(st.lists(MESSAGE, max_size=4), TALK)
ROW = st.fixed_dictionaries({"messages": TURNS}, optional={"weight": st.sampled_from([0, 1])})


@given(
    st.lists(ROW, max_size=4),
    st.sets(st.sampled_from(REPAIRABLE)),
    st.sampled_from(["mask", "drop"]),
    st.sets(st.sampled_from(["weight", "markup", "thinking", "duplicate-row"])),
)
def test_whatever_is_asked_every_row_is_accounted_for_and_nothing_is_left_to_do(
    rows, fixes, weights, drop
):
    before = json.dumps(rows)
    asked = {"fix": fixes, "weights": weights, "drop": drop, "roles": {"human": "user"}}
    cleaned = data.clean(rows, **asked)
    assert json.dumps(rows) == before
    assert_accounted_for(cleaned)
    report = data.check(cleaned)
    assert report.ok or cleaned.rows == []
    assert not fixes & {p.code for p in report.problems}
    again = data.clean(cleaned, **asked)
    assert again.rows == cleaned.rows and again.changes == []

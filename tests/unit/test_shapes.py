"""Each format that people bring is known by its looks, and becomes the row that it means."""

import pytest
from shape_examples import A2, KNOWN, ONE, Q2, REFUSED, TWO, A, Q

from cookbook.data import shapes
from cookbook.data.shapes import roles

OPTIONS = shapes.Options(requests={"1": ONE[:1]}, chosen=True)


@pytest.mark.parametrize(("name", "entry", "messages"), KNOWN)
def test_each_format_becomes_the_row_that_it_means(name, entry, messages):
    assert shapes.of(entry).name == name
    assert shapes.convert(entry, OPTIONS).messages == messages


@pytest.mark.parametrize(("name", "entry", "word"), REFUSED)
def test_what_cannot_be_a_row_is_refused_with_its_reason(name, entry, word):
    shape = shapes.of(entry)
    assert (shape.name if shape else None) == name
    with pytest.raises(shapes.Refused) as caught:
        shapes.convert(entry, OPTIONS)
    assert word in caught.value.zh


def test_preference_data_is_used_only_by_choice():
    entry = {"prompt": Q, "chosen": A, "rejected": "不知道。"}
    with pytest.raises(shapes.Refused) as caught:
        shapes.convert(entry, shapes.Options())
    assert "chosen=True" in caught.value.fix[0]


def test_the_conversation_decides_over_a_question_beside_it():
    entry = {"instruction": Q, "input": "", "output": A, "messages": TWO}
    converted = shapes.convert(entry, shapes.Options())
    assert converted.messages == TWO
    assert converted.unused == {"instruction": Q, "input": "", "output": A}


def test_what_a_turn_says_of_its_weight_stays_with_it():
    quiet = [{"prompt": Q, "response": A, "weight": 0}, {"prompt": Q2, "response": A2}]
    assert shapes.convert(quiet, shapes.Options()).messages[1]["weight"] == 0
    turn = {"from": "gpt", "value": A, "loss": False}
    entry = {"conversations": [{"from": "human", "value": Q}, turn]}
    assert shapes.convert(entry, shapes.Options()).messages[1]["loss"] is False


def test_names_of_roles_are_known_in_any_case_and_marking():
    named = {"<|User|>": "user", "[|AI|]": "assistant", "GPT ": "assistant", "系统：": "system"}
    assert {name: roles.known(name) for name in named} == named
    assert roles.known("客官") is None and roles.known("user " * 10**6) is None
    assert roles.is_tool("Observation") and not roles.is_tool(3)


@pytest.mark.parametrize(
    "value", [None, 0, "x", [], [[]], {}, {"messages": {}}, {"": {}}, {"data": []}, [{}, 3], [None]]
)
def test_no_value_makes_it_stumble(value):
    shapes.of(value)
    with pytest.raises(shapes.Refused):
        shapes.convert(value, OPTIONS)

"""Files of other tools become rows: what is sound is converted, the rest is listed."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shape_examples import KNOWN, ONE, REFUSED, A, Q, chat, talk, turns

from cookbook import data
from cookbook.errors import DataError


def share(user="human", assistant="gpt", **more):
    return {"conversations": turns(user, assistant)} | more


def request(custom_id="1", text=Q):
    return {"custom_id": custom_id, "body": {"model": "m", "messages": talk(text)}}


def jsonl(path, *entries):
    lines = [e if isinstance(e, str) else json.dumps(e, ensure_ascii=False) for e in entries]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def changes(cleaned, code):
    return [change for change in cleaned.changes if change.code == code]


def is_accounted(cleaned):
    numbers, gone, left = cleaned.row_numbers, cleaned.rows_gone, cleaned.rows_left
    everywhere = [*numbers, *gone, *left]
    return (
        sorted(everywhere) == list(range(1, cleaned.read + 1))
        and len(numbers) == len(cleaned.rows)
        and {p.row for p in cleaned.left.problems} == set(left)
    )


JUNK = [
    None,
    3,
    "文字",
    [],
    {},
    [1],
    {"messages": []},
    {"messages": [3]},
    {"conversations": "x"},
    {"instruction": None, "output": None},
    {"问题": ["a", 3], "回答": {}},
    {"chat": {"turn_1": {}}},
    {"contents": [{"parts": 3}]},
    {"custom_id": [], "response": []},
    {"row_idx": 0, "row": {}},
    {"data": {}, "annotations": [{"result": [{"type": "choices", "value": 3}]}]},
]
ENTRIES = [entry for _, entry, _ in KNOWN] + [entry for _, entry, _ in REFUSED] + JUNK


@given(st.lists(st.sampled_from(ENTRIES), max_size=12), st.booleans())
def test_every_entry_of_any_mix_is_a_row_or_changed_or_left(entries, chosen):
    before = copy.deepcopy(entries)
    cleaned = data.from_messages(entries, chosen=chosen, requests=[request()], system="简短。")
    assert entries == before
    assert is_accounted(cleaned)
    problems = data.check(cleaned.rows).problems
    assert {p.code for p in problems if p.severity == "error"} <= {"file-empty"}


WORDS = """
    messages conversations data items role from content value text user assistant system
    prompt instruction input output query response history chosen rejected custom_id body
    choices chat turn_1 Human MOSS row_idx row contents parts annotations result type
    weight images label
"""
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", Q, "user", "Human: a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(st.lists(ANY_JSON, max_size=4))
def test_no_json_makes_a_converter_stumble(entries):
    cleaned = data.from_messages(entries, chosen=True, requests=[request()])
    assert is_accounted(cleaned)
    assert str(data.recognize(entries))


def test_one_odd_entry_never_stops_the_rest(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", share(), {"conversations": [{"role": 1}]}, "{", share())
    cleaned = data.from_sharegpt(path)
    assert [row["messages"] for row in cleaned] == [ONE, ONE]
    assert cleaned.row_numbers == [1, 4] and cleaned.rows_left == [2, 3]
    assert is_accounted(cleaned)


def test_what_is_left_has_its_line_and_column_and_no_words_of_python(tmp_path):
    path = jsonl(
        tmp_path / "a.jsonl", "", share(), {"id": 7, "标题": "馆规"}, {"id": 8, "output": A}
    )
    first, second = data.from_messages(path).left.problems
    assert (first.line, first.row, first.code) == (3, 2, "other-shape")
    assert "id、标题" in first.message and "Error" not in first.message
    assert "找不到提问" in second.message and second.column == 2


def test_problems_of_converted_entries_point_into_their_text(tmp_path):
    empty = share(system="简短。")
    empty["conversations"][1]["value"] = " "
    path = tmp_path / "a.json"
    path.write_text(json.dumps([share(), empty], indent=1, ensure_ascii=False), encoding="utf-8")
    (problem,) = data.from_messages(path).left.problems
    lines = path.read_text(encoding="utf-8").split("\n")
    assert problem.code == "content-empty"
    assert lines[problem.line - 1][problem.column - 1 :] == "{"
    assert lines[problem.line : problem.line + 2] == ['    "from": "gpt",', '    "value": " "']


def test_unknown_roles_are_named_with_the_call_that_reads_them():
    entries = [share("客官", "店家"), share("客官", "gpt")]
    cleaned = data.from_messages(entries)
    assert cleaned.rows == [] and {p.code for p in cleaned.left.problems} == {"role-unknown"}
    asked = {"客官": "user", "店家": "assistant"}
    assert f"roles={json.dumps(asked, ensure_ascii=False)}" in cleaned.left.problems[0].fix
    assert len(data.from_messages(entries, roles=asked)) == 2
    with pytest.raises(DataError, match="店家"):
        data.from_messages(entries, roles={"店家": "shop"})


def test_keys_that_mean_something_are_named_in_words_and_the_others_once():
    entries = [share(id=i, tools="[]", score=0.5) for i in range(3)]
    entries[1]["conversations"][1]["reasoning_content"] = "先想想。"
    cleaned = data.from_messages(entries)
    assert len(cleaned) == 3
    (extra,) = changes(cleaned, "extra-key")
    assert extra.line is None and extra.message.endswith("id、tools")
    words = [change.message for change in changes(cleaned, "not-used")]
    assert len(words) == 3 and "reasoning_content（思考过程）" in words[1] and "score" in words[0]


def test_two_turns_of_one_role_are_left_and_not_joined():
    entry = {"conversations": [*turns("human", "gpt"), {"from": "gpt", "value": A}]}
    cleaned = data.from_messages([entry])
    assert cleaned.rows == [] and cleaned.left.problems[0].code == "alternation"


def test_the_output_of_a_batch_is_joined_with_its_requests(tmp_path):
    output = [chat("2", "八本。"), chat("1"), chat("1", "又一次。"), chat("9")]
    requests = jsonl(tmp_path / "in.jsonl", request("1"), request("2", "借几本？"), request("3"))
    cleaned = data.from_messages(output, requests=requests)
    assert [row["messages"] for row in cleaned] == [talk("借几本？", "八本。"), ONE]
    doubled, missing = cleaned.left.problems
    assert "第 2 行" in doubled.message and "没有 custom_id" in missing.message
    assert "3" in changes(cleaned, "unanswered")[0].message
    assert is_accounted(cleaned)


def test_without_its_requests_each_result_is_left_with_the_call():
    cleaned = data.from_messages([chat("1"), chat("2")])
    assert cleaned.rows == [] and cleaned.rows_left == [1, 2]
    assert "requests=" in cleaned.left.problems[0].fix
    with pytest.raises(DataError, match="custom_id"):
        data.from_messages([chat("1")], requests=[chat("1")])


def test_of_several_answers_the_first_is_used_and_said():
    result = chat()
    result["response"]["body"]["choices"] *= 2
    cleaned = data.from_messages([result], requests=[request()])
    assert len(cleaned) == 1 and "2" in changes(cleaned, "choices")[0].message


@pytest.mark.parametrize(
    "container",
    [
        {"data": [{"question": Q, "answer": A}] * 2},
        {"rows": [{"row_idx": 0, "row": {"question": Q, "answer": A}}] * 2, "features": []},
        {"0": {"question": Q, "answer": A}, "1": {"question": Q, "answer": A}},
        {"question": {"0": Q, "1": Q}, "answer": {"0": A, "1": A}},
        {"question": [Q, Q], "answer": [A, A]},
        {"columns": ["answer", "question"], "index": [0, 1], "data": [[A, Q], [A, Q]]},
    ],
)
def test_entries_within_the_only_object_are_found(container):
    cleaned = data.from_messages([container])
    assert [row["messages"] for row in cleaned] == [ONE, ONE]
    assert cleaned.read == 2 and changes(cleaned, "layout") and is_accounted(cleaned)


def test_a_list_of_messages_is_one_conversation():
    cleaned = data.from_messages(turns("user", "assistant", "role", "content"))
    assert [row["messages"] for row in cleaned] == [ONE]
    assert cleaned.rows_gone == [2] and is_accounted(cleaned)
    several = [{"session": i // 2, **turn} for i, turn in enumerate(ONE * 2)]
    assert data.from_messages(several).rows_left == [1, 2, 3, 4]


def test_the_old_separators_are_removed_and_said():
    cleaned = data.from_messages([{"prompt": f"{Q}\n\n###\n\n", "completion": f" {A}"}])
    assert cleaned.rows == [{"messages": ONE}] and changes(cleaned, "separators")


@pytest.mark.parametrize("nested", ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900])
def test_deep_nesting_is_left_like_anything_else(tmp_path, nested):
    lines = [f'{{"question": {nested}, "answer": {nested}}}', f'{{"messages": [{nested}]}}', nested]
    cleaned = data.from_messages(jsonl(tmp_path / "a.jsonl", *lines))
    assert cleaned.rows == [] and is_accounted(cleaned)


def test_messages_stay_short_whatever_the_input():
    wide = {f"键{i}" * 50: "值" for i in range(20_000)}
    roles = share("客" * 10**6, "gpt")
    cleaned = data.from_messages([wide, roles, share(**wide)])
    problems = [p.message + p.fix for p in cleaned.left.problems]
    assert max(map(len, problems + [c.message for c in cleaned.changes])) < 700
    assert len(repr(data.recognize([wide]))) < 1_000


@pytest.mark.parametrize(("name", "entry"), [(name, entry) for name, entry, _ in KNOWN])
def test_each_format_is_recognized(name, entry):
    recognized = data.recognize([entry, entry])
    assert (recognized.name, recognized.count) == (name, 2)
    assert recognized.call.startswith("data.")
    assert recognized.call in str(recognized) and recognized.title in recognized._repr_html_()


def test_a_table_of_pairs_is_read_as_from_table_reads_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"问题,回答\n{Q},{A}\n能借几天？,\n", encoding="utf-8")
    cleaned = data.from_messages(path)
    assert [row["messages"] for row in cleaned] == [ONE] and cleaned.rows_left == [2]
    assert cleaned.left.problems[0].cell == "B3" and is_accounted(cleaned)
    assert data.recognize(path).columns == ("问题", "回答")


def test_a_table_in_the_shape_of_alpaca_uses_each_of_its_columns(tmp_path):
    path = tmp_path / "a.csv"
    lines = ["instruction,input,output,system", f"{Q},,{A},", f"回答问题。,{Q},{A},简短。"]
    path.write_text("\n".join(lines), encoding="utf-8")
    cleaned = data.from_messages(path)
    expected = [ONE, talk(f"回答问题。\n{Q}", A, system="简短。")]
    assert [row["messages"] for row in cleaned] == expected and is_accounted(cleaned)


def test_a_table_whose_columns_are_not_known_names_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("甲,乙\n一,二\n", encoding="utf-8")
    (problem,) = data.from_messages(path).left.problems
    assert "甲、乙" in problem.message and "data.from_table" in problem.fix
    assert "data.from_table" in data.recognize(path).call


def test_chat_logs_are_joined_by_their_own_converter(tmp_path):
    log = tmp_path / "log.csv"
    lines = ["is_sender,talker,msg,CreateTime", f"0,ya,{Q},2024-03-01 10:01:00"]
    log.write_text("\n".join([*lines, f"1,我,{A},2024-03-01 10:02:00"]), encoding="utf-8")
    said = [("ya", Q), ("客服", A)]
    messages = [
        {"id": i, "type": "message", "date": f"2024-03-01T10:0{i}:00", "from": who, "text": text}
        for i, (who, text) in enumerate(said)
    ]
    export = tmp_path / "result.json"
    export.write_text(json.dumps({"name": "ya", "messages": messages}), encoding="utf-8")
    for path in (log, export):
        assert data.recognize(path).name == "chat-log"
        assert [row["messages"] for row in data.from_messages(path)] == [ONE]


def test_a_mixed_file_is_recognized_with_its_shares(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", share(), share(), {"instruction": Q, "output": A}, {"x": 1})
    recognized = data.recognize(path)
    assert recognized.name == "mixed" and list(recognized.shares.values()) == [2, 1, 1]
    assert f'data.from_messages("{path}")' in str(recognized)


def test_an_unknown_format_is_recognized_by_its_keys():
    recognized = data.recognize([{"标题": "馆规", "正文": "安静"}])
    assert recognized.name == "unknown" and recognized.keys == {"标题": "馆规", "正文": "安静"}
    assert data.recognize([]).name == "empty"
    assert data.recognize([{"messages": ONE}]).call == "data.check(rows)"


def test_only_a_missing_file_stops_recognize(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        data.recognize(tmp_path / "nowhere.jsonl")
    (tmp_path / "odd.jsonl").write_bytes(b"\x00\xff\xfe\x80" * 20)
    assert data.recognize(tmp_path / "odd.jsonl").name

"""What is said of a file as a whole: one true sentence, and the rows with their places."""

import gzip
import json
import re

import pytest
from support import make_row

from cookbook import data
from cookbook.data import near_duplicates
from cookbook.data.rules import corpus

ALPACA = {"instruction": "几点开门？", "input": "", "output": "上午九点。"}
SHAREGPT = {
    "conversations": [{"from": "human", "value": "几点？"}, {"from": "gpt", "value": "九点。"}]
}


def lines(*values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()


def errors(content, name="a.jsonl"):
    problems = data.check_bytes(content, name).problems
    return [(p.line, p.code) for p in problems if p.severity == "error"]


def the_error(content, name="a.jsonl"):
    (found,) = [p for p in data.check_bytes(content, name).problems if p.severity == "error"]
    return found


def rows(n):
    return [make_row(user=f"第 {i} 个问题", assistant=f"第 {i} 个回答。") for i in range(n)]


def test_an_archive_is_no_text_however_large_it_is():
    content = gzip.compress(b"") + b"\x00" * (11 * 2**20)
    report = data.check_bytes(content, "a.jsonl")
    assert [p.code for p in report.problems] == ["not-text"]
    assert "条数据" not in report.verdict


def test_an_indented_array_is_one_error_with_the_number_of_its_rows():
    report = data.check_bytes(json.dumps(rows(5), indent=2).encode(), "a.jsonl")
    assert [p.code for p in report.problems] == ["whole-array", "row-count-low"]
    assert report.lines == len(report.rows) == 5 and "5 条数据，1 个错误" in report.verdict
    assert 'data.clean("a.jsonl").write("a_clean.jsonl")' in report.problems[0].fix


def test_objects_over_several_lines_are_one_error_and_problems_have_their_true_places():
    odd = make_row(user=3)
    content = "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in [*rows(2), odd])
    found = [p for p in data.check_bytes(content.encode(), "a.jsonl").problems if p.line]
    at = next(i for i, line in enumerate(content.split("\n"), 1) if line.endswith(": 3"))
    (problem,) = [p for p in found if p.code == "content-type"]
    line = content.split("\n")[at - 1]
    assert (problem.line, problem.column) == (at, line.index("3") + 1)
    assert errors(content.encode())[0] == (None, "multi-line-json")


@pytest.mark.parametrize("as_array", [False, True])
def test_a_file_in_another_shape_is_one_error_with_the_call(as_array):
    entries = [ALPACA] * 3
    content = json.dumps(entries).encode() if as_array else lines(*entries)
    found = the_error(content)
    assert (found.line, found.code) == (None, "other-shape")
    assert "Alpaca" in found.message and "3 条" in found.message
    assert 'data.from_messages("a.jsonl")' in found.fix


def test_shapes_that_are_mixed_are_counted_in_one_sentence():
    message = the_error(lines(ALPACA, SHAREGPT, SHAREGPT)).message
    assert "2 条是 ShareGPT" in message and "1 条是 Alpaca" in message


def test_an_odd_entry_among_rows_is_named_at_its_line():
    report = data.check_bytes(lines(*rows(2), ALPACA, *rows(1)), "a.jsonl")
    (found,) = [p for p in report.problems if p.severity == "error"]
    assert (found.line, found.column, found.code) == (3, 1, "other-shape")
    assert "instruction" in "".join(found.excerpt) and len(report.rows) == 3


def test_other_shapes_in_memory_are_named_too():
    report = data.check([ALPACA, ALPACA])
    (found,) = [p for p in report.problems if p.severity == "error"]
    assert found.code == "other-shape" and "data.from_messages(rows)" in found.fix


def test_a_table_is_named_with_its_columns():
    content = "编号,标题,正文\n1,甲,乙\n2,丙,丁\n".encode()
    report = data.check_bytes(content, "a.csv")
    (found,) = [p for p in report.problems if p.code == "other-shape"]
    assert "编号、标题、正文" in found.message and 'data.from_table("a.csv"' in found.fix
    assert report.lines == 2


def test_lines_that_are_json_of_no_known_shape_keep_their_own_errors():
    assert errors(lines({"x": 1}, {"y": 2})) == [(1, "messages-missing"), (2, "messages-missing")]


def test_some_lines_in_another_encoding_are_reported_where_they_begin():
    good, other = lines(*rows(30)), lines(make_row(user="借书要带什么证件？"))
    found = the_error(good + other.decode().encode("gbk") * 2)
    assert (found.line, found.code) == (31, "encoding") and "2 行" in found.message


def test_a_file_of_the_same_broken_lines_counts_them_all():
    report = data.check_bytes(b"x\n" * 6000 + lines(make_row(user=3)), "a.jsonl")
    assert report.counts["error", "json"] == 6000 and report.lines == 6001
    assert [p.line for p in report.problems if p.code == "content-type"] == [6001]


@pytest.mark.parametrize("in_memory", [False, True])
def test_over_the_row_limit_only_the_first_rows_are_compared(monkeypatch, in_memory):
    monkeypatch.setattr(corpus, "MAX_ROWS", 20)
    compared = []
    index = near_duplicates.Index
    monkeypatch.setattr(
        near_duplicates, "Index", lambda given: compared.append(len(given)) or index(given)
    )
    many = [*rows(30), make_row(user=3), *rows(1)]
    report = data.check(many) if in_memory else data.check_bytes(lines(*many), "a.jsonl")
    (found,) = [p for p in report.problems if p.code == "row-count"]
    assert compared == [20] and "前 20 条" in found.message
    assert [p.line for p in report.problems if p.code == "content-type"] == [31]
    assert "duplicate-row" not in {p.code for p in report.problems}


def test_a_validation_file_over_the_limit_is_compared_by_its_first_rows(monkeypatch):
    monkeypatch.setattr(corpus, "MAX_ROWS", 20)
    asked = []
    monkeypatch.setattr(
        near_duplicates, "overlap", lambda *given: asked.append([len(some) for some in given]) or []
    )
    data.check(rows(30), validation=rows(40))
    assert asked == [[20, 20]]


def test_a_missing_file_is_reported_in_the_readers_language(tmp_path):
    (found,) = data.check(tmp_path / "nowhere.jsonl").problems
    assert "没有这个文件" in found.message and "No such" not in found.message


def test_a_repeat_in_an_array_names_the_line_of_the_first():
    given = rows(1) * 2
    content = json.dumps(given, indent=1, ensure_ascii=False)
    (found,) = [
        p
        for p in data.check_bytes(content.encode(), "a.jsonl").problems
        if p.code == "duplicate-row"
    ]
    starts = [i for i, line in enumerate(content.split("\n"), 1) if line == " {"]
    assert found.line == starts[1] and f"第 {starts[0]} 行" in found.message


PAIR = {"question": "几点开门？", "answer": "上午九点。"}
REQUEST = {"custom_id": "1", "body": {"messages": [{"role": "user", "content": "几点？"}]}}
CLEAN = 'data.clean("a.jsonl")'
CONVERT = 'data.from_messages("a.jsonl")'


@pytest.mark.parametrize(
    ("content", "code", "word", "call"),
    [
        (lines(*rows(20)).replace(b"\n", b",\n"), "json", "20 行", CLEAN),
        (lines(*rows(3)).replace(b"\n", b" "), "json", "不止一个", CLEAN),
        (lines(*(json.dumps(row) for row in rows(3))), "json", "编码了两次", CLEAN),
        (json.dumps({"data": rows(3)}).encode(), "whole-array", "一个 JSON 对象", CLEAN),
        (lines(*[{"sent1": "甲", "sent2": "乙"}] * 3), "other-shape", "sent1、sent2", "messages"),
        (lines({"question": "几点？", "k": 1}), "other-shape", "找不到回答", "messages"),
        (json.dumps({"0": PAIR, "1": PAIR}).encode(), "other-shape", "2 条", CONVERT),
        (json.dumps({k: [v, v] for k, v in PAIR.items()}).encode(), "other-shape", "2 条", CONVERT),
        (lines(REQUEST), "other-shape", "只有提问", 'requests="a.jsonl"'),
        (lines({"text": "<|im_start|>user"}), "other-shape", "模板", "套模板之前"),
    ],
)
def test_a_file_as_a_whole_is_one_error_that_names_what_to_do(content, code, word, call):
    found = the_error(content)
    assert (found.line, found.code) == (None, code)
    assert word in found.message and call in found.fix and "…)" not in found.fix
    report = data.check_bytes(content, "a.jsonl")
    assert "messages-missing" not in str(report) and "not-object" not in str(report)


@pytest.mark.parametrize(
    ("name", "new_name"),
    [
        ("a.txt", "a.jsonl"),
        ("a.jsonl.txt", "a.jsonl"),
        ("a", "a.jsonl"),
        ("v1.2.json", "v1.2.jsonl"),
    ],
)
def test_a_wrong_name_alone_is_to_be_changed(name, new_name):
    found = the_error(lines(*rows(2)), name)
    assert found.code == "file-suffix" and found.fix.endswith(f"改成 {new_name}")
    content = json.dumps(rows(2)).encode()
    assert [code for _, code in errors(content, name)] == ["whole-array", "file-suffix"]


def test_the_call_that_is_named_works_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "我的 数据"
    folder.mkdir()
    (folder / "训练（1）.json").write_text(json.dumps(rows(2)), encoding="utf-8")
    found = data.check("我的 数据/训练（1）.json").problems[0]
    call = re.search(r"data\.\S.*\)(?= )", found.fix)[0]
    assert data.check(eval(call, {"data": data})).ok


def test_a_real_line_break_in_a_string_is_one_error_at_its_place():
    broken = '{"messages": [{"role": "user", "content": "分两步：\n先填表\n再拍照"}]}\n'.encode()
    content = lines(*rows(1)) + broken + b"\n" + lines(*rows(2)[1:])
    found = the_error(content)
    assert (found.line, found.column, found.code) == (2, 48, "json") and "真的换行" in found.message
    report = data.check_bytes(content, "a.jsonl")
    assert report.lines == 3 and len(report.rows) == 2
    assert [p.line for p in report.problems if p.code == "blank-line"] == [5]


def test_of_many_problems_that_say_the_same_only_some_are_shown():
    report = data.check_bytes(b"x\n" * 800, "a.jsonl")
    assert str(report).count("第 ") == 1 and "等 800 处" in str(report)
    assert report.errors == 800


def test_entries_that_are_not_kept_are_counted_in_any_layout():
    report = data.check_bytes(b"[" + b'{"a": x},\n' * 6000 + b"]", "a.jsonl")
    assert report.counts["error", "json"] >= 6000

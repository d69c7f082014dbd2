import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data
from cookbook.errors import DataError


def codes(source, **options):
    return [p.code for p in data.check(source, **options).problems if p.code != "row-count-low"]


def write(path, *lines):
    path.write_text(
        "\n".join(x if isinstance(x, str) else json.dumps(x, ensure_ascii=False) for x in lines) + "\n",
        encoding="utf-8",
    )
    return path


def test_a_good_file_has_no_problems(tmp_path, row):
    assert codes(write(tmp_path / "a.jsonl", *[row(user=f"问题{i}") for i in range(100)])) == []


MESSAGES = {
    "messages-missing": {"message": []},
    "messages-empty": {"messages": []},
    "message-not-object": {"messages": ["你好"]},
    "role-missing": {"messages": [{"content": "你好"}, {"role": "assistant", "content": "好"}]},
    "role-unknown": {"messages": [{"role": "tool", "content": "你好"}, {"role": "assistant", "content": "好"}]},
    "content-missing": {"messages": [{"role": "user"}, {"role": "assistant", "content": "好"}]},
    "content-type": {"messages": [{"role": "user", "content": 3}, {"role": "assistant", "content": "好"}]},
    "content-empty": {"messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": "好"}]},
    "system-position": {"messages": [*[{"role": r, "content": "x"} for r in ("user", "assistant", "system")]]},
    "first-not-user": {"messages": [{"role": "assistant", "content": "好"}]},
    "alternation": {"messages": [{"role": r, "content": "x"} for r in ("user", "user", "assistant")]},
    "no-assistant": {"messages": [{"role": "user", "content": "你好"}]},
    "not-object": [],
    "json": "{",
    "duplicate-key": '{"messages": [], "messages": []}',
}


@pytest.mark.parametrize("code", MESSAGES)
def test_each_broken_rule_is_named_with_its_line(tmp_path, row, code):
    report = data.check(write(tmp_path / "a.jsonl", row(), MESSAGES[code], row(user="另一个问题")))
    assert code in [p.code for p in report.problems if p.line == 2 and p.severity == "error"]
    assert len(report.rows) == 2


def test_one_bad_line_never_hides_another(tmp_path):
    report = data.check(write(tmp_path / "a.jsonl", *MESSAGES.values()))
    assert set(MESSAGES) <= {p.code for p in report.problems}
    assert [p.line or 0 for p in report.problems] == sorted(p.line or 0 for p in report.problems)


def test_a_trailing_question_has_no_answer(row):
    rows = [row()]
    rows[0]["messages"].append({"role": "user", "content": "还有呢？"})
    assert codes(rows) == ["alternation"]


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("a.json", b"{}", "file-suffix"),
        ("a.jsonl", b"", "file-empty"),
        ("a.jsonl", "你好".encode("gbk"), "encoding"),
        ("a.jsonl", "你好".encode("utf-16"), "encoding"),
        ("a.jsonl", b" " * (data.MAX_BYTES + 1), "file-size"),
        ("a.jsonl", b"[" * 100_000, "json"),
        ("a.jsonl", b"\xef\xbb\xbf{}", "bom"),
        (
            "a.jsonl",
            b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}',
            "encoding",
        ),
    ],
)
def test_odd_bytes_have_a_code_of_their_own(name, content, code):
    assert code in [p.code for p in data.check_bytes(content, name).problems]


def test_the_row_limit_is_the_guides(row):
    rows = [row(user=f"问题{i}") for i in range(1001)]
    assert codes(rows[:1000]) == []
    assert codes(rows) == ["row-count"]


def test_warnings_leave_the_file_usable(tmp_path, row):
    varied = row(system="你是另一个助手")
    path = write(tmp_path / "a.jsonl", row(), "", row(), row(assistant="另一个回答"), varied | {"id": 1})
    report = data.check(path)
    assert report.ok
    assert {"blank-line", "duplicate-row", "conflict", "extra-key", "system-varies"} <= {
        p.code for p in report.problems
    }


def test_an_answer_that_repeats_its_word_is_pointed_out(row):
    assert codes([row(user="加班", assistant="加班是一盏灯。")]) == ["answer-repeats-input"]


def test_rows_over_max_tokens_are_pointed_out(row):
    assert codes([row()], max_tokens=8) == ["too-long"]


def test_load_refuses_with_the_whole_report(tmp_path):
    with pytest.raises(DataError) as caught:
        data.load(write(tmp_path / "a.jsonl", "{", "["))
    assert caught.value.report.errors == 2


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.jsonl"):
        report = data.check(path)
        assert not report.readable and not report.ok


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer(content):
    report = data.check_bytes(content, "a.jsonl")
    assert report.ok or report.errors


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["role", "user", "content"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "x"]), inner, max_size=3)
    ),
)


@given(st.lists(JSON, max_size=4))
def test_any_json_gets_an_answer(lines):
    report = data.check_bytes("\n".join(map(json.dumps, lines)).encode(), "a.jsonl")
    assert report.ok or report.errors
    assert str(report) and report.to_dict() and report._repr_html_() is not None and report.to_frame() is not None


def test_a_split_is_seeded_and_keeps_identical_rows_together(row):
    rows = [row(user=f"问题{i % 50}") for i in range(100)]
    train, held = data.split(rows, 0.1, seed=1)
    assert (train, held) == data.split(rows, 0.1, seed=1)
    assert len(train) + len(held) == 100 and len(held) == 10
    assert not [r for r in held if r in train]


def test_a_written_file_reads_back_the_same(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data.to_jsonl([row(), row(user="换行\n和\u2028分隔符")]))
    assert data.load(path) == [row(), row(user="换行\n和\u2028分隔符")]

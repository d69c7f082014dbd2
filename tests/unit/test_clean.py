"""`data.clean` and the readers of other shapes."""

import json
from functools import partial

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data
from cookbook.data import json_text
from cookbook.data.reading.read import MAX_SOURCE_BYTES
from cookbook.errors import DataError
from cookbook.paths import DATA

EXPORT = DATA / "raw" / "export.jsonl"


def done(cleaned):
    return {change.code for change in cleaned.changes}


def test_the_messy_export_comes_out_clean_and_stays_as_it_was():
    before = EXPORT.read_bytes()
    cleaned = data.clean(EXPORT)
    assert EXPORT.read_bytes() == before
    assert done(cleaned) == {
        "bom",
        "line-ends",
        "blank-line",
        "extra-key",
        "content-parts",
        "system-position",
        "trailing-user",
        "duplicate-row",
    }
    report = data.check(cleaned.rows)
    assert report.ok and not {"extra-key", "blank-line", "duplicate-row"} & {
        p.code for p in report.problems
    }
    # What only a person can fix is left out and named: other roles, odd content, broken JSON …
    assert {p.code for p in cleaned.left.problems if p.severity == "error"} == {
        "role-unknown",
        "content-missing",
        "content-empty",
        "alternation",
        "json",
        "duplicate-key",
        "no-assistant",
    }


def test_what_cannot_be_trained_on_is_left_and_a_late_system_message_stays(row):
    late = (
        row()["messages"][1:] + [{"role": "system", "content": "改说英语"}] + row()["messages"][1:]
    )
    cleaned = data.clean([row(user="你" * 5000), {"messages": late}, row()])
    assert cleaned.rows == [row()] and cleaned.changes == []
    assert {(p.line, p.code) for p in cleaned.left.problems} == {
        (1, "too-long"),
        (2, "system-position"),
    }


def test_a_file_with_the_line_ends_of_an_old_mac_is_read(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data.to_jsonl([row(), row(user="第二个问题")]).replace(b"\n", b"\r"))
    assert len(data.clean(path).rows) == 2 and data.check(path).lines == 2


def test_every_line_is_kept_or_accounted_for():
    cleaned = data.clean(EXPORT)
    lines = EXPORT.read_bytes().decode("utf-8-sig").splitlines()
    gone = {c.line for c in cleaned.changes if c.code in ("blank-line", "duplicate-row", "dropped")}
    left = {p.line for p in cleaned.left.problems if p.severity == "error"}
    assert len(cleaned.rows) + len(gone) + len(left) == len(lines)


def test_roles_are_renamed_and_rows_dropped_only_when_asked():
    asked = data.clean(
        EXPORT,
        roles={"human": "user", "bot": "assistant"},
        drop=["secret", "near-duplicate", "conflict"],
    )
    assert "role-unknown" not in {p.code for p in asked.left.problems}
    assert not {"secret", "near-duplicate", "conflict"} & {
        p.code for p in data.check(asked.rows).problems
    }
    assert {"role", "dropped"} <= done(asked)
    with pytest.raises(DataError, match="near-duplicat"):
        data.clean(EXPORT, drop=["near-duplicat"])


def test_a_warning_about_the_whole_file_drops_no_row(row):
    rows = [row(system="一"), row(system="二", user="另一个问题")]
    cleaned = data.clean(rows, drop=["system-varies"])
    assert cleaned.rows == rows and cleaned.changes == []


MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "bot"]),
        "content": st.sampled_from(["好", " 好\u3000", "", 3]),
    },
    optional={"name": st.none()},
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"messages": st.lists(MESSAGE, max_size=5)}, optional={"id": st.integers()}
    ),
    max_size=6,
)


@given(ROWS)
def test_cleaning_twice_changes_nothing_more(rows):
    copy = json.loads(json.dumps(rows))
    once = data.clean(rows)
    assert rows == copy, "the rows that were given are not touched"
    twice = data.clean(once.rows)
    assert twice.rows == once.rows and twice.changes == [] and twice.left.problems == []
    assert str(once) and once._repr_html_() and once.to_frame() is not None


def test_the_original_is_never_overwritten(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data.to_jsonl([row(), row()]))
    cleaned = data.clean(path)
    with pytest.raises(DataError, match="原始文件"):
        cleaned.write(path)
    assert data.load(cleaned.write(tmp_path / "b" / "clean.jsonl")) == [row()]


def test_what_cannot_be_written_is_named_with_its_reason(tmp_path, row):
    cleaned = data.clean([row()])
    (tmp_path / "file").touch()
    for path, why in [
        (tmp_path, "文件夹"),
        (tmp_path / "file" / "a.jsonl", "文件夹是一个文件"),
        (tmp_path / ("x" * 400), "太长"),
    ]:
        with pytest.raises(DataError, match=f"写不了 .*{why}"):
            cleaned.write(path)
    with pytest.raises(DataError, match="半个字符"):
        data.to_jsonl([row(user="\ud83d")])


def test_the_encoding_is_found_out_and_a_wrong_one_is_refused(tmp_path, row):
    path = tmp_path / "a.jsonl"
    rows = [row(assistant="您好，请在订单详情里修改收货地址，再点保存。")]
    path.write_bytes(data.to_jsonl(rows).decode().encode("gb18030"))
    for encoding in (None, "gb18030", "gbk"):
        cleaned = data.clean(path, encoding=encoding)
        assert cleaned.rows == rows and done(cleaned) == {"encoding"}
    for wrong in ("utf-8", "shift-jis", "no-such-encoding"):
        with pytest.raises(DataError):
            data.clean(path, encoding=wrong)
    path.write_bytes(data.to_jsonl(rows))
    with pytest.raises(DataError, match="encoding="):
        data.clean(path, encoding="gb18030")


def test_a_spreadsheet_in_gbk_becomes_rows():
    cleaned = data.from_table(
        DATA / "raw" / "export.csv", user="词语", assistant="金句", system="你是智说新语生成器。"
    )
    assert len(cleaned) == 215 and len(cleaned.rows_left) == 5  # without a sentence
    assert all(m["content"] == m["content"].strip() for r in cleaned for m in r["messages"])
    assert data.check(cleaned).ok


def test_a_table_from_excel_or_memory_becomes_rows(tmp_path):
    frame = pd.DataFrame(
        {"问": ["你好", None, " 再见 "], "答": ["您好。", "没有问题的回答。", "再见。"]}
    )
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    cleaned = data.from_table(tmp_path / "a.xlsx", user="问", assistant="答")
    assert cleaned.rows == data.from_table(frame, user="问", assistant="答").rows
    assert [row["messages"][0]["content"] for row in cleaned] == ["你好", "再见"]
    with pytest.raises(DataError, match="问、答"):
        data.from_table(frame, user="问题", assistant="答")
    endless = pd.DataFrame({"问": [float("inf")], "答": ["无穷大。"]})
    assert data.from_table(endless, user="问", assistant="答")[0]["messages"][0]["content"] == "inf"
    with pytest.raises(DataError, match="只有一个"):
        data.from_table(pd.concat([frame, frame], axis=1), user="问", assistant="答")
    for content in (b"", b"PK\x03\x04", b"\xff\xff"):
        path = tmp_path / "broken.xlsx"
        path.write_bytes(content)
        with pytest.raises(DataError, match="broken"):
            data.from_table(path, user="问", assistant="答")


def test_sharegpt_and_alpaca_become_rows():
    talks = data.from_sharegpt(DATA / "raw" / "sharegpt.json")
    asked = data.from_alpaca(DATA / "raw" / "alpaca.json", system="你是客服助手")
    assert len(talks) == len(asked) == 12
    assert data.check(talks).ok and data.check(asked).ok
    assert {sum(m["role"] == "user" for m in r["messages"]) for r in talks} == {1, 2}


def test_conversations_in_gbk_become_rows(tmp_path):
    path = tmp_path / "gbk.json"
    path.write_bytes((DATA / "raw" / "sharegpt.json").read_text(encoding="utf-8").encode("gb18030"))
    rows = data.from_sharegpt(DATA / "raw" / "sharegpt.json").rows
    assert data.from_sharegpt(path).rows == rows


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.json", "a.jsonl"])
def test_a_huge_export_is_refused_before_it_is_read(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b"{" + b" " * 99_000)
        file.truncate(MAX_SOURCE_BYTES + 1)
    read = (
        partial(data.from_table, user="问", assistant="答")
        if name[-3:] in ("csv", "lsx")
        else data.from_sharegpt
    )
    with pytest.raises(DataError, match="100 MB"):
        read(path)


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ("json-marks", '": ', '"：'),
        ("json-marks", ", ", "，"),
        ("json-marks", '": ', '":\u00a0'),
        ("json-marks", "]}", "],}"),
        ("json-marks", "]}", "]} // 见附件"),
        ("control", "几点", "几\n点"),
        ("control", "几点", "几\t点"),
        ("python", '"', "'"),
    ],
)
def test_what_is_nearly_json_is_read_when_asked(tmp_path, row, change, old, new):
    path = tmp_path / "a.jsonl"
    good = json.dumps(row(user="几点开门？"), ensure_ascii=False)
    path.write_text(good.replace("几点", "几点") + "\n" + good.replace(old, new), encoding="utf-8")
    problems = data.clean(path).left.problems
    assert len(problems) == 1 and 'fix=["json"]' in problems[0].fix
    assert problems[0].line == 2 and problems[0].column
    cleaned = data.clean(path, fix=["json"])
    assert change in done(cleaned) and not cleaned.rows_left


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a"： 2}', "{'a': 1, 'a': 2}", "{'a': f()}", '{"a": "说"好"，对吗"}', "{'a'" * 99],
)
def test_what_would_have_to_be_guessed_is_never_read(text):
    assert json_text.repaired(text) is None


def test_comments_and_fences_between_rows_are_passed_over_when_asked(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_text(f"```json\n// 问答\n{json.dumps(row())}\n# 完\n```\n", encoding="utf-8")
    assert [p.line for p in data.clean(path).left.problems] == [1, 2, 4, 5]
    cleaned = data.clean(path, fix=["json"])
    assert (cleaned.read, len(cleaned), cleaned.rows_left) == (1, 1, [])
    assert [c.line for c in cleaned.changes if c.code == "comment"] == [1, 2, 4, 5]


def test_a_system_message_beside_the_messages_is_put_in_front(row):
    cleaned = data.clean([{**row(system=None), "system": "你是店员。"}])
    assert cleaned.rows[0]["messages"][0] == {"role": "system", "content": "你是店员。"}
    assert "system-position" in done(cleaned) and "not-used" not in done(cleaned)


def test_a_file_in_another_shape_is_left_line_by_line_with_the_call(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "几点？", "output": "九点。"}\n' * 9, encoding="utf-8")
    cleaned = data.clean(path)
    problems = cleaned.left.problems
    assert [p.line for p in problems] == cleaned.rows_left == list(range(1, 10))
    assert all(f'data.from_messages("{path}")' in p.fix for p in problems)

"""How a report shows itself: in a terminal, in a notebook, to programs."""

import gzip
import html
import json
import pickle
import re
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from wcwidth import wcswidth

from cookbook import data
from cookbook.data.entry import Place
from cookbook.data.report import MAX_MESSAGE, Report, calls, excerpt
from cookbook.data.report.changes import Change
from cookbook.errors import DataError
from cookbook.panel import templates, training_file
from cookbook.panel.training_file import TrainingFile
from cookbook.service import file_check


def broken(*, role="bot", content="好"):
    """A line with a role that is unknown."""
    messages = [{"role": "user", "content": "你好"}, {"role": role, "content": content}]
    return json.dumps({"messages": messages}, ensure_ascii=False)


def column_of_role(line):
    return line.index("bot") + 1


def report_of(*lines):
    return data.check_bytes("\n".join(lines).encode(), "a.jsonl")


def test_the_terminal_names_line_and_column_and_points_at_the_text(row):
    line = broken()
    shown = str(report_of(data.to_jsonl([row()]).decode().strip(), line)).split("\n")
    at = next(i for i, text in enumerate(shown) if "role-unknown" in text)
    assert f"第 2 行第 {column_of_role(line)} 列" in shown[at]
    text, carets = shown[at + 1 : at + 3]
    assert text.strip().endswith("bot") and carets.strip() == "^^^"
    assert wcswidth(text[: text.index("bot")]) == carets.index("^")


@pytest.mark.parametrize("before", ["abc", "中文里", "é e\u0301", "🙂", "…"])
def test_carets_are_aligned_by_the_width_of_what_comes_before(before):
    line, carets = excerpt.pointed((before, "错了", "。"))
    assert wcswidth(line[: line.index("错")]) == carets.index("^")
    assert carets.count("^") == 4


def test_an_excerpt_is_never_wider_than_a_terminal():
    wide = "很长的一段" * 50
    line, carets = excerpt.pointed((wide, wide, wide))
    assert max(wcswidth(line), wcswidth(carets)) <= excerpt.TERMINAL
    assert line[carets.index("^") // 2 :].startswith(("很", "长", "的", "一", "段"))


def test_control_characters_in_an_excerpt_are_shown_and_never_obeyed(row):
    shown = str(report_of(broken(role="\x1b[2Jbot\u202e")))
    assert "\x1b" not in shown and "\\x1b[2Jbot" in shown


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "x" * 1_000_000, "content": "好"}]},
        {f"键{i}" * 50: 1 for i in range(2000)},
        {"messages": [{"role": "\x00" * 5000, "content": {"a": "b" * 100_000}}]},
        {"messages": [["x"] * 10_000]},
    ],
)
def test_messages_stay_short_whatever_the_rows_hold(row):
    report = data.check([row])
    assert report.problems and all(len(p.message) <= MAX_MESSAGE for p in report.problems)
    assert len(str(report)) < 3000


def test_a_message_is_cut_in_its_middle_and_escapes_make_it_no_longer():
    report = Report("a.jsonl")
    report.add(1, "json", zh="开头" + "\x00" * 10_000 + "结尾", en="")
    (problem,) = report.problems
    assert len(problem.message) <= MAX_MESSAGE
    assert problem.message.startswith("开头\\x00") and problem.message.endswith("结尾")


def test_equal_problems_are_one_line_and_hide_no_other():
    report = report_of(*["{}"] * 50, "[", *["{}"] * 50, broken())
    shown = str(report)
    assert "第 51 行" in shown and "role-unknown" in shown
    assert "第 1、2、3、4、5 行等 100 处 [messages-missing]" in shown
    assert shown.count("messages-missing") == 1 and not report.hidden
    # Those that were only counted are among them, and what differs is not.
    report = Report("a.jsonl", limit_per_code=4)
    for number in range(1, 10):
        report.add(number, "json", zh="坏了", en="broken")
        report.add(number, "secret", zh=f"密钥 {number % 2}", en="a key")
    assert "第 1、2、3、4 行等 9 处 [json]" in str(report)
    assert "另有 5 个：secret × 5" in str(report)


def test_entries_of_another_shape_are_one_sentence_where_they_are_left():
    cleaned = data.clean([{"instruction": f"问 {i}", "output": "答"} for i in range(1000)])
    assert len(cleaned.rows_left) == 1000
    assert str(cleaned).count("other-shape") == 1 and "等 1000 处" in str(cleaned)
    assert [p.line for p in cleaned.left.problems] == list(range(1, 1001))
    assert cleaned._repr_html_().count("<tr>") == 2


def test_errors_come_before_warnings_and_the_file_before_its_lines(row):
    report = report_of("[", json.dumps(row()) + " ", json.dumps(row()))
    text = str(report)
    assert text.index("[json]") < text.index("[row-count-low]") < text.index("[duplicate-row]")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_calls_of_a_report_run_as_they_are_pasted(tmp_path, monkeypatch, row, language):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    monkeypatch.chdir(tmp_path)
    texts = ["一\\n二", "一<br/>二", "一\u200b二", "<think>想</think>答", "锟斤拷", "浣犲ソ"]
    rows = [row(assistant=text) for text in texts]
    rows += [json.loads(broken(role="小王")), {"instruction": "问", "output": "答"}]
    rows.append(row() | {"messages": rows[0]["messages"] * 2, "cot": "想"})
    rows[-1]["messages"][-1] = rows[0]["messages"][-1] | {"weight": 0}
    folder = Path('exports "a"')
    folder.mkdir()
    lines = [json.dumps(each, ensure_ascii=False) for each in rows]
    (folder / "a.jsonl").write_text("\n".join(lines) + ",\n", "utf-8")
    (folder / "b.json").write_text(f"[{','.join(lines[:2])}]", "utf-8")
    (folder / "c.csv").write_text("问题,回答\n一,二\n三,四\n", "utf-8")
    (folder / "d.json").write_text(json.dumps([{"query": "问", "response": "答"}]), "utf-8")
    run = set()
    for path in sorted(folder.iterdir()):
        report = data.check(path)
        remedies = [problem.fix for problem in report.problems]
        remedies.append(data.recognize(path).call)
        for is_call, call in (part for text in remedies for part in calls.parts(text)):
            if is_call:
                assert "path" not in call
                with suppress(DataError) if "…" in call else nullcontext():
                    eval(call, {"data": data})
                run.add(re.sub(r"\(.*?\"[,)]", "(", call))
    assert len(run) > 8, run


def test_programs_get_the_seven_keys_of_the_contract():
    (problem,) = [p for p in report_of(broken()).to_dict()["problems"] if p["line"]]
    keys = ["line", "message_index", "column", "severity", "code", "message", "fix"]
    assert list(problem) == keys and problem["column"] == column_of_role(broken())


def test_a_frame_has_columns_and_cells_only_of_tables():
    frame = report_of(broken()).to_frame()
    assert "column" in frame and "cell" not in frame and "sheet" not in frame
    report = Report("a.xlsx", places={1: Place(4, sheet="Sheet2")})
    report.add(1, "content-empty", zh="空", en="empty", cell="Sheet2!B4")
    report.add(1, "content-empty", zh="空", en="empty")
    assert list(report.to_frame().cell.dropna()) == ["Sheet2!B4"]
    assert "单元格 Sheet2!B4" in str(report) and "工作表 Sheet2 第 4 行" in str(report)


def test_problems_come_in_the_order_of_their_columns():
    line = '{"messages": [{"role": "bot", "content": 3}, {"role": "usr", "content": 4}], "x": 1}'
    columns = [p.column for p in report_of(line).problems if p.line]
    assert columns == sorted(columns) and len(columns) == 5


def test_rows_in_memory_have_no_column(row):
    assert {p.column for p in data.check([row(user=3), {"x": 1}]).problems} == {None}


def test_the_notebook_shows_the_column_and_marks_the_text():
    page = report_of(broken())._repr_html_()
    assert f"第 1 行第 {column_of_role(broken())} 列" in page and ">bot</mark>" in page


def test_english_counts_agree_with_their_nouns(row, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert data.check([{}]).verdict.endswith(": 1 row, 1 error, 1 warning")


def test_entries_on_one_line_are_told_apart_by_column(row, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row(), row(), {"messages": []}]), encoding="utf-8")
    column = len(json.dumps([row()])) + 2
    report = data.check(path)
    [same] = [p for p in report.problems if p.code == "duplicate-row"]
    assert same.column == column and same.message == "与第 1 行第 2 列完全相同"
    assert all(p.column for p in report.problems if p.line)
    cleaned = data.clean(path)
    assert (
        cleaned.changes[-1].message == "与第 1 行第 2 列完全相同"
        and cleaned.left.problems[0].column
    )


def test_what_was_cleaned_adds_up_in_one_line(row):
    rows = [row(), row(), row() | {"id": 1}, row(user="另一个 "), row(user=3)]
    cleaned = data.clean(rows)
    assert cleaned.verdict == "读到 5 条：留下 2 条，改动 2 处，删去 2 条，1 条需要人工处理"
    shown = str(cleaned)
    assert "去掉完全相同的行 × 2（第 2、3 行）" in shown and "[content-type]" in shown
    page = cleaned._repr_html_()
    assert "去掉完全相同的行" in page and "2、3" in page and "<mark" in page


def test_what_was_cleaned_is_used_as_the_list_of_its_rows(row):
    cleaned = data.clean([row(), row(user="另一个")])
    assert cleaned + [row()] == [*cleaned, row()]
    assert [row()] + cleaned == [row(), *cleaned] and cleaned + cleaned == [*cleaned] * 2
    assert cleaned[:1] == [row()] and len(pickle.loads(pickle.dumps(cleaned))) == 2
    for make in (data.check, data.clean, data.load, data.from_messages, data.split):
        assert list(make(cleaned).rows if make is data.check else make(cleaned))[0]


def test_changes_of_a_workbook_name_their_sheet():
    changes = [Change(3, "white-space", "去掉首尾空白", 1, "甲"), Change(4, "comma", "逗号")]
    cleaned = data.Cleaned([], changes, Report("a.xlsx"))
    assert list(cleaned.to_frame()) == ["sheet", "line", "code", "message"]
    assert "甲!3" in str(cleaned) and "第 4 行" in str(cleaned)


UPLOADS = {
    "not text": ("a.jsonl", gzip.compress(broken().encode())),
    "an array": ("a.json", f"[{broken()},\n{broken(content=3)}]".encode()),
    "a broken line": ("a.jsonl", f'{{"messages": "你好\n{broken(role="<b>")}'.encode()),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_panel_and_service_say_what_the_check_says(kind):
    name, content = UPLOADS[kind]
    report = data.check_bytes(content, name)
    errors = [p.code for p in report.problems if p.severity == "error"]
    assert file_check.check(name, content) == file_check.Verdict(str(report), errors[0], True)
    with pytest.raises(DataError) as refused:
        training_file.keep(name, content)
    assert str(refused.value) == str(report)

    page = templates.file_note(TrainingFile(refused.value.report))
    text = html.unescape(re.sub("<[^>]*>", "", page))
    for problem in report.problems:
        assert f"[{problem.code}] {problem.message} → {problem.fix}" in text
        assert "".join(problem.excerpt or "") in text
    assert report.verdict in text and "<b>" not in page


def test_a_file_that_can_be_used_shows_its_warnings_in_the_panel_too(row):
    report = data.check([row(), row()])
    page = templates.file_note(TrainingFile(report))
    assert report.ok and all(p.message in page for p in report.problems)

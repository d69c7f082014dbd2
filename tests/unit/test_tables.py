"""A table is read as the reader sees it, and every row of it is accounted for."""

import io
from datetime import date, datetime, time, timedelta

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data
from cookbook.data import rules, tables
from cookbook.data.tables import csv_text, number_format
from cookbook.errors import DataError


def write_csv(tmp_path, text, name="a.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def write_book(tmp_path, **sheets):
    """Write a workbook; a sheet is a list of rows, or a function that fills it."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        if callable(rows):
            rows(sheet)
        else:
            for row in rows:
                sheet.append(row)
    path = tmp_path / "a.xlsx"
    book.save(path)
    return path


def pairs(cleaned):
    """Return (question, answer) of each row, once the numbers were seen to add up."""
    numbers = [*cleaned.row_numbers, *cleaned.rows_gone, *cleaned.rows_left]
    assert sorted(numbers) == list(range(1, cleaned.read + 1))
    assert {problem.row for problem in cleaned.left.problems} >= set(cleaned.rows_left)
    return [tuple(m["content"] for m in row["messages"]) for row in cleaned]


def left(cleaned):
    return [(problem.line, problem.cell, problem.code) for problem in cleaned.left.problems]


def codes(cleaned):
    return {change.code for change in cleaned.changes}


# Text in columns


def test_a_comma_without_quotes_never_shifts_a_row(tmp_path):
    path = write_csv(tmp_path, "问题,回答\n几点关门？,您好,六点\n有车位吗？,有\n只有问题\n")
    cleaned = data.from_table(path)
    assert pairs(cleaned) == [("有车位吗？", "有")]
    assert left(cleaned) == [(2, None, "table-row"), (4, None, "table-row")]
    assert "3 格" in cleaned.left.problems[0].message


def test_a_comma_at_every_end_is_understood(tmp_path):
    path = write_csv(tmp_path, "问题,回答\n几点关门？,六点,\n有车位吗？,有,\n")
    assert pairs(data.from_table(path)) == [("几点关门？", "六点"), ("有车位吗？", "有")]
    path = write_csv(tmp_path, "问题,回答,\n几点关门？,六点\n有车位吗？,有,\n")
    assert len(pairs(data.from_table(path))) == 2


@pytest.mark.parametrize(
    "text", ["问题;回答\na;b,c\n", "问题\t回答\na\tb,c\n", "问题|回答\na|b,c\n"]
)
def test_the_delimiter_is_found_out(tmp_path, text):
    assert pairs(data.from_table(write_csv(tmp_path, text))) == [("a", "b,c")]


def test_a_mark_behind_a_backslash_is_read_as_mysql_writes_it(tmp_path):
    text = '"问题","回答"\n"说 \\"好\\" 吗？","说了"\n"盘？","他说 \\"是，对\\", 走"\n'
    cleaned = data.from_table(write_csv(tmp_path, text))
    assert pairs(cleaned) == [('说 "好" 吗？', "说了"), ("盘？", '他说 "是，对", 走')]
    assert "escaped-quotes" in codes(cleaned)
    # A path that ends in one is none.
    path = write_csv(tmp_path, '问题,回答\n"哪个盘？","C:\\"\n几点？,六点\n')
    assert pairs(data.from_table(path)) == [("哪个盘？", "C:\\"), ("几点？", "六点")]


def test_a_row_of_sums_is_no_answer(tmp_path):
    path = write_csv(tmp_path, "问题,回答\n几点？,六点\n合计,1\n合计是多少？,3\n")
    cleaned = data.from_table(path)
    assert pairs(cleaned) == [("几点？", "六点"), ("合计是多少？", "3")]
    assert left(cleaned) == [(3, None, "table-row")]


@pytest.mark.parametrize(
    "head",
    ["编号,问1,答1,问2,答2", "序号,第二轮问题,x", "id,user_1,assistant_1,user_2,assistant_2"],
)
def test_numbered_questions_are_the_turns_of_a_conversation(tmp_path, head):
    rows = "1,在吗,在,几点,六点\n2,有票吗,有,,\n3,早,早,没有答,\n"
    path = write_csv(tmp_path, f"{head}\n{rows}")
    if "第二轮" in head:  # one side is lacking
        assert tables.heading.turns(head.split(",")) == []
        return
    cleaned = data.from_table(path)
    assert pairs(cleaned) == [("在吗", "在", "几点", "六点"), ("有票吗", "有")]
    assert left(cleaned) == [(4, "E4", "content-empty")]
    assert len(data.from_messages(path)) == 2
    assert "from_table" in data.recognize(path).call


def test_what_rows_have_beside_a_pair_is_used(tmp_path):
    path = write_csv(tmp_path, "instruction,input,output\n译成英文,你好,Hello\n祝福,,如意\n")
    assert pairs(data.from_table(path)) == [("译成英文\n你好", "Hello"), ("祝福", "如意")]
    path = write_csv(tmp_path, "系统提示词,标准问,答案\n你是店员,几点？,六点\n,有票吗？,有\n")
    assert pairs(data.from_table(path)) == [("你是店员", "几点？", "六点"), ("有票吗？", "有")]


def test_a_name_that_is_mistyped_is_answered_with_the_nearest(tmp_path):
    path = write_csv(tmp_path, "question,answer\n几点？,六点\n")
    with pytest.raises(DataError, match='user="question"'):
        data.from_table(path, user="qestion", assistant="answer")


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("问题,回答\n几点？,六点\n", 'from_table(SOURCE).write("a.jsonl")'),
        ("标题,正文\n几点？,六点\n", "from_table(SOURCE, user="),
        ("发送人,内容,时间\n客户,在吗,2024-1-1 8:00\n", "from_chat_log(SOURCE).write("),
        ("instruction,input,output\n译,你好,Hello\n", "data.from_messages("),
    ],
)
def test_check_and_clean_name_the_same_call_for_a_table(tmp_path, text, call):
    path = write_csv(tmp_path, text)
    call = call.replace("SOURCE", f'"{path}"')
    found = next(p for p in data.check(path).problems if p.code == "other-shape")
    cleaned = data.clean(path)
    [problem] = cleaned.left.problems
    assert call in found.fix and problem.code == "other-shape"
    assert call in problem.fix or "from_messages" in call
    assert cleaned.rows_left == [1]


def test_a_table_without_rows_is_empty_and_nothing_else(tmp_path):
    for text in ("", "问题,回答\n"):
        problems = data.check(write_csv(tmp_path, text)).problems
        assert [p.code for p in problems] == ["file-suffix", "file-empty"]


def test_check_names_the_call_for_a_workbook(tmp_path):
    def fix(**sheets):
        path = write_book(tmp_path, **sheets)
        problem = next(p for p in data.check(path).problems if p.code == "not-text")
        return problem.fix.replace(str(path), path.name)

    rows = [["问题", "回答"], ["几点？", "六点"]]
    assert 'data.from_table("a.xlsx").write("a.jsonl")' in fix(甲=rows)
    assert 'data.from_table("a.xlsx", sheet="甲")' in fix(甲=rows, 乙=rows)
    talk = [["发送人", "时间", "内容"], ["客户", "2024-1-1 8:00", "在吗"]]
    assert 'data.from_chat_log("a.xlsx")' in fix(甲=talk)


def test_a_first_line_names_the_delimiter(tmp_path):
    cleaned = data.from_table(write_csv(tmp_path, "sep=;\r\n问题;回答\r\na,b,c;\r\nd,e,f;x\r\n"))
    assert pairs(cleaned) == [("d,e,f", "x")]
    # Line 3 of the text is row 2 of the spreadsheet.
    assert left(cleaned) == [(3, "B2", "content-empty")]


def test_lines_stay_true_below_a_cell_with_line_breaks(tmp_path):
    cleaned = data.from_table(write_csv(tmp_path, '问题,回答\n"一\n二","说 ""好"""\n\na,\n'))
    assert pairs(cleaned) == [("一\n二", '说 "好"')]
    assert left(cleaned) == [(5, "B4", "content-empty")]
    (blank,) = [change for change in cleaned.changes if change.code == "blank-line"]
    assert blank.line == 4


def test_a_quotation_mark_that_never_closes_takes_no_row_with_it(tmp_path):
    cleaned = data.from_table(write_csv(tmp_path, '问题,回答\na,b\n"c,d\ne,f\n'))
    assert pairs(cleaned) == [("a", "b")]
    assert [line for line, _, _ in left(cleaned)] == [3, 4]
    swallowed = data.from_table(write_csv(tmp_path, '问题,回答\n"a,b\nc,d\ne,"f"\ng,h\n'))
    assert pairs(swallowed) == [("g", "h")] and len(swallowed.rows_left) == 3
    quoted = data.from_table(write_csv(tmp_path, '问题,回答\n"您好"啊,b\nc,d\n'))
    assert pairs(quoted) == [("c", "d")] and "引号" in quoted.left.problems[0].message


def test_a_mark_in_the_midst_of_a_cell_is_text(tmp_path):
    assert pairs(data.from_table(write_csv(tmp_path, '问题,回答\n他说"好",5" 屏\n'))) == [
        ('他说"好"', '5" 屏')
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_the_encoding_is_found_out(tmp_path, encoding):
    path = write_csv(tmp_path, "问题\t回答\n图书馆几点关门？\t六点\n", encoding=encoding)
    cleaned = data.from_table(path)
    assert pairs(cleaned) == [("图书馆几点关门？", "六点")]
    assert codes(cleaned) <= {"bom", "encoding"}


def test_a_row_with_bad_bytes_is_left_to_a_person(tmp_path):
    path = tmp_path / "a.csv"
    good = "图书馆几点关门？,六点关门\n" * 3
    path.write_bytes(f"问题,回答\n{good}".encode() + b"\xe5\xe5\xff,b\n" + good.encode())
    cleaned = data.from_table(path)
    assert len(pairs(cleaned)) == 6 and left(cleaned) == [(5, None, "table-row")]


def test_an_encoding_that_does_not_fit_is_refused(tmp_path):
    path = write_csv(tmp_path, "问题,回答\n几点？,六点\n")
    for encoding, reason in (("ascii", "encoding="), ("no such", "不认识 encoding=")):
        with pytest.raises(DataError, match=reason):
            data.from_table(path, encoding=encoding)


# The heading


def test_titles_and_notes_above_the_heading_are_no_data(tmp_path):
    rows = [["馆内问答"], [], ["说明：内部使用"], ["编号", "问题", "回答"], [1, "几点？", "六点"]]
    cleaned = data.from_table(write_book(tmp_path, 表=rows))
    assert pairs(cleaned) == [("几点？", "六点")]
    assert [c.line for c in cleaned.changes if c.code == "title-row"] == [1, 3]
    assert "编号" in next(c.message for c in cleaned.changes if c.code == "unused-columns")


def test_padded_names_are_the_names(tmp_path):
    path = write_csv(tmp_path, "\ufeff\ufeff 问题\u3000,*Answer（必填）\na,b\n")
    assert pairs(data.from_table(path)) == [("a", "b")]
    assert pairs(data.from_table(path, user="问题", assistant="answer")) == [("a", "b")]
    assert "heading" in codes(data.from_table(path))


def test_a_name_given_twice_is_refused_only_if_it_is_needed(tmp_path):
    path = write_csv(tmp_path, "问题,回答,备注,备注\na,b,c,d\n")
    cleaned = data.from_table(path)
    assert pairs(cleaned) == [("a", "b")] and "repeated-column" in codes(cleaned)
    path = write_csv(tmp_path, "问题,回答,回答\na,b,c\n")
    for names in ({}, {"user": "问题", "assistant": "回答"}):
        with pytest.raises(DataError, match="B、C"):
            data.from_table(path, **names)


def test_a_heading_in_two_languages_or_repeated_is_no_data(tmp_path):
    path = write_csv(tmp_path, "问题,回答\nquestion,answer\na,b\n问题,回答\nc,d\n")
    cleaned = data.from_table(path)
    assert pairs(cleaned) == [("a", "b"), ("c", "d")]
    assert [c.line for c in cleaned.changes if c.code == "title-row"] == [2, 4]


def test_a_heading_merged_over_two_rows_is_one(tmp_path):
    def fill(sheet):
        for row in (["问题", "回复", None], [None, "标准", "口语"], ["几点？", "六点。", "六点哈"]):
            sheet.append(row)
        sheet.merge_cells("A1:A2")
        sheet.merge_cells("B1:C1")

    path = write_book(tmp_path, 表=fill)
    assert pairs(data.from_table(path, user="问题", assistant="口语")) == [("几点？", "六点哈")]


@pytest.mark.parametrize(
    "names",
    [
        "问题,回答",
        "问,答",
        "提问,答案",
        "Question,Answer",
        "prompt,completion",
        "input,output",
        "instruction,output",
        "query,response",
        "Q,A",
        "用户,客服",
    ],
)
def test_usual_names_need_not_be_given(tmp_path, names):
    path = write_csv(tmp_path, f"编号,{names}\n1,a,b\n")
    assert pairs(data.from_table(path)) == [("a", "b")]


def test_a_table_whose_columns_are_not_known_is_refused_in_a_short_message(tmp_path):
    many = ",".join(f"很长的列名{i}" * 20 for i in range(300))
    with pytest.raises(DataError, match="等 300 个") as error:
        data.from_table(write_csv(tmp_path, f"{many}\n" + "x," * 299 + "y\n"))
    assert len(str(error.value)) < 700
    with pytest.raises(DataError, match="最上面加一行"):
        data.from_table(write_csv(tmp_path, "几点开门？,九点\n借几本？,八本\n"))
    with pytest.raises(DataError, match="中文逗号"):
        data.from_table(write_csv(tmp_path, "问题，回答\n几点？，九点\n"))
    with pytest.raises(DataError, match="from_messages"):
        data.from_table(write_csv(tmp_path, '{"instruction": "a", "output": "b"}\n'))


# Workbooks


def test_cells_are_read_as_excel_shows_them(tmp_path):
    shown = {
        (0.85, "0%"): "85%",
        (7, "0000"): "0007",
        (1234.5, "#,##0.00"): "1,234.50",
        (-1234.5, '"¥"#,##0.00;[Red]-"¥"#,##0.00'): "-¥1,234.50",
        (13.5, "[$¥-804]#,##0.0"): "¥13.5",
        (5, '0"元/次"'): "5元/次",
        (13800001111, "000-0000-0000"): "138-0000-1111",
        (1.5, "# ?/?"): "1 1/2",
        (12345, "0.00E+00"): "1.23E+04",
        (0.1 + 0.2, "General"): "0.3",
        (2e-7, "General"): "2E-07",
        (99.5, "General"): "99.5",
        (8.0, "General"): "8",
        (True, "General"): "TRUE",
        ("三", '@"号楼"'): "三号楼",
        (datetime(2024, 3, 1), "yyyy-mm-dd"): "2024-03-01",
        (datetime(2024, 3, 1), 'yyyy"年"m"月"d"日"'): "2024年3月1日",
        (datetime(2024, 3, 1, 15, 4, 5), "m/d/yy h:mm AM/PM"): "3/1/24 3:04 PM",
        (time(9, 5), "h:mm"): "9:05",
        (timedelta(hours=26, minutes=5), "[h]:mm"): "26:05",
        (date(2024, 3, 1), "aaaa"): "星期五",
    }

    def fill(sheet):
        sheet.append(["问题", "回答"])
        for line, (value, code) in enumerate(shown, 2):
            sheet.append([f"第 {line} 行", value])
            sheet.cell(line, 2).number_format = code

    cleaned = data.from_table(write_book(tmp_path, 表=fill))
    assert [answer for _, answer in pairs(cleaned)] == list(shown.values())
    assert not codes(cleaned)


def test_what_excel_may_show_otherwise_is_listed_with_both(tmp_path):
    def fill(sheet):
        sheet.append(["问题", "回答"])
        for value, code in ((5, "[DBNum1]0"), (10**20, "General"), (123456789012, "General")):
            sheet.append(["a", value])
            sheet.cell(sheet.max_row, 2).number_format = code

    cleaned = data.from_table(write_book(tmp_path, 表=fill))
    listed = {(c.line, c.code) for c in cleaned.changes}
    assert listed == {(2, "cell-format"), (3, "long-number"), (4, "cell-format")}
    assert "B2: 5 [[DBNum1]0] → 5" in cleaned.changes[0].message
    assert [answer for _, answer in pairs(cleaned)] == ["5", "1E+20", "123456789012"]


def test_cells_that_cannot_be_read_are_named(tmp_path):
    rows = [
        ["问题", "回答", "备注"],
        ["a", "#N/A", None],
        ["b", '=CONCATENATE("您","好")', None],
        ["c", "d", "#REF!"],
        [None, "没有问题", None],
    ]
    cleaned = data.from_table(write_book(tmp_path, 表=rows))
    assert pairs(cleaned) == [("c", "d")]
    assert left(cleaned) == [
        (2, "B2", "table-cell"),
        (3, "B3", "table-cell"),
        (5, "A5", "content-empty"),
    ]
    assert "公式" in cleaned.left.problems[1].message


def test_merged_cells_are_filled_downwards_only(tmp_path):
    def fill(sheet):
        for row in (["问题", "回答"], ["还书去哪？", "一楼"], [None, "二楼"], ["第二章", None]):
            sheet.append(row)
        sheet.merge_cells("A2:A3")
        sheet.merge_cells("A4:B4")

    cleaned = data.from_table(write_book(tmp_path, 表=fill))
    assert pairs(cleaned) == [("还书去哪？", "一楼"), ("还书去哪？", "二楼")]
    assert left(cleaned) == [(4, "B4", "content-empty")]
    assert "A2:A3" in next(c.message for c in cleaned.changes if c.code == "merged")


def test_no_sheet_is_dropped_unmentioned(tmp_path):
    table = [["问题", "回答"], ["a", "b"]]
    path = write_book(tmp_path, 一=table, 二=table, 空=[])
    with pytest.raises(DataError, match='一、二.*sheet="一"'):
        data.from_table(path)
    assert data.from_table(path, sheet="二").changes[0].sheet is None
    assert "一" in data.from_table(path, sheet=2).changes[0].message
    with pytest.raises(DataError, match="没有工作表"):
        data.from_table(path, sheet="三")
    cleaned = data.from_table(write_book(tmp_path, 说明=[["只有说明", "两格"]], 问答=table))
    assert pairs(cleaned) == [("a", "b")] and "说明" in cleaned.changes[0].message


def test_hidden_rows_are_read_and_mentioned(tmp_path):
    def fill(sheet):
        for row in (["问题", "回答", "备注"], ["a", "b", "x"], ["c", "d", "y"]):
            sheet.append(row)
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["C"].hidden = True

    cleaned = data.from_table(write_book(tmp_path, 表=fill))
    assert len(pairs(cleaned)) == 2
    hidden = " ".join(c.message for c in cleaned.changes if c.code == "hidden")
    assert "行 3" in hidden and "列 C" in hidden


def test_line_breaks_stay_and_marks_of_characters_go(tmp_path):
    cleaned = data.from_table(write_book(tmp_path, 表=[["问题", "回答"], ["a\nb", "c_x000D_\nd"]]))
    assert pairs(cleaned) == [("a\nb", "c\nd")]
    assert codes(cleaned) == {"control-mark"}


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04", b"PAR1\x15\0\xff\xfe\0PAR1", b"\xd0\xcf\x11\xe0\0\0\xff"]
)
def test_a_broken_file_is_refused_in_the_readers_language(tmp_path, content):
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.xlsx") as error:
        data.from_table(path)
    assert "Error" not in str(error.value) and "File" not in str(error.value)


# Memory and Parquet


def test_a_frame_keeps_nested_values(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    frame = pd.DataFrame({"id": [1, 2], "messages": [turns, turns], "score": [0.5, None]})
    first, second = tables.of_frame(frame).entries
    assert first.value == {"id": 1, "messages": turns, "score": 0.5}
    assert second.value["score"] is None
    frame.to_parquet(tmp_path / "a.parquet")
    path = tmp_path / "a.parquet"
    assert [e.value for e in tables.read(path.read_bytes(), path).entries] == [
        first.value,
        second.value,
    ]


def test_a_frame_is_read_with_an_index_that_says_something():
    frame = pd.DataFrame({"回答": ["六点"]}, index=pd.Index(["几点？"], name="问题"))
    assert pairs(data.from_table(frame)) == [("几点？", "六点")]
    columns = pd.MultiIndex.from_tuples([("内容", "问题"), ("内容", "回答")])
    assert pairs(data.from_table(pd.DataFrame([["几点？", "六点"]], columns=columns))) == [
        ("几点？", "六点")
    ]


def test_a_frame_of_questions_becomes_rows():
    frame = pd.DataFrame({"问": ["a", 5.0, [1], None], "答": [7, "x", "y", pd.NaT]})
    cleaned = data.from_table(frame)
    assert pairs(cleaned) == [("a", "7"), ("5", "x")]
    assert left(cleaned) == [(3, None, "table-cell")] and "blank-line" in codes(cleaned)


def test_without_pyarrow_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1\x15\0\xff\xfe\0PAR1")
    with pytest.raises(DataError, match="pip install pyarrow"):
        data.from_table(path)


# Whatever is written


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=8).map(
    lambda text: text.replace("_x", "x")
)
LINES = st.lists(TEXT, min_size=1, max_size=3).map("\n".join)
GRID = st.lists(st.tuples(LINES, LINES), max_size=6)


def compare(cleaned, grid):
    filled = [pair for pair in grid if all(map(rules.has_text, pair))]
    assert pairs(cleaned) == [(a.strip(), b.strip()) for a, b in filled]


@given(GRID)
def test_what_was_written_as_csv_is_read(tmp_path_factory, grid):
    frame = pd.DataFrame([("问题", "回答"), *grid])
    content = frame.to_csv(index=False, header=False).encode()
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(content)
    compare(data.from_table(path), grid)


@given(GRID)
def test_what_was_written_as_xlsx_is_read(tmp_path_factory, grid):
    book = openpyxl.Workbook()
    for line, row in enumerate([("问题", "回答"), *grid], 1):
        for column, text in enumerate(row, 1):
            cell = book.active.cell(line, column, text)
            cell.data_type = "s"  # not a formula, even if it begins with =
    path = tmp_path_factory.getbasetemp() / "written.xlsx"
    book.save(path)
    compare(data.from_table(path), grid)


@given(st.text('",;\n\r\t\0a', max_size=40))
def test_no_text_in_columns_raises_anything_else(text):
    grid = csv_text.grid_of(text)
    assert all(row.line >= 1 for row in grid.rows)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text('0#?,.%E+/-;@"\\[]ymdh: ', max_size=12),
)
def test_no_number_format_raises_anything(value, code):
    text, _ = number_format.shown(value, code)
    assert isinstance(text, str)
    assert isinstance(number_format.shown(datetime(2024, 3, 1, 9), code)[0], str)


@given(st.binary(max_size=60), st.sampled_from(["a.csv", "a.xlsx", "a.parquet", "a.tsv"]))
def test_bytes_are_a_table_or_refused(tmp_path_factory, content, name):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with io.StringIO() as out:
        try:
            print(data.from_table(path), file=out)
        except DataError as error:
            print(error, file=out)

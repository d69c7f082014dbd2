"""The one reader: every layout and every mark of a file, and where each entry is."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import make_row

from cookbook import data
from cookbook.data.reading import layout, read
from cookbook.data.reading import reading as module
from cookbook.data.report.changes import GONE
from cookbook.errors import DataError


@pytest.fixture
def reading(tmp_path):
    def of(content, name="a.jsonl", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read.reading(path, **options)

    return of


def values(result):
    return [entry.value for entry in result.entries]


def done(result):
    return [(change.code, change.line) for change in result.changes]


ROWS = [{"a": 1}, {"a": 2, "b": [{"c": "x, {y}"}]}, {"a": 3}]
LINES = "\n".join(map(json.dumps, ROWS))
INDENTED = json.dumps(ROWS, indent=2)
WRAPPED = json.dumps({"code": 0, "data": ROWS, "total": 3}, indent=1)
VIEWER = json.dumps(
    {
        "features": [{"name": "a"}],
        "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)],
    }
)


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        (LINES, "lines"),
        (LINES.replace("\n", ",\n"), "lines"),
        (LINES.replace("\n", " "), "lines"),
        (LINES.replace("\n", "\n\n\u3000\n"), "lines"),
        (json.dumps(ROWS), "array"),
        (INDENTED, "array"),
        (INDENTED.replace("},\n", "}, // next\n").replace("[\n", "[ # first\n", 1), "array"),
        (INDENTED.replace("\n]", ",\n]"), "array"),
        (json.dumps(ROWS[:2]) + "\n\ufeff" + json.dumps(ROWS[2:]), "array"),
        ("\n".join(json.dumps(row, indent=4) for row in ROWS), "objects"),
        (",\n".join(json.dumps(row, indent=4) for row in ROWS), "objects"),
        ("// exported\n" + INDENTED, "array"),
        (WRAPPED, "object"),
        (VIEWER, "object"),
        ("\n".join([json.dumps(ROWS[0]), json.dumps(ROWS[1], indent=1), '{"a": 3}']), "lines"),
    ],
)
def test_every_layout_gives_the_same_entries(reading, text, layout):
    result = reading(text)
    assert values(result) == ROWS and result.layout == layout
    assert result.count == 3 and not result.unread and not result.left.problems
    for entry in result.entries:
        assert json.loads(entry.text) == entry.value
        line = text.replace("\ufeff", "").split("\n")[entry.place.line - 1]
        assert line[entry.place.column - 1 :].startswith(entry.text.split("\n")[0])


def test_lists_of_turns_are_entries(reading):
    turns = [[{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]] * 2
    assert values(reading(json.dumps(turns))) == turns
    assert values(reading("\n".join(map(json.dumps, turns)))) == turns
    assert values(reading(json.dumps(turns[0], indent=2))) == turns[:1]
    assert values(reading(json.dumps(turns[0]))) == turns[:1]


@pytest.mark.parametrize(
    "first",
    [
        [{"user": "问"}, {"assistant": "答"}],
        [{"prompt": "问", "response": [["答"]]}, {"prompt": "再问", "response": [["再答"]]}],
        ["问", "答"],
        [],
    ],
)
def test_a_list_on_the_first_line_is_not_taken_for_the_whole_file(reading, first):
    assert values(reading("\n".join(map(json.dumps, [first, {"a": 1}])))) == [first, {"a": 1}]


@pytest.mark.parametrize(
    "broken", ['{"items": [{"ro: "user"}], "id": 7}', '{"data": [{："from": 1}]}']
)
def test_a_broken_first_line_is_not_taken_for_the_object_around_all_rows(reading, broken):
    result = reading(broken + "\n" + LINES)
    assert values(result) == ROWS and result.unread == [1]
    turns = (
        '{"conversations": [{："from": "human", "value": "问"}, {"from": "gpt", "value": "答"}]}'
    )
    assert reading(turns).count == 1


def test_what_is_no_object_spoils_no_object_beside_it(reading):
    for text in ('[\n{"a": 1},\nnull,\n3,\n"x"\n]', '{\n"a": 1\n}\nnull\n3\n"x"'):
        assert values(reading(text)) == [{"a": 1}, None, 3, "x"]


def test_cells_in_quotes_do_not_hide_a_table():
    for mark in "\t,;":
        assert layout.is_table(f'问题{mark}回答\n甲{mark}"乙{mark}\n丙"\n', ".txt")
    assert not layout.is_table("好的，谢谢\n再见\n", ".txt")


@pytest.mark.parametrize("key", ["parent_id", "session_id"])
def test_messages_of_several_conversations_are_not_one(reading, key):
    turns = [{"role": "user", "content": "问", key: i} for i in range(3)]
    assert values(reading(json.dumps(turns))) == turns
    one = [turn | {key: 1} for turn in turns]
    assert reading(json.dumps(one)).count == (1 if key == "session_id" else 3)


def test_one_row_is_one_entry_however_it_is_laid_out(reading):
    row = make_row() | {"tools": [{"type": "function"}]}
    assert values(reading(json.dumps(row))) == [row]
    result = reading(json.dumps(row, indent=2), "a.json")
    assert values(result) == [row] and result.layout == "objects"


def test_of_several_lists_nobody_chooses_one(reading):
    text = json.dumps({"train": ROWS, "test": ROWS[:1]})
    with pytest.raises(DataError, match=r"train（3 条）、test（1 条）"):
        reading(text)


def test_what_was_changed_on_a_line_is_noted_with_its_place(reading):
    result = reading('{"a": 1},\n\n  {"a": 2} {"a": 3}, {"a": 4},\n{"a": 5}\n')
    assert done(result) == [("comma", 1), ("blank-line", 2), ("split-line", 3), ("comma", 3)]
    places = [(entry.place.line, entry.place.column) for entry in result.entries]
    assert places == [(1, 1), (3, 3), (3, 12), (3, 22), (4, 1)]
    assert [entry.number for entry in result.entries] == [1, 2, 3, 4, 5]


def test_line_ends_and_marks_of_several_files_are_read(reading):
    parts = '\ufeff{"a": 1}\r\n\ufeff{"a": "x\u2028y\u2029z\x85"}\r{"a": 3}\n'
    result = reading(parts)
    assert values(result) == [{"a": 1}, {"a": "x\u2028y\u2029z\x85"}, {"a": 3}]
    assert done(result) == [("bom", None), ("line-ends", None), ("bom", None)]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le", "utf-8-sig"])
def test_the_encoding_of_a_file_is_found_out(reading, encoding):
    rows = [make_row(assistant="您好，请在订单详情里修改收货地址，再点保存。")] * 3
    for text in (json.dumps(rows, ensure_ascii=False), data.to_jsonl(rows).decode()):
        result = reading(text.encode(encoding))
        assert values(result) == rows and not result.left.problems
        assert ("bom" if encoding == "utf-8-sig" else "encoding", None) in done(result)


def test_lines_in_another_encoding_and_broken_ones_take_no_other_with_them(reading):
    good = json.dumps(make_row(assistant="请在订单详情里修改收货地址。"), ensure_ascii=False)
    lines = [good.encode()] * 3 + [good.encode("gb18030"), b'{"a": "\xff\xff"}']
    result = reading(b"\n".join(lines))
    assert len(result.entries) == 4 and result.unread == [5]
    assert ("encoding", 4) in done(result)
    [problem] = result.left.problems
    assert (problem.code, problem.line, problem.column) == ("encoding", 5, 8)


@pytest.mark.parametrize(
    "broken",
    [
        '{"a" 2, "b": [{"c": 1}]}',
        '{"a": "说"好"的", "b": 2}',
        '{"a": 2, "b": [{"c": 1}}',
        '{"a": 2}}',
        '{"a": "没有收尾}',
        "{'a': 2}",
        '{"a": 2, "b": {"c": }}',
    ],
)
@pytest.mark.parametrize(
    "join",
    [
        lambda rows: "\n".join(rows),
        lambda rows: "[" + ", ".join(rows) + "]",
        lambda rows: "[\n  " + ",\n  ".join(rows) + "\n]\n",
        lambda rows: "[\n" + ",\n".join(rows) + "\n]\n",
        lambda rows: '{"data": [' + ",\n".join(rows) + '], "n": 3}',
        lambda rows: "\n".join(
            "{\n  " + row[1:].replace("}", "\n}", row[-2:] == "}}").removesuffix("}") + "\n}"
            for row in rows
        ),
    ],
)
def test_one_broken_entry_loses_no_other(reading, broken, join):
    result = reading(join(['{"a": 1}', broken, '{"a": 3, "b": []}', '{"a": 4}']))
    assert [value["a"] for value in values(result)] == [1, 3, 4]
    assert result.unread == [2] and result.count == 4
    [problem] = result.left.problems
    assert problem.row == 2 and problem.column is not None and problem.excerpt


def test_a_broken_object_over_lines_has_its_own_line_and_column(reading):
    text = json.dumps([make_row(), make_row(user="另一个"), make_row()], indent=2)
    broken = text.replace('"content": "\\u53e6', '"content"： "\\u53e6')
    assert broken != text
    result = reading(broken)
    assert [entry.number for entry in result.entries] == [1, 3] and result.unread == [2]
    [problem] = result.left.problems
    line = broken.split("\n")[problem.line - 1]
    assert line[problem.column - 1] == "：" and "全角冒号" in problem.message


@pytest.mark.parametrize("text", [LINES, INDENTED, json.dumps(ROWS)])
def test_a_file_that_is_cut_says_in_which_entry(reading, text):
    result = reading(text[: text.index('"a": 3') + 4])
    assert len(result.entries) == 2 and result.unread == [3]
    assert "第 3 条中间断了" in result.left.problems[0].message


def test_an_array_that_is_cut_between_entries_says_so(reading):
    result = reading(INDENTED[: INDENTED.rindex(",")])
    assert "第 2 条之后断了" in result.left.problems[0].message and len(result.entries) == 2


def test_what_is_in_memory_is_read_as_it_is(monkeypatch):
    class Rows:
        def __iter__(self):
            return iter(ROWS)

    inside = {"total": 3, "data": {"rows": ROWS}}
    for source in (ROWS, tuple(ROWS), iter(ROWS), Rows(), {"train": Rows()}, inside):
        result = read.reading(source)
        assert values(result) == ROWS and result.layout == "memory"
        assert [entry.place.line for entry in result.entries] == [1, 2, 3]
    assert values(read.reading(make_row())) == [make_row()]
    for rows in (Rows(), ROWS):
        with pytest.raises(DataError, match="train、test"):
            read.reading({"train": rows, "test": rows})
    with pytest.raises(DataError, match="给文件路径"):
        read.reading(io.BytesIO(b"{}"))
    for source in (None, 3, b"{}"):
        with pytest.raises(DataError, match=type(source).__name__):
            read.reading(source)


def test_what_cannot_be_opened_is_named_in_one_language(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere", "", "\0", tmp_path / ("x" * 999), '{"a": 1}' * 99):
        with pytest.raises(DataError) as raised:
            read.reading(path)
        assert not {"No such", "Errno", "directory"} & set(raised.value.zh.split())
        # A reader may give the content instead of a path.
        assert len(raised.value.zh) < 120 and "读不了 ：" not in raised.value.zh


def test_a_huge_file_and_too_many_entries_are_refused(reading, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    with pytest.raises(DataError, match="超过 2 条"):
        reading(LINES)
    monkeypatch.setattr(module, "MAX_UNREAD", 1)
    with pytest.raises(DataError, match="第一条在第 1 行：不是合法的 JSON"):
        reading("x\ny")
    monkeypatch.setattr(read, "MAX_SOURCE_BYTES", 10)
    with pytest.raises(DataError, match="MB"):
        reading(LINES)
    with pytest.raises(DataError, match="空字节"):
        reading("\0" * 99)


ROW = make_row()
LINE = json.dumps(ROW, ensure_ascii=False)
PART = st.sampled_from(
    [
        LINE,
        json.dumps(make_row(user="别的问题"), ensure_ascii=False),
        json.dumps(make_row() | {"messages": []}),
        json.dumps(ROW, ensure_ascii=False, indent=2),
        LINE[:-9],
        LINE.replace('"role"', '"role', 1),
        LINE.replace(":", "：", 1),
        LINE + "}",
        "[]",
        "7",
        "not json",
    ]
)
BETWEEN = st.sampled_from(["\n", "\r\n", "\r", ",\n", " ", ", ", "\n\n", "\n\u3000\n"])
AROUND = st.sampled_from(
    [("", ""), ("", "\n"), ("[", "]"), ("[\n  ", "\n]\n"), ('{"data": [', "]}")]
)


@given(st.lists(st.tuples(PART, BETWEEN), max_size=7), AROUND, st.booleans())
def test_numbers_add_up_whatever_the_file(tmp_path_factory, parts, around, has_mark):
    text = around[0] + "".join(part + between for part, between in parts) + around[1]
    path = tmp_path_factory.mktemp("made") / "a.jsonl"
    path.write_bytes(("\ufeff" * has_mark + text).encode())
    cleaned = data.clean(path)
    gone = {change.row for change in cleaned.changes if change.code in GONE}
    groups = [set(cleaned.row_numbers), gone, set(cleaned.rows_left)]
    assert set.union(*groups) == set(range(1, cleaned.read + 1))
    assert sum(map(len, groups)) == cleaned.read
    # One sentence may be about all of them.
    reported = {problem.row for problem in cleaned.left.problems}
    assert reported >= groups[2] or None in reported


@given(st.lists(st.sampled_from([LINE, LINE[:-9], LINE.replace(":", "：", 1)]), min_size=1))
def test_each_line_of_a_file_is_an_entry(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("made") / "a.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    result = read.reading(path)
    assert result.count == len(lines) and len(result.entries) == lines.count(LINE)


@given(st.binary(max_size=300))
def test_no_bytes_give_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("made") / "a.jsonl"
    path.write_bytes(content)
    try:
        result = read.reading(path)
    except DataError:
        return
    assert result.count == len(result.entries) + len(result.unread)


TURN = {"prompt": "几点？", "response": [["九点。"]]}


@pytest.mark.parametrize(
    ("text", "count", "layout"),
    [
        (json.dumps([TURN, TURN]) + "\n" + json.dumps([TURN]), 2, "lines"),
        (json.dumps([[TURN, TURN], [TURN]]), 2, "array"),
        ("\n".join(json.dumps(json.dumps({"a": i})) for i in range(3)), 3, "lines"),
        ("\n".join(f'{i}. {{"a": {i}, "b": 2, "c": 3}}' for i in range(3)), 3, "lines"),
        ('{"a": "x\ny\nz"}\n{"a": 1}\n', 2, "lines"),
        ('{"a": 1}\n{"a": "x\n\n}"}\n{"a": 3}', 3, "lines"),
    ],
)
def test_an_entry_is_never_taken_for_several_nor_for_a_table(reading, text, count, layout):
    result = reading(text)
    assert (result.count, result.layout) == (count, layout)
    assert len(result.entries) + len(result.unread) == count

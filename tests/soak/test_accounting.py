"""Nothing is lost: every entry is a row, or a change or a problem says what became of it.

Files are put together from entries of all formats, sound, damaged and repeated, in every layout and
encoding. Each text of an entry has a mark of its own, so that it can be found again.
"""

import csv
import dataclasses
import io
import itertools
import json
import os

import openpyxl
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from shape_examples import KNOWN, REFUSED, A, Q
from support import assert_accounted

from cookbook import data
from cookbook.data.damage import REPAIRABLE
from cookbook.data.report.changes import GONE
from cookbook.data.report.codes import CODES
from cookbook.errors import DataError

WARNINGS = [code for code, known in CODES.items() if known.severity == "warning"]
EXPECTED = {"file-empty", "row-count", "too-long"}
# Changes after which a text is not what the source has.
OF_TEXT = {*REPAIRABLE, "separators", "control-mark", "decoded", "content-parts"}
OF_TEXT |= {"control", "json-marks", "python", "unquoted"}
DAMAGE = [
    "",
    "",
    "",
    "",
    "\\n第二行",
    "&quot;引&quot;",
    "<br/>",
    "_x000D_",
    "\ufffd",
    "锟斤拷",
    "\u200b",
    "<think>想",
    "<think>想</think>",
    "<|im_end|>",
    "\u2028",
    "\n\n\n",
    " ",
    "：，“”",
    "'",
    '"',
    "𠮷",
    "\\u4e2d",
    "13812345678",
    "sk-abcdefghijklmnopqrstuvwxyz123456",
    "ä½ å¥½",
    "\\",
]


@dataclasses.dataclass
class Written:
    """A source, and where its entries are: (first line, last line, value) of each, in order."""

    name: str
    content: bytes
    entries: list[tuple[int, int, object]]


def marked(value, mark, damage):
    """Return an entry whose texts have a mark and some damage; other entries have others."""
    if isinstance(value, dict):
        return {key: marked(each, mark, damage) for key, each in value.items()}
    if isinstance(value, list):
        return [marked(each, mark, damage) for each in value]
    if isinstance(value, str) and any(text in value for text in (Q, A)):
        for text in (Q, A):
            value = value.replace(text, f"{text}{mark}{damage}")
    return value


def weighted(value, weights):
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        return value
    weighted_messages = []
    for message, (key, weight) in zip(messages, itertools.cycle(weights), strict=False):
        is_answer = message.get("role") == "assistant"
        weighted_messages.append(message | ({key: weight} if is_answer else {}))
    return value | {"messages": weighted_messages}


def tool_calling(value):
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    return {"messages": [{"role": "user", "content": Q}, call]}


def repeated_roles(value):
    messages = [{"role": role, "content": Q} for role in ("user", "user", "assistant", "user")]
    return {"messages": messages}


def long(value):
    return {"messages": [{"role": "user", "content": Q * 900}, {"role": "assistant", "content": A}]}


def odd_role(value):
    return {"messages": [{"role": "客官", "content": Q}, {"role": "ASSISTANT", "content": A}]}


def opening(value):
    greeting = {"role": "assistant", "content": "您好"}
    question = {"role": "user", "content": f"  {Q}"}
    return {"messages": [greeting, question, {"role": "assistant", "content": A}], "id": 3}


JUNK = [None, 0, "", "x", True, [], {}, [[]], [1], {"messages": []}, {"messages": [3]}, 1e300]
JUNK += [{"messages": "[]"}, {"a": {"b": [Q]}}, {"messages": [{"role": "user"}]}, [Q, 3]]
MADE = [tool_calling, repeated_roles, long, odd_role, opening]
WEIGHTS = st.tuples(
    st.sampled_from(["weight", "weight", "loss", "train", "loss_weight"]),
    st.sampled_from([0, 0, 1, 0.5, False, True, "0", None]),
)


@st.composite
def entries(draw):
    """Draw entries of any formats."""
    # Most files have one format.
    usual = draw(st.sampled_from(KNOWN))[1]
    found = []
    for number in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from("uuuuukkkrjmwd"))
        value = usual
        if kind == "k":
            value = draw(st.sampled_from(KNOWN))[1]
        elif kind == "r":
            value = draw(st.sampled_from(REFUSED))[1]
        elif kind == "j":
            value = draw(st.sampled_from(JUNK))
        elif kind == "m":
            value = draw(st.sampled_from(MADE))(None)
        elif kind == "w":
            value = weighted(KNOWN[0][1], draw(st.lists(WEIGHTS, min_size=1, max_size=3)))
        if kind == "d" and found:
            found.append(draw(st.sampled_from(found)))
        else:
            found.append(marked(value, f"〔{number}〕", draw(st.sampled_from(DAMAGE))))
    return found


ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "gb18030"]
LINE_ENDS = ["\n", "\n", "\r\n", "\r"]


def encoded(draw, text):
    text = text.replace("\n", draw(st.sampled_from(LINE_ENDS)))
    # Half a surrogate pair has no bytes.
    return text.encode(draw(st.sampled_from(ENCODINGS)), "replace")


def unmistakable(values, layout):
    """Return values of which the first is not taken for the array of all rows."""
    first = values[0] if values else None
    if not isinstance(first, list):
        return values
    followed = len(values) > 1 and isinstance(values[1], dict | list)
    return values if first and followed and layout == "lines" else [{}, *values[1:]]


@st.composite
def json_files(draw):
    """Draw a file of JSON values in any layout."""
    values = draw(entries().filter(bool))
    layout = draw(st.sampled_from(["lines", "lines", "array", "indented", "objects", "wrapper"]))
    ascii_only = draw(st.booleans())
    indent = None if layout in ("lines", "array") else draw(st.sampled_from([1, 2, 4]))
    if layout in ("lines", "objects"):
        values = unmistakable(values, layout)
    texts = [json.dumps(value, ensure_ascii=ascii_only, indent=indent) for value in values]
    before, between, after = "", "\n", ""
    if layout in ("array", "indented"):
        before, between, after = "[\n", ",\n", "\n]"
    elif layout == "wrapper":
        before, between, after = '{"total": 3, "data": [\n', ",\n", "\n]}"
    text, placed = before, []
    for index, each in enumerate(texts):
        line = text.count("\n") + 1
        placed.append((line, line + each.count("\n"), values[index]))
        text += each
        is_last = index + 1 == len(texts)
        if layout == "lines":
            odd = draw(st.sampled_from([""] * 6 + [",", "\n", "\n \t", "   "]))
            # Two objects on a line.
            can_join = isinstance(values[index], dict) and not is_last
            if can_join and isinstance(values[index + 1], dict) and draw(st.integers(0, 9)) == 0:
                odd, is_last = " ", True
            text += odd + ("" if is_last else between)
        elif not is_last:
            text += between
    text += after + draw(st.sampled_from(["", "\n", "\n\n"]))
    name = draw(st.sampled_from(["a.jsonl", "a.json", "a.txt"]))
    return Written(name, encoded(draw, text), placed)


@st.composite
def broken_lines(draw):
    """Draw a file of lines, some of which are no JSON."""
    values = draw(entries())
    values = unmistakable(values, "lines")
    lines = []
    placed = []
    for value in values:
        text = json.dumps(value, ensure_ascii=False)
        # A bracket alone may as well begin an object over several lines.
        if isinstance(value, dict) and value and draw(st.integers(0, 3)) == 0:
            at = draw(st.integers(1, max(1, len(text) - 1)))
            text = (
                text[:at]
                + draw(st.sampled_from(["", "：", "“", '"', "}", "]", "x", "\\"]))
                + (text[at + draw(st.integers(0, 3)) :])
            )
            value = text
        placed.append((len(lines) + 1, len(lines) + 1, value))
        lines.append(text)
    return Written("a.jsonl", encoded(draw, "\n".join(lines)), placed)


CELLS = st.one_of(
    st.builds("{}{}".format, st.sampled_from([Q, A]), st.sampled_from(DAMAGE)),
    st.sampled_from(["", " ", "是", "0007", "85%", "a,b", "第一\n第二", '"', "nan", "None"]),
)


@st.composite
def tables(draw):
    heads = draw(st.sampled_from([["问题", "回答"], ["question", "answer", "id"]]))
    rows = draw(st.lists(st.lists(CELLS, min_size=len(heads), max_size=len(heads)), max_size=8))
    rows = [
        [f"{cell}〔{i}〕" if cell.strip() and draw(st.booleans()) else cell for cell in row]
        for i, row in enumerate(rows)
    ]
    # Without a row there is no table to see.
    rows.append(["能借几天？", "三十天。", "8"][: len(heads)])
    if draw(st.booleans()):
        mark = draw(st.sampled_from(",\t;"))
        text, placed = csv_of([heads, *rows], mark)
        name = draw(st.sampled_from(["t.csv", "t.txt", "t.tsv" if mark == "\t" else "t.jsonl"]))
        return Written(name, encoded(draw, text), placed)
    book, written = openpyxl.Workbook(), io.BytesIO()
    for row in [heads, *rows]:
        book.active.append([cell or None for cell in row])
    book.save(written)
    placed = [(line, line, row) for line, row in enumerate(rows, 2) if is_filled(row)]
    return Written(draw(st.sampled_from(["t.xlsx", "t.jsonl"])), written.getvalue(), placed)


def is_filled(row):
    """Return whether a row is an entry: blank ones are none."""
    return any(cell.strip() for cell in row)


def csv_of(rows, mark=","):
    """Return the text of a table with a heading, and where its entries are."""
    text, placed = io.StringIO(), []
    writer = csv.writer(text, lineterminator="\n", delimiter=mark)
    for row in rows:
        first = text.getvalue().count("\n") + 1
        writer.writerow(row)
        if is_filled(row):
            placed.append((first, text.getvalue().count("\n"), row))
    return text.getvalue(), placed[1:]


@st.composite
def chat_logs(draw):
    rows = [["时间", "发送人", "内容"]]
    minute = 0
    for number in range(draw(st.integers(4, 12))):
        minute += draw(st.sampled_from([0, 1, 5, 50, 61, -3]))
        when = f"2024-03-{1 + max(minute, 0) // 1440:02} {max(minute, 0) // 60 % 24:02}:30:00"
        text = draw(st.sampled_from([Q, A, "[图片]", "好的", "在吗", " ", "撤回了一条消息"]))
        rows.append([when, draw(st.sampled_from(["我", "小云"])), f"{text}〔{number}〕"])
    text, placed = csv_of(rows)
    return Written("log.csv", encoded(draw, text), placed)


def strings(value):
    """Yield every text of a value, those inside of JSON texts too."""
    if isinstance(value, str):
        yield value
        if value[:1] in ("[", "{"):
            try:
                yield from strings(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)


def assert_reasons(cleaned, file):
    """Every entry that is not a row has a reason, at a line where it is."""
    problems = {}
    for problem in cleaned.left.problems:
        assert problem.message and problem.fix, problem
        if problem.row is not None and problem.severity == "error":
            problems.setdefault(problem.row, []).append(problem)
    assert set(problems) == set(cleaned.rows_left)
    for code in GONE:
        assert all(c.row and c.line and c.message for c in cleaned.changes if c.code == code)
    for number, found in problems.items():
        first, last, _ = file.entries[number - 1]
        for problem in found:
            assert first <= problem.line <= last, (problem, first, last)
    for change in cleaned.changes:
        if change.row is not None:
            first, last, _ = file.entries[change.row - 1]
            assert first <= change.line <= last, change


def assert_texts(cleaned, file):
    """No text comes from elsewhere."""
    changed = set()
    for change in cleaned.changes:
        if change.code in OF_TEXT:
            changed.add(change.row)
            changed |= {
                number
                for number, (first, last, _) in enumerate(file.entries, 1)
                if first <= (change.line or 0) <= last
            }
    joined = any(change.code == "joined" for change in cleaned.changes)
    for number, row in zip(cleaned.row_numbers, cleaned.rows, strict=True):
        values = [e for *_, e in file.entries] if joined else file.entries[number - 1][2]
        source = "\n".join(strings(values))
        for message in row["messages"]:
            for line in message["content"].split("\n"):
                assert number in changed or line.strip() in source, (line, source)


def assert_sound(cleaned, path):
    """The rows can be trained on, and stay what they are once written."""
    errors = [p for p in data.check(cleaned).problems if p.severity == "error"]
    assert {p.code for p in errors} <= EXPECTED, errors
    if not cleaned.rows:
        return
    written = cleaned.write(path.with_name("written.jsonl"))
    assert data.check(written, max_tokens=None).rows == cleaned.rows
    again = data.clean(written)
    assert not {c.code for c in again.changes} - {"duplicate-row"}, again.changes
    assert all(row in cleaned.rows for row in again.rows)
    assert {p.code for p in again.left.problems} <= EXPECTED


def accounted(make, file, path):
    note(f"{file}")
    path.write_bytes(file.content)
    try:
        cleaned = make(path)
    except DataError as error:
        assert error.zh and error.en
        return None
    finally:
        assert path.read_bytes() == file.content
    assert cleaned.read == len(file.entries), (cleaned, file)
    assert_accounted(cleaned)
    assert_reasons(cleaned, file)
    assert_texts(cleaned, file)
    assert_sound(cleaned, path)
    assert isinstance(repr(cleaned), str) and cleaned._repr_html_() and len(cleaned.to_frame()) >= 0
    return cleaned


trying = settings(
    max_examples=int(os.environ.get("N", 600)),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate, Phase.shrink),
)
CLEANING = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.just({"客官": "user"}),
        "drop": st.lists(st.sampled_from(WARNINGS), max_size=3),
        "fix": st.lists(st.sampled_from((*REPAIRABLE, "json")), max_size=5),
        "weights": st.sampled_from(["mask", "drop"]),
    },
)
CONVERTING = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.just({"客官": "user"}),
        "chosen": st.booleans(),
        "assistant": st.just("我"),
    },
)


@pytest.mark.parametrize(
    "files", [json_files(), broken_lines(), tables()], ids=["json", "broken", "table"]
)
def test_clean_accounts_for_every_entry(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")

    @trying
    @given(files, CLEANING)
    def tried(file, options):
        accounted(lambda path: data.clean(path, **options), file, folder / file.name)

    tried()


@pytest.mark.parametrize(
    "files",
    [json_files(), broken_lines(), tables(), chat_logs()],
    ids=["json", "broken", "table", "log"],
)
def test_from_messages_accounts_for_every_entry(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("convert")

    @trying
    @given(files, CONVERTING)
    def tried(file, options):
        accounted(lambda path: data.from_messages(path, **options), file, folder / file.name)

    tried()


def test_from_table_accounts_for_every_row(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")

    @trying
    @given(tables())
    def tried(file):
        accounted(data.from_table, file, folder / file.name)

    tried()


def test_from_chat_log_accounts_for_every_message(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")

    @trying
    @given(chat_logs(), st.sampled_from([1, 60, 10**6]))
    def tried(file, gap):
        def make(path):
            return data.from_chat_log(path, assistant="我", gap_minutes=gap)

        accounted(make, file, folder / file.name)

    tried()


def test_rows_in_memory_are_accounted_for_and_not_changed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")

    @trying
    @given(entries(), st.sampled_from([data.clean, data.from_messages]))
    def tried(values, make):
        before = json.dumps(values)
        file = Written("memory", b"", [(i, i, value) for i, value in enumerate(values, 1)])
        accounted(lambda path: make(values), file, folder / file.name)
        assert json.dumps(values) == before

    tried()

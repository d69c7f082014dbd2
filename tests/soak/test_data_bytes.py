"""Damaged files of all kinds: whoever reads them gives rows, a report or a DataError, and says it
shortly. Nothing else, no character that the file did not have, and no file that hangs."""

import bz2
import gzip
import io
import json
import signal
import zipfile
from contextlib import contextmanager

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import assert_accounted

from cookbook import data
from cookbook.data import damage
from cookbook.errors import DataError

HANGS = 60  # seconds; each call takes a few hundredths
LONGEST = 600  # characters of a message
PAIRS = [
    ("怎么退货？", "七天之内可以在订单页面申请。"),
    ("明天下午三点开会吗？", "是的，请准时到。"),
    ("价格是多少？", "一百九十九元，含税。"),
    ("hello", 'world, it\'s a "test"'),
    ("订单已经发货了吗？", "已经发货，请在两天内查收。"),
]
TRADITIONAL = str.maketrans("么货内订单页请开时价为发两查", "麼貨內訂單頁請開時價為發兩查")
READERS = {
    "check": data.check,
    "clean": data.clean,
    "recognize": data.recognize,
    "from_messages": data.from_messages,
    "from_table": lambda path: data.from_table(path, user="问题", assistant="回答"),
    "from_chat_log": lambda path: data.from_chat_log(path, assistant="我"),
    "load": data.load,
    "validation": lambda path: data.check(messages_of_all(), validation=path),
    "fixed": lambda path: data.clean(path, fix=[*damage.REPAIRABLE, "json"], weights="drop"),
    "big5": lambda path: data.clean(path, encoding="big5"),
    "sheet": lambda path: data.from_messages(path, sheet="另一页", requests=path),
}
CHECKS = ("check", "validation")


def messages(question, answer):
    turns = [("user", question), ("assistant", answer)]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def messages_of_all():
    return [messages(*pair) for pair in PAIRS]


def texts():
    """Return files of text by the ends of their names."""
    rows = messages_of_all()
    dialogs = [
        {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]}
        for q, a in PAIRS
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    quoted = ['"' + '","'.join(cell.replace('"', '""') for cell in pair) + '"' for pair in PAIRS]
    table = "\r\n".join(["问题,回答", *quoted])
    spoken, logged = [], ["时间,发送人,内容"]
    for i, text in enumerate(text for pair in PAIRS for text in pair):
        when, speaker = f"2024-03-0{i // 4 + 1} 1{i % 4}:05:00", ("小云", "我")[i % 2]
        spoken.append(f"{when} {speaker}\n{text}\n")
        quoted_text = text.replace('"', '""')
        logged.append(f'{when},{speaker},"{quoted_text}"')
    return {
        "-log.txt": "\n".join(spoken),
        "-log.csv": "\n".join(logged),
        ".jsonl": "\n".join(lines),
        "-array.json": json.dumps(rows, ensure_ascii=False),
        "-indented.json": "\n".join(json.dumps(row, ensure_ascii=False, indent=2) for row in rows),
        "-sharegpt.json": json.dumps(dialogs, ensure_ascii=False, indent=1),
        ".csv": table,
        ".tsv": "\n".join("\t".join(pair) for pair in [("问题", "回答"), *PAIRS]),
        "-page.jsonl": f"<!doctype html><html><body>{table}</body></html>",
    }


def in_every_encoding():
    made = {}
    for end, text in texts().items():
        for codec in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "utf-32"):
            made[codec + end] = text.encode(codec)
        made["big5" + end] = text.translate(TRADITIONAL).encode("big5", "replace")
        made["cp932" + end] = text.encode("cp932", "replace")
    return made


def binaries():
    jsonl = texts()[".jsonl"].encode()
    book, workbook = openpyxl.Workbook(), io.BytesIO()
    for pair in [("问题", "回答"), *PAIRS]:
        book.active.append(pair)
    book.create_sheet("另一页").append(["a", 1, None, True])
    book.save(workbook)
    parquet, archive = io.BytesIO(), io.BytesIO()
    table = pyarrow.table({"问题": [q for q, _ in PAIRS], "回答": [a for _, a in PAIRS]})
    pyarrow.parquet.write_table(table, parquet)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("train.jsonl", jsonl)
    return {
        "book.xlsx": workbook.getvalue(),
        "rows.parquet": parquet.getvalue(),
        "rows.jsonl.gz": gzip.compress(jsonl),
        "rows.jsonl.bz2": bz2.compress(jsonl),
        "rows.zip": archive.getvalue(),
        "old.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    }


WHOLE_TEXTS = in_every_encoding()
FILES = WHOLE_TEXTS | binaries()
# Every character that was written; "?" is what an encoding has in place of those it lacks.
KNOWN = (
    {"?"} | set("".join(texts().values())) | set("".join(texts().values()).translate(TRADITIONAL))
)


@contextmanager
def ended_in_time():
    def hang(*_):
        raise TimeoutError(f"no end after {HANGS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(reader, path):
    """Return what a reader makes of a file, or the error."""
    try:
        with ended_in_time():
            return READERS[reader](path)
    except DataError as error:
        assert error.zh and error.en or error.report
        assert error.report or len(str(error)) < LONGEST, str(error)
        return error


def assert_short(result):
    problems = getattr(result, "problems", None) or getattr(
        getattr(result, "left", None), "problems", []
    )
    for problem in problems:
        assert len(problem.message) < LONGEST, problem
    if isinstance(result, data.Cleaned):
        assert_accounted(result)
        reported = {problem.row for problem in problems if problem.severity == "error"}
        # Of a file that is all in another format, it is said once.
        assert reported - {None} == set(result.rows_left) or "other-shape" in str(result)
    # Whatever displays it has to come to an end too.
    assert isinstance(repr(result), str)


@st.composite
def damaged(draw):
    """Draw a file and do to it what disks, networks, editors and people do."""
    name = draw(st.sampled_from(sorted(FILES)))
    content = FILES[name]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["cut", "flip", "insert", "lose", "join", "blank", "repeat"]))
        if kind == "cut":
            content = content[:at]
        elif kind == "flip":
            flipped = bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) if content else b""
            content = content[:at] + flipped + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + draw(st.binary(max_size=8)) + content[at:]
        elif kind == "lose":
            content = content[:at] + content[at + draw(st.integers(1, 40)) :]
        elif kind == "join":
            content += FILES[draw(st.sampled_from(sorted(FILES)))]
        elif kind == "blank":
            content = content[:at] + bytes(draw(st.integers(1, 40))) + content[at + 10 :]
        else:
            content = content[:at] * 2 + content[at:]
    name = draw(st.sampled_from([name, name, "train.jsonl", "a.csv", "b.xlsx", "c.json", "d"]))
    return name, content


fuzzing = settings(
    max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_give_rows_a_report_or_an_error(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp(reader)

    @fuzzing
    @given(damaged())
    def tried(file):
        name, content = file
        path = folder / name
        path.write_bytes(content)
        result = read(reader, path)
        assert reader not in CHECKS or not isinstance(result, DataError)
        if not isinstance(result, DataError):
            assert_short(result)

    tried()


@pytest.mark.parametrize("reader", READERS)
def test_random_bytes_give_a_report_or_an_error(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp(reader)

    @fuzzing
    @given(
        st.binary(max_size=2000), st.sampled_from(["a.jsonl", "b.csv", "c.xlsx", "d.parquet", "e"])
    )
    def tried(content, name):
        path = folder / name
        path.write_bytes(content)
        result = read(reader, path)
        if not isinstance(result, DataError):
            assert_short(result)

    tried()


def every_text(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from every_text(each)
    elif isinstance(value, list):
        for each in value:
            yield from every_text(each)


@pytest.mark.parametrize("reader", ["clean", "from_messages", "from_table", "from_chat_log"])
def test_a_file_that_is_cut_is_never_misread(reader, tmp_path):
    """Wherever a text is cut, in whatever encoding: what is read was in it."""
    for name, content in WHOLE_TEXTS.items():
        for end in range(0, len(content), max(1, len(content) // 40)):
            path = tmp_path / name
            path.write_bytes(content[:end])
            result = read(reader, path)
            rows = [] if isinstance(result, DataError) else list(result)
            read_as = set("".join(every_text(rows)))
            assert read_as <= KNOWN, (name, end, read_as - KNOWN)

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook import data
from cookbook.data import json_text, rules
from cookbook.data.report import Report
from cookbook.data.rules.fast import lines as fast_lines
from cookbook.paths import DATA

TEXT = st.text(alphabet='答a"\\ \n\u3000:{,', max_size=6)
ROLES = st.sampled_from(["system", "user", "assistant", "bot"])
MESSAGE = st.fixed_dictionaries({"role": ROLES, "content": TEXT})
WORDS = st.sampled_from(
    ['"role":1,', '"r\\u006fle":"user",', '"content":"",', '"messages":[],', '"x":0,', " ", '\\"']
)


@st.composite
def near_usual_lines(draw):
    """Lines near the usual shape, however they are written, with something put in somewhere."""
    messages = draw(st.lists(MESSAGE, max_size=3))
    if draw(st.booleans()):
        messages = [{"role": r, "content": draw(TEXT)} for r in ("system", "user", "assistant")]
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]))
    line = json.dumps(
        {"messages": messages}, ensure_ascii=draw(st.booleans()), separators=separators
    )
    if draw(st.booleans()):
        line = line.replace('\\"', "\\u0022")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.sampled_from([i + 1 for i, c in enumerate(line) if c in "{,"]))
        line = line[:at] + draw(WORDS) + line[at:]
    return line


def parse(line):
    return fast_lines.row_of(line, fast_lines.value_of(line))


@given(near_usual_lines())
def test_what_is_taken_quickly_has_no_problem_when_looked_at_closely(line):
    row = parse(line.encode())
    if row is not None:
        report = Report("a.jsonl")
        assert json_text.parse(line) == row
        assert rules.check_row(report, 1, row) and not report.problems


@given(st.lists(near_usual_lines(), max_size=4))
def test_both_paths_give_the_same_report(lines):
    content = "\n".join(lines).encode()
    with pytest.MonkeyPatch.context() as patch:
        fast = data.check_bytes(content, "a.jsonl")
        patch.setenv("COOKBOOK_FAST", "0")
        plain = data.check_bytes(content, "a.jsonl")
    assert fast == plain
    assert [p.excerpt for p in fast.problems] == [p.excerpt for p in plain.problems]


def test_both_paths_give_the_same_report_of_the_messy_export(monkeypatch):
    fast = data.check(DATA / "raw" / "export.jsonl")
    monkeypatch.setenv("COOKBOOK_FAST", "0")
    monkeypatch.setattr(fast_lines, "row_of", None)  # must not be called
    assert data.check(DATA / "raw" / "export.jsonl") == fast


@pytest.mark.parametrize("text", ["问", "\ud800", " ", ""])
def test_both_paths_give_the_same_report_of_rows_in_memory(row, monkeypatch, text):
    fast = data.check([row(user=text)])
    monkeypatch.setenv("COOKBOOK_FAST", "0")
    assert data.check([row(user=text)]) == fast


@pytest.mark.parametrize("style", [{}, {"ensure_ascii": False}, {"separators": (",", ":")}])
def test_usual_lines_are_taken_quickly_however_they_are_written(row, style):
    given = row(user='写成 "JSON"\n给我', assistant="C:\\目录 🙂")
    assert parse(json.dumps(given, **style).encode()) == given


@pytest.mark.parametrize(
    "twice", ['"role": "user", "role": "user"', '"role": 1, "r\\u006fle": "user"']
)
def test_a_key_given_twice_is_never_taken_quickly(row, twice):
    line = json.dumps(row(), ensure_ascii=False).replace('"role": "user"', twice)
    assert parse(line.encode()) is None

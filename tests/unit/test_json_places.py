"""Where a value or a character is in the source text of JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.data.entry import Place
from cookbook.data.json_text.places import Places, locate, position
from cookbook.data.report import Report, columns

TEXT = '{"id": 1, "messages": [{"role": "user", "content": "a\\n\\u4e2d\\ud83d\\ude00b\\"c"}, 7]}'


def cut(path, offset=None, text=TEXT):
    found = locate(text, path, offset)
    return found and text[slice(*found)]


def test_a_value_is_found_at_its_path():
    assert cut(()) == TEXT and cut(("id",)) == "1"
    assert cut(("messages", 0, "role")) == '"user"' and cut(("messages", 1)) == "7"
    for path in (("x",), ("messages", 2), ("messages", 1, "role"), ("id", 0), ("messages", "a")):
        assert cut(path) is None


def test_a_character_is_found_behind_escapes():
    content = ("messages", 0, "content")
    found = [cut(content, i) for i in range(8)]
    assert found == ["a", "\\n", "\\u4e2d", "\\ud83d\\ude00", "b", '\\"', "c", '"']


@given(st.text(), st.booleans())
def test_each_character_of_any_string_is_found(value, ascii_only):
    text = json.dumps({"x": value}, ensure_ascii=ascii_only)
    found = [json.loads(f'"{cut(("x",), i, text)}"') for i in range(len(value))]
    assert "".join(found) == value


@given(st.text(alphabet='{}[]",:\\ua1 \n', max_size=40))
def test_broken_text_has_places_or_none(text):
    for path in ((), ("a",), (0,), (0, "a"), ("1", 0)):
        found = locate(text, path, 1)
        assert found is None or 0 <= found[0] < found[1] <= len(text)


def test_lines_and_columns_count_from_the_place_of_the_entry():
    text = '{\n  "a": 1\n}'
    assert position(text, 0, Place(4, 3)) == (4, 3)
    assert position(text, 1, Place(4, 3)) == (4, 4)  # the line end itself
    assert position(text, 2, Place(4, 3)) == (5, 1)
    assert position(text, text.index("1"), Place(4)) == (5, 8)


def test_many_places_in_one_text_take_one_walk(monkeypatch):
    text = json.dumps({"messages": [{"content": "a\n" * 50}] * 50})
    places = Places(text)
    walks = []
    decode = Places._end
    monkeypatch.setattr(Places, "_end", lambda self, at: walks.append(at) or decode(self, at))
    for i in range(50):
        for offset in range(100):
            places.locate(("messages", i, "content"), offset)
    # Each string is looked at as often as asked, but no list is walked through again.
    assert sum(at == text.index("{", 1) for at in walks) == 1


@pytest.mark.parametrize(
    ("code", "index", "at", "column"),
    [
        ("role-unknown", 1, None, '"bot"'),
        ("content-missing", 1, None, '{"role": "bot"'),
        ("escape-text", 0, ("content", 2), "y"),
        ("extra-key", None, ("id", 0), "1"),
        ("secret", None, ("", 5), '": 1'),
    ],
)
def test_a_problem_gets_line_and_column(code, index, at, column):
    text = '{\n"id": 1,\n"messages": [{"content": "x\\ny"}, {"role": "bot"}]}'
    report = Report("a", places={7: Place(20, 5)})
    report.add(7, code, zh="", en="", index=index, at=at)
    [problem] = columns.columns(report.problems, lambda number: text, report.places)
    start = text.index(column)
    assert (problem.line, problem.column) == position(text, start, Place(20, 5))


def test_a_problem_without_text_stays_as_it_is():
    report = Report("a")
    report.add(None, "file-empty", zh="", en="")
    report.add(1, "alternation", zh="", en="")
    assert columns.columns(report.problems, lambda number: None, {}) == report.problems

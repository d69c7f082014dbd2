"""Names of a room's people are tidied openly, unique, and read from the tables that people have."""

import pytest
from openpyxl import Workbook

from cookbook.errors import ArgumentError, DataError
from cookbook.room import names


@pytest.mark.parametrize(
    ("written", "tidy"),
    [
        ("Li Lei", "Li-Lei"),
        ("  韩梅梅 ", "韩梅梅"),
        ("阿依古丽·买买提", "阿依古丽-买买提"),
        ("Ａｎｎａ", "Anna"),
        ("José", "José"),
        ("अमित", "अमित"),
        ("a_b.c-d", "a_b.c-d"),
        ("-Li-", "Li"),
        ("x" * 40, "x" * 40),
    ],
)
def test_a_name_is_tidied(written, tidy):
    assert names.tidy(written) == tidy


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "空的"),
        (" -.", "空的"),
        ("x" * 41, "41 个字"),
        ("local", "组织者"),
        ("Leader", "组织者"),
        ("a/b", "不能有 /"),
        ("a:b", "不能有 :"),
        ("=1+1", "不能有 ="),
        ("<b>", "不能有 <"),
        ("a\x1bb", "不能有 .x1b"),
        ("a\u202eb", "不能有"),
        # A second "Zoe" that looks just like the first
        ("Zoe\u3164", "不能有 U.1160"),
        ("Zoe\ufe0f", "不能有 U.FE0F"),
        ("Zoe\u034f", "不能有"),
        ("李\U000e0100", "不能有"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_sentence(written, why):
    with pytest.raises(ArgumentError, match=why):
        names.tidy(written)


def test_names_that_differ_in_case_or_spaces_alone_are_refused_together():
    with pytest.raises(ArgumentError, match="Li Lei 和 li-lei"):
        names.tidied(["Li Lei", "韩梅梅", "li-lei"])


def test_a_changed_name_is_known_as_changed():
    first, second = names.tidied(["Li Lei", "p01"])
    assert first.is_changed and not second.is_changed


def test_the_same_number_has_the_same_name_in_a_larger_room():
    assert names.numbered(3) == ["p01", "p02", "p03"]
    assert names.numbered(120)[:3] == names.numbered(3)
    assert names.numbered(120)[-1] == "p120"


@pytest.mark.parametrize("count", [0, -1, 201, 1000])
def test_a_room_has_1_to_200_people(count):
    with pytest.raises(ArgumentError, match="1 到 200 人"):
        names.numbered(count)


def test_the_nearest_names_are_found_whatever_their_case():
    known = ["Li-Lei", "韩梅梅", "p01"]
    assert names.nearest("li-li", known)[0] == "Li-Lei"
    assert names.nearest("韩梅", known) == ["韩梅梅"]
    assert names.nearest("zzz", known) == []


@pytest.mark.parametrize(
    "text",
    [
        "李雷\n韩梅梅\n",
        "姓名\n李雷\n韩梅梅\n",
        "学号,姓名,班级\n1,李雷,A\n2,韩梅梅,A\n",
        "Name;mail\r\n李雷;a@x\r\n韩梅梅;b@x\r\n",
        "李雷\n\n  韩梅梅  \n\n",
        "李雷,\n韩梅梅,\n",
        '"李雷"\n"韩梅梅"',
    ],
)
def test_names_are_read_from_a_table_with_a_heading_or_without(tmp_path, text):
    path = tmp_path / "a.csv"
    for encoding in ("utf-8", "utf-8-sig", "gb18030"):
        path.write_bytes(text.encode(encoding))
        assert names.read(path) == ["李雷", "韩梅梅"], encoding


def test_names_are_read_from_a_workbook(tmp_path):
    book = Workbook()
    for row in (["号", "姓名"], [1, "李雷"], [2, "韩梅梅"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert names.read(tmp_path / "a.xlsx") == ["李雷", "韩梅梅"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "没有名字"),
        (b"\n \n", "没有名字"),
        ("姓名\n".encode(), "是空的"),
        ("学号,姓名\n1,李雷\n2,\n".encode(), "第 3 行没有名字"),
        (b"1,Li\n2,Han\n", "有 2 列，不知道哪一列"),
        ("name,姓名\na,b\n".encode(), "有 2 列，不知道哪一列"),
        (b"PK\x03\x04" + bytes(40), "不是名单"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "不是名单"),
        (b'name\n"Li\nHan\n', "第 2 行"),
        ("\n".join(f"n{i}" for i in range(201)).encode(), "201 个名字"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_name(tmp_path, content, why):
    path = tmp_path / "names.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"names.csv.*{why}"):
        names.read(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="names.csv"):
        names.read(tmp_path / "names.csv")


def test_names_in_an_encoding_that_cannot_be_known_are_not_read_wrongly(tmp_path):
    path = tmp_path / "names.csv"
    path.write_bytes("林語堂\n陳寅恪\n錢鍾書\n".encode("big5"))
    try:
        found = names.read(path)
    except DataError as error:
        assert "UTF-8" in str(error)
    else:
        assert found == ["林語堂", "陳寅恪", "錢鍾書"]

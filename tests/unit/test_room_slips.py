"""Slips are for their owner's eyes, are read by Excel and a printer, and carry no markup."""

import csv
import io
import os
import stat

import pytest

from cookbook.errors import ServiceError
from cookbook.room import names, slips
from cookbook.room.slips import Slip


def make_slip(name="李雷", address="http://192.168.1.20:8765", key="room-aaaa-bbbb-cccc-dddd"):
    return Slip(name, address, key)


def test_both_files_are_for_their_owner_alone(tmp_path):
    written = slips.write([make_slip()], tmp_path)
    for path in (written.sheet, written.table):
        assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_slips_of_before_are_never_overwritten(tmp_path):
    first, second = (slips.write([make_slip(name)], tmp_path) for name in ("a", "b"))
    assert len({first.sheet, first.table, second.sheet, second.table}) == 4
    assert "<h2>a</h2>" in first.sheet.read_text(encoding="utf-8")


def test_a_slip_has_all_that_somebody_types():
    page = slips.sheet([make_slip()])
    for text in (
        "<h2>李雷</h2>",
        "COOKBOOK_SERVICE=http://192.168.1.20:8765\nCOOKBOOK_KEY=room-aaaa-bbbb-cccc-dddd",
    ):
        assert text in page


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (8, 1), (9, 2), (30, 4)])
def test_a_page_has_eight_slips(count, pages):
    page = slips.sheet([make_slip(f"p{number}") for number in range(count)])
    assert page.count('<section class="page">') == pages
    assert page.count('<article class="slip">') == count


def test_markup_in_an_address_is_text():
    page = slips.sheet([make_slip(address="http://x/<script>alert(1)</script>")])
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_table_is_one_that_excel_reads(tmp_path):
    content = slips.write([make_slip()], tmp_path).table.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    slip = make_slip()
    assert rows == [["姓名", "地址", "密钥"], [slip.name, slip.address, slip.key]]


def test_the_table_is_a_list_of_names_again(tmp_path):
    written = slips.write([make_slip("李雷"), make_slip("韩梅梅")], tmp_path)
    assert names.read(written.table) == ["李雷", "韩梅梅"]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
def test_a_spreadsheet_calculates_no_cell(sign):
    row = slips.table([make_slip(name=f"{sign}1+1")]).splitlines()[1]
    assert row.startswith(f"'{sign}")


def test_a_key_is_in_no_repr():
    assert "aaaa" not in repr(make_slip())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for act in (slips.check, lambda folder: slips.write([make_slip()], folder)):
        with pytest.raises(ServiceError, match="--out"):
            act(tmp_path / "file" / "out")

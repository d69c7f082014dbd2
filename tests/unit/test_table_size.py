"""Tables that are made to fill the memory are refused in a sentence, before they are read."""

import io
import zipfile

import pandas as pd
import pytest

from cookbook import data
from cookbook.data.tables import table_size
from cookbook.data.tables.names import number_of
from cookbook.errors import DataError

TEXT = "问"


def workbook(**parts: str) -> bytes:
    """Return a small workbook in which these parts are replaced: `sheet1`, `sharedStrings`, …"""
    plain = io.BytesIO()
    pd.DataFrame({"问": [TEXT], "答": ["好"]}).to_excel(plain, index=False)
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.infolist():
            name = part.filename.rpartition("/")[2].removesuffix(".xml")
            new.writestr(part.filename, parts.pop(name, None) or old.read(part))
        for name, content in parts.items():
            new.writestr(f"xl/{name}.xml", content)
    return changed.getvalue()


def sheet(rows: str) -> str:
    return f"<worksheet><sheetData>{rows}</sheetData></worksheet>"


CELL = '<c r="A1" t="s"><v>0</v></c>'
# Each is smaller than a megabyte.
BOMBS = {
    "unpacks to 32 MB": lambda: workbook(junk="<a>" + " " * (2**25) + "</a>"),
    "a cell in the last row": lambda: workbook(
        sheet1=sheet('<row r="1048576"><c r="XFD1048576"/></row>')
    ),
    "a row beyond the last": lambda: workbook(sheet1=sheet('<row r="99999999999"></row>')),
    "a wide cell in many rows": lambda: workbook(
        sheet1=sheet("".join(f'<row r="{i}"><c r="XFD{i}"/></row>' for i in range(1, 5000)))
    ),
    "one cell again and again": lambda: workbook(sheet1=sheet("<row>" + CELL * 120_000 + "</row>")),
    "one long text in every cell": lambda: workbook(
        sharedStrings=f"<sst><si><t>{'长' * 30_000}</t></si></sst>",
        sheet1=sheet("".join(f"<row>{CELL}</row>" for _ in range(8_000))),
    ),
    "cells merged again and again": lambda: workbook(
        sheet1="<worksheet><mergeCells>"
        + '<mergeCell ref="A1:A9"/>' * 100_001
        + "</mergeCells></worksheet>"
    ),
    "entities": lambda: workbook(
        sharedStrings='<!DOCTYPE a [<!ENTITY b "c">]><sst><si><t>&b;</t></si></sst>'
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_that_would_fill_the_memory_is_refused(name, tmp_path, monkeypatch):
    # Its bounds are met sooner, so that the test is quick.
    monkeypatch.setattr(table_size, "MAX_CELLS", 100_000)
    monkeypatch.setattr(table_size, "MAX_UNPACKED", 2**24)
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(BOMBS[name]())
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match="太大"):
        data.from_table(path, user="问", assistant="答")


@pytest.mark.parametrize(
    "text",
    [
        "," * 20_000 + "\nx",
        "问,答," + "列," * 1000 + "\n" + "x\n" * 20_000,
        "x" * 200_000 + ",答\n",
    ],
    ids=["columns", "cells", "heading"],
)
def test_a_csv_that_would_fill_the_memory_is_refused(text, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="太大"):
        data.from_table(path, user="问", assistant="答")


def test_other_ways_of_packing_are_refused(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("xl/workbook.xml", " " * 1000)
    with pytest.raises(DataError, match="太大"):
        data.from_table(path, user="问", assistant="答")


@pytest.mark.parametrize("lost", [slice(200, 201), slice(-60, -40), slice(-1, None)])
def test_a_workbook_that_lost_bytes_is_called_damaged(tmp_path, lost):
    content = bytearray(workbook())
    del content[lost]
    (tmp_path / "a.xlsx").write_bytes(content)
    assert table_size.of_workbook(bytes(content)) == {}
    for read in (data.from_table, data.from_messages, data.clean):
        with pytest.raises(DataError, match="工作簿"):
            read(tmp_path / "a.xlsx")


def test_what_people_have_in_their_tables_is_read(tmp_path):
    frame = pd.DataFrame({"问": [f"问题{i}" for i in range(800)], "答": ["长" * 9000] * 800})
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    assert len(data.from_table(tmp_path / "a.xlsx", user="问", assistant="答")) == 800
    (tmp_path / "a.csv").write_text('问,答\n"一\n二",' + "长" * 500_000 + "\n", encoding="utf-8")
    (row,) = data.from_table(tmp_path / "a.csv", user="问", assistant="答")
    assert len(row["messages"][1]["content"]) == 500_000


def test_columns_hidden_again_and_again_are_counted_once():
    columns = '<cols><col min="1" max="16384" hidden="1"/></cols>' * 1_000
    outlines = table_size.of_workbook(workbook(sheet1=f"<worksheet>{columns}</worksheet>"))
    hidden = outlines["xl/worksheets/sheet1.xml"].hidden_columns
    assert len(hidden) == table_size.MAX_COLUMNS


def test_cells_are_counted_by_the_number_of_their_column():
    assert [number_of(letters) for letters in ("A", "Z", "AA", "XFD")] == [
        1,
        26,
        27,
        16_384,
    ]

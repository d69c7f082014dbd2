"""Kinds of files: known by their bytes whatever their names; text stays text."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.data import file_kind
from cookbook.data.file_kind import kinds

ROW = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)


def archive(*names, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        for name in names:
            content = "application/epub+zip" if name == "mimetype" else "x"
            written.writestr(name, content)
    return file.getvalue()


def open_document(kind):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        written.writestr("content.xml", "x")
    return file.getvalue()


def workbook():
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["问题", "回答"])
    book.save(file)
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as written:
        entry = tarfile.TarInfo("train.jsonl")
        entry.size = len(ROW)
        written.addfile(entry, io.BytesIO(ROW))
    return file.getvalue()


def array():
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


def notebook(**cells):
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["1 + 1"]}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4}, indent=1).encode()


def old_office(stream):
    return OLE2 + stream.encode("utf-16-le") + bytes(50)


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
OFFICE = b'<html xmlns:x="urn:schemas-microsoft-com:office:excel"><table><tr><td>a</td></tr>'
XML = b'<?xml version="1.0"?>\n'
SHEET = b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">'
MADE = {
    "gzip": gzip.compress(ROW),
    "bz2": bz2.compress(ROW),
    "xz": lzma.compress(ROW),
    "zstd": b"\x28\xb5\x2f\xfd\x20\x05" + bytes(9),
    "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7",
    "zip": archive("train.jsonl", "dev.jsonl"),
    "tar": tar(),
    "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "rar": b"Rar!\x1a\x07\x01\x00",
    "workbook": workbook(),
    "binary-workbook": archive("[Content_Types].xml", "xl/workbook.bin"),
    "old-workbook": old_office("Workbook"),
    "protected-workbook": old_office("EncryptedPackage"),
    "xml-workbook": XML + b'<?mso-application progid="Excel.Sheet"?>\n' + SHEET,
    "html-table": OFFICE,
    "open-workbook": open_document("spreadsheet"),
    "numbers": archive("Data/x.jpg", "Index/Document.iwa"),
    "document": archive("[Content_Types].xml", "_rels/.rels", "word/document.xml"),
    "slides": archive("[Content_Types].xml", "ppt/presentation.xml"),
    "book": archive("mimetype", "META-INF/container.xml", method=zipfile.ZIP_STORED),
    "program": archive("META-INF/MANIFEST.MF", "A.class"),
    "weights": archive("model/data.pkl", "model/data/0"),
    "mail": old_office("__substg1.0_001A001E"),
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "rtf": b"{\\rtf1\\ansi hello}",
    "numpy": array(),
    "hdf5": b"\x89HDF\r\n\x1a\n\x00\x00",
    "pickle": pickle.dumps([{"a": 1}]),
    "sqlite": b"SQLite format 3\x00\x10\x00",
    "arrow": b"ARROW1\x00\x00\xff\xff\xff\xff",
    "parquet": b"PAR1\x15\x04\x15\x10\x15\x14" + bytes(40),
    "image": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "audio": b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(20),
    "web-page": PAGE,
    "download-error": XML + b"<Error><Code>AccessDenied</Code></Error>",
    "xml": XML + b"<rows><row/></rows>",
    "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:3f\nsize 12\n",
    "annex-pointer": b"/annex/objects/SHA256E-s1234--3f3f.jsonl\n",
    "shortcut": b"[InternetShortcut]\r\nURL=https://example.com/train.jsonl\r\n",
    "apple-double": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ",
    "notebook": notebook(),
    "zeros": bytes(1000),
    "binary": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("kind", MADE)
def test_each_kind_is_known_whatever_it_is_called(kind):
    for name in ("train.jsonl", "表.xlsx", ""):
        found = file_kind.look(MADE[kind], name)
        assert found is not None and found.name == kind


def test_every_kind_has_a_file_here():
    assert {kind.name for kind in map(kinds.named, kinds.KINDS)} == set(MADE)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (pickle.dumps({"a": [1]}, 2), "pickle"),
        (b"\x20\x00\x00\x00\x00\x00\x00\x00" + b'{"__metadata__":{}}', "weights"),
        (b"GGUF\x03\x00\x00\x00" + bytes(20), "weights"),
        (archive("arr_0.npy", "arr_1.npy"), "numpy"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image"),
        (b"GIF89a\x01\x00\x01\x00\x80\x00\x00", "image"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image"),
        (b"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00", "image"),
        (XML + b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00", "audio"),
        (b"\xff\xfb\x90\x64" + bytes(100), "audio"),
        (b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00", "audio"),
        (b"MZ\x90\x00\x03\x00\x00\x00", "program"),
        (b"bplist00\xd1\x01\x02SURL", "shortcut"),
        (XML + b'<!DOCTYPE plist PUBLIC "x"><plist version="1.0"><dict>', "shortcut"),
        (b"../.git/annex/objects/4V/xx/SHA256E-s1--3f/SHA256E-s1--3f", "annex-pointer"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (old_office("WordDocument"), "document"),
        (open_document("text"), "document"),
        (b"\xff\xff\xff\xff\x78\x01\x00\x00\x10\x00\x00\x00\x00\x00\x0a\x00", "arrow"),
    ],
)
def test_kinds_have_more_than_one_form(content, kind):
    assert file_kind.look(content, "train.jsonl").name == kind


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        b"\xef\xbb\xbf\r\n\r\n  " + PAGE,
        PAGE.decode().encode("utf-16"),
        b"<!-- saved from url=(0014)about:internet -->\n<!-- x -->\n" + PAGE,
        XML + PAGE,
        b"<html lang=zh><body>please log in",
        "<!doctype html><title>登录</title>".encode("gbk"),
    ],
)
def test_a_web_page_is_known_behind_marks_blanks_and_comments(page):
    assert file_kind.look(page, "train.jsonl").name == "web-page"


def test_a_table_in_html_is_told_from_a_page():
    table = "<table border=1>\n<tr><td>问题</td><td>回答</td></tr></table>"
    assert file_kind.look(table.encode("gbk"), "导出.xls").name == "html-table"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ROW.decode(),
        "[" + ROW.decode() + "]",
        "<s>[INST] 你好 [/INST]</s>\n",
        "<user>你好</user>\n",
        "<|im_start|>user\n",
        "<!-- 只是注释",
        "<p>段落</p>\n",
        "PK,说明\n1,对决\n",
        "BM,数量\n1,2\n",
        "MZ,ID3,GIF89a\n",
        "GIF89a 是一种图片格式\n",
        "ID3,标签\n",
        "PAR1,标准杆\n",
        "BZh 开头的行\n",
        "7z 怎么用？\n",
        "Rar! 什么意思\n",
        "RIFFxxxxWAVE 声音\n",
        "mp4 ftyp 是什么\n",
        "version,oid,size\n",
        "annex/objects 是目录\n",
        "%PDF 是文件头\n",
        "问题,答案\r\n怎么退货？,七天内\r\n",
        json.dumps({"metadata": {"nbformat": 4}, "messages": []}) + "\n",
        json.dumps({"cells": "cell_type"}) + "\n",
        '{"a": "b\x00c"}\n',
        "a\tb\x1bc\n",
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_text_that_begins_strangely_stays_text(text, codec):
    assert file_kind.look(text.encode(codec), "train.jsonl") is None


def test_utf_16_without_a_mark_is_text():
    text = "问题,答案\r\n怎么退货？,七天之内可以在订单页面申请\r\n"
    assert file_kind.look(text.encode("utf-16-le"), "train.csv") is None


@pytest.mark.parametrize(("name", "kind"), [("a.xls", "old-workbook"), ("b.doc", "document")])
def test_an_old_office_file_whose_parts_are_out_of_reach_is_known_by_name(name, kind):
    assert file_kind.look(OLE2, name).name == kind


def test_the_end_of_a_large_archive_tells_its_parts():
    head = b"PK\x03\x04" + bytes(100)
    content = archive("media/a.png", "xl/workbook.xml")
    tail = content[content.index(b"PK\x01\x02") :]
    assert file_kind.look(head, "a.xlsx").name == "zip"
    assert file_kind.look(head, "a.xlsx", tail).name == "workbook"
    assert file_kind.look(OLE2, "a.xls", old_office("EncryptedPackage")).name == (
        "protected-workbook"
    )


def test_only_what_is_read_here_is_a_table():
    tables = {name for name, kind in kinds.KINDS.items() if kind.is_table}
    assert tables == {"workbook", "parquet"}
    assert "data.from_table(" in kinds.KINDS["workbook"].fix_en
    assert "data.from_messages(" in kinds.KINDS["parquet"].fix_zh


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_each_remedy_is_short_and_in_its_own_language(kind):
    for name in ("train.jsonl.gz", "x" * 500, "", '"; rm -rf /; ".gz', "$(id).gz", "-rf"):
        found = kinds.named(kind, name)
        assert found.fix_en.replace("…", "").isascii() and found.title_en.isascii()
        assert not found.fix_zh.isascii() and not found.title_zh.isascii()
        assert len(found.fix_en) < 200 and len(found.fix_zh) < 200
        assert "NAME" not in found.fix_en + found.fix_zh
        assert "PLAIN" not in found.fix_en + found.fix_zh
        assert "$(" not in found.fix_en and "rm -rf" not in found.fix_zh


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("gzip", "train.jsonl.gz"),
        ("gzip", "train.jsonl"),
        ("gzip", "train (1).jsonl"),
        ("bz2", "train.jsonl"),
        ("xz", "训练.jsonl"),
        ("zip", "train.jsonl"),
        ("tar", "train.tar"),
    ],
)
def test_the_command_in_a_remedy_unpacks_the_file(kind, name, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(MADE[kind])
    command = file_kind.look(MADE[kind], name).fix_en.partition(": ")[2]
    run_python(command, tmp_path, monkeypatch)
    folder = tmp_path / "unpacked"
    unpacked = [p for p in (*tmp_path.iterdir(), *folder.glob("*")) if p.is_file()]
    contents = [p.read_bytes() for p in unpacked if p.name != name]
    assert contents and contents[0] in (ROW, b"x")


def run_python(command, folder, monkeypatch):
    """Run a command as a shell would, in this process: a Python for each would be slow."""
    import runpy
    import shlex
    import sys

    program, option, code, *arguments = shlex.split(command)
    assert program == "python"
    monkeypatch.chdir(folder)
    if option == "-c":
        exec(code, {})
        return
    assert option == "-m"
    monkeypatch.setattr(sys, "argv", [code, *arguments])
    monkeypatch.delitem(sys.modules, code)
    try:
        runpy.run_module(code, run_name="__main__")
    except SystemExit as ended:
        assert not ended.code


def test_a_database_is_known(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("create table t (a)")
    connection.close()
    found = file_kind.look((tmp_path / "a.db").read_bytes(), "a.db")
    assert found.name == "sqlite" and 'sqlite3.connect("a.db")' in found.fix_zh


@given(st.binary(max_size=300), st.sampled_from(list(MADE.values())), st.text(max_size=60))
def test_no_bytes_and_no_name_raise(content, start, name):
    for head in (content, start[:20] + content, start[: len(content)]):
        found = file_kind.look(head, name, content)
        assert found is None or (found.title and found.fix)

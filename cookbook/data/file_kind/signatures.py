"""What a file is, by its first bytes: text, or something that only looks like a training file.

    look(head, name)    the kind of a file, None for text

The name decides nothing: people rename files. What each kind is called, and the one remedy that
fits, is in `kinds.py`. Text that only begins strangely stays text: a mark of letters, as "PK",
counts only where bytes that no text has come with it.
"""

import re
from dataclasses import dataclass

from cookbook.data import encodings
from cookbook.data.file_kind import kinds
from cookbook.data.file_kind.kind import FileKind

__all__ = ["HEAD", "FileKind", "look"]

HEAD = 64 * 1024  # bytes that `look` reads; of a larger file give the last 64 KB as well

BLANK = b" \t\r\n\f\v\x00"
WEB_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>]|<head>|<body[\s>]")
CELL = re.compile(rb"<t[dh][\s>]")
NOTEBOOK = re.compile(rb'\{\s*"(?:cells|metadata|nbformat)"\s*:')
CELLS = re.compile(rb'"(?:cell_type|nbformat)"\s*:')


@dataclass(frozen=True)
class Mark:
    """Bytes that a kind of file has, `at` a place. Those that text may have too are `unsure`."""

    content: bytes
    kind: str
    at: int = 0
    unsure: bool = False


# Magic numbers, as `file` knows them. Two letters may begin a text as well: those are unsure.
MARKS = (
    Mark(b"\x1f\x8b\x08", "gzip"),
    Mark(b"7z\xbc\xaf\x27\x1c", "7z"),
    Mark(b"Rar!\x1a\x07", "rar"),
    Mark(b"BZh", "bz2", unsure=True),
    Mark(b"\xfd7zXZ\x00", "xz"),
    Mark(b"\x28\xb5\x2f\xfd", "zstd"),
    Mark(b"\x04\x22\x4d\x18", "lz4"),
    Mark(b"ustar", "tar", at=257),
    Mark(b"%PDF-", "pdf"),
    Mark(b"{\\rtf", "rtf"),
    Mark(b"PAR1", "parquet", unsure=True),
    Mark(b"ARROW1\x00\x00", "arrow"),
    Mark(b"FEA1", "arrow", unsure=True),
    Mark(b"SQLite format 3\x00", "sqlite"),
    Mark(b"\x93NUMPY", "numpy"),
    Mark(b"\x89HDF\r\n\x1a\n", "hdf5"),
    Mark(b"GGUF", "weights", unsure=True),
    Mark(b"bplist00", "shortcut"),
    Mark(b"L\x00\x00\x00\x01\x14\x02\x00", "shortcut"),
    Mark(b"\x00\x05\x16\x07", "apple-double"),
    Mark(b"\x00\x05\x16\x00", "apple-double"),
    Mark(b"\x89PNG\r\n\x1a\n", "image"),
    Mark(b"\xff\xd8\xff", "image"),
    Mark(b"GIF87a", "image", unsure=True),
    Mark(b"GIF89a", "image", unsure=True),
    Mark(b"BM", "image", unsure=True),
    Mark(b"II*\x00", "image"),
    Mark(b"MM\x00*", "image"),
    Mark(b"WEBP", "image", at=8, unsure=True),
    Mark(b"WAVE", "audio", at=8, unsure=True),
    Mark(b"AVI ", "audio", at=8, unsure=True),
    Mark(b"ID3", "audio", unsure=True),
    Mark(b"OggS\x00", "audio"),
    Mark(b"fLaC\x00", "audio"),
    Mark(b"#!AMR", "audio"),
    Mark(b"#!SILK_V3", "audio"),
    Mark(b"\x02#!SILK_V3", "audio"),
    Mark(b"\x1a\x45\xdf\xa3", "audio"),
    Mark(b"ftyp", "audio", at=4, unsure=True),
    Mark(b"MZ", "program", unsure=True),
    Mark(b"\x7fELF", "program"),
    Mark(b"\xca\xfe\xba\xbe", "program"),
    Mark(b"\xcf\xfa\xed\xfe", "program"),
    Mark(b"version https://git-lfs.github.com/spec/", "lfs-pointer"),
    Mark(b"[InternetShortcut]", "shortcut"),
    Mark(b"[Desktop Entry]", "shortcut"),
)
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MP3 = (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
# A name in an archive comes 30 bytes after the first mark, 46 after that in the list at the end.
ENTRY = re.compile(rb"PK(?:\x03\x04.{22}(..)..|\x01\x02.{24}(..).{16})", re.DOTALL)

# What the entries of a zip archive begin with. The first that is there decides.
ENTRIES = (
    ("xl/workbook.bin", "binary-workbook"),
    ("xl/", "workbook"),
    ("word/", "document"),
    ("ppt/", "slides"),
    ("Index/Document.iwa", "numbers"),
    ("META-INF/MANIFEST.MF", "program"),
    ("OEBPS/", "book"),
    ("META-INF/container.xml", "book"),
)
OPEN_DOCUMENTS = {
    b"application/vnd.oasis.opendocument.spreadsheet": "open-workbook",
    b"application/vnd.oasis.opendocument.text": "document",
    b"application/vnd.oasis.opendocument.presentation": "slides",
    b"application/epub+zip": "book",
}
# The names of streams in the directory of an old Office file.
STREAMS = (
    ("EncryptedPackage", "protected-workbook"),
    ("Workbook", "old-workbook"),
    ("Book", "old-workbook"),
    ("WordDocument", "document"),
    ("PowerPoint Document", "slides"),
    ("__substg1.0_", "mail"),
)


def look(head: bytes, name: str = "", tail: bytes = b"") -> FileKind | None:
    """Return the kind of a file, None for text.

    Args:
        head: its first 64 KB, or all of it.
        name: of the file, for the remedy.
        tail: its last 64 KB, where `head` is not all. Workbooks list their parts there.
    """
    tail = tail or head[max(HEAD, len(head) - HEAD) :]
    kind = _kind(head[:HEAD], name, tail[-HEAD:])
    return None if kind is None else kinds.named(kind, name)


def _kind(head: bytes, name: str, tail: bytes) -> str | None:
    if head.startswith(ZIP):
        return _of_archive(head, tail)
    if head.startswith(OLE2):
        return _of_old_office(head + tail, name)
    for mark in MARKS:
        if head.startswith(mark.content, mark.at) and not (mark.unsure and _may_be_text(head)):
            return _compressed(mark.kind, name)
    return _of_binary(head) or _of_markup(head, name) or _of_pointer(head) or _of_bytes(head)


def _compressed(kind: str, name: str) -> str:
    """Return the kind with the remedy for the name: Python unpacks `.gz` only."""
    lower = name.lower()
    if lower.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        return "tar"
    if kind == "gzip" and not lower.endswith(".gz"):
        return "gzip-renamed"
    return kind


def _may_be_text(head: bytes) -> bool:
    return encodings.is_text(head) and b"\0" not in head


def _of_archive(head: bytes, tail: bytes) -> str:
    for mimetype, found in OPEN_DOCUMENTS.items():
        if mimetype in head[:200]:
            return found
    names = _entries(head) + _entries(tail)
    for start, kind in ENTRIES:
        if any(name.startswith(start) for name in names):
            return kind
    if any(name.endswith("data.pkl") for name in names):
        return "weights"
    if names and all(name.endswith(".npy") for name in names):
        return "numpy"
    return "zip"


def _entries(content: bytes) -> list[str]:
    """Return the names of the entries of an archive that are in a part of it."""
    names = []
    for match in ENTRY.finditer(content):
        length = int.from_bytes(match[1] or match[2], "little")
        written = content[match.end() : match.end() + min(length, 300)]
        names.append(written.decode("utf-8", "replace"))
    return names


def _of_old_office(content: bytes, name: str) -> str:
    for stream, kind in STREAMS:
        if stream.encode("utf-16-le") in content:
            return kind
    # The directory may be anywhere in the file. Then the name has to do.
    lower = name.lower()
    if lower.endswith((".doc", ".docx", ".wps")):
        return "document"
    return "slides" if lower.endswith((".ppt", ".pptx")) else "old-workbook"


def _of_binary(head: bytes) -> str | None:
    """Return the kind of a file that a single mark does not tell."""
    if head.startswith(MP3) and not _may_be_text(head):
        return "audio"
    # A pickle: the protocol, and the opcode that follows it.
    if re.match(rb"\x80[\x02-\x05][\x95\x8a}\]cXq(K]", head):
        return "pickle"
    # A stream of Arrow: no length, the length of a schema, and the schema.
    if head.startswith(b"\xff\xff\xff\xff") and head[8:12] == b"\x10\0\0\0":
        return "arrow"
    # Safetensors: the length of a JSON header, and the header.
    if len(head) > 10 and head[5:8] == b"\0\0\0" and head[8:10] in (b'{"', b"{ "):
        return "weights"
    return None


def _of_markup(head: bytes, name: str) -> str | None:
    text = _beginning(head)
    if NOTEBOOK.match(text) and CELLS.search(text) and b'"messages"' not in text:
        return "notebook"
    if not text.startswith(b"<"):
        return None
    declared = text.startswith(b"<?xml")
    text = text.lower()
    body = _without_comments(text)
    if WEB_PAGE.match(body) or (body.startswith(b"<table") and CELL.search(body)):
        # Many systems export a page with a table, and call it .xls.
        office = b"urn:schemas-microsoft-com:office" in body
        is_named = b"<table" in body and name.lower().endswith((".xls", ".xlsx", ".et"))
        is_table = office or is_named or body.startswith(b"<table")
        return "html-table" if is_table else "web-page"
    return _of_xml(body) if declared else ("image" if body.startswith(b"<svg ") else None)


def _of_xml(body: bytes) -> str:
    if b"urn:schemas-microsoft-com:office:spreadsheet" in body:
        return "xml-workbook"
    if re.match(rb"<error>\s*<code>", body):
        return "download-error"
    if b"<plist" in body[:300]:
        return "shortcut"
    return "image" if body.startswith((b"<svg", b"<!doctype svg")) else "xml"


def _beginning(head: bytes) -> bytes:
    """Return the beginning of a text in UTF-8 or UTF-16, without what is not seen."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(BLANK)


def _without_comments(text: bytes) -> bytes:
    """Return a page from its first element on."""
    start = 0
    ends = {b"<!--": b"-->", b"<?xml": b"?>"}
    while end := ends.get(text[start : start + 4]) or ends.get(text[start : start + 5]):
        closed = text.find(end, start)
        if closed < 0:
            break
        start = closed + len(end)
        while text[start : start + 1].isspace():
            start += 1
    return text[start:]


def _of_pointer(head: bytes) -> str | None:
    """Return the kind of a small text that only says where a file is."""
    words = head[:1000].split()
    alone = len(head) < 1000 and len(words) == 1
    return "annex-pointer" if alone and b"/annex/objects/" in b"/" + words[0] else None


def _of_bytes(head: bytes) -> str | None:
    """Return the kind of bytes that have no mark."""
    if head and not head.strip(b"\0"):
        return "zeros"
    if encodings.is_text(head) or encodings.detect(head):
        return None
    return "binary"

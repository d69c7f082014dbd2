"""The kinds of files that are no text with rows, in words.

    named(kind, name)    a kind, with the name of the file in its remedy

The commands run on Windows, macOS and Linux: Python is there, other programs may not be.
"""

from cookbook.data.file_kind.kind import FileKind

# Remedies of several kinds. In a remedy, NAME and PLAIN are the file, see `FileKind.for_file`.
UNPACK_ZH = "先解压，再用里面的文件："
UNPACK_EN = "unpack it first and use the file in it: "
RESAVE_ZH = '用 Excel 或 WPS 打开，另存为 .xlsx，再用 data.from_table("新文件.xlsx") 读'
RESAVE_EN = (
    'open it in Excel or WPS, save it as .xlsx, and read that with data.from_table("new.xlsx")'
)
COPY_ZH = '把对话放进表格（一列问题、一列回答），存成 .xlsx，再用 data.from_table("新文件.xlsx") 读'
COPY_EN = (
    "put the conversations into a table with a column of questions and one of answers, "
    'save it as .xlsx, and read that with data.from_table("new.xlsx")'
)
OTHER_ZH = "选错了文件：换成训练数据那个文件"
OTHER_EN = "this is the wrong file: choose the one with the training data"
TRANSCRIBE_ZH = "先转成文字，再整理成每行一个 JSON 对象"
TRANSCRIBE_EN = "turn it into text first, then into one JSON object per line"


def _unpacked_by(module: str) -> str:
    """Return a command that unpacks a file by a module of Python's library."""
    content = f"{module}.decompress(pathlib.Path('PLAIN').read_bytes())"
    write = f"pathlib.Path('unpacked.jsonl').write_bytes({content})"
    return f'python -c "import {module}, pathlib; {write}"'


_ALL = (
    # Archives: Python unpacks the first ones, for the others a program is needed.
    FileKind(
        "gzip",
        "gzip 压缩文件",
        "a gzip archive",
        UNPACK_ZH + "python -m gzip -d NAME",
        UNPACK_EN + "python -m gzip -d NAME",
    ),
    FileKind(
        "gzip-renamed",
        "gzip 压缩文件",
        "a gzip archive",
        UNPACK_ZH + _unpacked_by("gzip"),
        UNPACK_EN + _unpacked_by("gzip"),
    ),
    FileKind(
        "bz2",
        "bzip2 压缩文件",
        "a bzip2 archive",
        UNPACK_ZH + _unpacked_by("bz2"),
        UNPACK_EN + _unpacked_by("bz2"),
    ),
    FileKind(
        "xz",
        "xz 压缩文件",
        "an xz archive",
        UNPACK_ZH + _unpacked_by("lzma"),
        UNPACK_EN + _unpacked_by("lzma"),
    ),
    FileKind(
        "zip",
        "zip 压缩包",
        "a zip archive",
        UNPACK_ZH + "python -m zipfile -e NAME unpacked",
        UNPACK_EN + "python -m zipfile -e NAME unpacked",
    ),
    FileKind(
        "tar",
        "tar 打包文件",
        "a tar archive",
        UNPACK_ZH + "python -m tarfile -e NAME unpacked",
        UNPACK_EN + "python -m tarfile -e NAME unpacked",
    ),
    FileKind(
        "zstd",
        "Zstandard 压缩文件",
        "a Zstandard archive",
        UNPACK_ZH + "zstd -d NAME -o unpacked.jsonl",
        UNPACK_EN + "zstd -d NAME -o unpacked.jsonl",
    ),
    FileKind(
        "lz4",
        "LZ4 压缩文件",
        "an LZ4 archive",
        UNPACK_ZH + "lz4 -d NAME unpacked.jsonl",
        UNPACK_EN + "lz4 -d NAME unpacked.jsonl",
    ),
    FileKind(
        "7z",
        "7z 压缩包",
        "a 7z archive",
        UNPACK_ZH + "用 7-Zip 打开，或运行 7z x NAME",
        UNPACK_EN + "open it with 7-Zip, or run 7z x NAME",
    ),
    FileKind(
        "rar",
        "RAR 压缩包",
        "a RAR archive",
        UNPACK_ZH + "用 7-Zip 打开，或运行 7z x NAME",
        UNPACK_EN + "open it with 7-Zip, or run 7z x NAME",
    ),
    # Tables of office programs: one kind is read, the others are one "save as" away.
    FileKind(
        "workbook",
        "Excel 工作簿",
        "an Excel workbook",
        '用 data.from_table(path).write("train.jsonl") 转换',
        'convert it: data.from_table(path).write("train.jsonl")',
        is_table=True,
    ),
    FileKind(
        "binary-workbook",
        "二进制的 Excel 工作簿（.xlsb）",
        "a binary Excel workbook (.xlsb)",
        RESAVE_ZH,
        RESAVE_EN,
    ),
    FileKind(
        "old-workbook",
        "旧版 Excel 工作簿（.xls）或有密码的工作簿",
        "an old Excel workbook (.xls), or one with a password",
        RESAVE_ZH,
        RESAVE_EN,
    ),
    FileKind(
        "protected-workbook",
        "有密码的 Excel 工作簿",
        "an Excel workbook with a password",
        '用 Excel 或 WPS 打开，去掉密码，另存为 .xlsx，再用 data.from_table("新文件.xlsx") 读',
        "open it in Excel or WPS, remove the password, save it as .xlsx, "
        'and read that with data.from_table("new.xlsx")',
    ),
    FileKind(
        "xml-workbook",
        "XML 格式的 Excel 表格",
        "an Excel sheet in XML",
        RESAVE_ZH,
        RESAVE_EN,
    ),
    FileKind(
        "html-table",
        "网页格式的表格",
        "a table in HTML",
        RESAVE_ZH,
        RESAVE_EN,
    ),
    FileKind(
        "open-workbook",
        "OpenDocument 表格（.ods）",
        "an OpenDocument spreadsheet (.ods)",
        '用 LibreOffice、Excel 或 WPS 打开，另存为 .xlsx，再用 data.from_table("新文件.xlsx") 读',
        "open it in LibreOffice or Excel, save it as .xlsx, and read that with "
        'data.from_table("new.xlsx")',
    ),
    FileKind(
        "numbers",
        "Numbers 表格",
        "a Numbers spreadsheet",
        '用 Numbers 打开，导出为 Excel（.xlsx），再用 data.from_table("新文件.xlsx") 读',
        "open it in Numbers, export it to Excel (.xlsx), and read that with "
        'data.from_table("new.xlsx")',
    ),
    # Tables and arrays of programs.
    FileKind(
        "parquet",
        "Parquet 文件",
        "a Parquet file",
        '用 data.from_messages(path).write("train.jsonl") 转换',
        'convert it: data.from_messages(path).write("train.jsonl")',
        is_table=True,
    ),
    FileKind(
        "arrow",
        "Arrow 文件",
        "an Arrow file",
        '用 data.from_messages(datasets.Dataset.from_file("PLAIN")) 读',
        'read it with data.from_messages(datasets.Dataset.from_file("PLAIN"))',
    ),
    FileKind(
        "sqlite",
        "SQLite 数据库",
        "an SQLite database",
        '导出其中的表：data.from_messages(pandas.read_sql("select * from 表名", '
        'sqlite3.connect("PLAIN")))',
        'export a table of it: data.from_messages(pandas.read_sql("select * from TABLE", '
        'sqlite3.connect("PLAIN")))',
    ),
    FileKind(
        "numpy",
        "NumPy 数组",
        "a NumPy array",
        "用 numpy.load 读出来，整理成字典的列表 rows，再用 data.from_messages(rows)",
        "load it with numpy.load, make a list of dicts of it, and call data.from_messages(rows)",
    ),
    FileKind(
        "hdf5",
        "HDF5 文件",
        "an HDF5 file",
        '用 data.from_messages(pandas.read_hdf("PLAIN")) 读',
        'read it with data.from_messages(pandas.read_hdf("PLAIN"))',
    ),
    # Not to be opened: a pickle can run anything.
    FileKind(
        "pickle",
        "Python 的 pickle 文件",
        "a Python pickle",
        "打开它会执行里面的代码，请生成它的人改存成 .jsonl",
        "loading it runs the code in it; ask whoever made it to save .jsonl instead",
    ),
    # Nothing to train on is in them.
    FileKind("weights", "模型权重", "the weights of a model", OTHER_ZH, OTHER_EN),
    FileKind("program", "程序文件", "a program", OTHER_ZH, OTHER_EN),
    # Texts of office programs: a person must say what is question and what is answer.
    FileKind("document", "Word 文档", "a Word document", COPY_ZH, COPY_EN),
    FileKind("slides", "演示文稿", "a slide show", COPY_ZH, COPY_EN),
    FileKind("rtf", "RTF 文档", "an RTF document", COPY_ZH, COPY_EN),
    FileKind("pdf", "PDF 文件", "a PDF", COPY_ZH, COPY_EN),
    FileKind("mail", "Outlook 邮件", "an Outlook message", COPY_ZH, COPY_EN),
    FileKind("book", "EPUB 电子书", "an EPUB book", COPY_ZH, COPY_EN),
    # No text at all.
    FileKind("image", "图片", "an image", TRANSCRIBE_ZH, TRANSCRIBE_EN),
    FileKind("audio", "音频或视频", "audio or video", TRANSCRIBE_ZH, TRANSCRIBE_EN),
    # What was saved in place of the file.
    FileKind(
        "web-page",
        "网页",
        "a web page",
        "重新下载数据文件本身：登录后，在页面上点「下载」或「Raw」，不要另存网页",
        'download the data file itself: log in and use the "Download" or "Raw" button of the '
        "page, do not save the page",
    ),
    FileKind(
        "download-error",
        "下载失败的说明",
        "a message about a failed download",
        "重新取一个下载链接（旧的可能已过期），再下载一次",
        "get a new link, for the old one may have expired, and download it again",
    ),
    FileKind(
        "lfs-pointer",
        "Git LFS 指针",
        "a Git LFS pointer",
        "数据本身还没有下载，在仓库里运行 git lfs pull",
        "the data itself was not downloaded; run git lfs pull in the repository",
    ),
    FileKind(
        "annex-pointer",
        "git-annex 指针",
        "a git-annex pointer",
        "数据本身还没有下载，在仓库里运行 git annex get NAME",
        "the data itself was not downloaded; run git annex get NAME in the repository",
    ),
    FileKind(
        "shortcut",
        "快捷方式",
        "a shortcut",
        "打开它指向的文件或网址，用那里的文件",
        "open what it points to and use the file there",
    ),
    FileKind(
        "apple-double",
        "macOS 的附属文件（名字以 ._ 开头）",
        "a companion file of macOS (its name begins with ._)",
        "用同名但不带 ._ 的那个文件",
        "use the file of the same name without ._",
    ),
    # Text that only looks like data.
    FileKind(
        "notebook",
        "Jupyter 笔记本",
        "a Jupyter notebook",
        '在笔记本里运行 Path("train.jsonl").write_bytes(data.to_jsonl(rows))，再用写出的文件',
        "write the rows in the notebook with "
        'Path("train.jsonl").write_bytes(data.to_jsonl(rows)), and use that file',
    ),
    FileKind(
        "xml",
        "XML 文件",
        "an XML file",
        '用 data.from_table(pandas.read_xml("PLAIN")) 读',
        'read it with data.from_table(pandas.read_xml("PLAIN"))',
    ),
    # Bytes that say nothing.
    FileKind(
        "zeros",
        "一串空字节（下载或拷贝没有完成）",
        "only zero bytes: a download or copy that was not finished",
        "重新下载或拷贝一次",
        "download or copy it again",
    ),
    FileKind(
        "binary",
        "二进制文件",
        "a binary file",
        "换成文本文件：每行一个 JSON 对象（.jsonl）",
        "use a text file with one JSON object per line (.jsonl)",
    ),
)
KINDS = {kind.name: kind for kind in _ALL}


def named(kind: str, name: str = "") -> FileKind:
    """Return a kind with the name of the file in its remedy."""
    return KINDS[kind].for_file(name)

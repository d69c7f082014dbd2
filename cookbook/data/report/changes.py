"""The record of what was done to a reader's data: one `Change` for each thing, with its place.

A new kind of change needs a title in `TITLES`.
"""

from dataclasses import dataclass

from cookbook.data.entry import Place
from cookbook.data.report.excerpt import visible
from cookbook.i18n import tr

# What each kind of change does, in Chinese and English.
TITLES = {
    # The file.
    "bom": ("去掉 BOM", "byte-order mark removed"),
    "encoding": ("转成 UTF-8", "converted to UTF-8"),
    "line-ends": ("换行统一为 \\n", "line ends changed to \\n"),
    "blank-line": ("删去空行", "blank lines removed"),
    "layout": ("改成每行一个 JSON 对象", "written as one JSON object per line"),
    "comma": ("去掉行末的逗号", "commas at line ends removed"),
    "split-line": ("一行里的几个对象拆成几行", "several objects on a line split"),
    "comment": ("去掉注释", "comments removed"),
    "control": (
        "字符串里真的换行、Tab 写成 \\n、\\t",
        "line breaks and tabs in strings written as \\n, \\t",
    ),
    "json-marks": (
        "JSON 的标点改正：全角标点、特殊空格、多余的逗号、注释",
        "JSON punctuation corrected",
    ),
    "python": ("Python 打印的写法改成 JSON", "Python syntax rewritten as JSON"),
    "unquoted": ("整条原是一段字符串，解开了", "entries decoded from a string"),
    # A table.
    "escaped-quotes": ('\\" 读成引号', 'escaped quotes \\" read as quotes'),
    "title-row": (
        "不是数据的行（标题、说明、重复的表头）",
        "rows that are not data (a title, a note, a repeated header)",
    ),
    "heading": (
        "去掉列名里看不见的字符和空白",
        "column names: invisible characters and spaces removed",
    ),
    "repeated-column": (
        "重复的列名，加上列的字母区分",
        "duplicate column names, told apart by the column letter",
    ),
    "unused-columns": ("没有用到的列", "columns not used"),
    "sheets": ("只读一张工作表", "one sheet read"),
    "merged": (
        "合并的单元格，每一行都填上它的内容",
        "merged cells: the content is filled in on every row",
    ),
    "hidden": ("隐藏（或筛选掉）的也读了", "hidden or filtered out, read all the same"),
    "cell-format": ("单元格在 Excel 里显示的可能不一样", "cells that Excel may show differently"),
    "long-number": (
        "超过 15 位的数字，Excel 已经改掉了后面几位：编号要存成文本",
        "numbers of more than 15 digits: Excel has lost the last ones, keep ids as text",
    ),
    "control-mark": ("_x000D_ 这类记号换成它表示的字符", "marks such as _x000D_ decoded"),
    # A chat log.
    "sorted": ("按时间重新排序", "sorted by time"),
    "left-out": ("不能训练的消息，没有用", "messages that cannot be trained on, left out"),
    "quote": ("去掉引用的原话", "quoted messages removed"),
    "no-time": ("看不懂的时间，没有用来分段", "times that could not be read, not used to split"),
    "joined": ("并入一段对话", "joined into a conversation"),
    # A row.
    "converted": ("转成 messages 格式", "converted to messages"),
    "not-used": ("没有用到", "not used"),
    "choices": ("几个答案里用了第一个", "the first of several answers used"),
    "separators": ("去掉旧格式的分隔符", "separators of the old format removed"),
    "unanswered": ("请求没有结果", "requests without a result"),
    "white-space": ("去掉首尾空白", "surrounding white space removed"),
    "extra-key": ("去掉多余的键", "extra keys removed"),
    "role": ("换成约定的 role", "roles renamed"),
    "role-case": ("role 改成小写", "roles written in lower case"),
    "content-parts": ("把 content 里的几段文字接起来", "text parts of a content joined"),
    "decoded": ("messages 原是一段字符串，解开了", "messages decoded from a string"),
    "weight": ("回答的权重", "weights of answers"),
    "escape-text": ("还原字面的转义", "literal escapes decoded"),
    "markup": ("去掉 HTML 标记", "HTML markup removed"),
    "mojibake": ("还原乱码", "mis-decoded text restored"),
    "invisible": ("去掉不可见字符", "invisible characters removed"),
    "thinking": ("去掉思考过程", "thinking removed"),
    "opening-answer": ("去掉第一问之前的开场白", "greeting before the first question removed"),
    "system-position": ("system 移到最前", "system moved to the front"),
    "trailing-user": ("去掉没有回答的最后一问", "last question without an answer removed"),
    # A row that is gone.
    "duplicate-row": ("去掉完全相同的行", "exact duplicates removed"),
    "dropped": ("按要求删去", "dropped as asked"),
}

# Kinds of change after which a row is no longer there by itself.
GONE = frozenset({"duplicate-row", "dropped", "joined", "left-out"})


@dataclass(frozen=True)
class Change:
    """One thing that was done.

    `line` counts from 1 and is None for the whole file; `row` is the number of the row in its
    source, `sheet` the sheet of a workbook.
    """

    line: int | None
    code: str
    message: str
    row: int | None = None
    sheet: str | None = None


def change_of(
    place: Place | None, code: str, detail: str = "", *, row: int | None = None
) -> Change:
    """Return a change of one of `TITLES`, which makes its message."""
    title = tr(*TITLES[code])
    message = visible(title + _joint(detail) + detail)
    if place is None:
        return Change(None, code, message, row)
    return Change(place.line, code, message, row, place.sheet)


def _joint(detail: str) -> str:
    """Return what comes between a title and its detail."""
    if not detail or detail.startswith("（"):  # which brings its own space
        return ""
    return " " if detail.startswith(("(", "×")) else tr("：", ": ")

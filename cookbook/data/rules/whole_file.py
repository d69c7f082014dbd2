"""What is to be said of a file as a whole: one true sentence instead of hundreds of false ones.

    OtherShapes(report, source)     collects entries in the shapes of other tools, and judges them
    report_kind(…) …                one function for each thing that a file can be

Each sentence names what the file is and the call that makes a training file of it. What is found
out about a file is found out in `check_file.py`; only the words are here.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from cookbook.data import shapes
from cookbook.data.encodings import Encoding
from cookbook.data.file_kind import FileKind
from cookbook.data.json_text import marks
from cookbook.data.reading.read import MAX_BYTES
from cookbook.data.report import MAX_PROBLEMS, Problem, Report, counted, excerpt
from cookbook.data.report.changes import Change
from cookbook.data.report.codes import CODES
from cookbook.data.report.columns import WHOLE_TEXT
from cookbook.data.report.excerpt import Excerpt, shortened, visible
from cookbook.data.rules import row_rules
from cookbook.data.shapes import MESSAGES, Shape, refusals
from cookbook.errors import DataError
from cookbook.i18n import tr

Remedy = tuple[str, str]  # in Chinese and English

WRITE_MESSAGES = ("改写成 messages 格式", "rewrite it as messages")

MAX_NAME = 60  # characters of a file name
MAX_SOURCE = 100  # characters of a path in a call; longer ones are called path
COLUMNS_NAMED = 8  # of a table
MAX_COLUMN = 20  # characters of a column's name
SHAPES_NAMED = 4

_LAYOUTS = {
    "array": ("whole-array", "一个 JSON 数组", "one JSON array"),
    "objects": ("multi-line-json", "分成多行写的 JSON 对象", "JSON objects spread over lines"),
    "object": (
        "whole-array",
        "一个 JSON 对象，数据都在它里面",
        "one JSON object with all rows inside",
    ),
}


_SEPARABLE = (
    ("split-line", marks.SEVERAL),
    ("comma", marks.COMMA_AT_END),
    ("unquoted", marks.ENCODED_TWICE),
)


def report_suffix(report: Report, name: str) -> None:
    """Report a file name that a training file cannot have; all else must be in the report."""
    if name.endswith(".jsonl"):
        return
    # Whatever makes a training file of it gives that file its name.
    is_other = any(p.line is None and p.severity == "error" for p in report.problems)
    new_name = f"{_stem(name)}.jsonl"
    if is_other:
        fix = ("照上面的办法另存成 .jsonl", "save it as .jsonl, as said above")
    elif report.ok:
        fix = (f"把文件名改成 {new_name}", f"rename it to {new_name}")
    else:
        fix = (f"改好后存成 {new_name}", f"save it as {new_name} once it is corrected")
    report.add(
        None,
        "file-suffix",
        zh=f"文件名 {shortened(name, MAX_NAME)} 不以 .jsonl 结尾",
        en=f"the name {shortened(name, MAX_NAME)} does not end in .jsonl",
        fix=fix,
    )


def report_kind(report: Report, kind: FileKind) -> None:
    """Report a file that is no text."""
    report.add(
        None,
        "not-text",
        zh=f"这个文件是{_spaced(kind.title_zh)}，不是训练文件",
        en=f"the file is {kind.title_en}, not a training file",
        fix=(kind.fix_zh, kind.fix_en),
    )


def report_size(report: Report, size: int) -> None:
    """Report a file that is too large."""
    limit = MAX_BYTES // 2**20
    megabytes = f"{size / 2**20:.2f} MB"
    report.add(
        None,
        "file-size",
        zh=f"文件 {megabytes}，上限 {limit} MB",
        en=f"the file has {megabytes}, the limit is {limit} MB",
    )


def report_encoding(report: Report, encoding: Encoding, remedy: Remedy) -> None:
    """Report a file that is all in another encoding than UTF-8."""
    report.add(
        None,
        "encoding",
        zh=f"文件是 {encoding.title} 编码，不是 UTF-8",
        en=f"the file is in {encoding.title}, not in UTF-8",
        fix=remedy,
    )


def report_unknown_encoding(report: Report, name: str) -> None:
    """Report a file of which nobody can know the encoding."""
    call = (
        f'data.clean({_source(name)}, encoding="gb18030").write("{_training_name(name, "clean")}")'
    )
    report.add(
        None,
        "encoding",
        zh="文件不是 UTF-8 编码，也看不出是哪一种",
        en="the file is not in UTF-8, and its encoding cannot be told",
        fix=(
            f"用导出它的软件另存为 UTF-8；知道编码就写出来，例如 {call}",
            f"save it as UTF-8 with the program it comes from; or name its encoding, as {call}",
        ),
    )


def report_unread(report: Report, error: DataError) -> None:
    """Report a text whose rows cannot be taken out; the error says why, and what to do."""
    fix = ("取出其中一组数据，或拆成几个文件", "take one list of rows, or split the file")
    report.add(None, "other-shape", zh=error.zh, en=error.en, fix=fix)


def report_layout(report: Report, layout: str, count: int, remedy: Remedy) -> None:
    """Report entries that are not one a line; other layouts than these are no problem."""
    # Lines are as they should be; a table has a sentence of its own.
    if layout not in _LAYOUTS:
        return
    code, zh, en = _LAYOUTS[layout]
    report.add(
        None,
        code,
        zh=f"整个文件是{zh}，共 {count} 条；平台要每行一个 JSON 对象",
        en=f"the file is {en}, {count} in all; the platform needs one JSON object per line",
        fix=remedy,
    )


def report_separable(report: Report, changes: Sequence[Change], remedy: Remedy) -> None:
    """Report lines of several objects, and lines that end with a comma: each kind once."""
    for code, reason in _SEPARABLE:
        found = [change.line for change in changes if change.code == code]
        if not found:
            continue
        n, first = len(found), found[0]
        report.add(
            None,
            "json",
            zh=f"{n} 行不合规范（最先是第 {first} 行）：{reason.zh}",
            en=f"{counted(n, 'line')}, the first of them {first}: {reason.en}",
            fix=remedy,
        )


def blank_lines(changes: Sequence[Change]) -> list[Problem]:
    """Return the problem of each blank line that a reader passed over."""
    severity, *fix = CODES["blank-line"]
    what = (severity, "blank-line", tr("空行", "blank line"), tr(*fix))
    lines = [change.line for change in changes if change.code == "blank-line"]
    return [Problem(line, None, *what, row=line) for line in lines]


def report_table(
    report: Report, name: str | None, columns: list[str], remedy: Remedy | None
) -> None:
    """Report a table; without a `remedy` its columns must be named."""
    names = [shortened(visible(column), MAX_COLUMN) for column in columns[:COLUMNS_NAMED]]
    if len(columns) > COLUMNS_NAMED:
        names.append("…")
    source = _source(name)
    by_columns = (
        f'用 data.from_table({source}, user="问题的列名", assistant="回答的列名") 转换',
        f'convert it: data.from_table({source}, user="its column", assistant="its column")',
    )
    if remedy:
        by_columns = (
            f"{remedy[0]}；列要自己指定时{by_columns[0]}",
            f"{remedy[1]}; or {by_columns[1]}",
        )
    report.add(
        None,
        "other-shape",
        zh=f"这是一张表格，{report.lines} 行，列名是 {'、'.join(names)}",
        en=f"the file is a table of {report.lines} rows with the columns {', '.join(names)}",
        fix=remedy or by_columns,
    )


def joining(name: str | None) -> Remedy:
    """Return the remedy for a chat log, whose messages must be joined."""
    call = f"data.from_chat_log({_source(name)})"
    return f"像是聊天记录，用 {call} 按说话人合并", f"it looks like a chat log: {call}"


def cleaning(name: str | None) -> Remedy:
    """Return the remedy for a file that `clean` can read."""
    call = f'data.clean({_source(name)}).write("{_training_name(name, "clean")}")'
    return f"用 {call} 改写", f"rewrite it: {call}"


class OtherShapes:
    """The entries of a source that are in the shapes of other tools.

    Args:
        name: of the file; None for rows in memory.
    """

    def __init__(self, report: Report, name: str | None):
        self._report = report
        self.name = name
        self.with_messages = 0  # entries that have messages, in order or not
        self._first: list[tuple[int, Shape, Excerpt]] = []
        self._counts: Counter[Shape] = Counter()
        self._unknown: list[tuple[int, dict]] = []
        self._unknown_count = 0
        self._unknown_are_alike = True

    def take(self, number: int, value: object) -> bool:
        """Return whether an entry is in another shape: then nothing else is to be said of it."""
        shape = shapes.of(value)
        if shape is None and isinstance(value, dict) and value and "messages" not in value:
            self._unknown_count += 1
            if self._unknown and value.keys() != self._unknown[0][1].keys():
                self._unknown_are_alike = False
            if len(self._unknown) < MAX_PROBLEMS:
                self._unknown.append((number, value))
            return True
        if shape is None or shape == MESSAGES:
            self.with_messages += isinstance(value, dict) and "messages" in value
            return False
        # Such a row has messages all the same.
        self.with_messages += shape is refusals.UNWANTED
        # All are counted, but a file of ten megabytes may have millions.
        self._counts[shape] += 1
        if len(self._first) < MAX_PROBLEMS:
            self._first.append((number, shape, _seen(value)))
        return True

    @property
    def are_all(self) -> bool:
        """Whether there are some, and no entry has messages.

        Entries that nobody knows are a shape of the file if they have the same keys.
        """
        if self.with_messages or not self.count:
            return False
        return self.has_known or self._unknown_are_alike

    @property
    def has_known(self) -> bool:
        """Whether there are entries in a shape that is known."""
        return bool(self._counts)

    @property
    def count(self) -> int:
        """How many entries were taken."""
        return self._counts.total() + self._unknown_count

    def remedy(self) -> Remedy:
        """Return the remedy for the most frequent shape."""
        if not self.has_known:
            return shapes.unknown(self._unknown[0][1]).fix or WRITE_MESSAGES
        (shape, _), *_ = self._counts.most_common(1)
        return self._remedy_of(shape)

    def judge(self, whole: bool) -> None:
        """Report them: as the shape of the whole file, or each at its line."""
        if not self.count:
            return
        if whole:
            self._report_whole()
            return
        self._report_unknown()
        for number, shape, seen in self._first:
            zh = f"是{_spaced(shape.title_zh)}，不是 messages 格式"
            en = f"is {shape.title_en}, not messages"
            if shape is refusals.UNWANTED:  # it has messages, and they are not to be learned
                zh, en = refusals.why(shape)
            self._report.add(
                number,
                "other-shape",
                zh=zh,
                en=en,
                fix=self._remedy_of(shape),
                excerpt=seen,
                at=(WHOLE_TEXT, 0),
            )
        # Those that are not kept count all the same.
        counted = self._counts.total() - len(self._first)
        self._report.counts["error", "other-shape"] += counted

    def _report_unknown(self) -> None:
        """Report each entry that nobody knows by the rules that it breaks."""
        for number, value in self._unknown:
            row_rules.check_row(self._report, number, value)
        counted = self._unknown_count - len(self._unknown)
        self._report.counts["error", "messages-missing"] += counted

    def _report_whole(self) -> None:
        # Entries that cannot be read are among the total.
        total = self._report.lines
        frequent = self._counts.most_common(SHAPES_NAMED)
        if not frequent:
            refused = shapes.unknown(self._unknown[0][1])
            n = self._unknown_count
            none_zh = f"{n} 条都没有" if n > 1 else "只有 1 条，没有"
            none_en = f"none of the {n} entries has" if n > 1 else "the only entry has no"
            zh, en = f"{none_zh} messages：{refused.zh}", f"{none_en} messages: {refused.en}"
        elif frequent[0][1] == total:
            shape = frequent[0][0]
            all_zh = f"{total} 条都是" if total > 1 else "只有 1 条，是"
            zh = f"{all_zh}{_spaced(shape.title_zh)}，不是 messages 格式"
            all_en = f"all {total} entries are" if total > 1 else "the only entry is"
            en = f"{all_en} {shape.title_en}, not messages"
        else:
            parts = [(_spaced(shape.title_zh), shape.title_en, n) for shape, n in frequent]
            if self._unknown_count:
                parts.append(("没有认出的格式", "of an unknown format", self._unknown_count))
            zh = "，".join(f"{n} 条是{title}" for title, _, n in parts)
            en = ", ".join(f"{n} are {title}" for _, title, n in parts)
            zh = f"{total} 条里 {zh}；没有一条是 messages 格式"
            en = f"of {total} entries {en}; none has messages"
        self._report.add(None, "other-shape", zh=zh, en=en, fix=self.remedy())

    def _remedy_of(self, shape: Shape) -> Remedy:
        # Nothing here converts it, as pairs of answers that were compared.
        if not shape.call:
            return refusals.remedy(shape) or WRITE_MESSAGES
        call = shape.call_with(_source(self.name))
        if self.name is not None:
            call += f'.write("{_training_name(self.name)}")'
        return f"用 {call} 转换", f"convert it: {call}"


def _seen(value: object) -> Excerpt:
    """Return what an entry is known by: its keys."""
    # A list of turns has no keys of its own.
    if not isinstance(value, dict):
        return excerpt.value(value)
    names = ", ".join(f'"{str(key)[:MAX_COLUMN]}"' for key in list(value)[:COLUMNS_NAMED])
    return excerpt.around(names, 0, len(names))


def _spaced(title: str) -> str:
    """Return a title as it follows a Chinese character: a Latin letter is set apart."""
    return f" {title}" if title[:1].isascii() else title


def _source(name: str | None) -> str:
    """Return what is written into a call for the source: as it can be pasted."""
    if name is None:
        return "rows"
    # A name that is cut would open nothing. Windows takes slashes too, and a backslash escapes.
    typed = visible(name.replace("\\", "/")).replace('"', '\\"')
    return f'"{typed}"' if len(typed) <= MAX_SOURCE else "path"


def _training_name(name: str | None, suffix: str = "messages") -> str:
    """Return a name for the training file that is to be written, never that of the source."""
    # Only for a copy of what was given: a name that is free is not looked for.
    # Some systems take .JSONL for the same name.
    is_training = (name or "").lower().endswith(".jsonl")
    stem = _stem(name or "rows")
    return f"{stem}_{suffix}.jsonl" if is_training else f"{stem}.jsonl"


def _stem(name: str) -> str:
    """Return what a file is called without its suffix, or both of rows.jsonl.txt."""
    path = PurePath(name.replace("\\", "/"))
    inner = PurePath(path.stem)
    if inner.suffix.lower() in (".jsonl", ".json", ".csv"):
        path = inner
    stem = path.stem.replace('"', "'") or "train"
    return shortened(visible(stem), MAX_NAME - 10)

"""What is to be said of a file as a whole: one true sentence instead of hundreds of false ones.

    OtherShapes(report, source)     collects entries in the shapes of other tools, and judges them
    report_kind(…) …                one function for each thing that a file can be

Each sentence names what the file is and the call that makes a training file of it. What is found
out about a file is found out in `check_file.py`; only the words are here.
"""

from collections import Counter
from collections.abc import Sequence

from cookbook.data import shapes
from cookbook.data.encodings import Encoding
from cookbook.data.file_kind import FileKind
from cookbook.data.json_text import marks
from cookbook.data.reading import Reading
from cookbook.data.reading.read import MAX_BYTES
from cookbook.data.report import MAX_PROBLEMS, Problem, Report, calls, counted, excerpt
from cookbook.data.report.changes import Change
from cookbook.data.report.codes import CODES
from cookbook.data.report.columns import WHOLE_TEXT
from cookbook.data.report.excerpt import Excerpt, shortened, visible
from cookbook.data.rules import row_rules
from cookbook.data.shapes import MESSAGES, Shape, refusals, routing
from cookbook.errors import DataError
from cookbook.i18n import spaced, tr

Remedy = tuple[str, str]  # in Chinese and English

WRITE_MESSAGES = ("改写成 messages 格式", "rewrite it as messages")

MAX_NAME = 60  # characters of a file name
COLUMNS_NAMED = 8  # of a table
MAX_COLUMN = 20  # characters of a column's name
SHAPES_NAMED = 4

_LAYOUTS = {
    "array": ("whole-array", "是一个 JSON 数组", "a single JSON array"),
    "objects": ("multi-line-json", "JSON 对象各占多行", "JSON objects on several lines each"),
    "object": (
        "whole-array",
        "数据都在一个 JSON 对象里",
        "all rows are inside one JSON object",
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
    new_name = f"{calls.stem(name)}.jsonl"
    if is_other:
        fix = ("照上面的办法另存成 .jsonl", "save it as .jsonl, as described above")
    elif report.ok:
        fix = (f"把文件名改成 {new_name}", f"rename it to {new_name}")
    else:
        fix = (f"改好后存成 {new_name}", f"save it as {new_name} once it is corrected")
    report.add(
        None,
        "file-suffix",
        zh=f"文件名 {shortened(name, MAX_NAME)} 不以 .jsonl 结尾",
        en=f"the file name {shortened(name, MAX_NAME)} does not end in .jsonl",
        fix=fix,
    )


def report_kind(report: Report, kind: FileKind, remedy: Remedy | None = None) -> None:
    """Report a file that is no text; `remedy` fits it better than that of its kind."""
    report.add(
        None,
        "not-text",
        zh=f"这个文件是{spaced(kind.title_zh)}，不是训练文件",
        en=f"the file is {kind.title_en}, not a training file",
        fix=remedy or (kind.fix_zh, kind.fix_en),
    )


def report_size(report: Report, size: int) -> None:
    """Report a file that is too large."""
    limit = MAX_BYTES // 2**20
    megabytes = f"{size / 2**20:.2f} MB"
    report.add(
        None,
        "file-size",
        zh=f"文件有 {megabytes}，上限 {limit} MB",
        en=f"the file is {megabytes}; the limit is {limit} MB",
    )


def report_encoding(report: Report, encoding: Encoding, remedy: Remedy) -> None:
    """Report a file that is all in another encoding than UTF-8."""
    report.add(
        None,
        "encoding",
        zh=f"文件是 {encoding.title} 编码，不是 UTF-8",
        en=f"the file is {encoding.title}, not UTF-8",
        fix=remedy,
    )


def report_unknown_encoding(report: Report, name: str) -> None:
    """Report a file of which nobody can know the encoding."""
    call = calls.writing('data.clean(path, encoding="gb18030")', name, "clean")
    report.add(
        None,
        "encoding",
        zh="文件不是 UTF-8 编码，也看不出是哪一种",
        en="the file is not UTF-8, and its encoding could not be determined",
        fix=(
            f"用导出它的软件另存为 UTF-8；知道编码就直接指定，例如 {call}",
            f"save it as UTF-8; if you know its encoding, name it: {call}",
        ),
    )


def report_unread(report: Report, error: DataError) -> None:
    """Report a text whose rows cannot be taken out; the error says why, and what to do."""
    fix = ("照上面做，再检查一次", "do that, then check again")
    report.add(None, "other-shape", zh=error.zh, en=error.en, fix=fix)


def report_layout(report: Report, layout: str, count: int, remedy: Remedy) -> None:
    """Report entries that are not one a line; other layouts than these are no problem."""
    # Lines are as they should be; a table has a sentence of its own.
    if layout not in _LAYOUTS:
        return
    code, zh, en = _LAYOUTS[layout]
    entries = counted(count, "entry", "entries")
    report.add(
        None,
        code,
        zh=f"{zh}，共 {count} 条；平台要求每行一个 JSON 对象",
        en=f"{en} ({entries}); the platform requires one JSON object per line",
        fix=remedy,
    )


def report_separable(report: Report, changes: Sequence[Change], remedy: Remedy) -> None:
    """Report lines of several objects, and lines that end with a comma: each kind once."""
    for code, reason in _SEPARABLE:
        found = [change.line for change in changes if change.code == code]
        if not found:
            continue
        n, first = len(found), found[0]
        lines = counted(n, "line")
        report.add(
            None,
            "json",
            zh=f"{n} 行不是一个 JSON 对象（最先是第 {first} 行）：{reason.zh}",
            en=f"not one JSON object per line ({lines}, first on line {first}): {reason.en}",
            fix=remedy,
        )


def blank_lines(changes: Sequence[Change]) -> list[Problem]:
    """Return the problem of each blank line that a reader passed over."""
    severity, *fix = CODES["blank-line"]
    what = (severity, "blank-line", tr("空行", "blank line"), tr(*fix))
    lines = [change.line for change in changes if change.code == "blank-line"]
    return [Problem(line, None, *what, row=line) for line in lines]


def report_table(report: Report, found: Reading, remedy: Remedy) -> None:
    """Report a table or a chat."""
    n = found.count
    zh, en = f"这是一张表格，有 {n} 行", f"a table of {counted(n, 'row')}"
    if routing.is_chat_log(found):
        zh, en = f"这是聊天记录，有 {n} 条消息", f"a chat log of {counted(n, 'message')}"
    # Those of a text are not the reader's.
    if not getattr(found, "is_chat", False):
        names = _columns_of(found)
        zh += f"，列名是 {'、'.join(names)}"
        en += f" with the columns {', '.join(names)}"
    report.add(None, "other-shape", zh=zh, en=en, fix=remedy)


def _columns_of(found: Reading) -> list[str]:
    # A table with a heading alone has no entries.
    names = dict.fromkeys(getattr(found, "columns", ()))
    for entry in found.entries:
        if isinstance(entry.value, dict):
            names |= dict.fromkeys(map(str, entry.value))
    first = list(names)[:COLUMNS_NAMED]
    shown = [shortened(visible(column), MAX_COLUMN) for column in first]
    return [*shown, "…"] if len(names) > COLUMNS_NAMED else shown


def cleaning(name: str | None) -> Remedy:
    """Return the remedy for a file that `clean` can read."""
    call = calls.writing("data.clean(path)", name, "clean")
    return f"用 {call} 改写", f"rewrite it: {call}"


class OtherShapes:
    """The entries of a source that are in the shapes of other tools.

    Args:
        name: of the file; None for rows in memory.
        of_table: the remedy for rows of a table that nobody knows; None elsewhere.
    """

    def __init__(self, report: Report, name: str | None, of_table: Remedy | None = None):
        self._report = report
        self._of_table = of_table
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
        # The columns of a chat log, or of questions and answers, say more than a row does.
        if self._of_table and self._of_table != routing.BY_COLUMNS:
            return self._of_table
        if not self.has_known:
            usual = shapes.unknown(self._unknown[0][1]).fix or WRITE_MESSAGES
            return self._of_table or usual
        (shape, _), *_ = self._counts.most_common(1)
        return self._remedy_of(shape)

    def judge(self, whole: bool) -> None:
        """Report them: as the shape of the whole file, or each at its line."""
        if not self.count:
            return
        if whole:
            self._report_whole()
        else:
            self._report_each(alike=False)

    def judge_each(self) -> None:
        """Report each at its line, also where the whole file has no other shape."""
        self._report_each(alike=self.are_all)

    def _report_each(self, alike: bool) -> None:
        self._report_unknown(alike)
        for number, shape, seen in self._first:
            zh = f"是{spaced(shape.title_zh)}，不是 messages 格式"
            en = f"in another format ({shape.title_en}), not messages"
            if shape is refusals.UNWANTED:  # it has messages, and they are not to be learned
                zh, en = refusals.why(shape)
            self._report.add(
                number,
                "other-shape",
                zh=zh,
                en=en,
                fix=self.remedy() if self._of_table else self._remedy_of(shape),
                excerpt=seen,
                at=(WHOLE_TEXT, 0),
            )
        # Those that are not kept count all the same.
        unkept = self._counts.total() - len(self._first)
        if unkept:
            self._report.counts["error", "other-shape"] += unkept

    def _report_unknown(self, alike: bool) -> None:
        """Report each entry that nobody knows: by its keys where all are alike, else by the rules
        that it breaks."""
        for number, value in self._unknown:
            fix = self._of_table
            if fix is not None:
                zh, en = "是表格里的一行，不是 messages 格式", "a row of a table, not messages"
            elif alike:
                refused = shapes.unknown(value)
                zh, en = f"没有 messages：{refused.zh}", f"no messages: {refused.en}"
                fix = refused.fix or WRITE_MESSAGES
            else:
                row_rules.check_row(self._report, number, value)
                continue
            self._report.add(number, "other-shape", zh=zh, en=en, fix=fix)
        unkept = self._unknown_count - len(self._unknown)
        code = "other-shape" if self._of_table or alike else "messages-missing"
        if unkept:
            self._report.counts["error", code] += unkept

    def _unknown_words(self) -> tuple[str, str]:
        refused = shapes.unknown(self._unknown[0][1])
        n = self._unknown_count
        none_zh = f"{n} 条都没有" if n > 1 else "只有 1 条，没有"
        none_en = f"none of the {n} entries has" if n > 1 else "the only entry has no"
        return f"{none_zh} messages：{refused.zh}", f"{none_en} messages: {refused.en}"

    def _report_whole(self) -> None:
        # Entries that cannot be read are among the total.
        total = self._report.lines
        entries = counted(total, "entry", "entries")
        frequent = self._counts.most_common(SHAPES_NAMED)
        if not frequent:
            zh, en = self._unknown_words()
        elif frequent[0][1] == total:
            shape = frequent[0][0]
            all_zh = f"{total} 条都是" if total > 1 else "只有 1 条，是"
            zh = f"{all_zh}{spaced(shape.title_zh)}，不是 messages 格式"
            all_en = f"all {entries} are" if total > 1 else "the only entry is"
            en = f"{all_en} in another format: {shape.title_en}"
        else:
            parts = [(spaced(shape.title_zh), shape.title_en, n) for shape, n in frequent]
            if self._unknown_count:
                parts.append(("认不出的格式", "unknown format", self._unknown_count))
            zh = "，".join(f"{n} 条是{title}" for title, _, n in parts)
            en = ", ".join(f"{n} × {title}" for _, title, n in parts)
            zh = f"{total} 条里 {zh}；没有一条是 messages 格式"
            en = f"{entries} in other formats: {en}; none has messages"
        self._report.add(None, "other-shape", zh=zh, en=en, fix=self.remedy())

    def _remedy_of(self, shape: Shape) -> Remedy:
        if shape.call:
            return calls.converting(shape.call, self.name)
        # Nothing here converts it, as plain text.
        return refusals.remedy(shape) or WRITE_MESSAGES


def _seen(value: object) -> Excerpt:
    """Return what an entry is known by: its keys."""
    # A list of turns has no keys of its own.
    if not isinstance(value, dict):
        return excerpt.value(value)
    names = ", ".join(f'"{str(key)[:MAX_COLUMN]}"' for key in list(value)[:COLUMNS_NAMED])
    return excerpt.around(names, 0, len(names))

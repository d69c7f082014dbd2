"""What a check found: problems, with their places and counts.

`rules/` adds problems; nothing is searched for here. At most `MAX_PROBLEMS` of a
code are kept, so that no file can fill the memory; further ones are counted. How they are shown is
in `view.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cookbook.data.entry import Place, shared_column
from cookbook.data.report import calls, view
from cookbook.data.report.codes import CODES
from cookbook.data.report.excerpt import Excerpt, shortened, visible
from cookbook.data.report.view import Group, place
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Problem", "Report", "by_line", "counted", "place"]

MAX_PROBLEMS = 5_000
SHOWN_IN_TEXT = 20  # problems that `str(report)` lists
MAX_MESSAGE = 300  # characters, whatever the file says
MAX_NAME = 80  # characters of a file name

# What programs read of a problem: part of the contract of `python -m cookbook check --json`.
KEYS = ("line", "message_index", "column", "severity", "code", "message", "fix")


@dataclass(frozen=True)
class Problem:
    """One broken rule.

    Attributes:
        line: counts from 1; None for the whole file.
        message_index: of the message within the row, from 0.
        excerpt: (text before, offending text, text after), to be shown.
        column: of the offending text in the line, counted from 1; None where there is no line of
            text, or none in it to blame.
        cell: of a table, as `B12`, with its sheet where the file has several: `Sheet2!B12`.
        sheet: of a workbook, on which the line is.
        row: the number of the entry in its source, see `Entry`.
        at: (key of the message, offset in its value) of the offending text, from which the column
            is found.
    """

    line: int | None
    message_index: int | None
    severity: str
    code: str
    message: str
    fix: str
    excerpt: Excerpt | None = field(default=None, repr=False, compare=False)
    column: int | None = None
    cell: str | None = None
    sheet: str | None = None
    row: int | None = field(default=None, repr=False, compare=False)
    at: tuple[str, int] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict:
        """Return what `--json` prints of a problem."""
        return {name: getattr(self, name) for name in KEYS}


@dataclass
class Report:
    """The problems of one file; shows itself in a notebook and in a terminal.

        report = data.check("train.jsonl")
        report.ok, report.errors, report.warnings
        report.to_frame()                  # all problems as a table

    Attributes:
        file: its name.
        source: what a call names it: its path in quotes, or a word.
        problems: the problems, in the order of the file.
        rows: the rows that can be trained on.
        lines: how many entries there are, blank lines not counted.
        row_lines: the numbers of `rows` in the file.
        readable: whether the file could be opened.
        has_rows: whether its entries were read at all.
        stats: the tokens, where they were counted.
        counts: the number of problems by (severity, code), those included that were not kept.
        limit_per_code: how many of each code are kept.
        once_per_line: whether to keep only the first of each code in a line, of all lines.
        places: where an entry begins, by its number; others begin on the line of their number.
    """

    file: str
    source: str = calls.UNKNOWN
    problems: list[Problem] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    lines: int = 0
    row_lines: list[int] = field(default_factory=list)
    readable: bool = True
    has_rows: bool = True
    stats: dict[str, int] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    limit_per_code: int = MAX_PROBLEMS
    once_per_line: bool = False
    places: Mapping[int, Place] = field(default_factory=dict, repr=False)
    _seen: set[tuple[int | None, str, str]] = field(default_factory=set, repr=False)

    def keeps(self, number: int | None, code: str, severity: str | None = None) -> bool:
        """Return whether a further problem would be kept, and not only counted."""
        severity = severity or CODES[code].severity
        if self.once_per_line:
            return (number, code, severity) not in self._seen
        return self.counts[severity, code] < self.limit_per_code

    def line_of(self, number: int) -> int:
        """Return the line on which an entry begins."""
        place = self.places.get(number)
        return place.line if place else number

    def where(self, number: int) -> tuple[str, str]:
        """Return where an entry begins, in Chinese and English: `第 3 行`, `line 3`."""
        line, column = self.line_of(number), shared_column(self.places, number)
        # In an array on one line, the line tells nothing.
        if column is not None:
            return f"第 {line} 行第 {column} 列", f"line {line}, column {column}"
        return f"第 {line} 行", f"line {line}"

    def add(
        self,
        number: int | None,
        code: str,
        *,
        zh: str,
        en: str,
        index: int | None = None,
        excerpt: Excerpt | Callable[[], Excerpt] | None = None,
        severity: str | None = None,
        fix: tuple[str, str] | None = None,
        column: int | None = None,
        cell: str | None = None,
        at: tuple[str, int] | None = None,
    ) -> None:
        """Add a problem; `column`, `cell` and `at` are as in `Problem`.

        Args:
            number: of the entry; None for the whole file.
            code: one of `CODES`, which has the remedy and the usual severity.
            fix: another remedy, in Chinese and English.
            index: of the message within the row.
            excerpt: what to show; as a function it is called only if the problem is kept, since
                cutting takes time.
        """
        usual_severity, *usual_fix = CODES[code]
        severity = severity or usual_severity
        # Of a flood of problems most are counted and never shown.
        if not self._count(number, code, severity):
            return
        begins = self.places.get(number) if number is not None else None
        line, sheet = (begins.line, begins.sheet) if begins else (number, None)
        message, remedy = (
            _short(tr(zh, en)),
            _short(calls.filled(tr(*(fix or usual_fix)), self.source)),
        )
        shown = excerpt() if callable(excerpt) else excerpt
        what = (line, index, severity, code, message, remedy)
        self.problems.append(Problem(*what, shown, column, cell, sheet, number, at))

    def _count(self, number: int | None, code: str, severity: str) -> bool:
        """Count a problem, and return whether it is kept."""
        kept = self.keeps(number, code, severity)
        self.counts[severity, code] += 1
        if kept and self.once_per_line:
            self._seen.add((number, code, severity))
        return kept

    def take(self, problems: Iterable[Problem]) -> None:
        """Add problems of another report."""
        # Not limited: the other report has limited them already.
        for problem in problems:
            self.counts[problem.severity, problem.code] += 1
            self.problems.append(problem)

    def sort(self) -> None:
        """Order the problems by entry, line and column; those of the whole file come first."""
        self.problems.sort(key=_position)

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(n for (severity, _), n in self.counts.items() if severity == "error")

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return self.counts.total() - self.errors

    @property
    def ok(self) -> bool:
        """Return whether there is no error; warnings are allowed."""
        return self.errors == 0

    @property
    def verdict(self) -> str:
        """The result in one line."""
        mark = "✔" if self.ok else "✘"
        zh, en = [], []
        # Of a file that was not read nobody can say how many it has.
        if self.has_rows:
            zh.append(f"{self.lines} 条数据")
            en.append(counted(self.lines, "row"))
        if self.counts:
            zh += [f"{self.errors} 个错误", f"{self.warnings} 个提醒"]
            en += [counted(self.errors, "error"), counted(self.warnings, "warning")]
        else:
            zh.append("没有问题")
            en.append("no problems")
        summary = tr("，".join(zh), ", ".join(en))
        return f"{mark} {shortened(self.file, MAX_NAME)}: {summary}"

    @property
    def shown(self) -> list[Group]:
        """Those problems that a short report has room for, of every code if possible."""
        found = view.groups(self.problems, self.counts)
        return view.first(found, SHOWN_IN_TEXT)

    @property
    def hidden(self) -> str:
        """How many problems are not among `shown`, in words; "" if all are."""
        # What is not kept counts too.
        return view.hidden(self.counts, self.shown)

    def to_frame(self) -> "pd.DataFrame":
        """Return the problems as a table, one per row, without their excerpts.

        It has the columns of `Problem.to_dict`, and `sheet` and `cell` where a problem has them.
        """
        import pandas as pd

        columns = list(KEYS)
        for name in ("sheet", "cell"):
            if any(getattr(problem, name) is not None for problem in self.problems):
                columns.append(name)
        problems = [{name: getattr(problem, name) for name in columns} for problem in self.problems]
        frame = pd.DataFrame(problems, columns=columns)
        # Integers, with <NA> where there is no line or message.
        return frame.astype({"line": "Int64", "message_index": "Int64", "column": "Int64"})

    def to_dict(self) -> dict:
        """Return the object that `python -m cookbook check --json` prints."""
        return {
            "file": self.file,
            "rows": self.lines,
            "errors": self.errors,
            "warnings": self.warnings,
            "problems": [p.to_dict() for p in self.problems],
            "stats": self.stats,
        }

    def __str__(self) -> str:
        lines = [self.verdict]
        shown = self.shown
        for group in shown:
            lines += view.lines(group)
        hidden = view.hidden(self.counts, shown)
        if hidden:
            lines.append(f"  {hidden}")
        return printable("\n".join(lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return view.heading(self.verdict) + self.table()

    def table(self, of_each: int = 3) -> str:
        """Return HTML: the number of problems of each code, then the first of each, by line."""
        return view.table(self, of_each)


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its English noun: "1 row", "2 rows"."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"


def _short(message: str) -> str:
    """Return a message that is safe to show, and never long, whatever the file has in it."""
    # Once more after the escapes, each of which takes several characters.
    return shortened(visible(shortened(message, MAX_MESSAGE)), MAX_MESSAGE)


def _position(problem: Problem) -> tuple[int, int, int, bool]:
    # Lines of several sheets are only comparable by the number of their entry. Of a whole file,
    # what makes it unfit comes first.
    is_advice = problem.line is None and problem.severity == "warning"
    return problem.row or 0, problem.line or 0, problem.column or 0, is_advice


class _HasLine(Protocol):
    @property
    def line(self) -> int | None: ...


def by_line(item: _HasLine) -> int:
    """Return a sort key for whatever has a `line`; what concerns the whole file comes first."""
    return item.line or 0

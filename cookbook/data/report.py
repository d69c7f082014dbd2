"""What a check found: problems, their counts, and how they look in a terminal and in a notebook.

`rules.py` and `corpus.py` add problems; nothing is searched for here. At most `MAX_PROBLEMS` of a
code are kept, so that no file can fill the memory; further ones are counted. HTML is made by
Jinja2, which escapes what the file says.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cookbook import html
from cookbook.data.codes import CODES
from cookbook.data.entry import Place
from cookbook.data.excerpt import Excerpt, visible
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

MAX_PROBLEMS = 5_000
SHOWN_IN_TEXT = 20  # problems that `str(report)` lists

COLORS = {"error": html.ERROR, "warning": html.WARNING}


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
    row: int | None = field(default=None, repr=False, compare=False)
    at: tuple[str, int] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict:
        """Return what `--json` prints of a problem."""
        values = dataclasses.asdict(self)
        for name in ("excerpt", "row", "at", "cell"):
            del values[name]
        return values


@dataclass
class Report:
    """Everything that `check` found in one file.

    `rows` has the rows that can be trained on, `row_lines` their lines. `places` says where an
    entry begins, by its number; one that it lacks begins on the line of that number. `lines` counts
    all lines that are not blank. `counts` has the number of problems by (severity, code), those
    that are not kept included. Kept are `limit_per_code` of each code; with `once_per_line` the
    first of each code in each line, however many lines there are.
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    lines: int = 0
    row_lines: list[int] = field(default_factory=list)
    readable: bool = True
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
        kept = self.keeps(number, code, severity)
        self.counts[severity, code] += 1
        if not kept:
            return
        if self.once_per_line:
            self._seen.add((number, code, severity))
        # Only now: of a flood of problems most are counted and never shown.
        if callable(excerpt):
            excerpt = excerpt()
        message = visible(tr(zh, en))
        remedy = tr(*(fix or usual_fix))
        line = None if number is None else self.line_of(number)
        self.problems.append(
            Problem(line, index, severity, code, message, remedy, excerpt, column, cell, number, at)
        )

    def take(self, problems: Iterable[Problem]) -> None:
        """Add problems of another report."""
        # Not limited: the other report has limited them already.
        for problem in problems:
            self.counts[problem.severity, problem.code] += 1
            self.problems.append(problem)

    def sort(self) -> None:
        """Order the problems by line; those of the whole file come first."""
        self.problems.sort(key=by_line)

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
        summary = tr(f"{self.lines} 条数据", f"{self.lines} rows")
        if self.counts:
            zh = f"，{self.errors} 个错误，{self.warnings} 个提醒"
            en = f", {self.errors} errors, {self.warnings} warnings"
        else:
            zh, en = "，没有问题", ", no problems"
        return f"{mark} {self.file}: {summary}{tr(zh, en)}"

    def to_frame(self) -> "pd.DataFrame":
        """Return the problems as a table, one per row, without their excerpts."""
        import pandas as pd

        columns = [f.name for f in dataclasses.fields(Problem)]
        for name in ("excerpt", "row", "at"):
            columns.remove(name)
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
        shown = self.problems[:SHOWN_IN_TEXT]
        lines = [self.verdict]
        for problem in shown:
            what = f"[{problem.code}] {problem.message} → {problem.fix}"
            lines.append(f"  {place(problem)} {what}")
        # What is not kept counts too.
        hidden = self.counts.total() - len(shown)
        if hidden > 0:
            lines.append(tr(f"  …… 另有 {hidden} 个", f"  … and {hidden} more"))
        return printable("\n".join(lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heading = html.template("<p><b>{{ verdict }}</b></p>").render(verdict=self.verdict)
        return heading + self.table()

    def table(self, of_each: int = 3) -> str:
        """Return HTML: the number of problems of each code, then the first of each, by line."""
        shown = self._first_of_each(of_each)
        return html.template(_TABLE).render(
            counts=sorted(self.counts.items()),
            problems=shown,
            hidden=self.counts.total() - len(shown),
            of_each=of_each,
            colors=COLORS,
            grey=html.GREY,
            place=place,
        )

    def _first_of_each(self, limit: int) -> list[Problem]:
        """Return the problems without those of which `limit` of the same code come before."""
        seen: Counter[str] = Counter()
        first = []
        for problem in self.problems:
            seen[problem.code] += 1
            if seen[problem.code] <= limit:
                first.append(problem)
        return first


class _HasLine(Protocol):
    @property
    def line(self) -> int | None: ...


def by_line(item: _HasLine) -> int:
    """Return a sort key for whatever has a `line`; what concerns the whole file comes first."""
    return item.line or 0


def place(problem: Problem) -> str:
    """Return where a problem is, in words; a message is indexed as in Python."""
    if problem.line is None:
        return tr("整个文件", "the whole file")
    line = tr(f"第 {problem.line} 行", f"line {problem.line}")
    if problem.message_index is None:
        return line
    return f"{line} messages[{problem.message_index}]"


# One row of the table is one problem; the offending part of its excerpt is marked.
_TABLE = """\
{% macro cell(style="") -%}
<td style="text-align:left;vertical-align:top{{ style }}">{{ caller() }}</td>
{%- endmacro -%}
<p>
{%- for (severity, code), n in counts -%}
<span style="color:{{ colors[severity] }};margin-right:1em"><code>{{ code }}</code> × {{ n }}</span>
{% endfor -%}
</p>
{%- if problems %}
<table><thead><tr>
{%- for head in (tr("位置", "where"), tr("问题", "problem"), tr("发现", "found"),
                 tr("看这里", "look here"), tr("怎么改", "fix")) -%}
<th style="text-align:left">{{ head }}</th>
{%- endfor -%}
</tr></thead><tbody>
{%- for problem in problems -%}
<tr>
{%- call cell(";white-space:nowrap") %}{{ place(problem) }}{% endcall %}
{%- call cell(";color:" ~ colors[problem.severity]) %}<code>{{ problem.code }}</code>{% endcall %}
{%- call cell() %}{{ problem.message }}{% endcall %}
{%- call cell() -%}
{%- if problem.excerpt -%}
{%- set before, offending, after = problem.excerpt -%}
<code>{{ before }}<mark style="background:#ffe08a">{{ offending or "␣" }}</mark>{{ after }}</code>
{%- endif -%}
{%- endcall %}
{%- call cell() %}{{ problem.fix }}{% endcall %}
</tr>
{%- endfor -%}
</tbody></table>
{%- endif %}
{%- if hidden %}
<p style="color:{{ grey }}">
{{- tr("每种问题显示前 %d 处，另有 %d 处；全部见 .to_frame()" % (of_each, hidden),
       "the first %d of each code; %d more in .to_frame()" % (of_each, hidden)) -}}
</p>
{%- endif %}"""

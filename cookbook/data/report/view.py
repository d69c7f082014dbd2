"""How problems are shown: lines with a caret in a terminal, a table with a mark in a notebook.

    第 3 行第 41 列 messages[1] [role-unknown] role 是 'bot' → 只能用 system、user、assistant
        "role": bot
                ^^^
    第 4、5、6、7、8 行等 90 处 [json] 不是合法的 JSON：行末多了逗号 → …

Problems that differ in their place alone are shown once, the most important first. Nothing is cut
or escaped here but what would not fit a terminal: `excerpt.py` did that. HTML is made by Jinja2,
which escapes what the file says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cookbook import html
from cookbook.data.report import calls
from cookbook.data.report.excerpt import Excerpt, pointed, width
from cookbook.data.report.names import joined
from cookbook.i18n import tr

if TYPE_CHECKING:
    from cookbook.data.report import Problem, Report
    from cookbook.data.report.changes import Change

INDENT = "      "  # of an excerpt in a terminal: deeper than its problem
ONE_LINE = 100  # columns of a terminal; a longer sentence has its remedy on a line of its own
HIDDEN_CODES = 6  # codes that are named of the problems that are not shown
FEWEST_EQUAL = 3  # problems that are shown as one; two are as quickly read, each with its excerpt
PLACES_NAMED = 5

COLORS = {"error": html.ERROR, "warning": html.WARNING_FILLED}

# Of the whole file, but hardly ever what is wrong with it.
_MINOR = ("file-suffix", "row-count-low", "system-varies")

Counts = Mapping[tuple[str, str], int]  # the number of problems by (severity, code)


@dataclass(frozen=True)
class Group:
    """Problems that differ in their place alone; `count` includes those that were not kept."""

    problems: Sequence["Problem"]
    count: int

    @property
    def first(self) -> "Problem":
        """The problem by which all are shown."""
        return self.problems[0]

    @property
    def severity(self) -> str:
        """Of all of them."""
        return self.first.severity

    @property
    def excerpt(self) -> Excerpt | None:
        """Of the first."""
        return self.first.excerpt

    @property
    def place(self) -> str:
        """Where they are, in words: the place of one, the first places of many."""
        if self.count == 1:
            return place(self.first)
        return _places(self.problems, self.count)

    @property
    def what(self) -> str:
        """What is wrong, without the cell, which is a place."""
        return _without_cell(self.first)

    @cached_property
    def message(self) -> str:
        """Where and what."""
        return f"{self.place} [{self.first.code}] {self.what}"

    @property
    def sentence(self) -> str:
        """All in one line: where, what and the remedy."""
        return f"{self.message} → {self.first.fix}"


def _without_cell(problem: "Problem") -> str:
    # Programs read the message alone, so it names the cell.
    return problem.message.removeprefix(f"{problem.cell} ")


def place(problem: "Problem") -> str:
    """Return where a problem is, in words; a message is indexed as in Python."""
    # A cell says more than the line that it is on.
    if problem.cell is not None:
        return tr(f"单元格 {problem.cell}", f"cell {problem.cell}")
    if problem.line is None:
        return tr("整个文件", "the whole file")
    words = tr(f"第 {problem.line} 行", f"line {problem.line}")
    if problem.sheet is not None:
        sheet = problem.sheet
        words = tr(f"工作表 {sheet} {words}", f"sheet {sheet}, {words}")
    if problem.column is not None:
        words += tr(f"第 {problem.column} 列", f", column {problem.column}")
    if problem.message_index is not None:
        words += f" messages[{problem.message_index}]"
    return words


def _places(problems: Sequence["Problem"], count: int) -> str:
    cells = [p.cell for p in problems if p.cell is not None]
    each = cells or map(line_of, problems)
    names = list(dict.fromkeys(each))
    shown = joined(names[:PLACES_NAMED])
    sheets = {p.sheet for p in problems[:PLACES_NAMED]}
    if cells:
        shown = tr(f"单元格 {shown}", f"cells {shown}")
    # With a sheet before them they are no plain numbers of lines.
    elif sheets == {None}:
        noun = "lines" if len(names) > 1 else "line"
        shown = tr(f"第 {shown} 行", f"{noun} {shown}")
    if count > len(names) or len(names) > PLACES_NAMED:
        shown += tr(f"等 {count} 处", f" … ({count} places)")
    return shown


def line_of(item: "Problem | Change") -> str:
    """Return the line of a problem or a change, with the sheet of a workbook before it."""
    if item.sheet is None:
        return str(item.line)
    return f"{item.sheet}!{item.line}"


def groups(problems: Iterable["Problem"], counts: Counts) -> list[Group]:
    """Return the problems, those that are equal but for their place as one, the gravest first.

    Args:
        counts: of all problems, those included that were counted and not kept.
    """
    equal: dict[tuple, list[Problem]] = {}
    for problem in problems:
        # What concerns the whole file is of one place.
        is_of_file = problem.line is None and problem.cell is None
        alone = id(problem) if is_of_file else None
        what = _without_cell(problem)
        key = (problem.severity, problem.code, what, problem.fix, alone)
        equal.setdefault(key, []).append(problem)
    of_code = Counter(key[:2] for key in equal)
    kept: Counter[tuple[str, str]] = Counter()
    for key, some in equal.items():
        kept[key[:2]] += len(some)
    result = []
    for key, some in equal.items():
        code = key[:2]
        unseen = 0
        # Where all that were kept are equal, so are those that were not.
        if of_code[code] == 1:
            unseen = counts.get(code, 0) - kept[code]
        if len(some) < FEWEST_EQUAL and not unseen:
            result += [Group([problem], 1) for problem in some]
        else:
            count = len(some) + max(0, unseen)
            result.append(Group(some, count))
    return sorted(result, key=_importance)


def _importance(group: Group) -> tuple:
    """Return a sort key: errors first, of each severity what concerns the whole file first."""
    first = group.first
    is_error = first.severity == "error"
    is_of_file = first.line is None and first.cell is None
    is_minor = is_of_file and first.code in _MINOR
    at = first.row or 0, first.column or 0
    return not is_error, not is_of_file, is_minor, at


def first(found: Sequence[Group], most: int) -> list[Group]:
    """Return `most` groups, in their order: the first of each code before its further ones.

    So no kind is hidden by a flood of another; errors come before warnings.
    """
    # Ranked by how many of the same code come before.
    of_code: Counter[str] = Counter()
    ranked = []
    for i, group in enumerate(found):
        code = group.first.code
        ranked.append((of_code[code], group.severity != "error", i))
        of_code[code] += 1
    ranked.sort()
    shown = [i for _, _, i in ranked[:most]]
    return [found[i] for i in sorted(shown)]


def lines(group: Group) -> list[str]:
    """Return problems for a terminal: the sentence, and below it what the first points at."""
    result = [f"  {group.sentence}"]
    remedy = []
    if width(result[0]) > ONE_LINE:
        result = [f"  {group.message}"]
        remedy = [f"{INDENT}→ {group.first.fix}"]
    if group.excerpt is not None:
        result += [INDENT + line for line in pointed(group.excerpt)]
    return result + remedy


def hidden(counts: Counts, shown: Sequence[Group]) -> str:
    """Return how many problems are not shown, by code; "" if all are."""
    # Those that were only counted are among them.
    left = Counter(counts)
    for group in shown:
        left[group.severity, group.first.code] -= group.count
    by_code: Counter[str] = Counter()
    for (_, code), n in left.items():
        if n > 0:
            by_code[code] += n
    if not by_code:
        return ""
    named = [f"{code} × {n}" for code, n in by_code.most_common(HIDDEN_CODES)]
    if len(by_code) > HIDDEN_CODES:
        named.append("…")
    total = by_code.total()
    codes = joined(named)
    return tr(f"…… 另有 {total} 个：{codes}", f"… and {total} more: {codes}")


def heading(verdict: str) -> str:
    """Return HTML: the result in one line."""
    return html.template("<p><b>{{ verdict }}</b></p>").render(verdict=verdict)


def table(report: "Report", of_each: int = 3) -> str:
    """Return HTML: the number of problems of each code, then the first of each."""
    shown = _first_of_each(groups(report.problems, report.counts), of_each)
    return html.template(_TABLE).render(
        counts=sorted(report.counts.items(), key=_rank),
        groups=shown,
        hidden=report.counts.total() - sum(group.count for group in shown),
        of_each=of_each,
        colors=COLORS,
        grey=html.GREY,
        parts=calls.parts,
    )


def _rank(counted: tuple[tuple[str, str], int]) -> tuple[str, int, str]:
    """Return a sort key: by severity, the most frequent code first."""
    (severity, code), n = counted
    return severity, -n, code


def _first_of_each(found: Sequence[Group], limit: int) -> list[Group]:
    """Return the groups without those of which `limit` of the same code come before."""
    seen: Counter[str] = Counter()
    result = []
    for group in found:
        seen[group.first.code] += 1
        if seen[group.first.code] <= limit:
            result.append(group)
    return result


# A template that shows excerpts begins with this; the panel's does, too. The mark has a text colour
# of its own: that of a dark page would not be read on yellow.
MARKED = """\
{% macro marked(excerpt) -%}
{%- set before, offending, after = excerpt -%}
<code>{{ before }}<mark style="background:#ffe08a;color:#222">{{ offending or "␣" }}</mark>
{{- after }}</code>
{%- endmacro -%}
"""

# One row of the table is one problem, or several that are equal. White on a colour is read on light
# and dark pages alike.
_TABLE = (
    MARKED
    + """\
{% macro cell(style="") -%}
<td style="text-align:left;vertical-align:top{{ style }}">{{ caller() }}</td>
{%- endmacro -%}
{% macro badge(severity, code, n=0) -%}
<span style="display:inline-block;padding:0 .5em;border-radius:.8em;white-space:nowrap;
font-family:monospace;font-size:.9em;line-height:1.6;color:#fff;background:{{ colors[severity] }}">
{{- code }}{% if n %} × {{ n }}{% endif %}</span>
{%- endmacro -%}
<p style="line-height:2">
{%- for (severity, code), n in counts %}{{ badge(severity, code, n) }}
{% endfor -%}
</p>
{%- if groups %}
<table><thead><tr>
{%- for head in (tr("位置", "where"), tr("问题", "problem"), tr("发现", "found"),
                 tr("怎么改", "fix")) -%}
<th style="text-align:left">{{ head }}</th>
{%- endfor -%}
</tr></thead><tbody>
{%- for group in groups -%}
<tr>
{%- call cell(";white-space:nowrap" if group.count == 1 else ";min-width:9em") %}
{{- group.place }}{% endcall %}
{%- call cell() %}{{ badge(group.severity, group.first.code) }}{% endcall %}
{%- call cell(";min-width:16em") %}{{ group.what }}
{%- if group.excerpt %}<br>{{ marked(group.excerpt) }}{% endif %}{% endcall %}
{%- call cell() %}
{%- for is_call, text in parts(group.first.fix) %}
{%- if is_call %}<code style="overflow-wrap:anywhere">{{ text }}</code>
{%- else %}{{ text }}{% endif %}
{%- endfor %}{% endcall %}
</tr>
{%- endfor -%}
</tbody></table>
{%- endif %}
{%- if hidden %}
<p style="color:{{ grey }}">
{{- tr("每种问题显示前 %d 个，另有 %d 处，全部见 .to_frame()" % (of_each, hidden),
       "the first %d of each code; %d more in .to_frame()" % (of_each, hidden)) -}}
</p>
{%- endif %}"""
)

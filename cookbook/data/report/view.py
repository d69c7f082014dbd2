"""How problems are shown: lines with a caret in a terminal, a table with a mark in a notebook.

    第 3 行第 41 列 messages[1] [role-unknown] role 是 'bot' → 只能用 system、user、assistant
        "role": bot
                ^^^

Nothing is cut or escaped here but what would not fit a terminal: `excerpt.py` did that. HTML is
made by Jinja2, which escapes what the file says.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cookbook import html
from cookbook.data.report.excerpt import pointed
from cookbook.i18n import tr

if TYPE_CHECKING:
    from cookbook.data.report import Problem, Report

INDENT = "      "  # of an excerpt in a terminal: deeper than its problem
SAME_MANY = 6  # problems that say the same; of more, only the first are shown
SAME_SHOWN = 3
HIDDEN_CODES = 6  # codes that are named of the problems that are not shown

COLORS = {"error": html.ERROR, "warning": html.WARNING}


def place(problem: "Problem") -> str:
    """Return where a problem is, in words; a message is indexed as in Python."""
    # A cell says more than the line that it is on.
    if problem.cell is not None:
        return tr(f"单元格 {problem.cell}", f"cell {problem.cell}")
    if problem.line is None:
        return tr("整个文件", "the whole file")
    words = tr(f"第 {problem.line} 行", f"line {problem.line}")
    if problem.sheet is not None:
        words = tr(f"工作表 {problem.sheet} {words}", f"sheet {problem.sheet}, {words}")
    if problem.column is not None:
        words += tr(f"第 {problem.column} 列", f", column {problem.column}")
    if problem.message_index is not None:
        words += f" messages[{problem.message_index}]"
    return words


def first(problems: Sequence["Problem"], most: int) -> list["Problem"]:
    """Return `most` problems, in their order: the first of each code before its further ones.

    So no kind is hidden by a flood of another; errors come before warnings. Of many that say the
    same, only the first few are returned.
    """
    problems = _without_repeated(problems)
    # Ranked by how many of the same code come before.
    of_code: Counter[str] = Counter()
    ranked = []
    for i, problem in enumerate(problems):
        ranked.append((of_code[problem.code], problem.severity != "error", i))
        of_code[problem.code] += 1
    shown = sorted(i for _, _, i in sorted(ranked)[:most])
    return [problems[i] for i in shown]


def _without_repeated(problems: Sequence["Problem"]) -> list["Problem"]:
    """Return the problems; of many that say the same, only the first few."""
    totals = Counter((problem.code, problem.message) for problem in problems)
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for problem in problems:
        same = (problem.code, problem.message)
        seen[same] += 1
        if seen[same] <= SAME_SHOWN or totals[same] <= SAME_MANY:
            kept.append(problem)
    return kept


def sentence(problem: "Problem") -> str:
    """Return a problem in one line: where, what and the remedy."""
    return f"{place(problem)} [{problem.code}] {problem.message} → {problem.fix}"


def lines(problem: "Problem") -> list[str]:
    """Return a problem for a terminal: its sentence, and below it what it points at."""
    result = [f"  {sentence(problem)}"]
    if problem.excerpt is not None:
        result += [INDENT + line for line in pointed(problem.excerpt)]
    return result


def hidden(counts: Counter[tuple[str, str]], shown: Sequence["Problem"]) -> str:
    """Return how many problems are not shown, by code; "" if all are.

    Args:
        counts: the number of problems by (severity, code), as in `Report`.
    """
    # Those that were only counted are among them.
    left = counts - Counter((problem.severity, problem.code) for problem in shown)
    if not left:
        return ""
    by_code: Counter[str] = Counter()
    for (_, code), n in left.items():
        by_code[code] += n
    named = [f"{code} × {n}" for code, n in by_code.most_common(HIDDEN_CODES)]
    if len(by_code) > HIDDEN_CODES:
        named.append("…")
    codes = tr("、", ", ").join(named)
    return tr(f"…… 另有 {left.total()} 个：{codes}", f"… and {left.total()} more: {codes}")


def heading(verdict: str) -> str:
    """Return HTML: the result in one line."""
    return html.template("<p><b>{{ verdict }}</b></p>").render(verdict=verdict)


def table(report: "Report", of_each: int = 3) -> str:
    """Return HTML: the number of problems of each code, then the first of each, by line."""
    shown = _first_of_each(report.problems, of_each)
    return html.template(_TABLE).render(
        counts=sorted(report.counts.items()),
        problems=shown,
        hidden=report.counts.total() - len(shown),
        of_each=of_each,
        colors=COLORS,
        grey=html.GREY,
        place=place,
    )


def _first_of_each(problems: Sequence["Problem"], limit: int) -> list["Problem"]:
    """Return the problems without those of which `limit` of the same code come before."""
    seen: Counter[str] = Counter()
    result = []
    for problem in problems:
        seen[problem.code] += 1
        if seen[problem.code] <= limit:
            result.append(problem)
    return result


# A template that shows excerpts begins with this; the panel's does, too.
MARKED = """\
{% macro marked(excerpt) -%}
{%- set before, offending, after = excerpt -%}
<code>{{ before }}<mark style="background:#ffe08a">{{ offending or "␣" }}</mark>{{ after }}</code>
{%- endmacro -%}
"""

# One row of the table is one problem; the offending part of its excerpt is marked.
_TABLE = (
    MARKED
    + """\
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
{%- call cell() %}{% if problem.excerpt %}{{ marked(problem.excerpt) }}{% endif %}{% endcall %}
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
)

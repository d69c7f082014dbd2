"""Render what the panel shows: labels, messages, figures, and a table for pages without widgets.

Every text is escaped by Jinja2, so nothing of the reader's is taken for markup. Colours and sizes
are in panel.css; readers and browser tests find a control by the classes named there.
"""

from functools import cache
from pathlib import Path

from cookbook import html
from cookbook.data.report.view import MARKED
from cookbook.i18n import tr
from cookbook.memory import MemoryPlan
from cookbook.panel.consequences import Consequence
from cookbook.panel.training_file import TrainingFile
from cookbook.params import RANGES, Hyperparameters, Range, Risk

HEADING = "<b>{{ title }}</b>"

MESSAGES = """\
{% for text in texts %}
<div class="{{ css_class }}">{{ mark }} {{ text }}</div>
{% endfor %}
"""

NOTE = '<div class="cookbook-quiet">{{ text }}</div>'

# The sentences of `str(report)`; a file that can be used keeps its warnings folded.
REPORT = (
    MARKED
    + """\
<div class="{{ "cookbook-quiet" if report.ok else "cookbook-refusal" }}">{{ report.verdict }}</div>
{% if report.shown %}
<details class="cookbook-problems" {{ open }}>
<summary>{{ tr("哪里不对，怎么改", "where, and what to do") }}</summary>
{% for group in report.shown %}
<div class="cookbook-{{ group.severity }}">{{ group.sentence }}</div>
{% if group.excerpt and group.excerpt[0] ~ group.excerpt[1] ~ group.excerpt[2] %}
<div class="cookbook-excerpt">{{ marked(group.excerpt) }}</div>
{% endif %}
{% endfor %}
{% if report.hidden %}
<div class="cookbook-quiet">{{ report.hidden }}</div>
{% endif %}
</details>
{% endif %}
"""
)

CODE = "<pre>{{ text }}</pre>"

CARDS = """\
<div class="cookbook-facts">
{% for figure in figures %}
<div>{{ figure.label }}<big>{{ figure.value }}</big><small>{{ figure.reason }}</small></div>
{% endfor %}
</div>
"""

FIELD_LABEL = """\
<b>{{ limits.label }}</b>
<br><code>{{ name }}</code>
"""

MARKS = """\
{% set left = "%.1f%%"|format(100 * place) %}
<div class="cookbook-scale" title="▲ {{ tr("建议值", "suggested") }}">
<span>{% if place > left_free_from %}{{ "%g"|format(low) }}{% endif %}</span>
<span class="cookbook-mark" style="left:{{ left }}">▲{{ "%g"|format(suggested) }}</span>
{% if place < right_free_to %}
<span>{{ "%g"|format(high) }}</span>
{% endif %}
</div>
"""

DESCRIPTION = """\
{{ tr(limits.zh, limits.en) }}
<span class="cookbook-limits">
{{ tr("范围", "range") }} {{ "%g"|format(limits.low) }}–{{ "%g"|format(limits.high) -}}
{{ tr("，建议", ", suggested") }} {{ "%g"|format(limits.suggested) }}</span>
"""

STATIC = """\
{% set cell = "text-align:left;vertical-align:top" %}
<table><thead><tr>
{% for head in heads %}
<th style="text-align:left">{{ head }}</th>
{% endfor %}
</tr></thead><tbody>
{% for name, value in values.items() %}
<tr><td style="{{ cell }};white-space:nowrap"><code>{{ name }}</code></td>
<td style="{{ cell }}">{{ ranges[name].label }}</td>
<td style="{{ cell }}">{{ "%g"|format(value) }}</td>
<td style="{{ cell }}">{{ "%g"|format(ranges[name].suggested) }}</td></tr>
{% endfor %}
</tbody></table>
<ul>
{% for figure in figures %}
<li>{{ figure.label }}: <b>{{ figure.value }}</b> ({{ figure.reason }})</li>
{% endfor %}
</ul>
"""

# Beyond these places on the slider, 0 at its left and 1 at its right, the mark of the suggested
# value would cover the number at that end.
LEFT_END_FREE_FROM = 0.2
RIGHT_END_FREE_TO = 0.8


@cache
def style() -> str:
    """Return the panel's style sheet as an element."""
    css = Path(__file__).with_name("panel.css").read_text(encoding="utf-8")
    return f"<style>\n{css}</style>"


def heading(title: str) -> str:
    """Return the title of a group."""
    return html.template(HEADING).render(title=title)


def error_lines(*texts: str) -> str:
    """Return why something cannot be used, a line each."""
    return html.template(MESSAGES).render(css_class="cookbook-refusal", mark="✘", texts=texts)


def unfit(plan: MemoryPlan | None) -> str:
    """Return why a training does not fit into the memory, and what would; empty without a plan."""
    return "" if plan is None else error_lines(str(plan), *plan.remedies())


def warning_lines(*texts: str) -> str:
    """Return what can be used but is risky, a line each."""
    return html.template(MESSAGES).render(css_class="cookbook-warning", mark="⚠", texts=texts)


def note(text: str) -> str:
    """Return a remark."""
    return html.template(NOTE).render(text=text)


def code(text: str) -> str:
    """Return a text to copy; one click selects it all."""
    return html.template(CODE).render(text=text)


def cards(figures: list[Consequence]) -> str:
    """Return the consequences of a choice as a grid of figures."""
    return html.template(CARDS).render(figures=figures)


def field_label(name: str, limits: Range) -> str:
    """Return a parameter's label, with its name in code."""
    return html.template(FIELD_LABEL).render(name=name, limits=limits)


def slider_marks(*, low: float, suggested: float, high: float, place: float) -> str:
    """Return the scale below a slider: its ends, and where the suggested value is.

    Args:
        place: of the suggested value, 0 at the left end and 1 at the right one.
    """
    return html.template(MARKS).render(
        low=low,
        suggested=suggested,
        high=high,
        place=place,
        left_free_from=LEFT_END_FREE_FROM,
        right_free_to=RIGHT_END_FREE_TO,
    )


def description(limits: Range) -> str:
    """Return what a parameter does, with its range."""
    return html.template(DESCRIPTION).render(limits=limits)


def file_note(chosen: TrainingFile) -> str:
    """Return what the check of a training file found, in the words of the report itself."""
    report = chosen.report
    if report is None:
        return note(
            tr(
                "没有选文件：步数和 token 算不出来",
                "no file chosen: steps and tokens are not known",
            )
        )
    return html.template(REPORT).render(report=report, open="" if report.ok else "open")


def static_html(hp: Hyperparameters, figures: list[Consequence], risks: list[Risk]) -> str:
    """Return the panel as a table without controls, for a page on which widgets do not work."""
    table = html.template(STATIC).render(
        heads=tr("参数 名称 值 建议", "parameter label value suggested").split(),
        values=hp.to_dict(),
        ranges=RANGES,
        figures=figures,
    )
    # Without fields to show them at, the risks come one below the other.
    reasons = [reason for _, reason in risks]
    return table + warning_lines(*reasons)

"""Show answers side by side: a table in Jupyter, lines in a terminal, and a page to hand on.

The page is one file that loads nothing else. Answers are escaped: nothing that a model writes
becomes markup.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wcwidth import wcwidth

from cookbook.html import LOADS_NOTHING, template
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

TERMINAL_WIDTH = 92  # columns of an answer in a terminal; a Chinese character takes two
NEVER_FIRST = "，。、；：！？”’）》」』"  # marks that begin no line in Chinese typesetting

# The styles are written into the elements, since Jupyter drops the style sheets of notebooks that
# it does not trust. No colour is set, so the table takes those of the theme, light or dark.
# Jupyter's own style of cells is overridden, the rest is inherited. Cells keep the white space of
# answers, so the template adds none inside them.
TABLE = """\
{% set cell = "text-align:left;vertical-align:top;white-space:pre-wrap;\
border-top:1px solid #8886" -%}
<table class="answers" style="overflow-wrap:anywhere;line-break:strict;line-height:1.6;\
border-collapse:collapse">
<thead><tr>
<th style="{{ cell }}"></th>
{% for column in columns %}
<th style="{{ cell }}">{{ column }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for input, answers in rows %}
<tr><th style="{{ cell }};min-width:4.5em"{{ lang(input) }}>{{ input }}</th>
{% for column in columns %}
{% set answer = answers.get(column) %}
<td style="{{ cell }}">
{%- if answer %}<span{{ lang(answer.text) }}>{{ answer.text }}</span>{% endif %}
{%- if answer and answer.note %}<br><small style="opacity:.65">{{ answer.note }}</small>{% endif -%}
</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>"""

PAGE = """\
<!doctype html>
<html lang="{{ page_language() }}">
<head>
<meta charset="utf-8">
{{ loads_nothing | safe }}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; }
body {
  font: 16px/1.6 "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  max-width: 80em; margin: 2em auto; padding: 0 1em; line-break: strict;
}
table { width: 100%; table-layout: fixed; }
th, td { padding: .4em .8em; }
table.answers th:first-child { width: 6em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; opacity: .8; }
thead { position: sticky; top: 0; background: Canvas; }
@media print { thead { position: static; } tr { break-inside: avoid; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ date }}</p>
{% for column, (model, prompt) in asked.items() %}
<details><summary>{{ column }} · {{ model }}</summary><pre>{{ prompt }}</pre></details>
{% endfor %}
{{ table | safe }}
</body>
</html>
"""


@dataclass(frozen=True)
class Answer:
    """What one cell shows: the text, and a small line below it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class SideBySide:
    """A table with a row for each input and a column for each column of the answers.

    `asked` has each column's model and prompt, where they are known.
    """

    columns: list[str]
    rows: list[tuple[str, dict[str, Answer]]]
    asked: dict[str, tuple[str, str]]

    def _repr_html_(self) -> str:
        return template(TABLE).render(columns=self.columns, rows=self.rows)

    def __repr__(self) -> str:
        lines = []
        for text, answers in self.rows:
            lines.append(f"【{printable(text)}】")
            for column in self.columns:
                lines.append(f"  {printable(column)}")
                lines += _indented(answers.get(column, Answer("")))
        return "\n".join(lines)

    def to_html(self, path: str | Path, *, title: str | None = None) -> Path:
        """Write the table as one page; return its path.

        The page names the date and each column's model and prompt. A folder that is not there is
        made: in a room, and on SiliconCloud, nothing else has made the data folder.
        """
        page = template(PAGE).render(
            loads_nothing=LOADS_NOTHING,
            title=title or tr("并排比较", "Side by side"),
            date=time.strftime("%Y-%m-%d %H:%M"),
            asked=self.asked,
            table=self._repr_html_(),
        )
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(path).write_text(page, encoding="utf-8")
        return Path(path)


def side_by_side(answers: "pd.DataFrame", *, note: str | None = None) -> SideBySide:
    """Return the answers as a table for people. A request that failed shows its error.

    Args:
        answers: what `ask` returned, or any DataFrame with `column`, `input` and `answer`.
        note: the column of the DataFrame whose text is shown small below each answer.
    """
    table: dict[str, dict[str, Answer]] = {}
    asked: dict[str, tuple[str, str]] = {}
    for row in answers.to_dict("records"):
        text = row["answer"]
        # What is missing may be None or NaN, so only a string counts.
        if isinstance(row.get("error"), str):
            text = f"⚠ {row['error']}"
        below = ""
        if note and isinstance(row[note], str):
            below = row[note]
        # In the order of the answers, so the reader finds the words as they were asked.
        cells = table.setdefault(row["input"], {})
        cells[row["column"]] = Answer(text, below)
        if isinstance(row.get("model"), str):
            asked[row["column"]] = (row["model"], _prompt(row))
    columns = list(dict.fromkeys(answers["column"]))
    return SideBySide(columns, list(table.items()), asked)


def _prompt(row: dict) -> str:
    system = row.get("system")
    return system if isinstance(system, str) else tr("没有提示词", "no prompt")


def _indented(answer: Answer) -> list[str]:
    # Before the lines are cut: an escape is longer than what it shows.
    lines = _wrap(printable(answer.text), TERMINAL_WIDTH)
    if answer.note:
        lines.append(printable(answer.note))
    return [" " * 4 + line for line in lines]


def _wrap(text: str, width: int) -> list[str]:
    """Return lines of at most `width` terminal columns.

    A mark that must not begin a line may exceed them: `wcwidth.wrap` knows no such marks, and
    breaks between words, which Chinese does not separate.
    """
    lines = []
    # A cell of a terminal table keeps the line breaks of the answer.
    for paragraph in text.split("\n"):
        line = ""
        used = 0
        for character in paragraph:
            columns = max(0, wcwidth(character))  # -1 for a control character
            if used + columns > width and character not in NEVER_FIRST:
                lines.append(line)
                line = ""
                used = 0
            line += character
            used += columns
        lines.append(line)
    return lines

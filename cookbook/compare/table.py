"""Answers side by side: a table in Jupyter, lines in a terminal, and a page to hand on that loads nothing."""

import html
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cookbook.i18n import tr

# Written into the elements, since Jupyter drops style sheets of notebooks it does not trust. No colour is set, so that the
# table takes those of the theme, light or dark. A cell has what Jupyter sets for cells itself, the rest is inherited.
_TABLE = "overflow-wrap:anywhere;line-break:strict;line-height:1.6;border-collapse:collapse"
_CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;border-top:1px solid #8886"
_PAGE = """<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.6 "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; max-width: 80em;
       margin: 2em auto; padding: 0 1em; line-break: strict; }}
table {{ width: 100%; table-layout: fixed; }}
th, td {{ padding: .4em .8em; }}
table.answers th:first-child {{ width: 6em; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; opacity: .8; }}
thead {{ position: sticky; top: 0; background: Canvas; }}
@media print {{ thead {{ position: static; }} tr {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{date}</p>
{columns}
{table}
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
    """A table: one input a row, one column a column. `asked` names each column's model and prompt, where known."""

    columns: list[str]
    rows: list[tuple[str, dict[str, Answer]]]
    asked: dict[str, tuple[str, str]]

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{_CELL}">{html.escape(c)}</th>' for c in ["", *self.columns])
        body = "".join(
            f'<tr><th style="{_CELL};min-width:4.5em">{html.escape(text)}</th>'
            + "".join(_cell(answers.get(c, Answer(""))) for c in self.columns)
            + "</tr>"
            for text, answers in self.rows
        )
        return f'<table class="answers" lang="zh" style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        lines = []
        for text, answers in self.rows:
            lines.append(f"【{text}】")
            for column in self.columns:
                answer = answers.get(column, Answer(""))
                parts = [*_wrap(answer.text, 92), *([answer.note] if answer.note else [])]
                lines += [f"  {column}", *(" " * 4 + part for part in parts)]
        return "\n".join(lines)

    def to_html(self, path: str | Path, *, title: str | None = None) -> Path:
        """Write the table as one page, with the date, and each column's model and prompt; return its path."""
        title = title or tr("并排比较", "Side by side")
        facts = "".join(
            f"<details><summary>{html.escape(f'{name} · {model}')}</summary><pre>{html.escape(prompt)}</pre></details>"
            for name, (model, prompt) in self.asked.items()
        )
        date = time.strftime("%Y-%m-%d %H:%M")
        page = _PAGE.format(
            title=html.escape(title), date=date, columns=facts, table=self._repr_html_()
        )
        Path(path).write_text(page, encoding="utf-8")
        return Path(path)


def side_by_side(answers, *, note: str | None = None) -> SideBySide:
    """The answers of `ask` (or any DataFrame with column, input, answer) as a table for people.

    Args:
        note: the column of the DataFrame whose text stands small below each answer.
    """
    table: dict[str, dict[str, Answer]] = {}
    asked: dict[str, tuple[str, str]] = {}
    for row in answers.to_dict("records"):
        text = f"⚠ {row['error']}" if isinstance(row.get("error"), str) else row["answer"]
        below = row[note] if note and isinstance(row[note], str) else ""
        table.setdefault(row["input"], {})[row["column"]] = Answer(text, below)
        if isinstance(row.get("model"), str):
            prompt = (
                row["system"]
                if isinstance(row.get("system"), str)
                else tr("没有提示词", "no prompt")
            )
            asked[row["column"]] = (row["model"], prompt)
    return SideBySide(list(dict.fromkeys(answers["column"])), list(table.items()), asked)


def _cell(answer: Answer) -> str:
    note = (
        f'<br><small style="opacity:.65">{html.escape(answer.note)}</small>' if answer.note else ""
    )
    return f'<td style="{_CELL}">{html.escape(answer.text)}{note}</td>'


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` terminal columns; a Chinese character takes two, and no line begins with a mark."""
    lines, used = [""], 0
    for character in text:
        size = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if character == "\n" or (
            used + size > width and character not in "，。、；：！？”’）》」』"
        ):
            lines.append("")
            used = 0
        if character != "\n":
            lines[-1] += character
            used += size
    return lines

"""What `clean` returns: the rows, each change, and what is left for a person.

`from_table`, `from_messages` and the others that make rows return it too. It shows itself in a
notebook and writes the rows to a file; nothing is cleaned here.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from cookbook import html
from cookbook.data.changes import GONE, TITLES, Change
from cookbook.data.report import Report, place
from cookbook.data.rows import to_jsonl
from cookbook.errors import DataError
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

LINES_SHOWN = 8  # line numbers named for each kind of change
PROBLEMS_SHOWN = 20  # problems that `str(cleaned)` lists


@dataclass(eq=False)
class Cleaned(Sequence[dict]):
    """The rows that can be trained on, what was changed on the way, and what could not be fixed.

    It is the sequence of its rows, and can be passed wherever rows are expected. Every entry of the
    source, of which there were `read`, is accounted for: it is in `rows`, its number is in
    `row_numbers` then; or a change says where it went (`rows_gone`); or `left` reports why it needs
    a person (`rows_left`).
    """

    rows: list[dict]
    changes: list[Change]
    left: Report
    source: Path | None = field(default=None, repr=False)
    read: int = 0
    row_numbers: list[int] = field(default_factory=list, repr=False)
    rows_left: list[int] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> dict: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict]: ...

    def __getitem__(self, index: int | slice) -> dict | list[dict]:
        return self.rows[index]

    @property
    def rows_gone(self) -> list[int]:
        """The numbers of the entries that are gone, each with a change that says why."""
        return sorted({c.row for c in self.changes if c.code in GONE and c.row is not None})

    def to_frame(self) -> "pd.DataFrame":
        """Return the changes as a table, one per row."""
        import pandas as pd

        changes = [vars(change) for change in self.changes]
        frame = pd.DataFrame(changes, columns=["line", "code", "message"])
        return frame.astype({"line": "Int64"})  # integers, and <NA> for the whole file

    def write(self, path: str | Path) -> Path:
        """Write the rows as a training file; the original is never overwritten.

        Raises:
            DataError: `path` is the file that was cleaned, or there are no rows.
        """
        path = Path(path)
        # The same file may have many names: compared is the file, not the name.
        source = self.source
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise DataError(
                zh=f"{path.name} 是原始文件，请换一个文件名",
                en=f"{path.name} is the original, choose another name",
            )
        if not self.rows:
            raise DataError(zh="没有可写的数据", en="there are no rows to write")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_jsonl(self.rows))
        return path

    @property
    def verdict(self) -> str:
        """The result in one line."""
        kept, changed, left = len(self.rows), len(self.changes), len(self._lines_left)
        return tr(
            f"留下 {kept} 条，改动 {changed} 处，{left} 行需要人工处理",
            f"{kept} rows kept, {changed} changes, {left} lines need a person",
        )

    @property
    def _lines_left(self) -> set[int | None]:
        return {problem.line for problem in self.left.problems}

    def __str__(self) -> str:
        lines = [self.verdict]
        counts = Counter(change.code for change in self.changes)
        for code, n in counts.most_common():
            lines.append(f"  {tr(*TITLES[code])} × {n}")
        for problem in self.left.problems[:PROBLEMS_SHOWN]:
            lines.append(f"  ✘ {place(problem)} [{problem.code}] {problem.message}")
        return printable("\n".join(lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        n = len(self._lines_left)
        errors = self.left.errors
        to_do = tr(f"待处理：{n} 行，{errors} 个错误", f"to do: {n} lines, {errors} errors")
        # One of each kind: a person decides by kind first.
        problems = self.left.table(of_each=1) if n else ""
        return html.template(_PAGE).render(
            verdict=self.verdict,
            changes=self._changes_by_code(),
            to_do=to_do,
            problems=problems,
        )

    def _changes_by_code(self) -> list[tuple[str, int, str]]:
        """Return (what was done, how often, in which lines), the most frequent first."""
        lines: dict[str, list[str]] = {}
        for change in self.changes:
            line = "—" if change.line is None else str(change.line)
            lines.setdefault(change.code, []).append(line)
        table = []
        most_frequent_first = sorted(lines, key=lambda code: -len(lines[code]))
        for code in most_frequent_first:
            places = lines[code]
            shown = tr("、", ", ").join(places[:LINES_SHOWN])
            if len(places) > LINES_SHOWN:
                shown += " …"
            title = tr(*TITLES[code])
            table.append((title, len(places), shown))
        return table


_PAGE = """\
{% set left_aligned = 'style="text-align:left;vertical-align:top"' | safe %}
<p><b>{{ verdict }}</b></p>
{%- if changes %}
<table><thead><tr>
{%- for head in (tr("改了什么", "change"), tr("几处", "count"), tr("在哪些行", "lines")) -%}
<th style="text-align:left">{{ head }}</th>
{%- endfor -%}
</tr></thead><tbody>
{%- for change in changes -%}
<tr>{% for cell in change %}<td {{ left_aligned }}>{{ cell }}</td>{% endfor %}</tr>
{%- endfor -%}
</tbody></table>
{%- endif %}
{%- if problems %}
<p><b>{{ to_do }}</b></p>{{ problems | safe }}
{%- endif %}"""

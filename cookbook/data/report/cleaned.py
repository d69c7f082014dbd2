"""What `clean` returns: the rows, each change, and what is left for a person.

`from_table`, `from_messages` and the others that make rows return it too. It shows itself in a
notebook and writes the rows to a file; nothing is cleaned here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, overload

from cookbook import html
from cookbook.data.report import Report, counted, view
from cookbook.data.report.changes import GONE, TITLES, Change
from cookbook.data.report.names import joined
from cookbook.data.rows import to_jsonl
from cookbook.errors import DataError
from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

LINES_SHOWN = 8  # line numbers named for each kind of change
MESSAGES_SHOWN = 3  # of a kind; where they are more, its title is shown
_OF_OTHER_LINES = ("duplicate-row", "joined")  # whose messages only name another line


@dataclass(eq=False)
class Cleaned(Sequence[dict]):
    """Rows for training, with what was changed on the way and what could not be fixed.

        rows = data.clean("train.jsonl")
        len(rows), rows[0]                 # it is the list of its rows
        rows + more, list(rows)            # each a plain list
        rows.changes, rows.left            # what was done, and what needs a person
        rows.write("train_clean.jsonl")

    It can be passed wherever rows are expected; `+` joins rows in a list, and `list(rows)` is one
    to shuffle or to change. No entry of the source is lost: of the `read` entries, each is in
    `rows` (its number is in `row_numbers`), was removed by a change (`rows_gone`), or is reported
    in `left` (`rows_left`).

    Attributes:
        rows: the rows that can be trained on.
        changes: each thing that was done, with its line; `to_frame()` shows them as a table.
        left: a `Report` of what needs a person.
        source: the file; None for rows in memory.
        read: how many entries the source has.
        row_numbers: the number of each row in the source, from 1.
        rows_left: the numbers of the entries in `left`.
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

    def __add__(self, other: Sequence[dict]) -> list[dict]:
        if not isinstance(other, Cleaned | list):
            return NotImplemented
        return [*self, *other]

    def __radd__(self, other: list[dict]) -> list[dict]:
        if not isinstance(other, list):
            return NotImplemented
        return [*other, *self]

    @property
    def rows_gone(self) -> list[int]:
        """The numbers of the entries that are gone, each with a change that says why."""
        gone = {change.row for change in self.changes if change.code in GONE}
        return sorted(number for number in gone if number is not None)

    def to_frame(self) -> "pd.DataFrame":
        """Return the changes as a table, one per row; with `sheet` if there are several."""
        import pandas as pd

        columns = ["line", "code", "message"]
        if any(change.sheet is not None for change in self.changes):
            columns.insert(0, "sheet")
        frame = pd.DataFrame([vars(change) for change in self.changes], columns=columns)
        return frame.astype({"line": "Int64"})  # integers, and <NA> for the whole file

    def write(self, path: str | Path) -> Path:
        """Write the rows as a training file; the original is never overwritten.

        Raises:
            DataError: `path` is the file that was cleaned, or cannot be written; or there are no
                rows.
        """
        path = Path(path)
        if _is_same_file(path, self.source):
            raise DataError(
                zh=f"{path.name} 是原始文件，请换一个文件名",
                en=f"{path.name} is the original: choose another name",
            )
        if not self.rows:
            raise DataError(zh="没有可写的数据", en="there are no rows to write")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_jsonl(self.rows))
        except OSError as error:
            from cookbook.data.reading import read  # it imports this package

            (zh, en), name = read.reason(error), read.name_of(path)
            raise DataError(zh=f"写不了 {name}：{zh}", en=f"cannot write {name}: {en}") from error
        return path

    @property
    def verdict(self) -> str:
        """The result in one line: what became of the entries that were read."""
        changed = sum(change.code not in GONE for change in self.changes)
        # Messages of a chat log that became part of the one before are not lost.
        numbers_joined = {c.row for c in self.changes if c.code == "joined"}
        merged = len(numbers_joined - {None})
        dropped = len(self.rows_gone) - merged
        kept, left = len(self.rows), len(self.rows_left)
        zh = [f"留下 {kept} 条", f"改动 {changed} 处"]
        en = [f"{counted(kept, 'row')} kept", counted(changed, "change")]
        if merged:
            zh.append(f"并入前一条 {merged} 条")
            en.append(f"{merged} joined to the one before")
        zh += [f"删去 {dropped} 条", f"{left} 条需要人工处理"]
        en += [f"{dropped} dropped", f"{left} to fix by hand"]
        summary = tr("，".join(zh), ", ".join(en))
        return tr(f"读到 {self.read} 条：{summary}", f"{self.read} read: {summary}")

    def __str__(self) -> str:
        lines = [self.verdict]
        for what, n, places in self._changes_by_code():
            # Of a workbook they have the name of the sheet before them.
            if places and "!" not in places:
                noun = "line" if places.isdigit() else "lines"
                places = tr(f"第 {places} 行", f"{noun} {places}")
            times = f" × {n}" if n > 1 else ""
            where = tr(f"（{places}）", f" ({places})") if places else ""
            lines.append(f"  {what}{times}{where}")
        if self.left.counts:
            lines.append(f"  {self._to_do}")
        shown = self.left.shown
        for group in shown:
            lines += view.lines(group)
        hidden = view.hidden(self.left.counts, shown)
        if hidden:
            lines.append(f"  {hidden}")
        return printable("\n".join(lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html.template(_PAGE).render(
            verdict=self.verdict,
            changes=self._changes_by_code(),
            to_do=self._to_do,
            problems=self.left.table() if self.left.counts else "",
        )

    @property
    def _to_do(self) -> str:
        rows, errors = len(self.rows_left), self.left.errors
        return tr(
            f"需要人工处理：{rows} 条，{errors} 个错误",
            f"to fix by hand: {counted(rows, 'row')}, {counted(errors, 'error')}",
        )

    def _changes_by_code(self) -> list[tuple[str, int, str]]:
        """Return (what was done, how often, in which lines), the most frequent first."""
        messages: dict[str, set[str]] = {}
        for change in self.changes:
            messages.setdefault(change.code, set()).add(change.message)
        alike: dict[str, list[Change]] = {}
        for change in self.changes:
            code = change.code
            # A few can say all that they have to say.
            are_few = len(messages[code]) <= MESSAGES_SHOWN
            title = tr(*TITLES.get(code, (code, code)))
            says_all = are_few and code not in _OF_OTHER_LINES
            what = change.message if says_all else title
            alike.setdefault(what, []).append(change)
        table = [(what, len(some), _lines_of(some)) for what, some in alike.items()]
        return sorted(table, key=itemgetter(1), reverse=True)


def _is_same_file(path: Path, source: Path | None) -> bool:
    # The same file may have many names: compared is the file, not the name.
    if source is None or not source.exists():
        return False
    return path.exists() and path.samefile(source)


def _lines_of(changes: Sequence[Change]) -> str:
    """Return the first lines of changes, as `3、7、Sheet2!4 …`; "" for those of the whole file."""
    # Several changes of one line are one place.
    placed = [change for change in changes if change.line is not None]
    places = list(dict.fromkeys(map(view.line_of, placed)))
    shown = joined(places[:LINES_SHOWN])
    return shown + " …" if len(places) > LINES_SHOWN else shown


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

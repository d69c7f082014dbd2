"""Say what a file is, and the line to type next: nothing is converted or changed here."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cookbook import html
from cookbook.data import encodings, file_kind, shapes
from cookbook.data.reading import read
from cookbook.data.reading.read import Reading, Source
from cookbook.data.report import calls, counted
from cookbook.data.report.excerpt import visible
from cookbook.data.report.names import MAX_NAME, MAX_NAMED, joined, named
from cookbook.data.shapes import containers, pair, routing
from cookbook.data.shapes.shape import Shape
from cookbook.errors import DataError
from cookbook.i18n import tr
from cookbook.terminal import printable

LONGEST_EXAMPLE = 20  # characters of a value

_MIXED = ("几种格式混在一起", "mixed formats")
_UNKNOWN = ("认不出的格式", "unknown format")
_CHAT_LOG = ("聊天记录", "chat log")
_EMPTY = ("没有数据", "no data")

_LAYOUTS = {
    "lines": ("每行一条", "one per line"),
    "array": ("一个 JSON 数组", "one JSON array"),
    "objects": ("每个对象占多行", "each object on several lines"),
    "object": ("在一个 JSON 对象里", "inside one JSON object"),
    "table": ("表格", "table"),
    "messages": ("消息一条接一条", "one message after another"),
    "memory": ("在内存里", "in memory"),
}

_PAGE = """\
<p><b>{{ title }}</b>{{ detail }}
{%- if call %}<br><code>{{ call }}</code>{% endif %}</p>"""


@dataclass(frozen=True)
class Recognized:
    """What `recognize` found out about a source.

        found = data.recognize("export.json")
        found.name, found.count            # ("sharegpt", 200)
        found.call                         # 'data.from_messages("export.json")'

    Attributes:
        name: the format, as `messages`, `sharegpt`, `alpaca`; or `mixed`, `chat-log`, `unknown`,
            `empty`, or the kind of a file that is not text.
        title: the format in words, or why the file cannot be read.
        count: how many entries there are.
        layout: how they are stored: `lines`, `array`, `objects`, `object`, `table`, `memory`; ""
            if the file was not read.
        encoding: as Python names it; "" if the file was not read.
        call: the line to type next; "" where nothing here can use the file.
        shares: each format with its number of entries, the most frequent first.
        keys: of the first entry of an unknown format, each with the beginning of its value.
        columns: of a table.
    """

    name: str
    title: str
    count: int = 0
    layout: str = ""
    encoding: str = ""
    call: str = ""
    shares: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it is, in one line."""
        if not self.layout:
            return self.title
        parts = [tr(f"{self.count} 条", counted(self.count, "entry", "entries"))]
        parts.append(tr(*_LAYOUTS[self.layout]))
        if self.layout != "memory" and self.encoding not in ("", "utf-8"):
            parts.append(encodings.named(self.encoding).title)
        detail = tr("，", ", ").join(parts)
        return tr(f"{self.title}：{detail}", f"{self.title}: {detail}") + self._seen

    @property
    def _seen(self) -> str:
        if self.name == "mixed":
            shares = [f"{title} × {n}" for title, n in list(self.shares.items())[:MAX_NAMED]]
            return tr("；", "; ") + joined(shares)
        if self.columns and self.name in ("unknown", "chat-log"):
            return tr("；列：", "; columns: ") + named(self.columns)
        if self.keys:
            seen = [f"{key}={value!r}" for key, value in self.keys.items()]
            return tr("；键：", "; keys: ") + joined(seen)
        return ""

    def __str__(self) -> str:
        lines = [visible(self.summary)]
        if self.call:
            lines.append(f"→ {visible(self.call)}")
        return printable("\n".join(lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        detail = self.summary.removeprefix(self.title)
        words = {"title": self.title, "detail": detail, "call": self.call}
        return html.template(_PAGE).render({name: visible(text) for name, text in words.items()})


def recognize(
    source: Source, *, encoding: str | None = None, sheet: str | None = None
) -> Recognized:
    """Say what format a file has, and which line to type next.

        data.recognize("export.json")      # ShareGPT: 200 entries, one JSON array

    Nothing is converted or changed.

    Args:
        source: a path, or entries in memory.
        encoding: of the file, as "gb18030"; None detects it.
        sheet: of a workbook with several, by name.

    Raises:
        DataError: there is no such file. Whatever is in it raises nothing.
    """
    path = None if not isinstance(source, str | Path) else Path(source)
    shown = calls.ROWS if path is None else calls.in_source(path)
    kind = None if path is None else _kind(path)
    # A file that is no text has its own sentence, and no entries.
    if kind is not None and not kind.is_table:
        fix = calls.filled(kind.fix, shown)
        return Recognized(kind.name, tr(f"{kind.title}：{fix}", f"{kind.title}: {fix}"))
    try:
        reading = read.reading(source, encoding=encoding, sheet=sheet)
    except DataError as error:
        return Recognized(kind.name if kind else "unknown", str(error))
    if sheet is not None:
        shown += f", sheet={json.dumps(sheet, ensure_ascii=False)}"
    if routing.is_chat_log(reading):
        return _of_chat_log(reading, f"data.from_chat_log({shown})")
    if routing.turn_columns(reading):
        title = tr("一行几问几答的格式", "several questions and answers in a row")
        return _described(reading, "turns", title, f"data.from_table({shown})")
    return _of_entries(containers.opened(reading), shown)


def _kind(path: Path) -> file_kind.FileKind | None:
    try:
        with path.open("rb") as file:
            head = file.read(file_kind.HEAD)
    except (OSError, ValueError) as error:
        name = read.name_of(path)
        zh, en = read.reason(error, path)
        raise DataError(zh=f"读不了 {name}：{zh}", en=f"cannot read {name}: {en}") from error
    return file_kind.look(head, path.name)


def _of_chat_log(reading: Reading, call: str) -> Recognized:
    described = _described(reading, "chat-log", tr(*_CHAT_LOG), call)
    # The columns that a text is read into are not the reader's.
    is_text = getattr(reading, "is_chat", False)
    return replace(described, layout="messages", columns=()) if is_text else described


def _of_entries(reading: Reading, shown: str) -> Recognized:
    counts: Counter[Shape | None] = Counter(shapes.of(entry.value) for entry in reading.entries)
    if not counts:
        unread = tr("没有一条能读", "no entry can be read")
        title = unread if reading.count else tr(*_EMPTY)
        # What is wrong with each of them is for the check to say.
        call = f"data.check({shown})" if reading.count else ""
        return _described(reading, "unknown" if reading.count else "empty", title, call)
    if len(counts) > 1:
        call = f"data.from_messages({shown})"
        return _described(reading, "mixed", tr(*_MIXED), call, counts)
    # From here on all entries are of one shape, or of none.
    (shape,) = counts
    if shape is None and routing.pair_columns(reading):
        shape = pair.QUESTION_ANSWER
    own = routing.own_call(reading, shown)
    if shape is not None and own is not None:
        return _described(reading, shape.name, shape.title, own, counts)
    if shape is None:
        call = f"data.check({shown})"
        if reading.layout == "table":
            names = tr(
                'user="问题的列名", assistant="回答的列名"', 'user="questions", assistant="answers"'
            )
            call = f"data.from_table({shown}, {names})"
        return _described(reading, "unknown", tr(*_UNKNOWN), call, counts)
    return _described(reading, shape.name, shape.title, _call(shape, reading, shown), counts)


def _call(shape: Shape, reading: Reading, shown: str) -> str:
    if shape is not shapes.MESSAGES:
        return calls.filled(shape.call, shown)
    # Fit to be checked as it is, or to be written as lines first.
    if reading.layout in ("lines", "memory") and not reading.changes:
        return f"data.check({shown})"
    return calls.writing(f"data.clean({shown})", reading.name, "clean")


def _described(
    reading: Reading,
    name: str,
    title: str,
    call: str,
    counts: Mapping[Shape | None, int] | None = None,
) -> Recognized:
    shares: Counter[str] = Counter()
    for shape, n in (counts or {}).items():
        shares[shape.title if shape else tr(*_UNKNOWN)] += n
    # What is not known is shown by the first of it.
    first = reading.entries[0].value if reading.entries else None
    columns = keys = None
    if isinstance(first, dict) and reading.layout == "table":
        columns = tuple(str(column)[:MAX_NAME] for column in list(first)[:MAX_NAMED])
    elif isinstance(first, dict) and name == "unknown":
        keys = {str(k)[:MAX_NAME]: _example(first[k]) for k in list(first)[:MAX_NAMED]}
    return Recognized(
        name,
        title,
        reading.count,
        reading.layout,
        reading.encoding,
        call,
        dict(shares.most_common()),
        keys or {},
        columns or (),
    )


def _example(value: object) -> str:
    if isinstance(value, str):
        return value[:LONGEST_EXAMPLE]
    if isinstance(value, dict):
        return "{…}"
    return "[…]" if isinstance(value, list) else str(value)[:LONGEST_EXAMPLE]

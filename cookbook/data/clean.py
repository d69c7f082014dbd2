"""Mend what is safe to mend, and say what was done, line by line. Content is never guessed, files are never changed."""

import codecs
import io
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cookbook.data import check as checks
from cookbook.data import corpus as judging
from cookbook.data.convert import to_jsonl
from cookbook.data.report import CODES, Report, by_line, html_table, place, visible
from cookbook.data.rows import row_key
from cookbook.errors import DataError
from cookbook.i18n import tr


@dataclass(frozen=True)
class Change:
    """One thing that was mended. `line` counts from 1 and is None for the whole file."""

    line: int | None
    code: str
    message: str


@dataclass
class Cleaned:
    """The rows that can be trained on, what was changed on the way, and what could not be mended.

    `left` reports the rows that were left out, with their line in the source: they wait for a person.
    """

    rows: list[dict]
    changes: list[Change]
    left: Report
    source: Path | None = field(default=None, repr=False)

    def to_frame(self):
        """One change a row."""
        import pandas as pd

        frame = pd.DataFrame([vars(c) for c in self.changes], columns=["line", "code", "message"])
        return frame.astype({"line": "Int64"})

    def write(self, path: str | Path) -> Path:
        """Write the rows as a training file; the original is never overwritten.

        Raises:
            DataError: if `path` is the file that was cleaned, or there are no rows.
        """
        path = Path(path)
        if (
            self.source is not None
            and path.exists()
            and self.source.exists()
            and path.samefile(self.source)
        ):
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
        left = len({p.line for p in self.left.problems})
        return tr(
            f"留下 {len(self.rows)} 条，改动 {len(self.changes)} 处，{left} 行需要人工处理",
            f"{len(self.rows)} rows kept, {len(self.changes)} changes, {left} lines need a person",
        )

    def __str__(self) -> str:
        counts = Counter(c.code for c in self.changes)
        done = [f"  {_TITLES[code]()} × {n}" for code, n in counts.most_common()]
        left = [f"  ✘ {place(p)} [{p.code}] {p.message}" for p in self.left.problems[:20]]
        return "\n".join([self.verdict, *done, *left])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        groups: dict[str, list[Change]] = {}
        for change in self.changes:
            groups.setdefault(change.code, []).append(change)
        lines = lambda group: "、".join("—" if c.line is None else str(c.line) for c in group[:8])
        cells = [
            (_TITLES[code](), str(len(group)), lines(group) + (" …" if len(group) > 8 else ""))
            for code, group in sorted(groups.items(), key=lambda item: -len(item[1]))
        ]
        table = (
            html_table(tr("改了什么 几处 在哪些行", "change count lines").split(), cells)
            if cells
            else ""
        )
        waiting = {p.line for p in self.left.problems}
        title = tr(
            f"待处理：{len(waiting)} 行，{self.left.errors} 个错误",
            f"waiting: {len(waiting)} lines, {self.left.errors} errors",
        )
        left = f"<p><b>{title}</b></p>{self.left.table(of_each=1)}" if waiting else ""
        return f"<p><b>{self.verdict}</b></p>{table}{left}"


_TITLES = {
    "bom": lambda: tr("去掉 BOM", "byte-order mark removed"),
    "encoding": lambda: tr("转成 UTF-8", "turned into UTF-8"),
    "line-ends": lambda: tr("换行统一为 \\n", "line ends made \\n"),
    "blank-line": lambda: tr("删去空行", "blank lines removed"),
    "white-space": lambda: tr("去掉首尾空白", "surrounding white space removed"),
    "extra-key": lambda: tr("去掉多余的键", "extra keys removed"),
    "role": lambda: tr("换成约定的 role", "roles renamed as asked"),
    "system-position": lambda: tr("system 移到最前", "system moved to the front"),
    "trailing-user": lambda: tr(
        "去掉没有回答的最后一问", "last question without an answer removed"
    ),
    "duplicate-row": lambda: tr("去掉完全相同的行", "exact duplicates removed"),
    "dropped": lambda: tr("按要求删去", "dropped as asked"),
}


def clean(
    source: str | Path | Sequence[dict],
    *,
    encoding: str = "utf-8",
    roles: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
) -> Cleaned:
    """Mend a file or rows: BOM, line ends, blank lines, surrounding white space, extra keys, a misplaced system
    message, a last question without an answer, exact duplicates. Cleaning twice changes nothing more.

    Args:
        encoding: of the file, if you know that it is another one: `gb18030` for GBK.
        roles: how to read other role names, as `{"human": "user", "bot": "assistant"}`.
        drop: codes of warnings whose rows you do not want, such as `near-duplicate`, `conflict`, `secret`,
            `answer-repeats-input`, `answer-style`, `too-long`.

    Raises:
        DataError: the file cannot be read, or is not in `encoding`; `drop` names a code that does not exist.
    """
    unknown = sorted(
        set(drop) - {code for code, (severity, *_) in CODES.items() if severity == "warning"}
    )
    if unknown:
        raise DataError(
            zh=f"drop 里没有这种提醒：{unknown}", en=f"drop names no such warning: {unknown}"
        )
    changes: list[Change] = []
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    left = Report(visible(path.name) if path else tr("内存中的数据", "rows in memory"))
    kept: list[tuple[int, dict]] = []
    first: dict[tuple, int] = {}
    parsed = enumerate(source, 1) if path is None else _parsed(path, encoding, changes, left)
    for number, row in parsed:
        if not checks.is_object(left, number, row):
            continue
        mended, done = _mend(number, row, roles or {})
        if not checks.check_row(found := Report(""), number, mended):
            left.take(found.problems)
            continue
        changes += done
        line = first.setdefault(row_key(mended), number)
        if line != number:
            changes.append(
                Change(number, "duplicate-row", tr(f"与第 {line} 行相同", f"same as line {line}"))
            )
        else:
            kept.append((number, mended))
    kept = _dropped(kept, drop, changes, left)
    if len(kept) > checks.MAX_ROWS:
        checks.count_rows(left, len(kept))
    changes.sort(key=by_line)
    left.sort()
    return Cleaned([row for _, row in kept], changes, left, path)


def _parsed(
    path: Path, encoding: str, changes: list[Change], left: Report
) -> Iterator[tuple[int, dict]]:
    """(line, JSON object) of every line that is one; the others are reported in `left`."""
    try:
        with checks.open_bounded(path) as (file, size):
            text = file.read().decode(encoding) if size <= checks.MAX_BYTES else None
    except (OSError, LookupError, ValueError) as error:
        raise DataError(
            zh=f"读不了 {path.name}：{error}。编码可用 encoding= 指定",
            en=f"cannot read {path.name}: {error}. Name the encoding with encoding=",
        ) from error
    if text is None:
        raise DataError(zh=f"{path.name} 超过 10 MB", en=f"{path.name} has more than 10 MB")
    done = lambda code, line=None, n=1: changes.append(
        Change(line, code, _TITLES[code]() + (f" × {n}" if n > 1 else ""))
    )
    if codecs.lookup(encoding).name != "utf-8":
        done("encoding")
    if text.startswith("\ufeff"):
        text = text[1:]
        done("bom")
    content = text.encode("utf-8", "surrogatepass")
    ends = content.count(b"\r\n") or content.count(b"\r")
    if ends:
        done("line-ends", n=ends)
    for number, line in enumerate(checks.lines_of(io.BytesIO(content)), 1):
        text = line.decode("utf-8", "surrogatepass")
        if not text.strip():
            done("blank-line", number)
            continue
        row = checks.parse_line(left, number, text)
        if row is not None:
            yield number, row


def _mend(number: int, row: dict, roles: Mapping[str, str]) -> tuple[dict, list[Change]]:
    """The row with everything mended that is safe to mend, and what was done; the row given is not touched."""
    changes: list[Change] = []

    def done(code: str, detail: str = "") -> None:
        changes.append(Change(number, code, visible(f"{_TITLES[code]()} {detail}".strip())))

    if not isinstance(row.get("messages"), list):
        return row, changes
    extra = [str(key) for key in row if key != "messages"]
    messages = []
    for message in row["messages"]:
        if isinstance(message, dict):
            extra += [str(key) for key in message if key not in ("role", "content")]
            message = {key: message[key] for key in ("role", "content") if key in message}
            role, content = message.get("role"), message.get("content")
            if isinstance(role, str) and role in roles:
                message["role"] = roles[role]
                done("role", f"{role} → {roles[role]}")
            if isinstance(content, str) and content != content.strip() and content.strip():
                message["content"] = content.strip()
                done("white-space")
        messages.append(message)
    if extra:
        done("extra-key", "、".join(extra))
    found = [m.get("role") if isinstance(m, dict) else None for m in messages]
    # Moved only where no answer was given before it: otherwise it would change what that answer was an answer to.
    if (
        found.count("system") == 1
        and found.index("system") > 0
        and "assistant" not in found[: found.index("system")]
    ):
        messages.insert(0, messages.pop(found.index("system")))
        done("system-position")
    if "assistant" in found:
        while isinstance(messages[-1], dict) and messages[-1].get("role") == "user":
            messages.pop()
            done("trailing-user")
    return {"messages": messages}, changes


def _dropped(
    kept: list[tuple[int, dict]], drop: Collection[str], changes: list[Change], left: Report
) -> list[tuple[int, dict]]:
    """Without the rows of which nothing would be learned, and those that carry a warning named in `drop`."""
    report = Report("", kept_of_each=sys.maxsize)  # every row that is to go
    if drop:
        judging.judge(report, kept, 4096)
    else:
        judging.lengths(report, kept, 4096)
    errors = {p.line: p for p in report.problems if p.severity == "error"}
    asked = {
        p.line: p for p in reversed(report.problems) if p.code in drop and p.line not in errors
    }
    left.take(errors.values())
    changes += [Change(line, "dropped", f"[{p.code}] {p.message}") for line, p in asked.items()]
    return [(line, row) for line, row in kept if line not in errors and line not in asked]

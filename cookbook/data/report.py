"""What a check found: problems, counts, and how they look in a terminal and in a notebook."""

import dataclasses
import html
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cookbook.data.sensitive import mask
from cookbook.i18n import tr

MAX_PROBLEMS = 5_000  # of one code are kept; further ones are counted only, so that no file can fill the memory
EXCERPT = 24  # characters shown on either side of the offending text

Excerpt = tuple[str, str, str]  # text before, offending text, text after

# code: (severity, remedy in Chinese, remedy in English)
CODES: dict[str, tuple[str, str, str]] = {
    "file-unreadable": ("error", "检查路径和权限", "check the path and its permissions"),
    "file-suffix": ("error", "把数据存成 .jsonl：每行一个 JSON 对象", "save the data as .jsonl, one JSON object a line"),
    "file-size": ("error", "拆成几个文件，或删掉过长的行", "split the file or drop over-long rows"),
    "file-empty": ("error", "写入训练数据", "write some rows"),
    "encoding": ("error", "另存为 UTF-8 编码", "save the file as UTF-8"),
    "row-count": ("error", "抽取不超过 1000 行", "take at most 1000 of them"),
    "json": (
        "error",
        "每行写一个完整的 JSON 对象，引号用英文双引号",
        "write one complete JSON object a line, with straight double quotes",
    ),
    "not-object": ("error", '写成 {"messages": [...]}', 'write {"messages": [...]}'),
    "duplicate-key": ("error", "只保留一个", "keep one of them"),
    "messages-missing": ("error", "加上 messages 数组", "add the messages array"),
    "messages-empty": ("error", "至少要有一问一答", "give at least one question and one answer"),
    "message-not-object": ("error", '写成 {"role": …, "content": …}', 'write {"role": …, "content": …}'),
    "role-missing": ("error", "加上 role", "add the role"),
    "role-unknown": ("error", "只能用 system、user、assistant", "use system, user or assistant"),
    "content-missing": ("error", "加上 content", "add the content"),
    "content-type": ("error", "content 要写成一段文字", "content must be text"),
    "content-empty": ("error", "写上内容，或删去这一行", "write the content or drop the row"),
    "system-position": ("error", "把 system 移到第一条，且只留一条", "move it to the front and keep one"),
    "first-not-user": ("error", "先问后答", "begin with user"),
    "alternation": (
        "error",
        "user 与 assistant 轮流，成对出现：补上缺的一条，或删去多的一条",
        "let user and assistant take turns, in pairs: add what is missing or drop what is too much",
    ),
    "no-assistant": ("error", "补上回答", "add the answer"),
    "row-count-low": ("warning", "补充数据，或先这样试一试", "add rows, or try it as it is"),
    "blank-line": ("warning", "删去空行", "remove it"),
    "bom": ("warning", "另存为不带 BOM 的 UTF-8", "save as UTF-8 without BOM"),
    "extra-key": ("warning", "平台只需要 messages 和其中的 role、content", "the platform needs messages, role and content alone"),
    "too-long": (
        "warning",
        "缩短这一条，或调大 max_tokens（上限 4096）",
        "shorten the row or raise max_tokens (at most 4096)",
    ),
    "duplicate-row": ("warning", "删去一条", "drop one of them"),
    "near-duplicate": ("warning", "看一看，留下较好的一条", "look at both and keep the better one"),
    "conflict": ("warning", "只保留一个回答", "keep one answer"),
    "system-varies": ("warning", "训练和调用用同一句提示词", "train and call with the same prompt"),
    "answer-repeats-input": ("warning", "如果任务不许重复原词，请改写", "rewrite it if the task forbids this"),
    "answer-style": ("warning", "看一看：改成同一种写法，或删去", "look at it: write it like the others, or drop it"),
    "secret": ("warning", "换成虚构的内容，或删去这一行", "replace it by something invented, or drop the row"),
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One broken rule. `line` counts from 1 and is None for the whole file; `message_index` counts from 0.

    `excerpt` is (text before, offending text, text after), for showing.
    """

    line: int | None
    message_index: int | None
    severity: str
    code: str
    message: str
    fix: str
    excerpt: Excerpt | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict:
        found = dataclasses.asdict(self)
        del found["excerpt"]
        return found


@dataclass
class Report:
    """Everything that `check` found in one file. `rows` holds the lines that can be trained on, `row_lines`
    their numbers."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    lines: int = 0
    row_lines: list[int] = field(default_factory=list)
    readable: bool = True
    stats: dict = field(default_factory=dict)
    counts: Counter = field(
        default_factory=Counter
    )  # (severity, code) -> how many, those not kept included
    kept_of_each: int = MAX_PROBLEMS

    def add(
        self,
        line: int | None,
        code: str,
        zh: str,
        en: str,
        *,
        index: int | None = None,
        excerpt: Excerpt | Callable[[], Excerpt] | None = None,
        severity: str | None = None,
    ) -> None:
        """Add a problem. An `excerpt` that takes time is given as a function, called only if the problem is kept."""
        usual, fix_zh, fix_en = CODES[code]
        severity = severity or usual
        self.counts[severity, code] += 1
        if self.counts[severity, code] <= self.kept_of_each:
            excerpt = excerpt() if callable(excerpt) else excerpt
            text = visible(tr(zh, en))
            self.problems.append(
                Problem(line, index, severity, code, text, tr(fix_zh, fix_en), excerpt)
            )

    def take(self, problems: Iterable[Problem]) -> None:
        """Add problems of another report."""
        for p in problems:
            self.counts[p.severity, p.code] += 1
            self.problems.append(p)

    def sort(self) -> None:
        """By line; what concerns the whole file comes first."""
        self.problems.sort(key=by_line)

    @property
    def errors(self) -> int:
        return sum(n for (severity, _), n in self.counts.items() if severity == "error")

    @property
    def warnings(self) -> int:
        return self.counts.total() - self.errors

    @property
    def ok(self) -> bool:
        """No error; warnings are allowed."""
        return self.errors == 0

    def to_frame(self):
        """One problem a row."""
        import pandas as pd

        names = [f.name for f in dataclasses.fields(Problem) if f.name != "excerpt"]
        frame = pd.DataFrame([p.to_dict() for p in self.problems], columns=names)
        return frame.astype({"line": "Int64", "message_index": "Int64"})

    def to_dict(self) -> dict:
        """The object that `python -m cookbook check --json` prints."""
        return {
            "file": self.file,
            "rows": self.lines,
            "errors": self.errors,
            "warnings": self.warnings,
            "problems": [p.to_dict() for p in self.problems],
            "stats": self.stats,
        }

    @property
    def verdict(self) -> str:
        if self.counts:
            zh, en = (
                f"{self.errors} 个错误，{self.warnings} 个提醒",
                f"{self.errors} errors, {self.warnings} warnings",
            )
        else:
            zh, en = "没有问题", "no problems"
        mark = "✔" if self.ok else "✘"
        return f"{mark} {self.file}: " + tr(
            f"{self.lines} 条数据，{zh}", f"{self.lines} rows, {en}"
        )

    def __str__(self) -> str:
        shown = [f"  {place(p)} [{p.code}] {p.message} → {p.fix}" for p in self.problems[:20]]
        hidden = self.counts.total() - len(shown)
        more = [tr(f"  …… 另有 {hidden} 个", f"  … and {hidden} more")] if hidden > 0 else []
        return "\n".join([self.verdict, *shown, *more])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.verdict)}</b></p>{self.table()}"

    def table(self, of_each: int = 3) -> str:
        """As HTML: how many of each kind, then the first few of each, by line."""
        chips = " ".join(
            f'<span style="color:{_COLOR[severity]};margin-right:1em"><code>{code}</code> × {n}</span>'
            for (severity, code), n in sorted(self.counts.items())
        )
        seen: Counter = Counter()
        shown = []
        for p in self.problems:
            seen[p.code] += 1
            if seen[p.code] <= of_each:
                shown.append(p)
        hidden = self.counts.total() - len(shown)
        note = tr(
            f"每种问题显示前 {of_each} 处，另有 {hidden} 处；全部见 .to_frame()",
            f"the first {of_each} of each kind; {hidden} more in .to_frame()",
        )
        more = f'<p style="color:#888">{note}</p>' if hidden else ""
        heads = tr("位置 问题 发现 看这里 怎么改", "where problem found look-here fix").split()
        cells = [
            (
                html.escape(place(p)),
                f"<code>{p.code}</code>",
                html.escape(p.message),
                marked(p),
                html.escape(p.fix),
            )
            for p in shown
        ]
        colors = [_COLOR[p.severity] for p in shown]
        return f"<p>{chips}</p>" + (html_table(heads, cells, colors) if cells else "") + more


_COLOR = {"error": "#c0392b", "warning": "#b7791f"}


def by_line(found) -> int:
    """A key to sort by whatever has a `line`; the whole file comes first."""
    return found.line or 0


def place(p: Problem) -> str:
    """Where a problem stands, in words; a message as Python would index it."""
    if p.line is None:
        return tr("整个文件", "the whole file")
    where = tr(f"第 {p.line} 行", f"line {p.line}")
    return where if p.message_index is None else f"{where} messages[{p.message_index}]"


def around(text: str, start: int, end: int) -> Excerpt:
    """An excerpt: `text[start:end]` with a little of what stands on either side, secrets masked, control characters
    made visible."""
    end = min(end, len(text))
    cut = min(end, start + 2 * EXCERPT)
    left, right = max(0, start - EXCERPT), cut + EXCERPT
    # Masked before it is cut, with enough on either side that half a number is not taken for no number.
    begin = max(0, left - 512)
    masked = mask(text[begin : right + 512])
    piece = lambda a, b: visible(masked[a - begin : b - begin])
    before = ("…" if left else "") + piece(left, start)
    after = "" if cut < end else piece(cut, right) + ("…" if right < len(text) else "")
    return before, piece(start, cut) + ("…" if cut < end else ""), after


def visible(text: str) -> str:
    """The text with everything that does not print written as an escape: it is shown, never obeyed."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def marked(p: Problem) -> str:
    """The excerpt as HTML, the offending part marked."""
    if p.excerpt is None:
        return ""
    before, text, after = map(html.escape, p.excerpt)
    return f'<code>{before}<mark style="background:#ffe08a">{text or "␣"}</mark>{after}</code>'


def html_table(
    heads: list[str], rows: list[tuple[str, ...]], colors: list[str] | None = None
) -> str:
    """A left-aligned table; cells are HTML already. `colors`, one a row, tints the second column."""
    head = "".join(f'<th style="text-align:left">{h}</th>' for h in heads)
    body = []
    for i, row in enumerate(rows):
        styles = ["text-align:left;vertical-align:top"] * len(row)
        styles[0] += ";white-space:nowrap"
        if colors:
            styles[1] += f";color:{colors[i]}"
        body.append(
            "<tr>"
            + "".join(f'<td style="{s}">{c}</td>' for s, c in zip(styles, row, strict=True))
            + "</tr>"
        )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"

"""Check, load and split chat fine-tuning data: guide §2.1 and §4, and the platform's newer rules.

`check` reports every problem at once, with line numbers, and never raises for what stands in a file; `load` raises
`DataError` with that report. One bad line never hides another. Files are only read, never changed.

Not here yet: cleaning, tables, near-duplicates.
"""

import dataclasses
import hashlib
import html
import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cookbook import tokens
from cookbook.errors import DataError, say
from cookbook.params import validation_rows

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 1000
ADVISED_ROWS = 100
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Problem:
    """One broken rule. `line` counts from 1 and is None for the whole file; `message_index` counts from 0."""

    line: int | None
    message_index: int | None
    severity: str
    code: str
    message: str
    fix: str


@dataclass
class Report:
    """Everything that `check` found in one file. `rows` holds the lines that can be trained on."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    lines: int = 0
    readable: bool = True
    stats: dict = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return sum(p.severity == "error" for p in self.problems)

    @property
    def warnings(self) -> int:
        return len(self.problems) - self.errors

    @property
    def ok(self) -> bool:
        """No error; warnings are allowed."""
        return self.errors == 0

    def to_frame(self):
        """One problem a row."""
        import pandas as pd

        names = [f.name for f in dataclasses.fields(Problem)]
        frame = pd.DataFrame([dataclasses.astuple(p) for p in self.problems], columns=names)
        return frame.astype({"line": "Int64", "message_index": "Int64"})

    def to_dict(self) -> dict:
        """The object that `python -m cookbook check --json` prints."""
        return {
            "file": self.file,
            "rows": self.lines,
            "errors": self.errors,
            "warnings": self.warnings,
            "problems": [dataclasses.asdict(p) for p in self.problems],
            "stats": self.stats,
        }

    @property
    def verdict(self) -> str:
        if self.problems:
            zh, en = f"{self.errors} 个错误，{self.warnings} 个提醒", f"{self.errors} errors, {self.warnings} warnings"
        else:
            zh, en = "没有问题", "no problems"
        mark = "✔" if self.ok else "✘"
        return f"{mark} {self.file}: " + say(f"{self.lines} 条数据，{zh}", f"{self.lines} rows, {en}")

    def __str__(self) -> str:
        shown = [f"  {_place(p)} [{p.code}] {p.message} → {p.fix}" for p in self.problems[:20]]
        hidden = len(self.problems) - 20
        more = [say(f"  …… 另有 {hidden} 个", f"  … and {hidden} more")] if hidden > 0 else []
        return "\n".join([self.verdict, *shown, *more])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        counts = Counter((p.severity, p.code) for p in self.problems)
        color = {"error": "#c0392b", "warning": "#b7791f"}
        chips = " ".join(
            f'<span style="color:{color[s]};margin-right:1em"><code>{c}</code> × {n}</span>'
            for (s, c), n in counts.items()
        )
        first = {}
        for p in self.problems:
            first.setdefault(p.code, []).append(p)
        rows = "".join(
            f'<tr><td style="text-align:left;white-space:nowrap">{html.escape(_place(p))}</td>'
            f'<td style="text-align:left;color:{color[p.severity]}"><code>{p.code}</code></td>'
            f'<td style="text-align:left">{html.escape(p.message)}</td>'
            f'<td style="text-align:left">{html.escape(p.fix)}</td></tr>'
            for group in first.values()
            for p in group[:3]
        )
        heads = say("位置 问题 发现 怎么改", "where problem found fix").split()
        head = "".join(f'<th style="text-align:left">{h}</th>' for h in heads)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        return f"<p><b>{html.escape(self.verdict)}</b></p><p>{chips}</p>{table}"


def _place(p: Problem) -> str:
    if p.line is None:
        return say("全文件", "file")
    where = say(f"第 {p.line} 行", f"line {p.line}")
    return (
        where if p.message_index is None else where + say(f"，消息 {p.message_index}", f", message {p.message_index}")
    )


def check(source: str | Path | Sequence[dict], *, max_tokens: int = 4096) -> Report:
    """All problems of a training file, or of rows already in memory. Never raises for what the data says."""
    if isinstance(source, str | Path):
        return _check_path(Path(source), max_tokens)
    lines = (json.dumps(row, ensure_ascii=False, default=repr) for row in source)
    return _check_lines(Report(say("内存中的数据", "rows in memory")), lines, max_tokens)


def check_bytes(content: bytes, name: str, *, max_tokens: int = 4096, size: int | None = None) -> Report:
    """The same for a file's content; `name` is what the reader called the file, `size` its bytes if more than given."""
    report = Report(name)
    if not name.endswith(".jsonl"):
        _add(
            report, None, "file-suffix", f"文件名 {name} 不以 .jsonl 结尾", f"the name {name} does not end in .jsonl",
            "把数据存成 .jsonl：每行一个 JSON 对象", "save the data as .jsonl, one JSON object a line",
        )  # fmt: skip
    size = max(len(content), size or 0)
    if size > MAX_BYTES:
        found = f"{size / 2**20:.2f} MB"
        _add(
            report, None, "file-size", f"文件 {found}，上限 10 MB", f"the file has {found}, the limit is 10 MB",
            "拆成几个文件，或删掉过长的行", "split the file or drop over-long rows",
        )  # fmt: skip
        return report
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        _add(
            report, line, "encoding", f"第 {error.start} 字节起不是 UTF-8", f"not UTF-8 from byte {error.start} on",
            "另存为 UTF-8 编码", "save the file as UTF-8",
        )  # fmt: skip
        return report
    if text.startswith("\ufeff"):
        text = text[1:]
        _add(
            report, 1, "bom", "文件以 BOM 开头", "the file begins with a byte-order mark",
            "另存为不带 BOM 的 UTF-8", "save as UTF-8 without BOM", severity="warning",
        )  # fmt: skip
    return _check_lines(report, text.split("\n"), max_tokens)


def load(path: str | Path, *, max_tokens: int = 4096) -> list[dict]:
    """The rows of a file.

    Raises:
        DataError: if the file has any error; its `report` lists them all.
    """
    report = check(path, max_tokens=max_tokens)
    if not report.ok:
        raise DataError(report)
    return report.rows


def split(rows: Sequence[dict], validation: float = 0.1, seed: int = 42) -> tuple[list[dict], list[dict]]:
    """Shuffle and cut into (train, validation). Identical rows always end on the same side.

    Raises:
        ValueError: if `validation` is not in [0, 1).
    """
    if not 0 <= validation < 1:
        raise ValueError(
            say(f"验证集比例 {validation} 应在 0 与 1 之间", f"validation share {validation} must be in [0, 1)")
        )
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(_fingerprint(row), []).append(row)
    shuffled = list(groups.values())
    random.Random(seed).shuffle(shuffled)
    wanted, kept, held = validation_rows(len(rows), validation), [], []
    for group in shuffled:
        (held if len(held) + len(group) <= wanted else kept).extend(group)
    return kept, held


def to_jsonl(rows: Iterable[dict]) -> bytes:
    """The rows as the bytes of a training file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def _check_path(path: Path, max_tokens: int) -> Report:
    report = Report(path.name, readable=False)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        reason = error.strerror or str(error)
        _add(
            report, None, "file-unreadable", f"读不了 {path.name}：{reason}", f"cannot read {path.name}: {reason}",
            "检查路径和权限", "check the path and its permissions",
        )  # fmt: skip
        return report
    return check_bytes(content, path.name, max_tokens=max_tokens, size=size)


def _add(report, line, code, zh, en, fix_zh, fix_en, *, index=None, severity="error"):
    report.problems.append(Problem(line, index, severity, code, say(zh, en), say(fix_zh, fix_en)))


def _fingerprint(row: dict) -> str:
    return hashlib.sha256(
        json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


class _DuplicateKey(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DuplicateKey(next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1))
    return found


def _check_lines(report: Report, lines: Iterable[str], max_tokens: int) -> Report:
    seen: dict[str, int] = {}
    answers: dict[str, tuple[int, str]] = {}
    systems: Counter[str] = Counter()
    last_blank = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            last_blank = last_blank or number
            continue
        if last_blank:  # an empty end of the file is no blank line
            _add(
                report, last_blank, "blank-line", "空行", "blank line", "删去空行", "remove it", severity="warning"
            )  # fmt: skip
            last_blank = None
        report.lines += 1
        before = report.errors
        row = _parse(report, number, line)
        if row is None:
            continue
        _check_messages(report, number, row)
        if report.errors > before:
            continue
        report.rows.append(row)
        _warn_of_row(report, number, row, seen, answers, systems, max_tokens)
    _check_file(report, systems)
    report.problems.sort(key=lambda p: (p.line is not None, p.line or 0))
    return report


def _parse(report: Report, number: int, line: str) -> dict | None:
    try:
        row = json.loads(line, object_pairs_hook=_no_duplicates)
    except _DuplicateKey as error:
        _add(
            report, number, "duplicate-key", f"键 {error} 出现了两次", f"the key {error} is given twice",
            "只保留一个", "keep one of them",
        )  # fmt: skip
        return None
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        _add(
            report, number, "json", f"不是合法的 JSON：{reason}，开头是 {line[:30]!r}", f"not JSON: {reason}; begins {line[:30]!r}",
            "每行写一个完整的 JSON 对象，引号用英文双引号", "write one complete JSON object a line, with straight double quotes",
        )  # fmt: skip
        return None
    if not isinstance(row, dict):
        _add(
            report, number, "not-object", f"是 {type(row).__name__}，不是 JSON 对象", f"is a {type(row).__name__}, not an object",
            '写成 {"messages": [...]}', 'write {"messages": [...]}',
        )  # fmt: skip
        return None
    return row


def _check_messages(report: Report, number: int, row: dict) -> None:
    messages = row.get("messages")
    if not isinstance(messages, list):
        found = "没有 messages 数组" if messages is None else f"messages 是 {type(messages).__name__}"
        found_en = "no messages array" if messages is None else f"messages is a {type(messages).__name__}"
        _add(
            report, number, "messages-missing", found, found_en,
            "加上 messages 数组", "add the messages array",
        )  # fmt: skip
        return
    if not messages:
        _add(
            report, number, "messages-empty", "messages 是空的", "messages is empty",
            "至少要有一问一答", "give at least one question and one answer",
        )  # fmt: skip
        return
    if all([_check_message(report, number, i, m) for i, m in enumerate(messages)]):
        _check_order(report, number, [m["role"] for m in messages])
    for key in sorted(set(row) - {"messages"}):
        _add(
            report, number, "extra-key", f"多了键 {key!r}", f"extra key {key!r}",
            "平台只需要 messages", "the platform needs messages alone", severity="warning",
        )  # fmt: skip


def _check_message(report: Report, number: int, i: int, message: object) -> bool:
    """Whether the message has a known role, so that the order can be judged."""
    if not isinstance(message, dict):
        _add(
            report, number, "message-not-object", f"消息是 {type(message).__name__}", f"the message is a {type(message).__name__}",
            '写成 {"role": …, "content": …}', 'write {"role": …, "content": …}', index=i,
        )  # fmt: skip
        return False
    role, content = message.get("role"), message.get("content")
    if "role" not in message:
        _add(report, number, "role-missing", "没有 role", "no role", "加上 role", "add the role", index=i)
    elif role not in ROLES:
        _add(
            report, number, "role-unknown", f"role 是 {role!r}", f"role is {role!r}",
            "只能用 system、user、assistant", "use system, user or assistant", index=i,
        )  # fmt: skip
    if "content" not in message:
        _add(
            report, number, "content-missing", "没有 content", "no content", "加上 content", "add the content", index=i
        )
    elif not isinstance(content, str):
        _add(
            report, number, "content-type", f"content 是 {type(content).__name__}", f"content is a {type(content).__name__}",
            "content 要写成一段文字", "content must be text", index=i,
        )  # fmt: skip
    elif not content.strip():
        _add(
            report, number, "content-empty", "content 是空的", "content is empty",
            "写上内容，或删去这一行", "write the content or drop the row", index=i,
        )  # fmt: skip
    elif not content.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in content):
        _add(
            report, number, "encoding", "content 里有半个字符（孤立的代理项）", "content holds half a character (a lone surrogate)",
            "重新导出这一条", "export this row again", index=i,
        )  # fmt: skip
    for key in sorted(set(message) - {"role", "content"}):
        _add(
            report, number, "extra-key", f"多了键 {key!r}", f"extra key {key!r}",
            "消息只需要 role 和 content", "a message needs role and content alone", index=i, severity="warning",
        )  # fmt: skip
    return role in ROLES


def _check_order(report: Report, number: int, roles: list[str]) -> None:
    for i, role in enumerate(roles):
        if role == "system" and i > 0:
            _add(
                report, number, "system-position", "system 不在最前面", "system does not come first",
                "把 system 移到第一条，且只留一条", "move it to the front and keep one", index=i,
            )  # fmt: skip
    turns = [(i, role) for i, role in enumerate(roles) if role != "system"]
    if "assistant" not in roles:
        _add(
            report, number, "no-assistant", "没有 assistant 的回答，没有可学的内容", "no assistant answer: nothing to learn",
            "补上回答", "add the answer",
        )  # fmt: skip
    if turns and turns[0][1] != "user":
        _add(
            report, number, "first-not-user", f"第一条（system 之后）是 {turns[0][1]}", f"the first message after system is {turns[0][1]}",
            "先问后答", "begin with user", index=turns[0][0],
        )  # fmt: skip
    for (_, a), (i, b) in zip(turns, turns[1:], strict=False):
        if a == b:
            _add(
                report, number, "alternation", f"连续两条 {b}", f"two {b} messages in a row",
                "user 与 assistant 轮流，成对出现", "let user and assistant take turns, in pairs", index=i,
            )  # fmt: skip
    if turns and turns[-1][1] == "user" and "assistant" in roles:
        _add(
            report, number, "alternation", "最后一条是 user，没有回答", "the last message is user, without an answer",
            "补上回答，或删去这一条", "add the answer or drop the message", index=turns[-1][0],
        )  # fmt: skip


def _warn_of_row(report, number, row, seen, answers, systems, max_tokens) -> None:
    warn = lambda *texts: _add(report, number, *texts, severity="warning")
    messages = row["messages"]
    print_ = _fingerprint({"messages": messages})
    if print_ in seen:
        first = seen[print_]
        warn("duplicate-row", f"与第 {first} 行完全相同", f"the same as line {first}", "删去一条", "drop one of them")
    seen.setdefault(print_, number)
    systems[messages[0]["content"] if messages[0]["role"] == "system" else ""] += 1
    question = json.dumps(messages[:-1], sort_keys=True)
    answer = messages[-1]["content"]
    line, other = answers.setdefault(question, (number, answer))
    if other != answer:
        warn(
            "conflict", f"与第 {line} 行问题相同，回答不同", f"the same question as line {line}, another answer",
            "只保留一个回答", "keep one answer",
        )  # fmt: skip
    for i, (ask, reply) in enumerate(zip(messages, messages[1:], strict=False)):
        word = ask["content"].strip()
        if ask["role"] == "user" and 1 < len(word) <= 6 and word in reply["content"]:
            _add(
                report, number, "answer-repeats-input", f"回答里出现了输入的词“{word}”", f"the answer contains the input {word!r}",
                "如果任务不许重复原词，请改写", "rewrite it if the task forbids this", index=i + 1, severity="warning",
            )  # fmt: skip
    length = tokens.count(messages)
    report.stats.setdefault("tokens", []).append(length)
    if length > max_tokens:
        warn(
            "too-long", f"{length} 个 token，超过 max_tokens = {max_tokens}，多出的部分学不到",
            f"{length} tokens, more than max_tokens = {max_tokens}: the rest is not learned",
            "缩短这一条，或调大 max_tokens（上限 4096）", "shorten the row or raise max_tokens (at most 4096)",
        )  # fmt: skip


def _check_file(report: Report, systems: Counter[str]) -> None:
    if report.lines == 0:
        _add(report, None, "file-empty", "没有数据", "no rows", "写入训练数据", "write some rows")
    if report.lines > MAX_ROWS:
        _add(
            report, None, "row-count", f"{report.lines} 行，上限 {MAX_ROWS} 行", f"{report.lines} rows, the limit is {MAX_ROWS}",
            "抽取不超过 1000 行", "take at most 1000 of them",
        )  # fmt: skip
    elif 0 < report.lines < ADVISED_ROWS:
        _add(
            report, None, "row-count-low", f"只有 {report.lines} 行，建议 100–1000 行", f"only {report.lines} rows; 100–1000 are advised",
            "补充数据，或先这样试一试", "add rows, or try it as it is", severity="warning",
        )  # fmt: skip
    if len(systems) > 1:
        _add(
            report, None, "system-varies", f"有 {len(systems)} 种系统提示词", f"{len(systems)} different system prompts",
            "训练和调用用同一句提示词", "train and call with the same prompt", severity="warning",
        )  # fmt: skip
    counts = sorted(report.stats.pop("tokens", []))
    if counts:
        report.stats |= {"tokens": sum(counts), "median_tokens": counts[len(counts) // 2], "max_tokens": counts[-1]}

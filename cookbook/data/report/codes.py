"""The codes of the problems that `check` reports, each with its severity and its remedy.

To add a check, add its code here and call `Report.add` with it: in `rules/row_rules.py` or beside
it if one row is enough to see the problem, in `rules/corpus.py` if it takes several. The codes are
part of the contract of `python -m cookbook check --json`.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """What is known about a kind of problem before it is met."""

    severity: str  # "error" or "warning"
    fix_zh: str
    fix_en: str


def _error(zh: str, en: str) -> Code:
    return Code("error", zh, en)


def _warning(zh: str, en: str) -> Code:
    return Code("warning", zh, en)


CODES = {
    # The file.
    "file-unreadable": _error("检查路径和权限", "check the path and its permissions"),
    "file-suffix": _error(
        "把数据存成 .jsonl：每行一个 JSON 对象",
        "save the data as .jsonl, one JSON object per line",
    ),
    "file-size": _error("拆成几个文件，或删掉过长的行", "split the file, or drop very long rows"),
    "file-empty": _error("写入训练数据", "add rows"),
    "encoding": _error("另存为 UTF-8 编码", "save the file as UTF-8"),
    "row-count": _error("最多留 1000 条", "keep at most 1000 rows"),
    # The file as a whole; the problem itself says what to do.
    "not-text": _error(
        "换成文本文件：每行一个 JSON 对象", "use a text file with one JSON object per line"
    ),
    "whole-array": _error(
        "用 data.clean(path) 改写",
        "rewrite it: data.clean(path)",
    ),
    "multi-line-json": _error(
        "用 data.clean(path) 改写",
        "rewrite it: data.clean(path)",
    ),
    "other-shape": _error(
        "用 data.from_messages(path) 转换", "convert it: data.from_messages(path)"
    ),
    # A table, which only the converters read.
    "table-row": _error(
        "内容里有分隔符或引号的，用英文双引号括起来，再存一次",
        "put texts with separators or quotation marks in double quotes, and save it again",
    ),
    "table-cell": _error("改好这一格，再存一次", "correct the cell and save the table again"),
    # One line.
    "json": _error(
        "每行写一个完整的 JSON 对象，引号用英文双引号",
        "write one complete JSON object per line, with straight double quotes",
    ),
    "not-object": _error('写成 {"messages": [...]}', 'write {"messages": [...]}'),
    "duplicate-key": _error("只保留一个", "keep one of them"),
    # Its messages.
    "messages-missing": _error("加上 messages 数组", "add the messages array"),
    "messages-empty": _error("至少要有一问一答", "add at least one question and one answer"),
    "message-not-object": _error(
        '写成 {"role": …, "content": …}', 'write {"role": …, "content": …}'
    ),
    "role-missing": _error("加上 role", "add the role"),
    "role-unknown": _error("只能用 system、user、assistant", "use system, user or assistant"),
    "content-missing": _error("加上 content", "add the content"),
    "content-type": _error("content 要写成一段文字", "write the content as a string"),
    "content-empty": _error("写上内容，或删去这一条", "add the content, or drop the row"),
    # Their order.
    "system-position": _error(
        "把 system 移到第一条，且只留一条", "move it to the front, and keep only one"
    ),
    "first-not-user": _error("先问后答", "begin with user"),
    "alternation": _error(
        "user 与 assistant 轮流，成对出现：补上缺的一条，或删去多的一条",
        "alternate user and assistant, in pairs: add the missing message or drop the extra one",
    ),
    "tool-calls": _error(
        "这里不训练工具调用：去掉这些消息，或换一份数据",
        "tool calls are not trained here: drop these messages, or use other data",
    ),
    "no-assistant": _error("补上回答", "add the answer"),
    # What can be trained on, but is worth a look.
    "row-count-low": _warning("补充数据，或先这样试一试", "add rows, or try with these"),
    "blank-line": _warning("删去空行", "remove it"),
    "bom": _warning("另存为不带 BOM 的 UTF-8", "save as UTF-8 without BOM"),
    "extra-key": _warning(
        "平台只需要 messages 和其中的 role、content",
        "the platform needs only messages, role and content",
    ),
    "too-long": _warning(
        "缩短这一条，或调大 max_tokens（上限 4096）",
        "shorten the row, or raise max_tokens (at most 4096)",
    ),
    "duplicate-row": _warning("删去一条", "drop one of them"),
    "near-duplicate": _warning("看一看，留下较好的一条", "compare both and keep the better one"),
    "conflict": _warning("只保留一个回答", "keep one answer"),
    "system-varies": _warning(
        "训练和调用用同一句提示词", "use the same prompt in training and in calls"
    ),
    "answer-repeats-input": _warning(
        "如果任务不许重复原词，请改写", "rewrite it if the task forbids this"
    ),
    "answer-style": _warning(
        "看一看：改成同一种写法，或删去", "check it: write it like the others, or drop it"
    ),
    # Texts that were damaged on the way, or mean something else than they show.
    "escape-text": _warning(
        '用 data.clean(path, fix=["escape-text"]) 换成真正的字符',
        'write the real character: data.clean(path, fix=["escape-text"])',
    ),
    "markup": _warning(
        '用 data.clean(path, fix=["markup"]) 去掉',
        'remove the markup: data.clean(path, fix=["markup"])',
    ),
    "mojibake": _warning(
        "找到原文，按正确的编码再导出一次",
        "export it again from the original, in the right encoding",
    ),
    "invisible": _warning(
        '用 data.clean(path, fix=["invisible"]) 去掉',
        'remove it: data.clean(path, fix=["invisible"])',
    ),
    "template-mark": _warning("去掉对话模板的标记", "remove the marks of the chat template"),
    "thinking": _warning(
        '要么都留，要么都去掉：data.clean(path, fix=["thinking"])',
        'keep all thinking, or remove all of it: data.clean(path, fix=["thinking"])',
    ),
    "weight": _warning(
        '连同提问去掉：data.clean(path, weights="drop")',
        'remove them with their questions: data.clean(path, weights="drop")',
    ),
    "secret": _warning(
        "换成虚构的内容，或删去这一条", "replace it with made-up content, or drop the row"
    ),
}

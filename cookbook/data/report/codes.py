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
    "row-count": _error("抽取不超过 1000 行", "keep at most 1000 of them"),
    # The file as a whole; the problem itself says what to do.
    "not-text": _error(
        "换成文本文件：每行一个 JSON 对象", "use a text file with one JSON object per line"
    ),
    "whole-array": _error(
        "改成每行一个 JSON 对象，data.clean 会改",
        "write one JSON object per line, as data.clean does",
    ),
    "multi-line-json": _error(
        "改成每行一个 JSON 对象，data.clean 会改",
        "write one JSON object per line, as data.clean does",
    ),
    "other-shape": _error("用 data.from_messages 转换", "convert it with data.from_messages"),
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
    "content-empty": _error("写上内容，或删去这一行", "add the content, or drop the row"),
    # Their order.
    "system-position": _error("把 system 移到第一条，且只留一条", "move it to the front, keep one"),
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
    "row-count-low": _warning("补充数据，或先这样试一试", "add rows, or try it as it is"),
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
    "system-varies": _warning("训练和调用用同一句提示词", "train and call with the same prompt"),
    "answer-repeats-input": _warning(
        "如果任务不许重复原词，请改写", "rewrite it if the task forbids this"
    ),
    "answer-style": _warning(
        "看一看：改成同一种写法，或删去", "check it: write it like the others, or drop it"
    ),
    # Texts that were damaged on the way, or mean something else than they show.
    "escape-text": _warning(
        '换成真正的换行或字符，data.clean(fix=["escape-text"]) 会改',
        'write the real character, as data.clean(fix=["escape-text"]) does',
    ),
    "markup": _warning(
        '去掉网页的标记，data.clean(fix=["markup"]) 会改',
        'remove the markup, as data.clean(fix=["markup"]) does',
    ),
    "mojibake": _warning(
        "找到原来的文件，按正确的编码再导出一次",
        "export the text again from its origin, in the right encoding",
    ),
    "invisible": _warning(
        '去掉看不见的字符，data.clean(fix=["invisible"]) 会改',
        'remove what cannot be seen, as data.clean(fix=["invisible"]) does',
    ),
    "template-mark": _warning("去掉对话模板的标记", "remove the marks of the chat template"),
    "thinking": _warning(
        '决定要不要学思考过程：全部留下，或用 data.clean(fix=["thinking"]) 全部去掉',
        "decide whether thinking is to be learned: keep all of it, or remove all with "
        'data.clean(fix=["thinking"])',
    ),
    "weight": _warning(
        "用 data.clean(weights=…) 说明怎样处理", "say what to do with it: data.clean(weights=…)"
    ),
    "secret": _warning(
        "换成虚构的内容，或删去这一行", "replace it with something invented, or drop the row"
    ),
}

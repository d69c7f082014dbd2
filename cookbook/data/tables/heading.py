"""Find the heading of a table, and the names that people usually give their columns.

Names are compared without what surrounds them: white space, a byte-order mark, a note in brackets.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

ROWS_SEARCHED = 10  # a title and its notes are not longer

# Marks that nobody sees at the beginning of a name, and a star that says "must be filled in".
_AROUND = "\ufeff\u200b\u200c\u200d\u2060\0"
_NOTE = re.compile(r"[(（\[【][^()（）\[\]【】]*[)）\]】]$")

# Columns of questions and of answers.
_QUESTIONS = """
    问题 提问 问 问句 问法 标准问题 标准问 标准问法
    用户问题 用户提问 客户问题 常见问题 题目 提示词 指令
    question questions query prompt instruction q ask user_question user_input
"""
_ANSWERS = """
    回答 答案 答 答复 回复
    标准回答 标准答案 标准答复 参考答案 参考回答 客服回答 客服回复 机器人回答
    模型回答 输出 answer answers response completion output reply a model_answer
"""
# Other columns that show that a row is a heading: conversations, chat logs, their companions.
_OTHERS = """
    messages conversations conversation dialogue history system input
    系统提示词 类别 分类 编号 序号 备注 来源 标签 id category label source
    会话id 角色 内容 时间 发送人 发送者 发言人 昵称 消息 消息内容 消息类型 聊天内容 发送时间
    session_id conversation_id role content time talker sender is_sender issender msg createtime
    nickname strtime strcontent type type_name room_name
"""
# Names that say it only together: a column `用户` alone may hold anything.
PAIRS = (
    ("用户", "客服"),
    ("用户", "助手"),
    ("用户", "机器人"),
    ("客户", "客服"),
    ("顾客", "客服"),
    ("买家", "卖家"),
    ("输入", "输出"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("human", "gpt"),
    ("user", "bot"),
    ("input", "output"),
    ("src", "tgt"),
    ("source", "target"),
)
_ALONE = frozenset(("messages", "conversations", "conversation", "dialogue"))
_IN_PAIRS = frozenset(name for pair in PAIRS for name in pair)
QUESTIONS = frozenset(_QUESTIONS.split())
ANSWERS = frozenset(_ANSWERS.split())
OTHERS = frozenset(_OTHERS.split())
_KNOWN = QUESTIONS | ANSWERS | OTHERS | _IN_PAIRS


class _HasCells(Protocol):
    @property
    def cells(self) -> list[str]: ...

    @property
    def is_blank(self) -> bool: ...


def stripped(name: str) -> str:
    """Return a column's name without what nobody sees around it."""
    lines = name.strip(_AROUND).split()
    return " ".join(lines).strip(_AROUND)


def plain(name: object) -> str:
    """Return a name as it is compared: in lower case, without star, colon or a note in brackets."""
    text = stripped(str(name)[:200])
    text = text.strip("*＊:：? ？").casefold()
    return _NOTE.sub("", text).strip() or text


def is_known(names: Iterable[str]) -> bool:
    """Return whether texts look like a heading: two of them are usual names of columns."""
    known = {plain(name) for name in names} & _KNOWN
    return len(known) >= 2 or bool(known & _ALONE)


def find(rows: Sequence[_HasCells], wanted: Collection[str] = ()) -> int | None:
    """Return the index of the heading; titles and notes may be above it. None: all is blank.

    Args:
        wanted: the columns that it has, where they are known.
    """
    first = enumerate(rows[: 10 * ROWS_SEARCHED])
    filled = [index for index, row in first if not row.is_blank]
    filled = filled[:ROWS_SEARCHED]
    for index in filled:
        names = {plain(cell) for cell in rows[index].cells}
        if wanted and all(plain(name) in names for name in wanted):
            return index
    for index in filled:
        if is_known(rows[index].cells):
            return index
    for index in filled:
        cells = [cell for cell in rows[index].cells if cell.strip()]
        # A title has one cell.
        if len(cells) > 1:
            return index
    return filled[0] if filled else None


def matching(columns: Iterable[str], wanted: str) -> list[str]:
    """Return the columns that a name means: the one that is written so, or all that look so."""
    columns = list(columns)
    if wanted in columns:
        return [wanted]
    return [name for name in columns if plain(name) == plain(wanted)]


def questions_and_answers(columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns that can be questions, and those that can be answers.

    One of each: that is the pair.
    """
    by_name = {plain(name): name for name in reversed(columns)}
    questions = [name for name in columns if plain(name) in QUESTIONS]
    answers = [name for name in columns if plain(name) in ANSWERS]
    if len(questions) == 1 and len(answers) == 1:
        return questions, answers
    for question, answer in PAIRS:
        # Only where no better names say it.
        if questions and answers:
            break
        if question in by_name and answer in by_name:
            return [by_name[question]], [by_name[answer]]
    return questions, answers

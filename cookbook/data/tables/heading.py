"""Find the heading of a table, and the names that people usually give their columns.

Names are compared without what surrounds them: white space, a byte-order mark, a note in brackets.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from operator import itemgetter
from typing import Protocol

ROWS_SEARCHED = 10  # a title and its notes are not longer

MAX_COMPARED = 500  # columns in which a mistyped name is looked for

# Marks that nobody sees at the beginning of a name, and a star that says "must be filled in".
_AROUND = "\ufeff\u200b\u200c\u200d\u2060\0"
_NOTE = re.compile(r"[(（\[【][^()（）\[\]【】]*[)）\]】]$")

# Columns of questions and of answers.
_QUESTIONS = """
    问题 提问 问 问句 问法 标准问题 标准问 标准问法
    问题内容 问题描述 咨询问题 用户问题 用户提问 用户输入 客户问题 客户咨询 常见问题
    题目 提示词 指令 問題 提問 問 常見問題 標準問題 使用者問題
    question questions query prompt instruction q ask user_question user_query user_input
"""
_ANSWERS = """
    回答 答案 答 答复 回复
    标准回答 标准答案 标准答复 标准回复 参考答案 参考回答 客服回答 客服回复 客服答复 机器人回答
    回答内容 回复内容 答案内容 应答 应答话术 回复话术 标准话术 模型回答 模型输出 输出
    答覆 回覆 標準答案 標準回答 標準答覆 參考答案 客服回覆
    answer answers response completion output reply a model_answer model_output model_response
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
# What the rows of sums below a table are called.
_SUMS = "合计 总计 小计 共计 总数 累计 平均 平均值 total sum subtotal average"
SUMS = frozenset(_SUMS.split())
_NUMBER = re.compile(r"[-+(¥￥$]{0,3}[0-9][0-9,. ]{0,30}[%)元个条行次]?")
_NUMBERED = re.compile(
    r"(?:第?([0-9]{1,3}|[一二三四五六七八九十])[轮次])?[ _\-]{0,2}"
    r"([^0-9]{1,20}?)[ _\-]{0,2}([0-9]{0,3})"
)
_ALONE = frozenset(("messages", "conversations", "conversation", "dialogue"))
_ASK = frozenset(question for question, _ in PAIRS)
_ANSWER = frozenset(answer for _, answer in PAIRS)
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


def is_sum(cells: Sequence[str]) -> bool:
    """Return whether a row is one of sums: a word for it, and nothing but numbers beside it."""
    filled = [stripped(cell[:40]) for cell in cells if cell.strip()]
    if len(filled) < 2 or filled[0].rstrip(":：").casefold() not in SUMS:
        return False
    return all(_NUMBER.fullmatch(cell) for cell in filled[1:])


def turns(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Return the columns of questions and answers that are numbered: 问1 答1 问2 答2, in order.

    None, where it is not clear which belong together.
    """
    sides: dict[str, tuple[list[str], list[str]]] = {}
    for name in columns:
        found = _NUMBERED.fullmatch(plain(name)[:40])
        number = (found[1] or found[3]) if found else ""
        # The number is at one end.
        if not found or not number or (found[1] and found[3]):
            continue
        questions, answers = sides.setdefault(number, ([], []))
        if found[2] in QUESTIONS or found[2] in _ASK:
            questions.append(name)
        elif found[2] in ANSWERS or found[2] in _ANSWER:
            answers.append(name)
    whole = [(_order(number), side) for number, side in sides.items() if any(side)]
    if len(whole) < 2 or any(len(q) != 1 or len(a) != 1 for _, (q, a) in whole):
        return []
    ordered = sorted(whole, key=itemgetter(0))
    return [(questions[0], answers[0]) for _, (questions, answers) in ordered]


def _order(number: str) -> int:
    return int(number) if number.isdecimal() else 1 + "一二三四五六七八九十".index(number)


def nearest(columns: Iterable[str], wanted: str) -> str | None:
    """Return the column that is written nearly so, as somebody who mistyped it means."""
    by_name = {plain(name[:200]): name for name in islice(columns, MAX_COMPARED)}
    near = get_close_matches(plain(wanted), by_name, n=1, cutoff=0.5)
    return by_name[near[0]] if near else None


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

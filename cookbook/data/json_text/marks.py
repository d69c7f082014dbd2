"""What is wrong with a text that is not JSON, in words: each reason with its remedy.

    of_character("：")      a full-width colon, in place of :

`diagnosis.py` finds out which of them it is.
"""

from typing import NamedTuple


class Reason(NamedTuple):
    """What is wrong and what to do; without a remedy the usual one is right."""

    zh: str
    en: str
    fix_zh: str = ""
    fix_en: str = ""


# What people type on a Chinese keyboard in place of what JSON has.
COMMAS = "，、；;"
BRACKETS = "｛｝［］【】"
QUOTES = "“”„‟＂「」『』'‘’"

# Remedies of several reasons.
_REWRITE = ("补全这一行，或删去", "complete the line, or drop it")
_DUMPS = (
    "用 json.dumps(row, ensure_ascii=False) 写每一行",
    "write each line with json.dumps(row, ensure_ascii=False)",
)
_CLEAN = ("用 data.clean(path) 去掉", "remove it: data.clean(path)")

# The text ends too early, or a string does.
CUT = Reason("没有写完，断在这里", "it is cut off here", *_REWRITE)
CUT_FILE = Reason("", "", "重新导出或下载一次", "export or download the file again")
CUT_STRING = Reason(
    "字符串没有收尾的引号：断在这里，或者文字里有真的换行",
    "a string is not closed: it is cut off here, or it has a real line break",
    "补全这一行；文字里的换行写成 \\n",
    "complete the line; write a line break within a text as \\n",
)
OPEN_STRING = Reason(
    "从这里开始的字符串没有收尾的引号",
    "the string that begins here is not closed",
    '补上引号；文字里面的英文双引号写成 \\"',
    'close it; write a " within a text as \\"',
)
NO_CLOSING_QUOTE = Reason(
    "字符串到这里缺收尾的引号", 'the closing " is missing here', "补上英文双引号", 'add the "'
)
# Quotation marks.
INNER_QUOTE = Reason(
    "文字里面的英文双引号提前结束了字符串",
    'a " within the text ends the string too early',
    '文字里面的英文双引号写成 \\"，或改成中文引号',
    'write a " within a text as \\"',
)
CURLY_QUOTE = Reason(
    "用了中文引号", "a curly quotation mark", "换成英文双引号", 'use straight double quotes: "'
)
SINGLE_QUOTE = Reason(
    "用了单引号，像是 Python 打印出来的", "single quotes, as Python prints them", *_DUMPS
)
PYTHON = Reason("是 Python 的写法", "Python syntax, not JSON", *_DUMPS)
# Commas and brackets.
TRAILING_COMMA = Reason(
    "最后一项后面多了逗号", "a comma after the last item", "去掉这个逗号", "remove the comma"
)
DOUBLE_COMMA = Reason(
    "多了一个逗号，或者两个逗号之间缺一项",
    "an extra comma, or a missing item before it",
    "去掉逗号，或补上一项",
    "remove the comma, or add the item",
)
COMMA_AT_END = Reason("行末多了逗号", "a comma at the end of the line", *_CLEAN)
SEVERAL = Reason(
    "这一行里不止一个 JSON 对象",
    "more than one JSON object on the line",
    "每行只写一个，用 data.clean(path) 拆开",
    "write one per line: data.clean(path) splits them",
)
ENCODED_TWICE = Reason(
    "整条写成了一段字符串（编码了两次）", "the entry is a string with JSON in it", *_CLEAN
)
EXTRA_BRACKET = Reason(
    "多了一个括号", "an extra closing bracket", "去掉它，或补上前面的一半", "remove it"
)
# What is no JSON at all.
TEXT_BEHIND = Reason("JSON 后面还有别的文字", "extra text after the JSON", "删去它", "remove it")
TEXT_BEFORE = Reason("JSON 前面有别的文字", "extra text before the JSON", "删去它", "remove it")
NO_JSON = Reason("这一行不是 JSON", "this line is not JSON at all")
NO_BRACES = Reason(
    "最外面缺花括号 { }", "the braces { } around it are missing", "补上花括号", "add the braces"
)
MARKUP = Reason("这是网页或 XML 的标记", "this is HTML or XML markup")
FENCE = Reason(
    "这是 Markdown 的代码框标记", "this is a Markdown code fence", "删去这一行", "remove the line"
)
COMMENT = Reason("JSON 里不能写注释", "JSON has no comments", "删去注释", "remove the comment")
ELLIPSIS = Reason(
    "用省略号代替了内容", "an ellipsis in place of content", "补上内容，或删去", "write it out"
)
ESCAPED = Reason(
    "引号前面多了反斜杠，像是被转义了两次",
    "a backslash before the quote, as if escaped twice",
    "先用 json.loads 把外面的一层字符串还原",
    "decode the outer string first, with json.loads",
)
# Keys and values.
KEY_WITHOUT_QUOTES = Reason(
    "键没有加引号", "a key without quotes", "键要用英文双引号括起来", "put the key in double quotes"
)
KEY = Reason(
    "这里应当是一个键",
    "a key is expected here",
    "键要用英文双引号括起来",
    "put the key in double quotes",
)
KEY_IN_LIST = Reason(
    "方括号里不能写“键: 值”", "a list has no keys", "改用花括号 { }", "use braces { }"
)
EQUALS = Reason("键后面用了等号", "= after a key", "换成冒号", "use a colon")
NO_COLON = Reason(
    "键的后面缺冒号", "no colon after the key", "补上冒号和值", "add a colon and a value"
)
NO_VALUE = Reason("这里缺一个值", "a value is missing here", "补上值", "add the value")
VALUE = Reason("这里应当是一个值", "a value is expected here")
NO_COMMA = Reason("两项之间缺逗号", "no comma between two items", "补上逗号", "add the comma")
COMMA = Reason("这里应当是逗号或右括号", "a comma or a closing bracket is expected here")
TEXT_WITHOUT_QUOTES = Reason(
    "文字没有加引号", "text without quotes", "用英文双引号括起来", "put it in double quotes"
)
NUMBER = Reason(
    "不是数字的写法",
    "not a valid JSON number",
    "文字要用英文双引号括起来",
    "put it in double quotes",
)
TOO_LARGE = Reason(
    "数字太大", "the number is too large", "写成文字，或删去", "write it as text, or drop it"
)
TOO_DEEP = Reason(
    "括号嵌套太深",
    "brackets are nested too deep",
    "去掉多余的括号",
    "remove the extra brackets",
)
# Inside strings.
LINE_BREAK = Reason(
    "字符串里有真的换行", "a real line break in a string", "换行写成 \\n", "write it as \\n"
)
TAB = Reason("字符串里有真的 Tab", "a real tab in a string", "写成 \\t", "write it as \\t")
WINDOWS_PATH = Reason(
    "Windows 路径里的反斜杠没有写成两个",
    "a single backslash in a Windows path",
    "写成 \\\\，或改用 /",
    "write \\\\, or use /",
)
ESCAPED_END = Reason(
    "收尾的引号前面有反斜杠，字符串没有结束",
    "a backslash before the closing quote: the string goes on",
    "文字末尾的反斜杠写成 \\\\",
    "write a backslash at the end of a text as \\\\",
)
UNICODE_ESCAPE = Reason(
    "\\u 后面要有 4 个十六进制数字",
    "\\u needs 4 hexadecimal digits",
    "写成 \\\\u，或补全",
    "write \\\\u, or complete it",
)
ESCAPED_APOSTROPHE = Reason(
    "单引号前面不能有反斜杠", "\\' is not an escape of JSON", "去掉反斜杠", "remove the backslash"
)
ESCAPE = Reason(
    "反斜杠后面的字符不对",
    "a backslash before a character that needs none",
    "反斜杠写成 \\\\",
    "write the backslash as \\\\",
)

# Characters that are known by themselves: (what JSON has, its names).
_FULL_WIDTH = {
    "：": (":", "冒号", "colon"),
    "，": (",", "逗号", "comma"),
    "、": (",", "顿号", "comma"),
    "；": (",", "分号", "semicolon"),
    ";": (",", "分号", "semicolon"),
    "｛": ("{", "括号", "brace"),
    "｝": ("}", "括号", "brace"),
    "［": ("[", "括号", "bracket"),
    "］": ("]", "括号", "bracket"),
    "【": ("[", "括号", "bracket"),
    "】": ("]", "括号", "bracket"),
}
_INVISIBLE = {
    "\u3000": ("全角空格", "a full-width space"),
    "\xa0": ("不间断空格（NBSP）", "a no-break space (NBSP)"),
    "\u202f": ("不间断空格（NBSP）", "a no-break space (NBSP)"),
    "\ufeff": ("看不见的 BOM", "an invisible byte-order mark"),
    "\u200b": ("看不见的零宽字符", "an invisible zero-width character"),
    "\u200c": ("看不见的零宽字符", "an invisible zero-width character"),
    "\u200d": ("看不见的零宽字符", "an invisible zero-width character"),
    "\u2060": ("看不见的零宽字符", "an invisible zero-width character"),
    "\u200e": ("看不见的方向标记", "an invisible direction mark"),
    "\u200f": ("看不见的方向标记", "an invisible direction mark"),
    "\u2028": ("行分隔符 U+2028", "a line separator, U+2028"),
    "\u2029": ("段分隔符 U+2029", "a paragraph separator, U+2029"),
    "\x85": ("换行符 U+0085", "a line end, U+0085"),
    "\x0b": ("控制字符 U+000B", "a control character, U+000B"),
    "\x0c": ("换页符 U+000C", "a form feed, U+000C"),
    "\x00": ("空字符 U+0000", "a null character, U+0000"),
}


def of_character(mark: str) -> Reason | None:
    """Return what is wrong with a character outside of strings, if it is known by itself."""
    if mark in _FULL_WIDTH:
        right, zh, en = _FULL_WIDTH[mark]
        kind_zh, kind_en = ("", "") if mark == ";" else ("全角", "full-width ")
        return Reason(
            f"用了{kind_zh}{zh} {mark}", f"a {kind_en}{en} {mark}", f"换成 {right}", f"use {right}"
        )
    if mark in _INVISIBLE:
        zh, en = _INVISIBLE[mark]
        return Reason(f"这里有{zh}", f"{en} here", "删去它，或换成普通空格", "remove it")
    if mark in ("'", "‘", "’"):
        return SINGLE_QUOTE if mark == "'" else CURLY_QUOTE
    if mark == "…":
        return ELLIPSIS
    return CURLY_QUOTE if mark in QUOTES else None


def is_invisible(mark: str) -> bool:
    """Return whether nobody sees the character."""
    return mark in _INVISIBLE


def instead_of(expected: str, found: str) -> Reason:
    """Return that a bracket closes another kind of bracket."""
    return Reason(
        f"括号不配对：这里应当是 {expected}，却是 {found}",
        f"brackets do not match: {expected} is expected here, not {found}",
        "补上缺的括号",
        "add the bracket that is missing",
    )


def literal(found: str, right: str) -> Reason:
    """Return that a word is written as another language does."""
    name = found[:20]
    return Reason(
        f"{name} 不是 JSON 的写法", f"{name} is not a JSON value", f"写成 {right}", f"write {right}"
    )


def not_a_number(found: str) -> Reason:
    """Return that JSON has no such number."""
    return literal(found, "null")


def control(mark: str) -> Reason:
    """Return that a control character is in a string."""
    code = f"U+{ord(mark):04X}"
    return Reason(
        f"字符串里有控制字符 {code}",
        f"a control character, {code}, in a string",
        f"删去它，或写成 \\u{ord(mark):04x}",
        f"remove it, or write \\u{ord(mark):04x}",
    )

"""What is wrong with a text that is not JSON: the reason, the exact place, the remedy."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.data import json_text

# Text, a word of the Chinese reason, one of the English, what is marked.
BROKEN = [
    ('{"a"：1}', "全角冒号", "full-width colon", "："),
    ('{"a":1，"b":2}', "全角逗号", "full-width comma", "，"),
    ('{"a":"x"，"b":2}', "全角逗号", "full-width comma", "，"),
    ('{"a":"x"；"b":2}', "全角分号", "semicolon", "；"),
    ('{"a":1｝', "全角括号", "full-width brace", "｝"),
    ("【1]", "全角括号", "full-width bracket", "【"),
    ("{“a”:1}", "中文引号", "curly", "“"),
    ('{"a":“x”}', "中文引号", "curly", "“"),
    ('{"a":"你好”}]}', "中文引号", "curly", "”"),
    ('{"a": "x”,\n"b": "y"}', "中文引号", "curly", "”"),
    ("{'a':1}", "单引号", "single quotes", "'"),
    ("{\"a\":'x'}", "单引号", "single quotes", "'"),
    ('{"a":True}', "True", "True is not", "True"),
    ('{"a":[None]}', "None", "None is not", "None"),
    ('{"a":"NaN","b":NaN}', "NaN", "NaN is not", "NaN"),
    ('{"a":-Infinity}', "Infinity", "Infinity is not", "-Infinity"),
    ('{"a":array([1])}', "Python", "Python", "array"),
    ('{"a":"他说"好"，走了"}', "提前结束", "ends the string too early", '"'),
    ('{"a":"他说"，好"}', "提前结束", "ends the string too early", '"'),
    ('{"a":""x"","b":1}', "提前结束", "ends the string too early", '"'),
    ('{"a":"x\ny"}', "真的换行", "line break", "\n"),
    ('{"a":"x\ty"}', "Tab", "tab", "\t"),
    ('{"a":"x\x01y"}', "U+0001", "U+0001", "\x01"),
    ('{"a":\xa01}', "NBSP", "no-break space", "\xa0"),
    ('{"a":1,\u200b"b":2}', "零宽", "zero-width", "\u200b"),
    ('{"a":1,\ufeff"b":2}', "BOM", "byte-order mark", "\ufeff"),
    ('\ufeff{"a":1}', "BOM", "byte-order mark", "\ufeff"),
    ('{"a":1}\u3000', "全角空格", "full-width space", "\u3000"),
    ('{"a":1,}', "最后一项后面多了逗号", "after the last item", ","),
    ('{"a":[1, ]}', "最后一项后面多了逗号", "after the last item", ","),
    ("[1,,2]", "多了一个逗号", "extra comma", ","),
    ('{"a":1},', "行末多了逗号", "end of the line", ","),
    ('{"a":1 // 注释\n}', "注释", "comments", "// 注释"),
    ('{"a":1 "b":2}', "缺逗号", "no comma", '"'),
    ('{"a":[{"b":1} {"c":2}]}', "缺逗号", "no comma", "{"),
    ('{"a" 1}', "缺冒号", "no colon", "1"),
    ('{"a"="x"}', "等号", "= after a key", "="),
    ('{"a":1,"b', "没有收尾", "not closed", '"b'),
    ('{"a":[1', "断在这里", "cut off here", ""),
    ('{"a":fal', "断在这里", "cut off here", "fal"),
    ('{"a":"你好', "没有收尾", "not closed", '"你好'),
    ('{"a":1} {"b":2}', "不止一个", "more than one", "{"),
    ('{"a":1},{"b":2}', "不止一个", "more than one", "{"),
    ('{"a":1}}', "多了一个括号", "extra closing", "}"),
    ('{"a":[1}', "应当是 ]", "] is expected", "}"),
    ('{"a":{"b":1]', "应当是 }", "} is expected", "]"),
    ('{"a":"C:\\data"}', "Windows 路径", "Windows path", "\\"),
    ('{"a":"C:\\users"}', "Windows 路径", "Windows path", "\\"),
    ('{"a":"\\x41"}', "反斜杠", "backslash", "\\x"),
    ('{"a":"\\u12"}', "十六进制", "hexadecimal", '\\u12"}'),
    ('{\\"a\\":1}', "转义", "escaped twice", "\\"),
    ("{a:1}", "键没有加引号", "key without quotes", "a"),
    ('{"a:"x"}', "缺收尾的引号", "closing", ":"),
    ('{"a":好}', "文字没有加引号", "text without quotes", "好"),
    ('{"a":2024-01-01}', "数字", "number", "2024-01-01"),
    ('{"a":...}', "省略号", "ellipsis", "..."),
    ('{"a":1e999}', "太大", "too large", "1e999"),
    ('{"a":' + "1" * 5000 + "}", "太大", "too large", "1" * 5000),
    ("[" * 2000, "太深", "too deep", "["),
    ('data: {"a":1}', "前面有别的文字", "before the JSON", "data: "),
    ("```json", "Markdown", "Markdown", "```"),
    ("<p>你好</p>", "网页", "HTML", "<"),
    ('"a":1', "花括号", "braces", ":"),
    ('{"a":}', "缺一个值", "value is missing", "}"),
    ('["a":1]', "方括号", "list has no keys", ":"),
]


@pytest.mark.parametrize(("text", "zh", "en", "marked"), BROKEN)
def test_a_mistake_is_named_and_marked(text, zh, en, marked):
    with pytest.raises(json_text.NotJson) as raised:
        json_text.parse(text)
    error = raised.value
    assert zh in error.zh and en in error.en
    assert text[error.start : error.end] == marked
    # Names and signs are fine in Chinese; an English sentence is not.
    assert not re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", error.zh + (error.fix or [""])[0])


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('{"a":1,"a":2}', 7),
        ('{"b":{"a":1},"a":2,"c":[{"a":1}],"a":3}', 33),
        ('{"\\u0061":1,"a":2}', 12),
    ],
)
def test_a_key_that_is_there_twice_is_marked_the_second_time(text, at):
    with pytest.raises(json_text.DuplicateKey, match="appears twice") as raised:
        json_text.parse(text)
    assert (raised.value.start, text[raised.value.start : raised.value.end]) == (at, '"a"')


@given(st.text(alphabet="{}[]\",:：，“”'\\/u1eNaTn \n\t\xa0\ufeff好", max_size=30))
def test_any_text_is_json_or_has_a_reason_with_a_place(text):
    try:
        assert json_text.parse(text) == json.loads(text)
    except json_text.NotJson as error:
        assert 0 <= error.start <= len(text) and error.start < error.end
        assert error.zh and error.en

"""Encodings: recognized or refused, never misread; the place of what is bad."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.data import encodings
from cookbook.errors import DataError

SIMPLIFIED = [
    "你好",
    "问题,答案",
    "怎么退货？",
    "请把这封邮件改得正式一些。",
    "姓名,电话\n张伟,13800000000\n李娜,13900000000",
    "明天下午三点开会",
    "鼠标坏了怎么办",
    "价格：￥199.00元（含税）",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "我们的产品支持七天无理由退货，请您在订单页面提交申请。" * 80,
]
TRADITIONAL = [
    "你好",
    "問題,答案",
    "怎麼退貨？",
    "請把這封郵件改得正式一些。",
    "姓名,電話\n張偉,0912345678\n李娜,0987654321",
    "明天下午三點開會",
    "滑鼠壞了怎麼辦",
    "價格：NT$199元（含稅）",
    "我們的產品支援七天鑑賞期退貨，請您在訂單頁面提出申請。" * 80,
]
# What these encodings write is often valid GBK or Big5 as well.
REFUSED = {
    "cp932": ["こんにちは", "質問,回答", "東京", "ﾃｽﾄ ｶﾅ", "返品したいのですが。" * 50],
    "euc_jp": ["こんにちは", "質問,回答", "株式会社", "返品したいのですが。" * 50],
    "cp949": ["안녕하세요", "질문,답변", "서울", "환불은 어떻게 하나요?" * 50],
    "cp1252": ["café", "größer als übermäßig", "señor, ¿qué tal?", "“quoted” – text"],
    "cp1251": ["Привет", "вопрос,ответ", "Завтра в три часа будет собрание"],
    "koi8-r": ["Привет", "вопрос,ответ", "НЕТ"],
    "cp1253": ["Καλημέρα", "ευχαριστώ"],
    "cp1255": ["שלום", "תודה רבה"],
    "cp1256": ["مرحبا", "شكرا جزيلا"],
    "cp874": ["สวัสดีครับ", "คืนสินค้าอย่างไร"],
    "cp1250": ["zażółć gęślą jaźń"],
}


def forms(text):
    """Return a text as a file alone, in JSONL that is mostly ASCII, and in a table."""
    row = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False)
    return text, row + "\n" + row.replace("user", "assistant") + "\n", f"id,text\r\n1,{text}\r\n"


def readings(texts, codec):
    return [(form, form.encode(codec)) for text in texts for form in forms(text)]


@pytest.mark.parametrize(
    ("texts", "codec", "title"),
    [
        (SIMPLIFIED, "utf-8", "UTF-8"),
        (SIMPLIFIED, "gbk", "GBK"),
        (TRADITIONAL, "gbk", "GBK"),
        (TRADITIONAL, "big5", "Big5"),
        (TRADITIONAL, "cp950", "Big5"),
        (TRADITIONAL, "big5hkscs", "Big5"),
        (SIMPLIFIED, "utf-8-sig", "UTF-8"),
        (SIMPLIFIED, "utf-16", "UTF-16"),
        (SIMPLIFIED, "utf-32", "UTF-32"),
        (SIMPLIFIED[1:], "utf-16-le", "UTF-16"),
        (TRADITIONAL[1:], "utf-16-be", "UTF-16"),
    ],
)
def test_every_text_is_read_as_it_was_written(texts, codec, title):
    for text, content in readings(texts, codec):
        found = encodings.detect(content)
        assert found is not None and found.title == title, (text, found)
        assert encodings.decode(content).text == text


@pytest.mark.parametrize("codec", REFUSED)
def test_what_is_not_chinese_is_refused_rather_than_misread(codec):
    for text, content in readings(REFUSED[codec], codec):
        assert encodings.detect(content) is None, text


@pytest.mark.parametrize("codec", REFUSED)
def test_every_language_is_read_in_unicode(codec):
    for text, content in readings(REFUSED[codec], "utf-8"):
        assert encodings.detect(content) == encodings.UTF_8, text


@pytest.mark.parametrize(
    "text", ["é", "да", "café", "", "plain", "🙂", "ä,ö\n", "שלום", "5 × 3 °C"]
)
def test_a_short_text_in_utf_8_is_no_gbk(text):
    assert encodings.detect(text.encode()) == encodings.UTF_8


def test_a_single_letter_of_any_alphabet_is_utf_8():
    for code in (*range(0xA0, 0x180), *range(0x370, 0x500), *range(0x5D0, 0x650)):
        assert encodings.detect(f"id,text\n1,{chr(code)}\n".encode()) == encodings.UTF_8, chr(code)


@pytest.mark.parametrize("text", ["谢谢", "太太", "支援"])
def test_two_characters_in_gbk_that_are_valid_utf_8_are_not_read_as_letters(text):
    assert text.encode("gbk").decode("utf-8") != text
    assert encodings.detect(text.encode("gbk")) in (None, encodings.GBK)


def test_a_mark_is_measured():
    sizes = {"utf-8-sig": 3, "utf-16": 2, "utf-32": 4, "utf-8": 0}
    for codec, size in sizes.items():
        assert encodings.detect("你好，世界".encode(codec)).bom_bytes == size


def test_half_a_character_leaves_the_file_utf_8_with_the_place():
    content = '{"a": "你好"}\n{"b": "世界'.encode()[:-1] + b'"}\n{"c": 1}\n'
    decoded = encodings.decode(content)
    assert decoded.encoding == encodings.UTF_8 and decoded.other is None
    [bad] = decoded.bad
    assert (bad.line, bad.column, bad.before) == (2, 9, '{"b": "世')
    assert bad.content == "界".encode()[:2] and bad.start == 10
    assert decoded.text.splitlines()[2] == '{"c": 1}'


@pytest.mark.parametrize(("codec", "title"), [("gbk", "GBK"), ("big5", "Big5")])
def test_some_lines_in_another_encoding_are_told_from_a_whole_file(codec, title):
    utf_8 = '{"text": "今天天氣很好，我們出去走走。"}\n'
    other = '{"text": "明天下午三點開會，請準時到。"}\n'
    decoded = encodings.decode((utf_8 * 3).encode() + (other * 2).encode(codec) + utf_8.encode())
    assert (decoded.encoding, decoded.other.title) == (encodings.UTF_8, title)
    assert decoded.other_lines == [4, 5] and not decoded.bad
    assert decoded.text == utf_8 * 3 + other * 2 + utf_8

    whole = encodings.decode((utf_8 * 3 + other * 2).encode(codec))
    assert whole.encoding.title == title and whole.other is None and not whole.other_lines


def test_a_file_that_ends_within_its_first_character_has_the_place():
    decoded = encodings.decode('{"a": "你'.encode()[:-1])
    assert decoded.encoding == encodings.UTF_8
    assert [(bad.line, bad.column) for bad in decoded.bad] == [(1, 8)]


def test_a_line_that_is_valid_utf_8_by_chance_leaves_the_file_gbk():
    text = "谢谢\n" + "请问怎么退货，什么时候能收到退款？\n" * 5
    decoded = encodings.decode(text.encode("gbk"))
    assert decoded.encoding == encodings.GBK and decoded.text == text


def test_lines_with_half_a_character_are_not_read_as_gbk():
    good = "今天天气很好，我们出去走走。\n"
    gbk = "明天下午三点开会，请准时到。\n".encode("gbk")
    torn = good.encode()[:-3] + b"\n"
    decoded = encodings.decode(good.encode() + gbk + torn)
    assert decoded.other_lines == [2]
    assert [bad.line for bad in decoded.bad] == [3]


def test_a_bad_byte_in_gbk_has_its_place():
    line = "今天天气很好，我们出去走走。\r\n"
    decoded = encodings.decode(line.encode("gbk") * 3 + b"ab\xff\r\n" + line.encode("gbk"))
    assert decoded.encoding == encodings.GBK
    assert [(bad.line, bad.column, bad.content) for bad in decoded.bad] == [(4, 3, b"\xff")]


def test_utf_16_that_is_cut_has_the_place_of_the_cut():
    decoded = encodings.decode("问题,答案\r\n怎么退货？,七天内".encode("utf-16")[:-1])
    assert decoded.encoding.title == "UTF-16"
    assert [(bad.line, bad.column, bad.before) for bad in decoded.bad] == [
        (2, 9, "怎么退货？,七天")
    ]


def test_rows_in_gbk_under_a_mark_of_utf_8_are_read():
    line = "今天天气很好，我们出去走走。\n"
    decoded = encodings.decode(b"\xef\xbb\xbf" + line.encode("gbk") * 3)
    assert decoded.text == line * 3 and decoded.other == encodings.GBK


def test_a_few_bad_bytes_in_ascii_leave_the_rest_readable():
    rows = [b'{"a": 1}'] * 5
    decoded = encodings.decode(b"\n".join([*rows, b'{"a": "\xff"}', *rows]))
    assert decoded.encoding == encodings.UTF_8
    assert [bad.line for bad in decoded.bad] == [6]


def test_characters_of_hong_kong_and_taiwan_are_both_big5():
    cantonese = "佢哋嘅嘢喺邊度？我哋唔知，你問下佢啦。聽日再傾啦，好唔好呀？"
    assert encodings.decode(cantonese.encode("big5hkscs")).text == cantonese
    taiwan = "價格表：訂單的金額是€100，請您確認之後再付款。"
    assert encodings.decode(taiwan.encode("cp950")).text == taiwan


@pytest.mark.parametrize(
    "content", [bytes(1000), bytes(range(256)) * 20, b"\xff" * 1000, b"\x01\x02\x03" * 100]
)
def test_what_is_no_text_has_no_encoding(content):
    assert encodings.detect(content) is None


def test_one_control_character_leaves_a_text_a_text():
    assert encodings.detect(b'{"a": "b\x00c"}\n') == encodings.UTF_8


def test_a_line_is_read_in_the_file_s_encoding_or_the_other():
    line = "明天开会".encode("gbk")
    assert encodings.decode_line(line, encodings.UTF_8, encodings.GBK)[0] == "明天开会"
    with pytest.raises(UnicodeDecodeError):
        encodings.decode_line(line, encodings.UTF_8)


def test_thousands_of_bad_lines_are_a_file_in_no_known_encoding():
    decoded = encodings.decode(b"abc\n" * 50_000 + b"\xe4\n" * 25_000)
    assert decoded.encoding is None and len(decoded.bad) == 20_000


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("GB2312", "GBK"),
        ("gbk", "GBK"),
        ("utf_8_sig", "UTF-8"),
        ("Big5", "Big5"),
        ("u16", "UTF-16"),
    ],
)
def test_an_encoding_is_known_by_its_usual_names(name, title):
    assert encodings.named(name).title == title


@pytest.mark.parametrize("name", ["base64", "rot13", "idna", "no-such", "a\0b", "", "x" * 500])
def test_what_is_no_encoding_is_refused_by_name(name):
    with pytest.raises(DataError, match="gb18030") as refused:
        encodings.named(name)
    assert len(refused.value.zh) < 120


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(content):
    decoded = encodings.decode(content)
    assert decoded.encoding == encodings.detect(content)
    if decoded.encoding and not decoded.bad and not decoded.other_lines:
        body = content[decoded.encoding.bom_bytes :]
        assert decoded.text == body.decode(decoded.encoding.name)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_text_in_utf_8_is_never_read_as_anything_else(text):
    found = encodings.detect(text.encode())
    assert found is None or encodings.decode(text.encode()).text == text.removeprefix("\ufeff")

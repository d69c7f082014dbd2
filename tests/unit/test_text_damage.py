r"""`text_damage`: what is found, what is left alone, what is repaired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.data.damage import REPAIRABLE, find, glance, invisible, repair


def as_latin(text):
    return text.encode().decode("latin-1")


def as_windows(text):
    """UTF-8 read as Windows-1252, which has no character for five bytes."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())


def codes(text):
    return [finding.code for finding in find(text)]


def repaired(text, *kinds):
    return repair(text, frozenset(kinds))


# Damaged text -> what it should be; None where it would have to be guessed.
FOUND = {
    "escape-text": {
        r"第一步：登记\n第二步：取号": "第一步：登记\n第二步：取号",
        r"line one\nline two": "line one\nline two",
        r"Q:\nWhere?": "Q:\nWhere?",
        r"C:\n选三楼": "C:\n选三楼",
        r"表\t值": "表\t值",
        r"甲\r\n乙": "甲\n乙",
        r"馆员说\"请安静\"": '馆员说"请安静"',
        r"\u4e2d\u6587": "中文",
        r"\ud83d\ude00您好": "😀您好",
        r"半个 \ud83d 字": None,
        r"\xe4\xbd\xa0好": "你好",
        r"三楼\xa0东侧": "三楼\xa0东侧",
        r"\xe4\xbd": None,
        "您好，_x000D_\n请进": "您好，\n请进",
        "甲_x000D_乙": "甲\n乙",
        "_x4E2D_\n文": "中\n文",
    },
    "markup": {
        "点&quot;预约&quot;": '点"预约"',
        "您好，&nbsp;请进": "您好， 请进",
        "您好，&nbsp请进": "您好， 请进",
        "借&amp;还": "借&还",
        "it&#39;s open": "it's open",
        "&#x4e2d;文": "中文",
        "&lt;必读&gt;": "<必读>",
        "先登记。<br/>再取号。": "先登记。\n再取号。",
        "先登记。<BR>\n再取号。": "先登记。\n再取号。",
        "<p>第一段</p><p>第二段</p>": "第一段\n第二段",
        "完了</div>": "完了",
        '<span style="color: red">注意</span>': "注意",
        '<a href="https://example.org">官网</a>': "官网",
        "<b>重</b>点": "重点",
        "甲&amp;lt;br&amp;gt;乙": "甲\n乙",
        "<script>x()</script>您好": None,
    },
    "mojibake": {
        as_latin("还有座位吗？"): "还有座位吗？",
        as_windows("还有座位吗？"): "还有座位吗？",
        as_windows("“quoted” – it’s"): "“quoted” – it’s",
        as_latin("Straße, café, voilà"): "Straße, café, voilà",
        as_latin("Привет"): "Привет",
        "您好" + as_windows("😀"): "您好😀",
        "我们".encode().decode("gbk"): "我们",
        "你好".encode().decode("gbk"): "你好",
        "我们能".encode().decode("gbk", "ignore") + "?": None,
        "你好".encode("gbk").decode("latin-1"): "你好",
        "您好，请到三楼。".encode("gbk").decode("latin-1"): "您好，请到三楼。",
        "è¿æåº§ä½": None,
        "下午。\ufffd\ufffd请看": None,
        as_latin("\ufffd\ufffd"): None,
        "锟斤拷还有": None,
        "烫烫烫烫": None,
        "屯屯屯": None,
    },
    "invisible": {
        "\u200b您好": "您好",
        "\ufeff您好": "您好",
        "您好\u200d，请进": "您好，请进",
        "a\u202eb": "ab",
        "soft\xadhyphen": "softhyphen",
        "bell\x07": "bell",
        "甲\x0b乙": "甲\n乙",
        "甲\u2028乙": "甲\n乙",
        "甲\r\n乙\r丙": "甲\n乙\n丙",
        "\uf0b7 第一": " 第一",
        "\U000f0001好": "好",
    },
    "thinking": {
        "<think>\n\n</think>\n\n您好": "您好",
        "先看公告。</think>您好": "您好",
        "</think>您好": "您好",
        "<think>先看公告。您好": None,
        "<think>甲</think>乙<think>丙": None,
    },
}
MARKS = [
    "您好<|im_end|>",
    "<|im_start|>user",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|user|>几点？",
    "[INST] 几点 [/INST]",
    "<<SYS>>",
    "<s>您好",
    "您好</s>",
    "<s>[INST] 几点",
    "<｜User｜>几点",
    "<｜end▁of▁sentence｜>",
    "<start_of_turn>model",
    "问\n### Response:\n答",
]
PAIRS = [(kind, text) for kind, texts in FOUND.items() for text in texts]


@pytest.mark.parametrize("kind, text", PAIRS, ids=range(len(PAIRS)))
def test_damage_is_found_and_repaired_where_nothing_is_guessed(kind, text):
    (found,) = [finding for finding in find(text) if finding.code == kind]
    assert 0 <= found.start < found.end <= len(text) and found.zh and found.en
    after = repaired(text, kind)
    if FOUND[kind][text] is None:
        assert not found.repairable and kind in codes(after)
    else:
        assert after == FOUND[kind][text]
        assert kind not in codes(after)


@pytest.mark.parametrize("text", MARKS)
def test_marks_of_chat_templates_are_found_and_never_removed(text):
    assert "template-mark" in codes(text) and repaired(text, *REPAIRABLE) == text


SOUND = [
    # LaTeX, paths, code, and talk of escapes.
    r"$\nabla f = \rho \times \theta$，\text{a} \neq \to b",
    r"打开 C:\new\table.txt",
    r"D:\notes\r1",
    r"\\server\new\x",
    r"data\train\new.csv",
    r"`a\nb` 表示两行",
    "```py\nprint('a\\nb')\n```",
    r'print("a\nb")',
    r'{"reply": "甲\n乙"}',
    r'写成 "key": "甲\n乙"',
    r"换行符写作 \n",
    r"G\"odel",
    r"正则 \d+\n",
    r'用 "\n" 连起来',
    "snake_x_case",
    # What looks like markup.
    "a < b 且 c > d",
    "List<int> x",
    "Map<String, Object>",
    "Optional<Label>",
    "用 `<br>` 换行",
    "```html\n<p>\n```",
    "**粗** [链接](https://example.org?c=1&d=2)",
    "AT&T",
    "R&D; 研发",
    "p = &sum;",
    "<姓名> 您好",
    "<name> 您好",
    "<https://example.org>",
    "if a<b and c>d",
    "HTML 的 <br> 是换行",
    # Other languages.
    "L'été à Besançon, déjà vu… «blasé…» 5\xa0m² n°5",
    "„Spaß“ „Ä“ Größe",
    "Tiếng Việt có Ă Â Ê Ô Ư đ",
    "“AMANHÔ não",
    "„kříž“ vyšší",
    "äöüß ÄÖÜ àâäéèêëïîôöùûüÿç ÁÉÍÓÚÑ",
    "¿Qué? ¡Sí! naïve £5 5€ ±½",
    "Þetta er æðislegt",
    "Zażółć gęślą jaźń",
    "Привет, мир",
    "ΑΒΓ αβγ",
    "們鎖釋鐵資訊鎮錢鎊鋼銀行錄音",
    "東京都に行く",
    "联通的汉字都好，洗澡水不烫",
    "안녕하세요",
    "槌、锃、姊、悱、绫、愣、杞",
    # What cannot be seen but is needed.
    "👨\u200d👩\u200d👧 ❤️\u200d🔥 1️⃣",
    "می\u200cخواهم",
    "क्\u200dष",
    "全\u3000角\xa0空",
    "שלום\u200f!",
    "ไทย\u200bไทย",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a\n\tb",
    # Thinking as it should be, and what is no mark.
    "<think>先看公告。</think>\n您好",
    "标记 `<think>` 的意思",
    "a|b|c",
    "[1] 注释",
    "# 标题\n### 说明",
    "a[i]",
    "<s>旧价</s>新价",
]


@pytest.mark.parametrize("text", SOUND, ids=range(len(SOUND)))
def test_what_only_looks_damaged_is_left_alone(text):
    assert codes(text) == []
    assert repaired(text, *set(REPAIRABLE) - {"thinking"}) == text


def test_a_finding_counts_all_places_and_names_the_first():
    (found,) = find(r"甲\n乙\n丙\t丁")
    assert (found.start, found.end, found.count) == (1, 3, 3)


def test_each_kind_has_a_finding_of_its_own():
    text = "<p>甲\\n乙\u200b</p><|im_end|>"
    assert codes(text) == ["escape-text", "markup", "invisible", "template-mark"]
    assert repaired(text, "markup") == "甲\\n乙\u200b\n<|im_end|>"


def test_thinking_is_removed_whole():
    assert repaired("<think>\n先看公告。\n</think>\n\n您好", "thinking") == "您好"


def test_control_characters_of_misread_text_are_no_damage_of_their_own():
    text = as_latin("还有座位吗？")
    assert codes(text) == ["mojibake"] and repaired(text, "invisible") == text


PIECES = [
    *[
        "\\n",
        "\\\\",
        "\\u4e2d",
        "\\xe4",
        "_x000D_",
        "x",
        "5c",
        "&",
        "amp;",
        "&lt;",
        "<",
        ">",
        "br",
        "/",
    ],
    *[
        "<p>",
        "`",
        '"',
        "\u200b",
        "\u200d",
        "\r",
        "\x80",
        "é",
        "Ã",
        "©",
        "鎴戜滑",
        "<think>",
        "</think>",
    ],
    *["好", "烫", "\ud83d", "😀", " ", "\n", ":", "{", "}"],
]
PIECED = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.sets(st.sampled_from(REPAIRABLE)),
)
def test_any_text_is_judged_and_repairing_twice_changes_nothing_more(text, kinds):
    for finding in find(text):
        assert 0 <= finding.start < finding.end <= len(text) and finding.count > 0
    once = repaired(text, *kinds)
    # What is nested too deep is not unravelled; `clean` leaves such a row to a person.
    if not set(kinds) & set(codes(once)):
        assert repaired(once, *kinds) == once


@given(
    st.lists(
        st.one_of(st.text(max_size=8), st.sampled_from(PIECES), st.sampled_from(SOUND)), max_size=9
    )
)
def test_a_glance_at_many_texts_is_a_glance_at_each(texts):
    assert glance.flags(texts) == [flags for text in texts for flags in glance.flags([text])]


def test_a_glance_sees_every_kind_that_can_be_found():
    for first, last in invisible.RANGES:
        assert all(flag & glance.INVISIBLE for flag in glance.flags([first, last]))
    assert glance.flags(["您好，请到三楼。", "ok, fine!", "烫，烫，屯"]) == [0, 0, 0]

"""Every text of the package is in both languages: its source is read, nothing is run."""

import pytest
import texts

# Chinese that has no English beside it, since it is no text for the reader but data.
DATA = {
    "prompts and sample dialogues for a model": (
        "compare/judge.py",
        "exports/modelfile.py",
        "jobs/identifier.py",
        "service/chat_engine.py",
        "service/engine/template.py",
    ),
    "the words, criteria and sentence patterns of the case": (
        "zhishuo/patterns.py",
        "zhishuo/texts.py",
    ),
    "names of keys, columns, roles and people as training files have them": (
        "data/chats/chat_messages.py",
        "data/chats/sides.py",
        "data/chats/texts.py",
        "data/reading/layout.py",
        "data/shapes/conversations.py",
        "data/shapes/lists.py",
        "data/shapes/pair.py",
        "data/shapes/questions.py",
        "data/shapes/refusals.py",
        "data/shapes/roles.py",
        "data/shapes/transcripts.py",
        "data/shapes/unused.py",
        "data/tables/heading.py",
        "room/names.py",
    ),
    "characters that a font must have": ("fonts.py",),
    "number and date formats of spreadsheets": (
        "data/tables/date_format.py",
        "data/tables/number_format.py",
    ),
    "what damaged and encoded text looks like": (
        "data/damage/escapes.py",
        "data/damage/glance.py",
        "data/damage/markup.py",
        "data/damage/mojibake.py",
        "data/encodings/common_characters.py",
        "data/encodings/plausible.py",
    ),
}
DATA_MODULES = {texts.PACKAGE / name for names in DATA.values() for name in names}
MODULES = sorted(texts.PACKAGE.rglob("*.py"))


def test_every_chinese_text_has_an_english_one():
    faults = {}
    for path in MODULES:
        if path not in DATA_MODULES and texts.alone(path):
            faults[path.name] = texts.alone(path)
    assert faults == {}


def test_a_module_with_data_has_some():
    assert [path for path in DATA_MODULES if not texts.alone(path)] == []


def test_no_english_text_has_chinese_in_it():
    faults = []
    for path in MODULES:
        for line, language, text in texts.found(path):
            if language == "en" and texts.HAN.search(text):
                faults.append((path.name, line, text))
    assert faults == []


PAIRED = [
    'tr("中文", "English")',
    'raise DataError(zh=f"第 {n} 行", en=f"line {n}")',
    'name_zh = "中文"',
    'zh.append("中文")',
    'def zh(self):\n    return "中文"',
    'Kind("zip", "压缩包", "an archive")',
    'NAMES = {"任务名称": "task name"}',
    'PAGE = """<b>{{ tr("中文", "English") }}</b>"""',
    '"""中文"""',
]
ALONE = [
    'print("中文")',
    'tr("中文 · English", "English") + "中文"',
    'raise DataError("中文", other)',
    'Claim("中文", UP)',
    'tr(zh, "中文") if x else "中文"',
    'PAGE = """<b>{{ name }} 中文</b>"""',
]


@pytest.mark.parametrize("source", PAIRED)
def test_a_text_in_both_languages_is_known(source, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert texts.alone(path) == []


@pytest.mark.parametrize("source", ALONE)
def test_a_text_in_one_language_is_found(source, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert [text for _, text in texts.alone(path)] != []

"""In which language the reader is addressed."""

import locale
import sys
import threading

import pytest

from cookbook import environment, i18n, use_language
from cookbook.errors import ArgumentError, DataError
from cookbook.i18n import Text, both, in_language, language, tr


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """Let neither the environment nor the locale say a language."""
    for name in ("COOKBOOK_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(i18n, "_declared", None)
    monkeypatch.setattr(sys, "platform", "linux")


def test_where_nothing_says_a_language_it_is_chinese():
    assert language() == "zh" and tr("中文", "English") == "中文"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zh_CN.UTF-8", "zh"),
        ("zh_TW", "zh"),
        ("zh-Hans", "zh"),
        ("zh_SG.GB18030@stroke", "zh"),
        ("en_US.UTF-8", "en"),
        ("de_DE@euro", "en"),
        ("ja_JP.eucJP", "en"),
        ("C", "zh"),
        ("C.UTF-8", "zh"),
        ("C.utf8", "zh"),
        ("POSIX", "zh"),
        ("", "zh"),
    ],
)
@pytest.mark.parametrize("variable", ["LC_ALL", "LC_MESSAGES", "LANG"])
def test_the_locale_chooses_the_language(monkeypatch, variable, name, expected):
    monkeypatch.setenv(variable, name)
    assert language() == expected


def test_of_the_variables_of_the_locale_the_first_that_is_set_counts(monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert language() == "zh"
    monkeypatch.setenv("LC_MESSAGES", "en_GB.UTF-8")
    assert language() == "en"
    monkeypatch.setenv("LC_ALL", "")
    assert language() == "en"
    monkeypatch.setenv("LC_ALL", "C")
    assert language() == "zh"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zh_CN", "zh"),
        ("Chinese (Simplified)_China", "zh"),
        ("Chinese_China", "zh"),
        ("English_United States", "en"),
        ("fr_FR", "en"),
        (None, "zh"),
    ],
)
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_where_no_variable_has_the_locale_the_system_is_asked(monkeypatch, system, name, expected):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(locale, "getlocale", lambda: (name, "UTF-8"))
    assert language() == expected


def test_a_locale_that_python_does_not_know_says_nothing(monkeypatch):
    def unknown():
        raise ValueError("unknown locale: zh-CN")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(locale, "getlocale", unknown)
    assert language() == "zh"


def test_a_notebook_declares_its_language(monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    use_language("en")
    assert language() == "en"
    use_language("zh")
    assert language() == "zh"


@pytest.mark.parametrize(("chosen", "expected"), [("zh", "zh"), ("EN", "en"), ("en_US", "en")])
def test_the_variable_comes_before_the_notebook(monkeypatch, chosen, expected):
    use_language("zh" if expected == "en" else "en")
    monkeypatch.setenv("COOKBOOK_LANG", chosen)
    assert language() == expected


@pytest.mark.parametrize("wrong", ["EN", "english", "", None, "zh-CN"])
def test_a_language_that_is_not_there_is_refused(wrong):
    with pytest.raises(ArgumentError, match="use_language"):
        use_language(wrong)
    assert language() == "zh"


def test_a_process_of_the_service_speaks_the_language_of_the_notebook():
    use_language("en")
    assert environment.of_service()["COOKBOOK_LANG"] == "en"
    assert environment.of_worker()["COOKBOOK_LANG"] == "en"


def test_what_a_request_asks_for_comes_first_and_ends_with_it(monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "zh")
    with in_language("en"):
        assert language() == "en"
        with in_language(None):
            assert language() == "zh"
    assert language() == "zh"


def test_one_request_does_not_change_the_language_of_another():
    found = []
    with in_language("en"):
        thread = threading.Thread(target=lambda: found.append(language()))
        thread.start()
        thread.join()
    assert found == ["zh"]


def test_a_text_is_kept_in_both_languages():
    text = Text("中文", "English")
    with in_language("en"):
        assert f"{text}" == "English"
    assert str(text) == "中文"


def test_what_says_a_sentence_is_asked_for_both():
    error = DataError(zh="没有数据", en="no data")
    told = both(lambda: tr(f"错误：{error}", f"error: {error}"))
    assert told == Text("错误：没有数据", "error: no data")
    assert language() == "zh"

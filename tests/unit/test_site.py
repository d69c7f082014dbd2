"""Links of the repository become links of the site, and docstrings reStructuredText."""

from types import SimpleNamespace

import build_site
import pytest
from website import docstrings, paragraphs
from website.links import BrokenLink, Links
from website.pages import HELPERS, LANGUAGES, ROOT, edition, module_file


@pytest.fixture(scope="module")
def zh():
    return Links(edition("zh"), edition("en"))


def rewritten(links, text, source="README.zh-CN.md"):
    page = next(page for page in links.edition.pages if page.source == source)
    return links.rewritten(text, page)


def test_a_link_to_a_page_leads_there(zh):
    assert rewritten(zh, "[a](docs/room.zh-CN.md#网络)") == "[a](guides/room.md#网络)"
    assert rewritten(zh, "[a](api.md)", "docs/room.zh-CN.md") == "[a](../http_api.md)"
    assert rewritten(zh, "[a](../cookbook/params.py)", "docs/helpers.zh-CN.md") == "[a](params.rst)"


def test_a_link_to_the_other_language_crosses_over(zh):
    text = rewritten(zh, "见 [here](docs/room.md)")
    assert text == '见 <a href="../en/guides/room.html">here</a>'


def test_a_line_that_only_links_to_the_twin_is_left_out(zh):
    assert rewritten(zh, "# a\n\n*[English](README.md)*\n\nb") == "# a\n\nb"


def test_a_file_without_a_page_is_shown_as_its_path(zh):
    assert rewritten(zh, "[`Makefile`](Makefile)") == "`Makefile`"
    assert rewritten(zh, "[licence](LICENSE)") == "licence (`LICENSE`)"


def test_a_file_without_a_page_is_linked_where_the_code_host_is_known():
    links = Links(edition("zh"), edition("en"), "https://host.example/blob/main")
    assert rewritten(links, "[a](LICENSE)") == "[a](https://host.example/blob/main/LICENSE)"


def test_pictures_and_html_are_rewritten_too(zh):
    assert rewritten(zh, "![a](docs/panel.png)") == "![a](pictures/panel.png)"
    assert rewritten(zh, '<img src="docs/panel.png">') == '<img src="pictures/panel.png">'
    assert rewritten(zh, '<a href="docs/api.md">a</a>') == '<a href="http_api.html">a</a>'


def test_code_and_other_hosts_stay_as_they_are(zh):
    text = "```\n[a](nowhere.md)\n```\n[b](https://host.example) [c](#d)\n"
    assert rewritten(zh, text) == text


def test_a_link_to_nothing_is_an_error(zh):
    with pytest.raises(BrokenLink, match="nowhere.md does not exist"):
        rewritten(zh, "[a](nowhere.md)")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_has_a_source_and_a_place_of_its_own(language):
    pages = edition(language).pages
    assert all(page.file.is_file() for page in pages)
    assert len({page.name for page in pages}) == len(pages)
    documents = {path.name for path in (ROOT / "docs").glob("*.md")}
    shown = {page.file.name for one in LANGUAGES for page in edition(one).pages}
    assert documents <= shown


@pytest.mark.parametrize("name", HELPERS)
def test_every_helper_of_the_list_is_a_module(name):
    assert (ROOT / module_file(name)).is_file()


def test_lines_of_a_chinese_paragraph_are_joined_and_no_others():
    assert paragraphs.joined("读数据，\n再训练。\n`make` 会") == "读数据，再训练。`make` 会"
    assert paragraphs.joined("没有的问法，\n160 个回答") == "没有的问法，160 个回答"
    assert paragraphs.joined("两步：\n1. 读\n2. 写") == "两步：\n1. 读\n2. 写"
    kept = "# 标题\n正文\n\n| 表 |\n- 一\n- 二\nAn English\nline"
    assert paragraphs.joined(kept) == kept


def test_docstrings_become_restructured_text():
    lines = ["Return `a` of *b*_ c.", "", "    a(1)", "", "Args:", "    a: one"]
    expected = [r"Return ``a`` of \*b\*\_ c.", "", "::", "", "    a(1)", "", "Args:", "    a: one"]
    assert docstrings.restructured(lines) == expected


@pytest.mark.parametrize(("statuses", "expected"), [([0, 0], 0), ([0, 2], 2), ([-9, 0], -9)])
def test_a_build_of_which_one_edition_failed_has_failed(statuses, expected, tmp_path, monkeypatch):
    ended = iter(statuses)
    monkeypatch.setattr(build_site, "_write_sources", lambda *_: None)
    monkeypatch.setattr(build_site, "_start", lambda *_: SimpleNamespace(wait=lambda: next(ended)))
    assert build_site.build(tmp_path / "site") == expected

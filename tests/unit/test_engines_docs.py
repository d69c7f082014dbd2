"""What docs/engines.md and its Chinese twin say is what the options and the sentences are."""

import argparse
import re
import shlex

import pytest
from support import sentences

from cookbook import engine_options
from cookbook.__main__ import _parser
from cookbook.chatml import SPECIAL_TOKENS
from cookbook.paths import _CHECKOUT
from cookbook.service.__main__ import parse
from cookbook.service.engines import adapters, faults, pool, remote, wire

PAGES = [_CHECKOUT / "docs" / name for name in ("engines.md", "engines.zh-CN.md")]
both = pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])


def text_of(page):
    return page.read_text(encoding="utf-8")


@both
def test_every_option_is_explained_with_its_variable(page):
    parser = argparse.ArgumentParser(add_help=False)
    engine_options.add(parser)
    options = [action.option_strings[0] for action in parser._actions]
    variables = [engine_options.ADDRESS, engine_options.KEY, engine_options.MODELS]
    rows = re.findall(r"^\| `(--[a-z-]+) [^`]+` \| `(COOKBOOK_[A-Z_]+)` \|", text_of(page), re.M)
    assert rows == list(zip(options, variables, strict=True))


@both
def test_the_commands_of_the_page_can_be_read(page, tmp_path):
    lines = re.findall(r"python -m cookbook serve (--engine .+)$", text_of(page), re.M)
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line.replace("/srv/adapters=", f"{tmp_path}="))
        assert parse(["--home", "x", *words]).engines
        assert _parser().parse_args(["room", *words]).engine


@both
def test_what_the_page_quotes_is_said_by_the_code(page):
    table = text_of(page).rpartition("\n## ")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    assert len(quoted) == 9
    assert [one for one in quoted if one not in sentences()] == []


@both
def test_the_numbers_of_the_page_are_those_of_the_code(page):
    text = text_of(page)
    english = page == PAGES[0]
    asked, more, away = (
        (rf"until {adapters.MOST} others", rf"more than {pool.CLEARLY_MORE} answers", "5 seconds")
        if english
        else (rf"问过 {adapters.MOST} 个", rf"多出 {pool.CLEARLY_MORE} 个", "5 秒")
    )
    assert asked in text and more in text.replace("\n", " ") and away in text
    assert remote.AWAY_SECONDS == 5 and f"--max-cpu-loras {adapters.MOST}" in text
    ranks = ", ".join(map(str, faults.RANKS[:3])) if english else "8、16、32、64"
    assert ranks in text


@both
def test_the_routes_and_marks_of_the_page_are_those_of_the_code(page):
    text = text_of(page)
    for route in (wire.CHAT, wire.COMPLETIONS, remote.LOAD, remote.UNLOAD, *SPECIAL_TOKENS):
        assert f"`{route}`" in text or f" {route}`" in text


def test_both_pages_have_the_same_parts():
    counts = []
    for page in PAGES:
        text = text_of(page)
        counts.append([text.count(mark) for mark in ("\n## ", "\n```", "\n| ", "\n- ")])
    assert counts[0] == counts[1]

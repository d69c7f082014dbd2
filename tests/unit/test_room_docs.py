"""What docs/room.md and its Chinese twin say is what the command and the service do."""

import re
from pathlib import Path

import pytest
from support import sentences

from cookbook.__main__ import _parser
from cookbook.paths import _CHECKOUT
from cookbook.service import limits

PAGES = [_CHECKOUT / "docs" / name for name in ("room.md", "room.zh-CN.md")]
COMMAND = "python -m cookbook room"
both = pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])

# A quoted sentence in the first column of the last table; the people's are said on their side.
_ROW = re.compile(r"^\| ((?:people|学员)[:：] ?)?[^`|]*`([^`|]+)`", re.M)
_LIMIT = re.compile(r"\(?[(（]`(PERSON_[A-Z]+)`[)）] \| (\d+)( MB)? \|")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fragments(quoted: str) -> list[str]:
    """Return the parts of a sentence that no example stands in."""
    return [part for part in re.split(r"0\.0\.0\.0:\d+|Li-Lei?", quoted) if part.strip()]


@both
def test_every_option_of_the_command_is_explained_and_there_is_no_other(page):
    command = _parser()._subparsers._group_actions[0].choices["room"]
    options = {name for action in command._actions for name in action.option_strings}
    options -= {"-h", "--help"}
    table = text_of(page).partition("\n```")[2]
    written = set(re.findall(r"^\| `(--[a-z-]+)", table, re.M)) | set(
        re.findall(r"` `(--[a-z-]+)", table)
    )
    assert written == options


@both
def test_the_commands_of_the_page_can_be_read(page):
    lines = re.findall(rf"^{COMMAND} (.+)$", text_of(page), re.M)
    assert len(lines) >= 6
    for line in lines:
        words = line.partition("#")[0].replace('"', "").split()
        assert _parser().parse_args(["room", *words]).command == "room"


@both
def test_what_the_page_quotes_is_said_by_the_code(page):
    rows = _ROW.findall(text_of(page).rpartition("\n## ")[2])
    assert len(rows) >= 7
    for _, quoted in rows:
        for part in fragments(quoted):
            assert part in sentences(), quoted


@both
def test_the_limits_of_the_page_are_those_of_the_service(page):
    found = {}
    for name, number, is_mb in _LIMIT.findall(text_of(page)):
        found[name] = int(number) * (2**20 if is_mb else 1)
    assert found == {name: getattr(limits, name) for name in found} and len(found) == 4


def test_both_pages_have_the_same_parts():
    counts = []
    for page in PAGES:
        text = text_of(page)
        counts.append([text.count(mark) for mark in ("\n## ", "\n### ", "\n```", "\n| ", "\n- ")])
    assert counts[0] == counts[1]

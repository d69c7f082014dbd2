"""What docs/cluster.md and its Chinese twin say is what the options and the code are."""

import argparse
import re
import shlex

import pytest

from cookbook import trainer_options
from cookbook.__main__ import _parser
from cookbook.paths import _CHECKOUT
from cookbook.service.__main__ import parse
from cookbook.service.trainers import TrainerSettings
from cookbook.service.trainers.on_ray.trainer import OnRay
from cookbook.service.trainers.settings import MOST_CPUS_CHOSEN
from cookbook.service.worker import CRASHES

PAGES = [_CHECKOUT / "docs" / name for name in ("cluster.md", "cluster.zh-CN.md")]
both = pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])


def text_of(page):
    return page.read_text(encoding="utf-8")


@both
def test_every_option_is_explained_with_its_variable(page):
    parser = argparse.ArgumentParser(add_help=False)
    trainer_options.add(parser)
    options = [action.option_strings[0] for action in parser._actions]
    rows = re.findall(r"^\| `(--[a-z-]+)[^|]*` \| `(COOKBOOK_[A-Z_]+)` \|", text_of(page), re.M)
    assert rows == list(zip(options, TrainerSettings().to_environment(), strict=True))


@both
def test_the_commands_of_the_page_can_be_read(page):
    lines = re.findall(r"python -m cookbook (serve|room) (.*--trainer ray.*)$", text_of(page), re.M)
    assert len(lines) == 3
    for command, line in lines:
        words = shlex.split(line.partition("#")[0])
        if command == "serve":
            assert parse(["--home", "x", *words]).trainer.name == "ray"
        else:
            assert _parser().parse_args(["room", *words]).trainer == "ray"


@both
def test_the_numbers_of_the_page_are_those_of_the_code(page):
    text = text_of(page)
    english = page == PAGES[0]
    said = [
        (OnRay.most_seeking, 4, "At most four jobs", "最多四个"),
        (OnRay.jobs, 64, "up to 64", "最多 64 个"),
        (MOST_CPUS_CHOSEN, 4, "at most 4", "最多 4 个"),
        (CRASHES, 3, "After three losses", "连续三次"),
    ]
    for number, expected, in_english, in_chinese in said:
        assert number == expected and (in_english if english else in_chinese) in text


def test_both_pages_have_the_same_parts():
    counts = []
    for page in PAGES:
        text = text_of(page)
        counts.append([text.count(mark) for mark in ("\n## ", "\n```", "\n| ", "\n- ")])
    assert counts[0] == counts[1]

"""What several files of the project say about versions agrees."""

import re
from pathlib import Path

import cookbook

ROOT = Path(__file__).parents[2]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_changelog_has_the_packages_version():
    versions = re.findall(r"^## \[(\d[^\]]*)\]", read("CHANGELOG.md"), flags=re.M)
    assert versions[0] == cookbook.__version__


def test_pre_commit_and_make_use_the_same_ruff():
    pinned = re.findall(r"ruff==[\d.]+", read(".pre-commit-config.yaml"))
    assert pinned and set(pinned) <= set(read("constraints.txt").splitlines())


def test_the_workflow_checks_what_make_check_does():
    makefile = read("Makefile")
    parts = re.search(r"-j2 (lint .+)$", makefile, flags=re.M)[1].split()
    recipes = [makefile.partition(f"\n{part}:")[2].partition("\n\n")[0] for part in parts]
    steps = re.findall(r"\$\(BIN\)/(.+)", "\n".join(recipes))
    assert len(steps) == 4
    assert all(f"          {step}\n" in read(".github/workflows/ci.yml") for step in steps)

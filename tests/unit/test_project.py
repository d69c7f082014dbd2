"""What several files of the project say about versions agrees."""

import ast
import re
from operator import attrgetter
from pathlib import Path

import pytest

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


# Run in a minute or more, so that what is missing there would show late.
LATE = [*ROOT.glob("tests/bench/*.py"), *ROOT.glob("tests/soak/*.py"), *ROOT.glob("tools/*.py")]
FOLDERS = [ROOT, ROOT / "tests", ROOT / "tests" / "bench", ROOT / "tools"]  # of our own modules


def defined(file):
    """Return the names of a module or package, without importing it."""
    names = {path.stem for path in file.glob("*")}
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    if not file.exists():
        return names  # a folder of modules
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}
    return names


@pytest.mark.parametrize("path", sorted(LATE), ids=attrgetter("name"))
def test_what_a_bench_a_soak_test_or_a_tool_imports_of_ours_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        for folder in FOLDERS:
            file = folder.joinpath(*node.module.split("."))
            if file.is_dir() or file.with_suffix(".py").exists():
                assert {alias.name for alias in node.names} <= defined(file), node.module

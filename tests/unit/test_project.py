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


def defined(module):
    """Return the names of a module of the package, without importing it."""
    file = ROOT.joinpath(*module.split("."))
    names = {path.stem for path in file.glob("*")}
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}
    return names


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/bench/*.py")), ids=attrgetter("name"))
def test_what_a_bench_imports_of_the_package_is_there(path):
    # Most of it is imported late, in a run that takes minutes.
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "cookbook":
            assert {alias.name for alias in node.names} <= defined(node.module)

"""What docs/anywhere.md, its Chinese twin, .devcontainer/ and binder/ say agrees with the project.

The images themselves are not built: neither Docker nor the services are at hand.
"""

import json
import os
import re
import tomllib

import pytest
from support import sentences

import cookbook
from cookbook.__main__ import _parser
from cookbook.paths import _CHECKOUT

PAGES = [_CHECKOUT / "docs" / name for name in ("anywhere.md", "anywhere.zh-CN.md")]
both = pytest.mark.parametrize("page", PAGES, ids=["en", "zh"])
PROJECT = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONTAINER = _CHECKOUT / ".devcontainer" / "devcontainer.json"
SCRIPTS = [_CHECKOUT / ".devcontainer" / "install.sh", _CHECKOUT / "binder" / "postBuild"]
FIELDS = {"name", "image", "hostRequirements", "onCreateCommand", "customizations"}
"""Those used, of the schema of containers.dev."""


def text_of(page):
    return page.read_text(encoding="utf-8")


def container():
    return json.loads(text_of(CONTAINER))


def oldest_python():
    return PROJECT["requires-python"].removeprefix(">=")


@both
def test_the_wheel_has_the_name_that_pip_gives_it(page):
    name = f"{PROJECT['name'].replace('-', '_')}-{cookbook.__version__}-py3-none-any.whl"
    written = re.findall(r"\w+-[\d.]+-py3-none-any\.whl", text_of(page))
    assert len(written) == 3 and set(written) == {name}


@both
def test_the_commands_of_the_page_can_be_read(page):
    lines = re.findall(r"!python -m cookbook ([^\n`]+)", text_of(page))
    assert [line.split()[0] for line in lines] == ["course", "export"]
    for line in lines:
        assert _parser().parse_args(line.split()).carry_out


@both
def test_the_versions_of_the_page_are_those_of_the_project(page):
    text = text_of(page)
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["local"]]
    assert f"Python {oldest_python()}" in text
    for name in ("ipywidgets", "torch"):
        [least] = [one.partition(">=")[2] for one in needed if re.fullmatch(f"{name}>=.+", one)]
        assert least in text, name


@both
def test_what_the_page_quotes_is_said_by_the_code(page):
    quoted = re.findall(r"^\| `([^`]+)` \|", text_of(page).rpartition("\n## ")[2], re.M)
    of_python = ("No module named 'cookbook'", "requires a different Python")
    assert len(quoted) == 5
    assert [one for one in quoted if one not in sentences() and one not in of_python] == []


@both
def test_the_page_names_no_repository_of_ours(page):
    addresses = re.findall(r"https?://[^\s)`]+", text_of(page))
    hosts = {re.match(r"https?://([^/]+)", address)[1] for address in addresses}
    assert hosts == {"download.pytorch.org", "mybinder.org"}
    assert "OWNER/REPOSITORY/BRANCH" in text_of(page)


def test_both_pages_have_the_same_parts():
    counts = []
    for page in PAGES:
        text = text_of(page)
        counts.append([text.count(mark) for mark in ("\n## ", "\n```", "\n| ", "\n- ", "\n1. ")])
    assert counts[0] == counts[1]


def test_what_was_not_tried_is_said_in_both_languages():
    english, chinese = (text_of(page) for page in PAGES)
    places = ("Codespaces", "Binder", "Colab", "Kaggle", "ModelScope", "VS Code")
    for page, said in ((english, "untried here"), (chinese, "没有试过")):
        rows = [line for line in page.splitlines() if line.startswith("| ") and said in line]
        assert all(any(place in row for row in rows) for place in places)


def test_the_dev_container_has_known_fields_and_what_the_course_needs():
    described = container()
    assert set(described) == FIELDS
    assert set(described["hostRequirements"]) == {"cpus", "memory", "storage"}
    assert re.search(rf":1-{oldest_python()}-\w+$", described["image"])
    for page in PAGES:
        assert described["hostRequirements"]["memory"].removesuffix("gb") + " GB" in text_of(page)
    assert described["onCreateCommand"] == "bash .devcontainer/install.sh"
    assert "ms-toolsai.jupyter" in described["customizations"]["vscode"]["extensions"]
    [opened] = described["customizations"]["codespaces"]["openFiles"]
    assert (_CHECKOUT / opened).is_file()


def test_binder_has_the_same_python_and_font():
    binder = _CHECKOUT / "binder"
    assert text_of(binder / "runtime.txt").strip() == f"python-{oldest_python()}"
    fonts = text_of(binder / "apt.txt").split()
    assert all(font in text_of(SCRIPTS[0]) for font in fonts) and fonts


@pytest.mark.parametrize("script", SCRIPTS, ids=["dev container", "binder"])
def test_both_install_torch_for_the_cpu_and_then_the_package(script):
    commands = re.findall(r"^python -m pip install (.+)$", text_of(script), re.M)
    assert len(commands) == 2 and all("-c constraints.txt" in one for one in commands)
    assert commands[0].endswith("/whl/cpu torch")
    [extra] = re.findall(r"-e '\.\[(\w+)\]'$", commands[1])
    assert extra in PROJECT["optional-dependencies"]
    assert text_of(script).startswith("#!/usr/bin/env bash\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such right")
@pytest.mark.parametrize("script", SCRIPTS, ids=["dev container", "binder"])
def test_the_scripts_may_be_executed(script):
    assert os.access(script, os.X_OK)

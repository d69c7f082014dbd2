"""The wheel alone, in an environment and a folder where nothing of the checkout can be found."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest
import wheels

from cookbook.paths import DATA
from cookbook.service.page import PATHS

MOST_BYTES = 13_000_000


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout."""
    return wheels.built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def reader(wheel, tmp_path_factory):
    """A reader who installed the wheel and works in an empty folder."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wheels.install(wheel, python)
    # The libraries are borrowed. Nothing but this folder: its own .pth files, by which an editable
    # installation leads to the checkout, are not read through another one.
    scheme = {"base": str(environment), "platbase": str(environment)}
    own = Path(sysconfig.get_path("purelib", "venv", scheme))
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    folder = tmp_path_factory.mktemp("reader")
    reader = Reader(python, folder)
    yield reader
    # Notebooks start services of their own, with a data folder beside them.
    for address in folder.rglob("service.json"):
        reader("-m", "cookbook", "stop", "--home", address.parent)


class Reader:
    """Runs Python as a reader of the wheel does, and returns what it printed."""

    def __init__(self, python: Path, folder: Path):
        self.python, self.folder = python, folder
        # The test run's own settings lead to the checkout and to another data folder.
        ours = ("PYTHONPATH", "COOKBOOK_HOME")
        self.environment = {name: text for name, text in os.environ.items() if name not in ours}
        self.environment["PYTHONUTF8"] = "1"
        # nbconvert's templates are among the borrowed libraries' data files.
        self.environment["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")

    def start(self, *arguments: object, output=subprocess.DEVNULL) -> subprocess.Popen:
        command = [str(self.python), *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=output, stderr=output
        )

    def __call__(self, *arguments: object, status: int = 0) -> str:
        # A file and not a pipe: a service that this command starts would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            process = self.start(*arguments, output=output)
            process.wait(timeout=300)
            output.seek(0)
            printed = output.read().decode()
        assert process.returncode == status, printed
        return printed


def test_it_is_small_and_carries_only_what_is_read(wheel):
    assert wheel.stat().st_size <= MOST_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    carried = [Path(name) for name in names if not name.startswith("siliconcloud_cookbook-")]
    assert {path.parts[0] for path in carried} == {"cookbook"}
    assert "cookbook/py.typed" in names
    page = {f"cookbook/service/page/{name}" for name in PATHS.values()}
    assert page <= set(names)
    data = [path for path in carried if path.parts[1] in ("_data", "_notebooks")]
    assert not [path for path in data if path.suffix in (".py", ".pyc")]
    shipped = {path.relative_to(DATA) for path in DATA.rglob("*") if path.is_file()}
    assert {Path(*path.parts[2:]) for path in data if path.parts[1] == "_data"} == shipped
    notebooks = [path for path in data if path.parts[1] == "_notebooks"]
    assert notebooks and {path.suffix for path in notebooks} == {".ipynb"}


def test_it_brings_the_embedded_service_as_an_extra(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(name).decode()
    assert re.search(r"^Requires-Dist: torch.*extra == 'local'$", metadata, flags=re.M)


def test_the_wheel_is_what_is_imported(reader):
    where = reader("-c", "import cookbook, cookbook.paths as p; print(cookbook.__file__, p.DATA)")
    assert str(wheels.CHECKOUT) not in where and where.count("site-packages") == 2


def test_without_the_course_run_says_how_to_get_it(reader):
    message = reader("-m", "cookbook", "run", status=1)
    assert len(message.splitlines()) == 1 and "python -m cookbook course" in message


def test_course_copies_the_notebooks_and_all_they_link_to(reader):
    reader("-m", "cookbook", "course", "course")
    folder = reader.folder / "course"
    assert len(list(folder.glob("*.ipynb"))) >= 6
    for path in folder.rglob("*.ipynb"):
        for target in re.findall(r"\]\((?!\w+:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).is_file(), f"{path.name} links to {target}"


def test_a_notebook_runs_and_leaves_a_page(reader):
    source = "from cookbook import data\nfrom cookbook.paths import DATA\n"
    source += "len(data.load(DATA / 'customer_service' / 'train.jsonl'))"
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["summary"]})
    (reader.folder / "own").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), reader.folder / "own" / "quick.ipynb")
    printed = reader("-m", "cookbook", "run", "own", "--out", "pages")
    assert "\n160\n" in printed
    page = (reader.folder / "pages" / "quick.html").read_text(encoding="utf-8")
    assert "160" in page and "<script src=" not in page


def test_a_lesson_of_the_course_runs(reader):
    reader("-m", "cookbook", "course", "lessons")
    lesson = next((reader.folder / "lessons").glob("02_*.ipynb"))
    reader("-m", "cookbook", "run", lesson, "--out", "pages")
    assert (reader.folder / "pages" / f"{lesson.stem}.html").is_file()


def test_check_works(reader):
    copy = "import shutil; from cookbook.paths import DATA; "
    reader("-c", copy + "shutil.copy(DATA / 'zhishuoxinyu' / 'train.jsonl', 'train.jsonl')")
    report = json.loads(reader("-m", "cookbook", "check", "train.jsonl", "--json"))
    assert report["rows"] == 990 and report["errors"] == 0


def test_serve_runs_and_connect_finds_it(reader):
    reader.environment["COOKBOOK_HOME"] = str(reader.folder / "served")
    service = reader.start("-m", "cookbook", "serve")
    deadline = time.monotonic() + 60
    while not (reader.folder / "served" / "service.json").exists():
        assert service.poll() is None and time.monotonic() < deadline, "serve did not start"
        time.sleep(0.1)
    ask = "from openai import OpenAI; from cookbook import connect; service = connect(); "
    ask += "client = OpenAI(base_url=service.base_url, api_key=service.api_key); "
    reply = "client.chat.completions.create(model=service.base_model, max_tokens=20, messages="
    reply += "[{'role': 'user', 'content': '你好'}])"
    answered = reader("-c", f"{ask}print({reply}.choices[0].message.content)")
    assert answered.strip()
    assert f"pid {service.pid}" in reader("-m", "cookbook", "status")
    stop = reader.start("-m", "cookbook", "stop")
    assert service.wait(timeout=30) == 0
    assert stop.wait(timeout=30) == 0


def test_connect_starts_the_service_by_itself(reader):
    reader.environment["COOKBOOK_HOME"] = str(reader.folder / "started")
    started = "from cookbook import connect; print(connect().base_model)"
    assert reader("-c", started).strip() == "cookbook/tiny-zh"

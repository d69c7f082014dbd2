"""First cells far from a checkout: the wheel in an environment of its own, a folder with a name in
Chinese, another current folder, a read-only one, and an environment in which %pip installs it.

Two and a half minutes on two cores, at a load of 10, and the one training of notebook 00: ten
more at that load. Each notebook has a kernel of its own once.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import wheels
from kernels import Kernel

from cookbook import course

NAMES = [str(path.relative_to(course.FOLDER)) for path in course._sources()]
INSTALL = '%pip install "{}[local]"'
WORK = 'Path("my_data")'
EDITION = "from cookbook.i18n import language; print(language())"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="folders are closed in the way of Unix")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return wheels.built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    python = wheels.borrowing(tmp_path_factory.mktemp("reader"))
    wheels.install(wheel, python)
    return python


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of a reader who has set nothing, and has a folder of their own."""
    ours = ("PYTHONPATH", "COOKBOOK_HOME", "COOKBOOK_LANG")
    own = tmp_path_factory.mktemp("own")
    kept = {name: text for name, text in os.environ.items() if name not in ours}
    return kept | {"HOME": str(own), "IPYTHONDIR": str(own / "ipython"), "PIP_NO_INDEX": "1"}


@pytest.fixture(scope="module")
def lessons(python, environment, tmp_path_factory):
    """The course as `python -m cookbook course` copies it; its services are stopped at the end."""
    root = tmp_path_factory.mktemp("reader's")
    folder = root / "我的 课程" / "第 1 节"
    command = [python, "-m", "cookbook"]
    subprocess.run([*command, "course", folder], check=True, env=environment, cwd=root)
    yield folder
    for address in [*root.rglob("service.json"), *Path(environment["HOME"]).rglob("service.json")]:
        stop = [*command, "stop", "--home", address.parent]
        subprocess.run(stop, check=True, env=environment, cwd=root)


def cells(path):
    """Return the code cells of a notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def first_cell(path):
    return cells(path)[0]


def assert_language(kernel, path):
    """Assert that messages are in the language that the cell declared."""
    if "use_language(" in first_cell(path):
        edition = "en" if path.parent.name == "en" else "zh"
        assert kernel.run(EDITION) == edition


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_runs_where_the_path_has_chinese_and_blanks(
    name, python, environment, lessons
):
    path = lessons / name
    with Kernel(python, path.parent, environment) as kernel:
        kernel.run(first_cell(path))
        where = kernel.run("import cookbook; print(cookbook.__file__)")
        assert "site-packages" in where and str(wheels.CHECKOUT) not in where
        assert_language(kernel, path)


def test_the_quickstart_runs_to_its_end_there(python, environment, lessons):
    path = lessons / "00_quickstart.ipynb"
    with Kernel(python, lessons, environment) as kernel:
        for source in cells(path):
            kernel.run(source)
    assert (lessons / ".cookbook" / "service.db").is_file()


def test_first_cells_run_with_another_current_folder(python, environment, lessons, tmp_path):
    """As in VS Code with another setting, or on Colab, whose kernels are in /content."""
    elsewhere = tmp_path / "content"
    elsewhere.mkdir()
    with Kernel(python, elsewhere, environment) as kernel:
        for name in NAMES:
            kernel.run("%reset -f")
            kernel.run(first_cell(lessons / name))
        kernel.run("from cookbook import connect; connect()")
        home = kernel.run("from cookbook import paths; print(paths.home())")
        kernel.run("from cookbook.connection import stop; stop(paths.home())")
    assert home == str(elsewhere / ".cookbook")


def test_first_cells_run_in_a_folder_that_is_read_only(python, environment, lessons, tmp_path):
    """As a course that is mounted; the reader chooses a folder where the cell asks for one."""
    mounted = tmp_path / "mounted"
    shutil.copytree(lessons, mounted, ignore=shutil.ignore_patterns(".cookbook"))
    mounted.chmod(0o555)
    with Kernel(python, mounted, environment, prefix=without_rights()) as kernel:
        for name in NAMES:
            kernel.run("%reset -f")
            source = first_cell(mounted / name)
            kernel.run(source.replace(WORK, f'Path("{tmp_path}/my_data")'))
        home = kernel.run("from cookbook import connect, paths; connect(); print(paths.home())")
    mounted.chmod(0o755)
    assert home == str(Path(environment["HOME"]) / ".cookbook")
    assert not (mounted / ".cookbook").exists()


def without_rights():
    """Return how to start a process that no right of root lets into a closed folder."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not installed")
    return ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")


def test_the_line_that_installs_the_wheel_works_in_a_running_kernel(
    wheel, environment, lessons, tmp_path
):
    python = wheels.borrowing(tmp_path / "bare")
    folder = tmp_path / "上传 的"
    folder.mkdir()
    shutil.copy(wheel, folder)
    line = INSTALL.format(wheel.name)
    source = first_cell(lessons / "00_quickstart.ipynb")
    if "%pip" in source:
        assert f"# {line}\n" in source
        source = re.sub(r"^# (?=%pip)", "", source, flags=re.MULTILINE)
    else:
        source = f"{line}\n{source}"
    with Kernel(python, folder, environment) as kernel:
        with pytest.raises(AssertionError, match="No module named"):
            kernel.run("import cookbook")
        assert "Successfully installed siliconcloud-cookbook" in kernel.run(source)
        where = kernel.run("import cookbook; print(cookbook.__file__)")
        kernel.run("from cookbook.connection import stop; connect(); stop(None)")
    assert str(tmp_path) in where and sys.prefix not in where

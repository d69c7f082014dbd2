"""The whole course on a base of a real model's shape, so that no reader of a real one is the first.

Its vocabulary and its template are Qwen2.5's, its weights are random: every answer is nonsense that
never ends. Every cell of the notebooks has to run all the same, as `make test` runs them on the
tiny base, and one service trains and answers for all of them.

    pytest -v tests/soak/test_course_on_a_real_base.py      about ten minutes on two cores
"""

import os
import re
import subprocess
import sys

import nbformat
import pytest
from openai import OpenAI

from cookbook import bases, course
from cookbook.connection import connect
from cookbook.paths import DATA

ROOT = DATA.parent
NAME = "Real-Instruct"
CORPUS = DATA / "zhishuoxinyu" / bases.CORPUS
ON_THE_CORPUS = ("03_", "04_", "05_", "06_")
WRITES_ITS_CORPUS = "07_own_corpus"
# After a notebook's imports: one epoch takes the same path as five.
ONE_EPOCH = """\
import dataclasses

for name, hp in params.PRESETS.items():
    params.PRESETS[name] = dataclasses.replace(hp, n_epochs=1)
"""
# A cell at the end of those: what the reader's kernel knows once the notebook has run.
CORPUS_FITS = """\
assert base.id == "Real-Instruct" and base.corpus == "train.jsonl", base
assert len(rows) == 990, len(rows)
"""
# And of those that measure.
MEASURES_FIT = """\
assert len(words) == base.eval_words == 20, words
for name in bases.TEACHING_MEASURES:
    assert name in base.note
    assert name not in measured and name not in zhishuo.summary(measured).index
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Make the base, and let whatever starts here find it."""
    folder = tmp_path_factory.mktemp("bases") / NAME
    make = [sys.executable, ROOT / "tools" / "random_base.py", "small", folder]
    subprocess.run(make, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKBOOK_BASE_MODEL", str(folder))
        yield folder


@pytest.fixture(scope="module")
def client(base, home):
    service = connect(home=home)
    assert service.base_model == NAME
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield client


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Copy the notebooks, with a last cell that checks what the others have used."""
    folder = tmp_path_factory.mktemp("course")
    for path in course.notebooks(ROOT / "notebooks"):
        # Random weights write no draft that keeps a rule, so there would be nothing to train on.
        if path.stem == WRITES_ITS_CORPUS:
            continue
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            # `make test` compares outputs; here the paths in them are other ones.
            cell.metadata.pop("tags", None)
            # One epoch, as of the presets.
            cell.source = re.sub(r'"n_epochs": \d+', '"n_epochs": 1', cell.source)
        if path.name.startswith(ON_THE_CORPUS):
            add_checks(notebook)
        nbformat.write(notebook, folder / path.name)
    return folder


def add_checks(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    imports = cells[0]
    imports.source += "\n\n" + ONE_EPOCH
    checks = CORPUS_FITS
    # Notebook 03 trains and measures nothing.
    if any("measured" in cell.source for cell in cells):
        checks += MEASURES_FIT
    notebook.cells.append(nbformat.v4.new_code_cell(checks))


def test_every_cell_of_the_course_runs_on_a_base_of_real_shape(base, client, home, copies):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-cell-timeout=600"]
    # Away from the checkout, whose conftest.py would choose the tiny base and a folder of its own.
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "."],
        cwd=copies,
        env=os.environ | {"COOKBOOK_HOME": str(home)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_it_trained_on_the_corpus_for_real_bases_alone(client):
    uploads = {file.filename: file for file in client.files.list()}
    assert bases.TEACHING_CORPUS not in uploads
    sizes = {file.bytes for file in client.files.list() if file.filename == CORPUS.name}
    assert CORPUS.stat().st_size in sizes
    models = {job.model for job in client.fine_tuning.jobs.list(limit=100)}
    assert models == {NAME}

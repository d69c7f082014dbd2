"""A real JupyterLab on copies of the notebooks, in a real browser."""

import os

import nbformat
import pytest
from lab import browser, jupyter_lab


@pytest.fixture(scope="session")
def chromium():
    """Chromium. Without one the tests are skipped on a reader's machine and fail in CI."""
    try:
        with browser() as found:
            yield found
    except FileNotFoundError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with jupyter_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def open_notebook(chromium, lab):
    """name -> the page with that notebook, all cells run if asked for."""
    pages = []

    def open_(name: str, *, run: bool = False):
        page = lab.open(chromium, name, run=run)
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.close()


@pytest.fixture
def write_notebook(lab):
    """Write a notebook with these code cells beside those of the course."""

    def write(name: str, *sources: str) -> None:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        # Otherwise JupyterLab asks which kernel to start.
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, lab.folder / name)

    return write

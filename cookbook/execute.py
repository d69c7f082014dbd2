"""Run notebooks in the terminal, show their progress, and save each as a self-contained HTML page.

A page loads nothing: no script, font or picture from elsewhere, and a browser refuses what a cell's
own HTML asks for. Widgets, whose program is not in the page, are shown by the table or text that
replaces them. Formulas and Mermaid diagrams are shown as they are written.

Text that a cell displays or updates, such as a training step, is printed when it arrives. What a
cell with the tag `summary` returns is printed once more at the end. The notebook files themselves
are not changed.

This is a part of the command line: it prints. For a program, nbclient is the better library.
"""

import copy
import re
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from cookbook import course, html
from cookbook.errors import ArgumentError
from cookbook.i18n import language, tr
from cookbook.terminal import printable

# The longest time a cell may take. A cell that waits for three trainings of a real base on a CPU
# takes hours; one that hangs is interrupted by the reader, who sees what it shows.
CELL_SECONDS = 12 * 3600
WIDTH = 90  # columns of a cell's first line that are shown

# nbconvert's own template without all that it loads from elsewhere, and without the sentence about
# dead widgets: no kernel belongs to a page.
_TEMPLATE = f"""\
{{%- extends 'lab/index.html.j2' -%}}
{{% block html_head_js %}}{html.LOADS_NOTHING}{{% endblock %}}
{{% block extra_css %}}<style>.cookbook-dead {{ display: none }}</style>{{% endblock %}}
{{% block jupyter_widgets %}}{{% endblock %}}
{{% block html_head_js_mathjax %}}{{% endblock %}}
{{% block html_head_js_mermaidjs %}}{{% endblock %}}
"""


class _PrintingClient(NotebookClient):
    """A notebook client that also prints what the cells show."""

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        content = msg["content"]
        if msg["msg_type"] == "stream":
            _print_indented(content["text"])
        elif msg["msg_type"] in ("display_data", "update_display_data"):
            text = content["data"].get("text/plain", "")
            # "<Figure size …>" and the like say nothing in a terminal.
            if text and not text.startswith(("<Figure", "<IPython")):
                _print_indented(text)
        return super().process_message(msg, cell, cell_index)


def main(paths: list[Path], out: Path | None = None) -> int:
    """Run notebooks, and return 0, or 1 if a cell failed.

    `paths` names notebooks, or folders of notebooks; if it is empty, `course.runnable()` decides.
    The pages go to `out`, by default `runs/<time>` in the current folder.

    Raises:
        ArgumentError: a path does not exist or is not a notebook, or there is nothing to run.
    """
    notebooks = _expand(paths) if paths else course.runnable()
    if out is None:
        out = Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    # Shown to the reader, who may open it from elsewhere.
    out = out.resolve()
    for path in notebooks:
        print(tr("运行", "running"), printable(path.name), file=sys.stderr)
        try:
            run(path, out)
        except CellExecutionError as error:
            # Its text is the cell and the traceback.
            print(printable(str(error)), file=sys.stderr)
            page = _page(path, out)
            stopped = tr(
                f"{path.name} 停在出错的单元；到此为止的结果：{page}",
                f"{path.name} stopped at the cell that failed; the results so far: {page}",
            )
            print(printable(stopped), file=sys.stderr)
            return 1
    return 0


def run(path: Path, out: Path) -> Path:
    """Execute a notebook in its own folder and return the page `out/<name>.html`.

    Raises:
        ArgumentError: the file is not a notebook.
        nbclient.exceptions.CellExecutionError: a cell failed. The page shows everything up to it.
    """
    notebook = _read(path)
    page = _page(path, out)
    started = time.monotonic()
    # The page is written in any case: it shows where and why a cell failed.
    try:
        _client(notebook, path.parent).execute()
    finally:
        out.mkdir(parents=True, exist_ok=True)
        page.write_text(_html(notebook), encoding="utf-8")
    for text in _summaries(notebook):
        print("\n" + printable(text))
    seconds = f"{time.monotonic() - started:.0f}"
    print()
    result = tr(f"用时 {seconds} 秒。结果：{page}", f"{seconds} s. Result: {page}")
    print(printable(result))
    return page


def _expand(paths: list[Path]) -> list[Path]:
    """Return the notebooks named by `paths`, where a folder means the notebooks in it."""
    notebooks = []
    for path in paths:
        found = course.notebooks(path) if path.is_dir() else [path]
        if not found:
            raise ArgumentError(
                zh=f"文件夹 {path} 里没有笔记本", en=f"there are no notebooks in the folder {path}"
            )
        notebooks += found
    # Checked before the first one runs: a typing error must not come to light an hour later.
    for path in notebooks:
        if not path.is_file():
            raise ArgumentError(zh=f"没有文件 {path}", en=f"there is no file {path}")
    return notebooks


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, UnicodeDecodeError, nbformat.reader.NotJSONError) as error:
        raise ArgumentError(
            zh=f"{path} 不是能读的笔记本（{error}）",
            en=f"{path} is not a readable notebook ({error})",
        ) from error


def _client(notebook: NotebookNode, folder: Path) -> NotebookClient:
    """Return a client that runs the notebook in `folder` and announces each code cell."""
    numbers: dict[int, int] = {}  # index among all cells -> number among the code cells, from 1
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            numbers[index] = len(numbers) + 1
    last = len(numbers)

    def announce(cell: NotebookNode, cell_index: int) -> None:
        number = numbers[cell_index]
        first_line = cell.source.strip().split("\n")[0]
        print(f"[{number:2d}/{last}]", printable(first_line[:WIDTH]), flush=True)

    return _PrintingClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=announce,
        extra_arguments=[
            # Hides the kernel's note that it listens on TCP, which means nothing on one machine.
            "--IPKernelApp.log_level=40",
            # Colours are control sequences, which are shown here and not sent to the terminal.
            "--InteractiveShell.colors=nocolor",
        ],
    )


def _summaries(notebook: NotebookNode) -> list[str]:
    """Return the text that the cells with the tag `summary` returned."""
    texts = []
    for cell in notebook.cells:
        if "summary" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                texts.append(output.get("data", {}).get("text/plain", ""))
    return texts


def _page(path: Path, out: Path) -> Path:
    return out / f"{path.stem}.html"


def _html(notebook: NotebookNode) -> str:
    """Return the notebook as a page that loads nothing from the network."""
    still = copy.deepcopy(notebook)
    still.metadata.pop("widgets", None)
    for cell in still.cells:
        for output in cell.get("outputs", []):
            # What remains is the stand-in; it would be the last choice otherwise.
            output.get("data", {}).pop(html.WIDGET, None)
    exporter = HTMLExporter(
        raw_template=_TEMPLATE, embed_images=True, language_code=_language(notebook)
    )
    page, _ = exporter.from_notebook_node(still)
    return page


def _language(notebook: NotebookNode) -> str:
    """Return the language that the notebook declares, else the reader's."""
    for cell in notebook.cells:
        declared = re.search(r"""^use_language\(["'](zh|en)["']\)""", cell.source, re.MULTILINE)
        if cell.cell_type == "code" and declared:
            return declared[1]
    return language()


def _print_indented(text: str) -> None:
    # A progress bar goes back to the start of its line; here each of its states is a line.
    lines = printable(text.replace("\r\n", "\n").replace("\r", "\n"))
    print(textwrap.indent(lines.strip("\n"), "      "), flush=True)

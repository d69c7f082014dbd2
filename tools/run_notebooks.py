"""Run notebooks and store their outputs.

    python tools/run_notebooks.py [NOTEBOOK …]      default: all of them, in order

Those in `notebooks/en` are run after the Chinese ones, whose jobs they find.

The outputs that the repository keeps are made by this script and by nothing else, on a data folder
of their own, so that every job is trained once and no figure comes from somebody's older run.
`COOKBOOK_HOME` names another folder, for instance to run one notebook again with the jobs of the
last run.

What a reader should not see is refused or left out: an error or anything on stderr stops the
script, widget state and times of cells are not stored, and a progress line that has vanished leaves
no empty output.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from cookbook.connection import stop

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CELL_SECONDS = 600


def all_notebooks() -> list[Path]:
    """Return every notebook in the order in which they are run."""
    return sorted(NOTEBOOKS.glob("0*.ipynb")) + sorted(NOTEBOOKS.glob("en/0*.ipynb"))


def run(path: Path) -> None:
    """Execute a notebook and write it back with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the file stays as it was.
        RuntimeError: a cell wrote to stderr.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _shown(cell.outputs)
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    raise RuntimeError(f"{path.name} wrote to stderr: {output.text}")
    nbformat.write(notebook, path)


def _shown(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the outputs as a reader sees them: text that came in pieces is one."""
    shown: list[nbformat.NotebookNode] = []
    for output in outputs:
        if shown and output.get("name") and output.get("name") == shown[-1].get("name"):
            shown[-1].text += output.text
        elif not _is_empty(output):
            shown.append(output)
    return shown


def _is_empty(output: nbformat.NotebookNode) -> bool:
    """Return whether an output shows nothing: what a progress line leaves behind."""
    return output.output_type == "display_data" and all(
        value == "" for value in output.data.values()
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run notebooks and store their outputs.")
    parser.add_argument("notebooks", type=Path, nargs="*", metavar="NOTEBOOK")
    paths = parser.parse_args(argv).notebooks or all_notebooks()
    os.environ.pop("COOKBOOK_LANG", None)  # each notebook declares its own
    own = "COOKBOOK_HOME" not in os.environ
    if own:
        os.environ["COOKBOOK_HOME"] = tempfile.mkdtemp(prefix="cookbook-notebooks-")
    try:
        for path in paths:
            print(path, flush=True)
            run(path)
    finally:
        if own:
            stop(Path(os.environ["COOKBOOK_HOME"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Run notebooks from the terminal, show how they get on, and leave each as one self-contained HTML file.

Text that a cell displays or updates (a training step, say) is printed as it comes; what a cell tagged `summary`
returns is printed again at the end.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from cookbook.i18n import tr
from cookbook.paths import DATA


class _Shown(NotebookClient):
    """A client that prints what the cells show."""

    def process_message(self, msg, cell, cell_index):
        content = msg["content"]
        if msg["msg_type"] == "stream":
            print(_indent(content["text"]), flush=True)
        if msg["msg_type"] in ("display_data", "update_display_data"):
            text = content["data"].get("text/plain", "")
            if text and not text.startswith(("<Figure", "<IPython")):
                print(_indent(text), flush=True)
        return super().process_message(msg, cell, cell_index)


def _indent(text: str) -> str:
    return "\n".join("      " + line for line in text.rstrip("\n").split("\n"))


def run(path: Path, out: Path) -> Path:
    """Execute a notebook beside its original place and write `out/<name>.html`; the notebook itself is not changed.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the HTML with everything up to it is written all the same.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    def on_start(cell, cell_index):
        number = cells.index(cell) + 1 if cell in cells else 0
        if number:
            first = cell.source.strip().split("\n")[0]
            print(f"[{number:2d}/{len(cells)}] {first[:90]}", flush=True)

    client = _Shown(
        notebook,
        timeout=1800,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_execute=on_start,
        extra_arguments=[
            "--IPKernelApp.log_level=40"
        ],  # its note about TCP is no news on one machine
    )
    started = time.monotonic()
    try:
        client.execute()
    finally:
        target = out / f"{path.stem}.html"
        out.mkdir(parents=True, exist_ok=True)
        target.write_text(_html(notebook), encoding="utf-8")
    for cell in cells:
        if "summary" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                print("\n" + output.get("data", {}).get("text/plain", ""))
    seconds = time.monotonic() - started
    print("\n" + tr(f"用时 {seconds:.0f} 秒。结果：{target}", f"{seconds:.0f} s. Result: {target}"))
    return target


def _html(notebook) -> str:
    """The notebook as a page that loads nothing from the network."""
    exporter = HTMLExporter(
        embed_images=True, mathjax_url="", require_js_url="", jquery_url="", widget_renderer_url=""
    )
    return exporter.from_notebook_node(notebook)[0].replace('<script src=""></script>', "")


def notebooks() -> list[Path]:
    """The course, in order."""
    return sorted((DATA.parent / "notebooks").glob("0*.ipynb"))


def main(paths: list[Path], out: Path | None) -> int:
    out = (out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")).resolve()
    for path in paths or notebooks():
        print(tr(f"运行 {path.name}", f"running {path.name}"), file=sys.stderr)
        run(path, out)
    return 0

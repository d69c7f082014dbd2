"""Draw the pictures of the README and of docs/ from the notebooks.

    python tools/readme_pictures.py                 all of them; about a minute, half of it training
    python tools/readme_pictures.py panel           one of them

before_after    one question before and after tuning: the outputs that notebook 00 has stored
watching        progress and learning curves of the job of notebook 03, which is trained for it
panel           the parameter panel of notebook 02, with the preset 轻量快速

The last two are cut out of a real JupyterLab in Chromium. Needs chromium and a Chinese font, as in
Debian's fonts-noto-cjk. `tests/bench/growth.png` is drawn by `tests/bench/growth.py`.
"""

import argparse
import ast
import io
import os
import tempfile
from pathlib import Path

import jinja2
import lab
import nbformat
from lab import Lab
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from cookbook import course
from cookbook.connection import stop

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("before_after.html")
# The cell after the one that ran is selected, and its frame would reach into the picture.
UNSELECTED = ".jp-Cell.jp-mod-active { visibility: hidden }"
COLOURS = 256  # a palette of these keeps a picture under 150 KB, and no difference can be seen
MINUTES = 60_000


def before_after(chromium: Browser, _: Lab) -> bytes:
    """Return the picture of the question and the two answers that notebook 00 has stored."""
    notebook = nbformat.read(course.FOLDER / "00_quickstart.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    asked = next(cell for cell in code if cell.source.startswith("question ="))
    before = next(cell for cell in code if cell.source.startswith("before ="))
    after = next(cell for cell in code if "stream=True" in cell.source)
    # The question is a literal, so that it can be read without running the cell.
    question = ast.literal_eval(ast.parse(asked.source).body[0].value)
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    html = template.render(question=question, before=_printed(before), after=_printed(after))
    page = chromium.new_page(device_scale_factor=2)
    page.set_content(html)
    return page.locator("main").screenshot()


def panel(chromium: Browser, running: Lab) -> bytes:
    """Return the picture of notebook 02's panel after a click on 轻量快速."""
    page = running.open(chromium, "02_choose_parameters.ipynb", run=True)
    shown = page.locator(".cookbook-panel").first
    shown.wait_for(timeout=2 * MINUTES)
    shown.get_by_role("button", name="轻量快速").click()
    rank = shown.locator(".cookbook-lora_rank input[type=text]").first
    expect(rank).to_have_value("4")
    return _settled(shown)


def watching(chromium: Browser, running: Lab) -> bytes:
    """Return the picture of notebook 03's cell that watches a job, after the job has ended."""
    page = running.open(chromium, "03_launch_and_monitor.ipynb")
    watched = lab.cell_with(page, "jobs.watch(client, job.id)")
    lab.run_cells(page, 0, watched)
    cell = lab.cells(page).nth(watched)
    expect(cell.locator(".cookbook-states")).to_contain_text("succeeded", timeout=5 * MINUTES)
    return _settled(cell, UNSELECTED)


# `watching` trains a job, from which `panel` then knows how fast this machine is.
PICTURES = {"before_after": before_after, "watching": watching, "panel": panel}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--out", type=Path, default=DOCS, help="default: docs/")
    args = parser.parse_args()
    if unknown := set(args.names) - set(PICTURES):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    os.environ["COOKBOOK_LANG"] = "zh"
    with tempfile.TemporaryDirectory() as folder:
        # An empty data folder: a job that was trained before would be found, not watched.
        home = Path(folder) / "home"
        os.environ["COOKBOOK_HOME"] = str(home)
        try:
            with lab.browser() as chromium, lab.jupyter_lab(Path(folder) / "lab") as running:
                for name in args.names or PICTURES:
                    path = args.out / f"{name}.png"
                    _write(path, PICTURES[name](chromium, running))
                    print(path)
        finally:
            stop(home)


def _printed(cell: nbformat.NotebookNode) -> str:
    """Return what a cell has printed, as it is stored in the notebook.

    Raises:
        ValueError: it printed nothing, so a picture of it would be empty.
    """
    printed = "".join(output.get("text", "") for output in cell.outputs).strip()
    if not printed:
        raise ValueError(f"this cell has no stored output:\n{cell.source}")
    return printed


def _settled(shown: Locator, style: str = "") -> bytes:
    """Return a picture of an element, once two taken one after the other are alike."""
    before, now = b"", shown.screenshot(style=style)
    while before != now:
        shown.page.wait_for_timeout(500)
        before, now = now, shown.screenshot(style=style)
    return now


def _write(path: Path, png: bytes) -> None:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()

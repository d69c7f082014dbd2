"""Draw the pictures of the READMEs and of docs/, in both languages.

    python tools/readme_pictures.py                 all of them; two minutes, half of it training
    python tools/readme_pictures.py room_page       without JupyterLab, in seconds

before_after    one question before and after tuning: the outputs that notebook 00 has stored
watching        progress and learning curves of the job of notebook 03, which is trained for it
panel           the parameter panel of notebook 02, with the preset `fast`
room_page       the page of a room's leader: a service whose store holds tools/room_example.py

Each is written as NAME.png for the Chinese pages and as NAME.en.png for the English ones.

`watching` and `panel` are cut out of a real JupyterLab in Chromium. Needs chromium and a Chinese
font, as in Debian's fonts-noto-cjk. `tests/bench/growth.png` is drawn by `tests/bench/growth.py`.
"""

import argparse
import ast
import io
import itertools
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import jinja2
import lab
import nbformat
import room_example
import uvicorn
from lab import Lab
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from cookbook import course, params
from cookbook.bases import Base
from cookbook.connection import stop
from cookbook.i18n import in_language
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.store import Store

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("before_after.html")
# The cell after the one that ran is selected, and its frame would reach into the picture.
UNSELECTED = ".jp-Cell.jp-mod-active { visibility: hidden }"
COLOURS = 256  # a palette of these keeps a picture under 150 KB, and no difference can be seen
MINUTES = 60_000
ROOM_SIZE = {"width": 1280, "height": 800}
ROOM_ADDRESS = "http://192.168.1.20:8765"  # as it would be in a room
ROOM_KEY = "the-leaders-key"
SAID = {
    "zh": "十点半一起看第 3 节：先不要关笔记本",
    "en": "We look at section 3 together at half past ten: keep your notebook open",
}
TITLES = {"zh": ("微调前", "微调后"), "en": ("Before", "After")}
# What each line of `before_after` says.
MEANING = {
    "刚搬了家，收货地址能换成新家吗？": "I have just moved. Can the delivery address be changed?",
    "订单发货之前可以自己改收货地址。"
    "做法是，进入订单详情，点击修改地址，输入新地址信息，保存修改。": (
        "You can change the delivery address yourself before the order is sent. Open the order’s "
        "details, choose “change address”, enter the new address, save."
    ),
    "您好，为您说明修改收货地址：": "Hello, here is how to change the delivery address:",
    "1. 进入订单详情": "1. Open the order’s details",
    "2. 点击修改地址": "2. Choose “change address”",
    "3. 输入新地址信息": "3. Enter the new address",
    "4. 保存修改": "4. Save",
    "请问还有什么可以帮您？": "Is there anything else I can help you with?",
}


def before_after(chromium: Browser, _: Lab | None, language: str) -> bytes:
    """Return the picture of a question and its two answers; the English one says what they mean.

    Raises:
        KeyError: a line has no translation in `MEANING`.
    """
    texts = question_and_answers(language)
    lines = {name: _with_meaning(text, language) for name, text in texts.items()}
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    html = template.render(titles=TITLES[language], **lines)
    page = chromium.new_page(device_scale_factor=2)
    page.set_content(html)
    return page.locator("main").screenshot()


def question_and_answers(language: str) -> dict[str, str]:
    """Return `question`, and the answers `before` and `after` that notebook 00 has stored."""
    notebook = nbformat.read(course.FOLDER / _notebook("00_quickstart", language), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    asked = next(cell for cell in code if "question =" in cell.source)
    before = next(cell for cell in code if cell.source.startswith("before ="))
    after = next(cell for cell in code if "stream=True" in cell.source)
    # The question is a literal, so that it can be read without running the cell.
    question = ast.literal_eval(ast.parse(asked.source).body[0].value)
    return {"question": question, "before": _printed(before), "after": _printed(after)}


def _with_meaning(text: str, language: str) -> list[tuple[str, str]]:
    """Return each line of a text with what it means; nothing where the reader can read it."""
    return [(line, MEANING[line] if language == "en" else "") for line in text.splitlines()]


def panel(chromium: Browser, running: Lab, language: str) -> bytes:
    """Return the picture of notebook 02's panel after a click on the preset `fast`."""
    page = running.open(chromium, _notebook("02_choose_parameters", language), run=True)
    shown = page.locator(".cookbook-panel").first
    shown.wait_for(timeout=2 * MINUTES)
    shown.get_by_role("button", name=params.PRESET_NAMES["fast"]).click()
    rank = shown.locator(".cookbook-lora_rank input[type=text]").first
    expect(rank).to_have_value("4")
    return _settled(shown)


def watching(chromium: Browser, running: Lab, language: str) -> bytes:
    """Return the picture of notebook 03's cell that watches a job, after the job has ended."""
    page = running.open(chromium, _notebook("03_launch_and_monitor", language))
    watched = lab.cell_with(page, "jobs.watch(client, job.id)")
    lab.run_cells(page, 0, watched)
    cell = lab.cells(page).nth(watched)
    expect(cell.locator(".cookbook-states")).to_contain_text("succeeded", timeout=5 * MINUTES)
    return _settled(cell, UNSELECTED)


def room_page(chromium: Browser, _: Lab | None, language: str) -> bytes:
    """Return the picture of the leader's page, with thirty people in the room."""
    with tempfile.TemporaryDirectory() as folder, _served_room(Path(folder)) as url:
        locale = {"zh": "zh-CN", "en": "en-US"}[language]
        page = chromium.new_page(viewport=ROOM_SIZE, device_scale_factor=1.5, locale=locale)
        page.goto(f"{url}/#key={ROOM_KEY}")
        expect(page.locator("#people > li")).to_have_count(30)
        page.locator("#message").fill(SAID[language])
        page.keyboard.press("Enter")
        expect(page.locator("#said-text")).to_be_visible()
        # Without the mark of the focus
        page.evaluate("document.activeElement.blur()")
        picture = page.screenshot()
        page.close()
    return picture


@contextmanager
def _served_room(folder: Path) -> Iterator[str]:
    """Yield the address of a service with the example room; its queue is not worked off."""
    store = Store(folder / "service.db")
    room_example.fill(store, room_example.NAMES)
    app = make_app(
        store,
        home=Home(folder),
        bases=[Base(room_example.BASE, str(folder))],
        submit=lambda *_: None,
        addresses=lambda: [ROOM_ADDRESS],
        api_key=ROOM_KEY,
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


# `watching` trains a job, from which `panel` then knows how fast this machine is.
PICTURES = {
    "before_after": before_after,
    "watching": watching,
    "panel": panel,
    "room_page": room_page,
}
IN_THE_LAB = {"watching", "panel"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--out", type=Path, default=DOCS, help="default: docs/")
    args = parser.parse_args()
    if unknown := set(args.names) - set(PICTURES):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    os.environ.pop("COOKBOOK_LANG", None)  # each notebook has its own
    with tempfile.TemporaryDirectory() as folder:
        # An empty data folder: a job that was trained before would be found, not watched.
        home = Path(folder) / "home"
        os.environ["COOKBOOK_HOME"] = str(home)
        try:
            names = args.names or list(PICTURES)
            in_the_lab = IN_THE_LAB.intersection(names)
            started = lab.jupyter_lab(Path(folder) / "lab") if in_the_lab else nullcontext()
            with lab.browser() as chromium, started as running:
                for name, language in itertools.product(names, ("zh", "en")):
                    ending = ".en.png" if language == "en" else ".png"
                    path = args.out / f"{name}{ending}"
                    with in_language(language):
                        _write(path, PICTURES[name](chromium, running, language))
                    print(path)
        finally:
            stop(home)


def _notebook(name: str, language: str) -> str:
    """Return where a notebook's edition is in the folder of notebooks."""
    return f"en/{name}.ipynb" if language == "en" else f"{name}.ipynb"


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

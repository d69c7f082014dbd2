"""Run JupyterLab on copies of the notebooks, and drive it in Chromium.

    with browser() as chromium, jupyter_lab(folder) as lab:
        page = lab.open(chromium, "02_choose_parameters.ipynb", run=True)

For the browser tests and the pictures of the README. The notebooks of the checkout are not changed.
Needs Debian's chromium or another one in the PATH, and the `test` extra.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from cookbook import course

TOKEN = "a-token-for-one-machine"
START_SECONDS = 60
KERNEL_MILLISECONDS = 90_000
SIZE = {"width": 1280, "height": 1800}
SCALE = 1.5  # device pixels for a CSS pixel: pictures stay sharp on a dense screen

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Otherwise the cells out of sight are not in the page, and cannot be found in it.
    "notebook-extension/tracker": {"windowingMode": "none"},
}


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a Chromium without a window.

    Raises:
        FileNotFoundError: there is none on this machine.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise FileNotFoundError("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that runs."""

    url: str
    folder: Path

    def end_kernels(self) -> None:
        """End every kernel, as when the server is stopped for the night."""
        sessions = f"{self.url}/api/sessions"
        with urllib.request.urlopen(f"{sessions}?token={TOKEN}", timeout=30) as answer:
            ids = [session["id"] for session in json.load(answer)]
        for one in ids:
            request = urllib.request.Request(f"{sessions}/{one}?token={TOKEN}", method="DELETE")
            urllib.request.urlopen(request, timeout=30).close()

    def open(self, chromium: Browser, name: str, *, run: bool = False) -> Page:
        """Return a new page with the notebook `name`, its kernel ready; `run` starts all cells."""
        page = chromium.new_page(viewport=SIZE, device_scale_factor=SCALE)
        page.goto(f"{self.url}/lab/tree/{name}?token={TOKEN}&reset")
        page.get_by_text("| Idle").wait_for(timeout=KERNEL_MILLISECONDS)
        if run:
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
        return page


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[Lab]:
    """Yield a JupyterLab with settings of its own, on copies of the notebooks in `folder`.

    Raises:
        RuntimeError: it did not start.
    """
    course.copy(folder)
    for name, setting in SETTINGS.items():
        path = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(setting), encoding="utf-8")
    folders = {
        "JUPYTER_CONFIG_DIR": str(folder / ".config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
        "JUPYTER_RUNTIME_DIR": str(folder / ".runtime"),
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--IdentityProvider.token={TOKEN}"]
    log = folder / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | folders)
        try:
            url = _address(folder / ".runtime", process)
            if url is None:
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"JupyterLab did not start:\n{tail}")
            yield Lab(url, folder)
        finally:
            process.terminate()
            process.wait()


def _address(runtime: Path, process: subprocess.Popen) -> str | None:
    """Return the address under which JupyterLab answers; None if it has ended or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        for path in runtime.glob("jpserver-*.json"):
            # Half-written at first, and refused until the server listens.
            try:
                url = json.loads(path.read_text(encoding="utf-8"))["url"].rstrip("/")
                urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=5).close()
            except (OSError, ValueError, KeyError):
                continue
            return url
        time.sleep(0.2)
    return None


def cells(page: Page) -> Locator:
    """Return the cells of the notebook that is open."""
    return page.locator(".jp-Notebook .jp-Cell")


def cell_with(page: Page, text: str) -> int:
    """Return the index, from 0, of the first cell that shows `text`."""
    for index, shown in enumerate(cells(page).all_inner_texts()):
        if text in shown:
            return index
    raise LookupError(f"no cell shows {text!r}")


def run_cells(page: Page, first: int, last: int) -> None:
    """Run the cells from `first` to `last`, both from 0 and both included."""
    # A click beside the text selects the cell without opening it for editing.
    prompt = cells(page).nth(first).locator(".jp-InputPrompt, .jp-MarkdownOutput")
    prompt.first.click()
    for _ in range(first, last + 1):
        page.keyboard.press("Shift+Enter")

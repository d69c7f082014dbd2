"""A real JupyterLab on a copy of the notebooks, in a real browser."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from cookbook.paths import DATA

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
TOKEN = "a-token-for-this-test-alone"
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight stay in the page
}


@pytest.fixture(scope="session")
def browser():
    """Chromium. Without one the tests are skipped on a reader's machine and fail in CI."""
    if not CHROMIUM:
        reason = "no chromium on this machine: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The address of a JupyterLab that runs on copies of the notebooks."""
    folder = tmp_path_factory.mktemp("lab")
    for path in (DATA.parent / "notebooks").glob("*.ipynb"):
        shutil.copy(path, folder)
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--ServerApp.port=0",
        "--allow-root",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    settings = {
        "JUPYTER_CONFIG_DIR": str(folder / ".config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
    }
    for name, setting in SETTINGS.items():
        path = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(setting))
    runtime = folder / ".runtime"
    settings["JUPYTER_RUNTIME_DIR"] = str(runtime)
    with (folder / "lab.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | settings)
        try:
            yield _address(runtime, process, folder / "lab.log")
        finally:
            process.terminate()
            process.wait()


def _address(runtime: Path, process: subprocess.Popen, log: Path) -> str:
    for _ in range(300):
        for path in runtime.glob("jpserver-*.json"):
            try:
                url = json.loads(path.read_text())["url"].rstrip("/")
                urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=5).close()
                return url
            except (OSError, ValueError, KeyError):
                pass
        if process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail("JupyterLab did not start:\n" + log.read_text()[-2000:])


@pytest.fixture
def open_notebook(browser, lab):
    """name -> the page with that notebook, all cells run if asked for."""
    page = browser.new_page(viewport={"width": 1280, "height": 1800}, device_scale_factor=1.5)

    def open_(name: str, *, run: bool = False):
        page.goto(f"{lab}/lab/tree/{name}?token={TOKEN}&reset")
        page.get_by_text("| Idle").wait_for(timeout=90_000)  # the kernel is there
        if run:
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
        return page

    yield open_
    page.close()


@pytest.fixture
def picture():
    """(what, name) -> a picture of it in `SCREENSHOTS`, or in runs/screenshots, which git ignores."""
    folder = Path(os.environ.get("SCREENSHOTS", DATA.parent / "runs" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda what, name: what.screenshot(path=folder / f"{name}.png")

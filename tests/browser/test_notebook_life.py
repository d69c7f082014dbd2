"""What happens to notebooks: a page is reloaded, a kernel restarted, a file opened next week."""

from playwright.sync_api import expect

PANEL = "from cookbook.panel import ParameterPanel\nParameterPanel()"
BUTTON = """
from openai import OpenAI
from cookbook import jobs
client = OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x")
jobs.CancelButton(client, "ftjob-1")
"""
SHEET = """
import os
from cookbook import jobs, params
from cookbook.paths import DATA
os.chdir("/")
jobs.console_sheet("t", DATA / "zhishuoxinyu" / "train.jsonl", params.PRESETS["fast"])
"""
WATCH = """
from types import SimpleNamespace
from cookbook import jobs
job = SimpleNamespace(id="ftjob-1", status="running", error=None, user_provided_suffix="t")
calls = SimpleNamespace(retrieve=lambda _: job, list_events=lambda *_, **__: [])
client = SimpleNamespace(fine_tuning=SimpleNamespace(jobs=calls))
client.with_options = lambda **_: client
jobs.watch(client, "ftjob-1")
"""


def save(page):
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)


def menu(page, *names):
    page.get_by_role("menuitem", name=names[0], exact=True).click()
    page.get_by_text(names[1], exact=True).click()


def test_a_sentence_says_what_to_run_once_the_widgets_are_dead(open_notebook, write_notebook):
    write_notebook("dead.ipynb", PANEL, BUTTON)
    page = open_notebook("dead.ipynb", run=True)
    page.locator(".cookbook-cancel").wait_for(timeout=60_000)
    notes = page.locator(".cookbook-dead")
    expect(notes).to_have_count(2)
    for note in notes.all():
        expect(note).to_be_hidden()
    save(page)

    # The same page with a new kernel: the controls are still there and do nothing.
    menu(page, "Kernel", "Restart Kernel…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    for note in notes.all():
        expect(note).to_be_visible(timeout=30_000)
        expect(note).to_contain_text("再运行")


def test_a_notebook_that_is_opened_again_says_what_to_run(open_notebook, write_notebook, lab):
    write_notebook("again.ipynb", PANEL, BUTTON)
    page = open_notebook("again.ipynb", run=True)
    page.locator(".cookbook-cancel").wait_for(timeout=60_000)
    save(page)
    lab.end_kernels()
    again = open_notebook("again.ipynb")
    for note in again.locator(".cookbook-dead").all():
        expect(note).to_be_visible(timeout=30_000)
    expect(again.locator(".cookbook-dead")).to_have_count(2)


def test_a_page_that_is_reloaded_keeps_its_controls(open_notebook, write_notebook):
    write_notebook("reload.ipynb", PANEL)
    page = open_notebook("reload.ipynb", run=True)
    panel = page.locator(".cookbook-panel")
    panel.wait_for(timeout=60_000)
    save(page)
    page.reload()
    panel.wait_for(timeout=60_000)
    expect(page.locator(".cookbook-dead")).to_be_hidden()


def test_a_page_that_is_reloaded_while_watch_runs_says_how_to_go_on(open_notebook, write_notebook):
    write_notebook("watch.ipynb", WATCH)
    page = open_notebook("watch.ipynb", run=True)
    states = page.locator(".cookbook-states")
    states.wait_for(timeout=60_000)
    save(page)
    page.reload()
    states.wait_for(timeout=60_000)
    expect(states).to_contain_text("中断内核")
    # And what it says works, before the busy kernel has told the new page its state.
    menu(page, "Kernel", "Interrupt Kernel")
    page.get_by_text("| Idle").wait_for(timeout=30_000)
    menu(page, "Run", "Run All Cells")
    page.get_by_text("| Busy").wait_for(timeout=30_000)
    menu(page, "Kernel", "Interrupt Kernel")
    expect(states).to_contain_text("任务仍在进行", timeout=30_000)
    expect(states).not_to_contain_text("刷新过网页")


def test_the_file_of_the_console_sheet_is_downloaded_wherever_the_cell_went(
    open_notebook, write_notebook
):
    write_notebook("sheet.ipynb", SHEET)
    page = open_notebook("sheet.ipynb", run=True)
    link = page.locator("a[download]")
    link.wait_for(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "train.jsonl"
    assert download.value.path().stat().st_size > 100_000

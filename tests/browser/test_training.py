"""Notebook 03 in a real browser: a click starts a job, its curve grows while it trains, a click cancels another."""

import re

from playwright.sync_api import expect

MINUTES = 60_000


def run_until(page, index: int, first: int = 0) -> None:
    """Run the cells from `first` to `index`, counted from 0."""
    page.locator(".jp-Notebook .jp-Cell").nth(first).locator(
        ".jp-InputPrompt, .jp-MarkdownOutput"
    ).first.click()
    for _ in range(first, index + 1):
        page.keyboard.press("Shift+Enter")


def cell_with(page, text: str) -> int:
    sources = page.locator(".jp-Notebook .jp-Cell").all_inner_texts()
    return next(i for i, source in enumerate(sources) if text in source)


def test_a_click_starts_a_job_whose_curve_grows_and_a_click_cancels_another(open_notebook, picture):
    page = open_notebook("03_launch_and_monitor.ipynb")
    run_until(page, cell_with(page, "jobs.StartButton"))
    start = page.locator("button.cookbook-start")
    start.click(timeout=2 * MINUTES)
    expect(page.get_by_text(re.compile("已启动|已有相同的任务"))).to_be_visible(timeout=MINUTES)
    expect(start).to_be_disabled()

    watched = cell_with(page, "jobs.watch(client, job.id)")
    run_until(page, watched, first=watched - 2)
    cell = page.locator(".jp-Notebook .jp-Cell").nth(watched)
    curve = cell.locator("img")
    expect(curve).to_be_visible(timeout=2 * MINUTES)
    before = curve.get_attribute("src")
    expect(cell.locator(".cookbook-states")).to_contain_text("succeeded", timeout=5 * MINUTES)
    assert curve.get_attribute("src") != before
    picture(cell, "watching")

    cancel = cell_with(page, "jobs.CancelButton")
    run_until(page, cancel, first=watched + 1)
    page.locator("button.cookbook-cancel").click(timeout=5 * MINUTES)
    expect(page.get_by_text("已取消").first).to_be_visible(timeout=MINUTES)
    run_until(page, cancel + 1, first=cancel + 1)
    told = page.locator(".jp-Notebook .jp-Cell").nth(cancel + 1).locator(".jp-OutputArea")
    expect(told).to_contain_text("cancelled", timeout=MINUTES)

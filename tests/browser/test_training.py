"""Notebook 03 in a real browser: one click starts a job, whose curve grows, another cancels one."""

import re

from lab import cell_with, cells, run_cells
from playwright.sync_api import expect

MINUTES = 60_000


def test_a_click_starts_a_job_whose_curve_grows_and_a_click_cancels_another(open_notebook):
    page = open_notebook("03_launch_and_monitor.ipynb")
    run_cells(page, 0, cell_with(page, "jobs.StartButton"))
    start = page.locator("button.cookbook-start")
    start.click(timeout=2 * MINUTES)
    expect(page.get_by_text(re.compile("已启动|已有相同的任务"))).to_be_visible(timeout=MINUTES)
    expect(start).to_be_disabled()

    watched = cell_with(page, "jobs.watch(client, job.id)")
    run_cells(page, watched - 2, watched)
    cell = cells(page).nth(watched)
    curve = cell.locator("img")
    expect(curve).to_be_visible(timeout=2 * MINUTES)
    before = curve.get_attribute("src")
    expect(cell.locator(".cookbook-states")).to_contain_text("succeeded", timeout=5 * MINUTES)
    assert curve.get_attribute("src") != before

    cancel = cell_with(page, "jobs.CancelButton")
    run_cells(page, watched + 1, cancel)
    page.locator("button.cookbook-cancel").click(timeout=5 * MINUTES)
    expect(page.get_by_text("已取消").first).to_be_visible(timeout=MINUTES)
    run_cells(page, cancel + 1, cancel + 1)
    output = cells(page).nth(cancel + 1).locator(".jp-OutputArea")
    expect(output).to_contain_text("cancelled", timeout=MINUTES)

"""Notebook 02 in a real browser: the panel answers a reader's clicks and typing."""

from playwright.sync_api import expect


def test_a_preset_fills_the_fields_and_a_bad_value_is_refused_in_place(open_notebook):
    page = open_notebook("02_choose_parameters.ipynb", run=True)
    panel = page.locator(".cookbook-panel").first
    panel.wait_for(timeout=120_000)
    panel.scroll_into_view_if_needed()

    def field(name):
        return panel.locator(f".cookbook-{name} input[type=text]").first

    expect(field("lora_rank")).to_have_value("8")
    panel.get_by_role("button", name="轻量快速").click()
    expect(field("lora_rank")).to_have_value("4")
    expect(field("n_epochs")).to_have_value("2")
    field("n_epochs").fill("11")
    field("n_epochs").press("Enter")
    expect(panel.locator(".cookbook-n_epochs .cookbook-refusal")).to_contain_text("1–10")
    expect(panel.get_by_role("button", name="自定义")).to_contain_class("mod-active")
    field("n_epochs").fill("3")
    field("n_epochs").press("Enter")
    expect(panel.locator(".cookbook-refusal")).to_have_count(0)

"""The widgets as VS Code and Colab drive them: by messages, with the widgets of ipywidgets alone.

Neither runs here. Both load `@jupyter-widgets/base` and `controls` and talk to the kernel by comms;
what else a widget or an output needed (a module of its own, a script) they may refuse.
"""

import os
import sys
from pathlib import Path

import pytest
from kernels import Kernel

from cookbook.params import RANGES

CORE = {"@jupyter-widgets/base", "@jupyter-widgets/controls"}
ROWS = "DATA / 'zhishuoxinyu' / 'train_tiny.jsonl'"
MAKE = f"""
from cookbook.panel import ParameterPanel
from cookbook.paths import DATA
panel = ParameterPanel(rows_file={ROWS})
panel
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("我的 课程")
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "IPYTHONDIR": str(folder / "ipython"),
        "COOKBOOK_LANG": "zh",
    }
    with Kernel(sys.executable, folder, environment) as kernel:
        kernel.run(MAKE)
        yield kernel


def opened(kernel):
    """Return the state with which each widget was opened, by its id."""
    found = {}
    for message in kernel.messages:
        content = message["content"]
        if message["msg_type"] == "comm_open" and content["target_name"] == "jupyter.widget":
            found[content["comm_id"]] = content["data"]["state"]
    return found


def changes(published, comm_id):
    """Return what the messages set in one widget."""
    changed = {}
    for message in published:
        content = message["content"]
        if message["msg_type"] == "comm_msg" and content["comm_id"] == comm_id:
            changed |= content["data"].get("state", {})
    return changed


def update(kernel, comm_id, **state):
    data = {"method": "update", "state": state, "buffer_paths": []}
    return kernel.send("comm_msg", comm_id=comm_id, data=data)


def identifier(kernel, widget):
    return kernel.run(f"print({widget}.model_id)")


def test_every_widget_is_one_of_ipywidgets_own(kernel):
    states = opened(kernel).values()
    assert len(states) > 50
    modules = {state[key] for state in states for key in ("_model_module", "_view_module")}
    assert modules - {None} == CORE


def test_no_output_and_no_widget_brings_a_script(kernel):
    shown = [m["content"]["data"] for m in kernel.messages if m["msg_type"] == "display_data"]
    assert shown and not any("application/javascript" in data for data in shown)
    texts = [str(data.get("text/html", "")) for data in shown]
    texts += [str(state.get("value", "")) for state in opened(kernel).values()]
    assert not any(
        mark in text.lower() for text in texts for mark in ("<script", "onclick", "src=")
    )


def test_a_slider_that_is_moved_shows_its_consequences(kernel):
    slider = identifier(kernel, "panel.controls['n_epochs'].slider")
    text = identifier(kernel, "panel.controls['n_epochs'].text")
    outcome = identifier(kernel, "panel._outcome")
    before = kernel.run("print(panel.plan.total_steps)")
    published = update(kernel, slider, value=5)
    assert changes(published, text)["value"] == "5"
    after = kernel.run("print(panel.plan.total_steps)")
    shown = changes(published, outcome)["value"]
    assert before != after and f"{int(after):,}" in shown and "× 5" in shown


def test_a_value_that_is_refused_is_marked_with_its_reason(kernel):
    text = identifier(kernel, "panel.controls['n_epochs'].text")
    message = identifier(kernel, "panel.controls['n_epochs'].message")
    field = identifier(kernel, "panel.controls['n_epochs'].widget")
    published = update(kernel, text, value="99")
    assert "超出范围 1–10" in changes(published, message)["value"]
    assert "cookbook-refused" in changes(published, field)["_dom_classes"]
    assert changes(update(kernel, text, value="3"), message)["value"] == ""


def test_a_page_that_is_opened_again_gets_all_labels_and_reasons(kernel):
    """As a manager does that was not there when the widgets were made."""
    opening = {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}}
    kernel.send("comm_open", **opening, metadata={"version": "1.0.0"})
    request = {"method": "request_states"}
    published = kernel.send("comm_msg", comm_id="control", data=request)
    [answer] = [m for m in published if m["content"].get("comm_id") == "control"]
    states = answer["content"]["data"]["states"]
    assert opened(kernel).keys() <= states.keys()
    texts = "\n".join(str(one["state"].get("value", "")) for one in states.values())
    for limits in RANGES.values():
        assert limits.label in texts


def test_a_single_widget_tells_its_state_when_asked(kernel):
    outcome = identifier(kernel, "panel._outcome")
    published = kernel.send("comm_msg", comm_id=outcome, data={"method": "request_state"})
    assert "cookbook-facts" in changes(published, outcome)["value"]

"""The cells of notebook 03 for SiliconCloud, against a server that behaves as it documents."""

import nbformat
from nbclient import NotebookClient
from siliconcloud import TUNED

from cookbook.paths import DATA


def lane(tag="siliconcloud"):
    """The cells of notebook 03 that carry the tag, as a notebook of their own."""
    notebook = nbformat.read(
        DATA.parent / "notebooks" / "03_launch_and_monitor.ipynb", as_version=4
    )
    notebook.cells = [c for c in notebook.cells if tag in c.metadata.get("tags", [])]
    return notebook


def run(notebook) -> str:
    """Execute it; all text that its cells showed."""
    settings = {"resources": {"metadata": {"path": str(DATA.parent / "notebooks")}}}
    NotebookClient(
        notebook, timeout=120, extra_arguments=["--IPKernelApp.log_level=40"], **settings
    ).execute()
    outputs = [o for c in notebook.cells for o in c.outputs]
    return "\n".join(str(o.get("text") or o["data"].get("text/plain", "")) for o in outputs)


def test_the_console_lane_of_notebook_03_runs_against_the_platform(service, siliconcloud):
    notebook = lane()
    pasted = f"box.text.value = {TUNED!r}; box.button.click(); box.message.value"
    place = next(i for i, c in enumerate(notebook.cells) if "IdentifierBox" in c.source)
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(pasted))
    siliconcloud.answers["地铁"] = "人贴着人，心却隔着屏幕。"
    said = run(notebook)
    assert (
        "可以调用，已记住" in said
        and "人贴着人，心却隔着屏幕。" in said
        and "[400 / 20012]" in said
    )
    assert {r["model"] for r in siliconcloud.requests} == {TUNED, "Qwen/no-such-model"}
    assert siliconcloud.api_key not in nbformat.writes(notebook)


def test_without_a_key_the_console_lane_explains_itself_and_is_skipped(service):
    said = run(lane())
    assert (
        "SILICONFLOW_API_KEY" in said
        and "没有 key，跳过" in said
        and "没有模型 Qwen/no-such-model" in said
    )

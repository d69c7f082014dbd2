"""Notebook 04 against the server that behaves as SiliconCloud: the same cells, no training."""

import nbformat
import pytest
from nbclient import NotebookClient
from openai import OpenAI
from siliconcloud import TUNED

from cookbook import connect, jobs, zhishuo
from cookbook.paths import DATA


class Answers(dict):
    """A sentence for each word; asked to judge, it always prefers what stands first."""

    def get(self, asked, default=None):
        return '{"winner": "甲"}' if asked.startswith("词：") else super().get(asked, default)


@pytest.fixture
def notebook(siliconcloud, tmp_path, monkeypatch):
    """Notebook 04, executed there after `jobs.verify`, while the service is busy now and then."""
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("COOKBOOK_SERVICE", "siliconcloud")
    sentences = {
        word: f"看似人人称道，实则没人说得清，第{i}句。"
        for i, word in enumerate(zhishuo.eval_words())
    }
    siliconcloud.answers = Answers(sentences)
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        jobs.verify(client, TUNED)
    siliconcloud.requests.clear()
    siliconcloud.next = [429, 503, "cut", 504]
    notebook = nbformat.read(DATA.parent / "notebooks" / "04_zhishuoxinyu.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return notebook


def test_it_runs_to_its_end_with_the_remembered_identifier(notebook, siliconcloud):
    models = [(r["model"], r["messages"][0]["content"]) for r in siliconcloud.requests]
    asked = {(m, s) for m, s in models if s in (zhishuo.SHORT_PROMPT, zhishuo.LONG_PROMPT)}
    base = "Qwen/Qwen2.5-7B-Instruct"
    assert asked == {
        (base, zhishuo.SHORT_PROMPT),
        (base, zhishuo.LONG_PROMPT),
        (TUNED, zhishuo.SHORT_PROMPT),
    }
    assert (
        len([m for m, _ in models if m == "Qwen/Qwen2.5-72B-Instruct"]) == 40
    )  # the judge: 20 pairs, both orders
    # 60 words, 12 words × 3 seeds, 10 alone; each for three columns; and what was asked again
    assert len(models) == 3 * (60 + 36 + 10) + 40 + 4
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    shown = "".join(o.get("data", {}).get("text/plain", "") + o.get("text", "") for o in outputs)
    assert "看似人人称道，实则没人说得清，第3句。" in shown and "⚠" not in shown
    assert "平 20" in shown  # a judge that follows the place is found out

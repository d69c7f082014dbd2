"""The 智说新语 case against a server that behaves as SiliconCloud: the same cells, no training."""

import nbformat
import pytest
from nbclient import NotebookClient
from openai import OpenAI
from siliconcloud import TUNED

from cookbook import connect, course, jobs, zhishuo

BASE = "Qwen/Qwen2.5-7B-Instruct"
JUDGE = "Qwen/Qwen2.5-72B-Instruct"
FAULTS = [429, 503, "cut", 504]  # each is asked again


class Answers(dict):
    """A sentence for each word; asked to judge, it always prefers what comes first."""

    def get(self, asked, default=None):
        return '{"winner": "甲"}' if asked.startswith("词：") else super().get(asked, default)


@pytest.fixture
def execute(siliconcloud, tmp_path, monkeypatch):
    """(name) -> what a notebook shows, run there after `jobs.verify` while the service is busy."""
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("COOKBOOK_SERVICE", "siliconcloud")
    sentences = {}
    for i, word in enumerate(zhishuo.eval_words()):
        sentences[word] = f"看似人人称道，实则没人说得清，第{i}句。"
    siliconcloud.answers = Answers(sentences)
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        jobs.verify(client, TUNED)
    siliconcloud.requests.clear()
    siliconcloud.next = list(FAULTS)

    def run(name):
        notebook = nbformat.read(course.FOLDER / f"{name}.ipynb", as_version=4)
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=300, resources=resources).execute()
        outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
        texts = [o.get("data", {}).get("text/plain", "") + o.get("text", "") for o in outputs]
        return "".join(texts)

    return run


def asked(siliconcloud):
    """(model, system prompt) of every request."""
    return [(r["model"], r["messages"][0]["content"]) for r in siliconcloud.requests]


COLUMNS = {
    (BASE, zhishuo.SHORT_PROMPT),
    (BASE, zhishuo.LONG_PROMPT),
    (TUNED, zhishuo.SHORT_PROMPT),
}


def test_notebook_04_runs_to_its_end_with_the_remembered_identifier(execute, siliconcloud):
    shown = execute("04_zhishuoxinyu")
    assert set(asked(siliconcloud)) == COLUMNS
    # 60 words for each of three columns, and what was asked again.
    assert len(siliconcloud.requests) == 3 * 60 + len(FAULTS)
    assert "看似人人称道，实则没人说得清，第3句。" in shown and "⚠" not in shown


def test_notebook_06_measures_the_same_columns_and_asks_the_judge(execute, siliconcloud):
    shown = execute("06_measure")
    requests = asked(siliconcloud)
    assert set(requests) >= COLUMNS
    # The judge sees 20 pairs in both orders.
    judged = [model for model, _ in requests if model == JUDGE]
    assert len(judged) == 40
    # 60 words, 12 words with 3 seeds, and 10 one after another; each for three columns.
    assert len(requests) == 3 * (60 + 36 + 10) + len(judged) + len(FAULTS)
    assert "⚠" not in shown
    # A judge that follows the place is found out.
    assert "平 20" in shown

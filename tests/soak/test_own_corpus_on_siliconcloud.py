"""Notebook 07 against a server that behaves as SiliconCloud: a large model writes the drafts."""

import json

import nbformat
import pytest
from nbclient import NotebookClient
from openai import OpenAI
from siliconcloud import TUNED

from cookbook import connect, course, jobs, zhishuo
from cookbook.zhishuo.texts import corpus

WRITER = "deepseek-ai/DeepSeek-V3"
BASE = "Qwen/Qwen2.5-7B-Instruct"
FAULTS = [429, 503, "cut", 504]  # each is asked again
DECLINED, BROKEN, FENCED, LEAKING = "老板", "跳槽", "画饼", "内卷"


def answers():
    """What the writer says of each word: a sentence of the corpus as JSON, and four other ways."""
    written = {}
    for word, sentence in corpus("train.jsonl").items():
        written[word] = json.dumps({"prompt": word, "output": sentence}, ensure_ascii=False)
    written[DECLINED] = "抱歉，我无法完成这个请求。"
    written[BROKEN] = written[BROKEN][:-1]
    written[FENCED] = f"```json\n{written[FENCED]}\n```"
    leaking = {"prompt": LEAKING, "output": "一群人围着高考空转，谁也不肯先停下来。"}
    written[LEAKING] = json.dumps(leaking, ensure_ascii=False)
    return written


@pytest.fixture
def notebook(siliconcloud, tmp_path, monkeypatch):
    """The notebook, run there after `jobs.verify` while the service is busy."""
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("COOKBOOK_SERVICE", "siliconcloud")
    siliconcloud.answers = answers()
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        jobs.verify(client, TUNED)
    siliconcloud.requests.clear()
    siliconcloud.next = list(FAULTS)
    notebook = nbformat.read(course.FOLDER / "07_own_corpus.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    return notebook


def shown(notebook):
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    texts = [o.get("data", {}).get("text/plain", "") + o.get("text", "") for o in outputs]
    return "".join(texts)


def may_stay(words):
    sentences = corpus("train.jsonl")
    kept = {}
    for word in words:
        leaks = any(held_out in sentences[word] for held_out in zhishuo.eval_words())
        if not leaks and not zhishuo.rules_broken(word, sentences[word]):
            kept[word] = sentences[word]
    return kept


def test_notebook_07_makes_a_corpus_with_a_large_model(notebook, siliconcloud, tmp_path):
    """One run, since it takes a while."""
    requests = [(r["model"], r["messages"][0]["content"]) for r in siliconcloud.requests]
    written = [(WRITER, zhishuo.LONG_PROMPT)] * 240
    compared = {
        (BASE, zhishuo.SHORT_PROMPT),
        (BASE, zhishuo.LONG_PROMPT),
        (TUNED, zhishuo.SHORT_PROMPT),
    }
    assert set(requests) == {*written, *compared}
    # Six drafts of 40 words, 60 words for each of three columns, and what was asked again.
    assert len(requests) == 240 + 3 * 60 + len(FAULTS)
    # Five words twice, as a batch.
    assert len(siliconcloud.batches.asked()) == 10

    text = shown(notebook)
    for reason in ("refused", "unreadable", "leak", "duplicate"):
        assert reason in text
    assert "0.77 元" in text and "2026-07-21" in text  # before anything was asked
    assert "own-corpus" in text  # the console's form

    lines = (tmp_path / "own_corpus" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {}
    for line in lines:
        system, question, answer = json.loads(line)["messages"]
        assert system["content"] == zhishuo.SHORT_PROMPT
        rows[question["content"]] = answer["content"]
    # Every word whose sentence may stay has it, taken out of the JSON.
    words = {r["messages"][-1]["content"] for r in siliconcloud.requests if r["model"] == WRITER}
    assert FENCED in rows and rows == may_stay(words - {DECLINED, BROKEN, LEAKING})

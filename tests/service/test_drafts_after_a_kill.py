"""A process that asks for drafts is killed in the middle, and the next one asks for the rest."""

import os
import signal
import subprocess
import sys
import time

from openai import OpenAI

from cookbook import connect, synthesize

MODEL = "Qwen/Qwen2.5-72B-Instruct"
WORDS = [f"词{i}" for i in range(12)]
PROGRAM = """
import sys
from openai import OpenAI
from cookbook import connect, synthesize
service = connect("siliconcloud")
with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
    synthesize.drafts(client, {model!r}, "提示词", {words!r}, n=1, path=sys.argv[1], concurrency=2)
"""


def test_after_a_kill_only_what_is_not_written_down_is_asked_again(siliconcloud, tmp_path):
    siliconcloud.chunk_seconds = 0.02
    path = tmp_path / "drafts.jsonl"
    program = PROGRAM.format(model=MODEL, words=WORDS)
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], env=os.environ)
    while len(siliconcloud.requests) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(siliconcloud.requests)
    written = path.read_bytes().count(b"\n")
    assert 3 <= written < len(WORDS)  # two were under way

    siliconcloud.chunk_seconds = 0.0
    service = connect("siliconcloud")
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        frame = synthesize.drafts(client, MODEL, "提示词", WORDS, n=1, path=path)
    assert frame.error.isna().all()
    assert len(siliconcloud.requests) - before == len(WORDS) - written

"""Jobs that really run out of memory: one recovers with a smaller plan, one fails with remedies.

The kernel is played by a thread that kills what has more memory than a limit; where the limit is
the process's own (RLIMIT_DATA), torch raises the error itself.

pytest -s tests/soak/test_out_of_memory.py      shows the events
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from openai import OpenAI
from support import training_processes, write_base
from transformers import AutoTokenizer

from cookbook import connect, data, jobs
from cookbook.connection import stop
from cookbook.paths import DATA, Home
from cookbook.service import out_of_memory
from cookbook.service.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")

MB = 2**20
MEMORY = "2GB"  # of which the plan takes a large share
# Activations of a batch take several times the weights: 40 million, 160 MB.
SIZES = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "max_position_embeddings": 2048,
}
HP = {"n_epochs": 2, "batch_size": 4, "max_tokens": 1024}
ROWS, TOKENS = 12, 900

# Each process of the service runs it first: it limits those that train while the file is there.
HOOK = """
import os, resource, sys
LIMIT = {limit!r}
if "cookbook.service.worker" in sys.orig_argv and os.path.exists(LIMIT):
    size = int(open(LIMIT).read())
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
"""

# A short job by the plan of a level, to its end; prints the peak of the process in bytes.
PEAK = """
import json, resource, sys, tempfile
from pathlib import Path
from cookbook.bases import installed
from cookbook.params import Hyperparameters
from cookbook.service.engine.train import train
rows, hp, level = json.load(sys.stdin)
hp = Hyperparameters(**hp | {"n_epochs": 1}).to_dict()
rows = rows[: hp["batch_size"]]
folder = Path(tempfile.mkdtemp())
for event in train(installed()[0], rows, rows[:1], hp, folder=folder, level=level):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def rows():
    """Return rows of the same length, so that each step needs the same memory."""
    rows = []
    for number in range(ROWS):
        answer = f"第 {number:02} 条。" + "好的，请收好。" * (TOKENS // 5)
        turns = [("user", f"第 {number:02} 个问题"), ("assistant", answer)]
        rows.append({"messages": [{"role": role, "content": text} for role, text in turns]})
    return rows


@pytest.fixture(scope="module")
def limit(tmp_path_factory):
    """Return the file that limits the memory of training processes, as long as it is there."""
    return tmp_path_factory.mktemp("hook") / "limit"


@pytest.fixture(scope="module")
def home(tmp_path_factory, limit):
    """Return a data folder whose service has the base and the limits of this module."""
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    base = write_base(tmp_path_factory.mktemp("base") / "wide", tokenizer, **SIZES)
    (limit.parent / "sitecustomize.py").write_text(HOOK.format(limit=str(limit)))
    paths = [str(limit.parent), os.environ.get("PYTHONPATH", "")]
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKBOOK_BASE_MODEL", str(base))
        patch.setenv("COOKBOOK_MEMORY", MEMORY)
        patch.setenv("COOKBOOK_DEVICE", "cpu")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield folder
        stop(folder)


@pytest.fixture
def client(home):
    service = connect(home=home)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        yield client


@pytest.fixture(scope="module")
def peaks(home, rows):
    """Return the memory at the peak of a training by the first plan, and by the smaller one."""
    peaks = []
    for level in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PEAK],
            input=json.dumps([rows, HP, level]),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    return peaks


class Kernel(threading.Thread):
    """Kills the training processes of a data folder that have more memory than `limit` bytes."""

    def __init__(self, home, limit):
        super().__init__(daemon=True)
        self.home, self.limit, self.kills = home, limit, 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            for process in training_processes(self.home):
                try:
                    if process.memory_info().rss > self.limit:
                        process.kill()
                        process.wait(10)
                        self.kills += 1
                except psutil.Error:
                    continue

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def create(client, rows):
    file = client.files.create(file=("long.jsonl", data.to_jsonl(rows)), purpose="fine-tune")
    return client.fine_tuning.jobs.create(
        model=client.models.list().data[0].id,
        training_file=file.id,
        method={"type": "supervised", "supervised": {"hyperparameters": HP}},
    )


def wait_for_checkpoint(client, job):
    """Wait until the first epoch has ended, and its state is saved."""
    deadline = time.monotonic() + 300
    while not client.fine_tuning.jobs.checkpoints.list(job.id).data:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def losses(client, job):
    return [(s["step"], s["train_loss"]) for s in jobs.view(client, job.id).steps]


def lacks(home, job):
    """Return the events that say that the job ran out of memory."""
    events = Store(Home(home).database).events(job.id, limit=100)
    return [e for e in events if (e.data or {}).get("code") == out_of_memory.CODE]


def show(home, job):
    for event in reversed(Store(Home(home).database).events(job.id, limit=100)):
        if event.type == "message":
            print(f"{event.level:5} {event.message}")


def test_a_job_that_is_killed_for_memory_goes_on_smaller_from_its_checkpoint(
    home, client, rows, peaks
):
    first, smaller = peaks
    assert first - smaller > 50 * MB
    undisturbed = jobs.watch(client, create(client, rows).id, every=0.5)
    assert undisturbed.status == "succeeded" and not lacks(home, undisturbed)
    job = create(client, rows)
    # The first epoch has the memory that it planned; then another program takes of it.
    wait_for_checkpoint(client, job)
    # The real kernel would take these first, and neither the service nor a notebook.
    for process in training_processes(home):
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
    # Nearer to the first, since a job that goes on reads its state, too.
    with Kernel(home, (3 * first + smaller) // 4) as kernel:
        job = jobs.watch(client, job.id, every=0.5)
    show(home, job)
    assert job.status == "succeeded" and kernel.kills == 1
    [event] = lacks(home, job)
    assert event.level == "warn" and "被系统结束" in event.message
    assert event.data["needed"] and event.data["used"] > smaller and event.data["level"] == 1
    stored = Store(Home(home).database).job(job.id)
    assert stored.memory_level == 1 and stored.memory_plan["needed"] < event.data["needed"]
    # Each step is the same step, whatever its plan was.
    expected = losses(client, undisturbed)
    assert [step for step, _ in losses(client, job)] == [step for step, _ in expected]
    for (_, loss), (_, other) in zip(losses(client, job), expected, strict=True):
        assert loss == pytest.approx(other, rel=1e-4)


def test_a_job_for_which_the_smaller_plan_is_too_large_as_well_fails_with_three_remedies(
    home, client, rows, limit, peaks
):
    # Enough for torch and the base, but for no step.
    limit.write_text(str(min(peaks) * 2 // 3))
    try:
        # The process that waits for a job has begun without the limit.
        for process in training_processes(home):
            process.kill()
            process.wait(10)
        job = jobs.watch(client, create(client, rows).id, every=0.5)
    finally:
        limit.unlink()
    show(home, job)
    assert job.status == "failed" and job.error.code == "out_of_memory"
    [event] = lacks(home, job)
    assert "申请不到更多" in event.message
    for remedy in ("把 max_tokens 改小，例如 ", "比 wide 小", "换大一些的机器", "4 bit"):
        assert remedy in job.error.message

"""Fill a store with a room as it is in the middle of a workshop: for pictures and browser tests.

    keys = fill(store, NAMES[:30])      name -> key

People with jobs in every state, models of which some are shared, one message of the leader. The
figures are invented but follow a plan, so that two fillings differ in nothing but the ids.
"""

import hashlib
import json
import math
import time
from dataclasses import dataclass

from cookbook.i18n import tr
from cookbook.params import Hyperparameters
from cookbook.service.store import Store, new_id
from cookbook.service.store.jobs import advance_job
from cookbook.service.store.log import log_event
from cookbook.service.store.records import insert

# Invented names of invented people
NAMES = (
    "安宁 白露 陈一帆 程小满 丁可 方圆 高远 顾念 韩雪 何田 黄梓 江月 康乐 李雷 林晓 "
    "刘洋 陆川 马可 孟夏 潘多 秦朗 任远 沈舟 苏木 田野 王小雨 吴桐 夏天 叶知秋 周正"
).split()
TASKS = ("customer-service", "zhishuo", "short-answers", "my-bot")
NOTEBOOKS = ("00_quickstart", "02_choose_parameters", "03_launch_and_monitor", "04_zhishuoxinyu")
BASE = "cookbook/tiny-zh"
STEPS = 60

# What a person of each place in a list has: the state of a job, and the share of it that is done.
_PLAN = (
    *("succeeded", "queued", "queued", "running", "succeeded", "here", "failed", "queued"),
    *("succeeded", "here", "queued", "succeeded", "away", "queued", "running", "succeeded"),
    *("paused", "queued", "here", "succeeded", "never", "queued", "failed", "succeeded"),
    *("queued", "here", "cancelled", "queued", "succeeded", "validating_files"),
)
_ACTS = {"running": "watch", "queued": "watch", "succeeded": "ask", "here": "upload"}


@dataclass(frozen=True)
class _Job:
    """A job to add: what it is to be, and when it was asked for."""

    owner: str
    place: int
    state: str
    created_at: int


def fill(store: Store, names: list[str] | tuple[str, ...], hours: float = 3) -> dict[str, str]:
    """Add these people and what they have done; return their keys by name.

    The room closes in so many hours.
    """
    now = int(time.time())
    keys = {name: store.add_person(name) for name in names}
    sights = []
    for place, name in enumerate(names):
        state = _PLAN[place % len(_PLAN)]
        if state != "never":
            ago = 2700 if state == "away" else (place * 37) % 240
            notebook = NOTEBOOKS[place % len(NOTEBOOKS)]
            sights.append((name, now - ago, notebook, _ACTS.get(state, "read")))
        if state in ("here", "never"):
            continue
        finished = "succeeded" if state == "away" else state
        _add_job(store, _Job(name, place, finished, now - 1500 + place * 29))
        if state == "queued" and place % 2:
            # Whoever waits has trained before.
            _add_job(store, _Job(name, place + 1, "succeeded", now - 3400 + place * 29))
    store.note_seen(sights)
    store.set_room_value("closes_at", str(now + int(hours * 3600)))
    return keys


def _add_job(store: Store, job: _Job) -> None:
    task = TASKS[job.place % len(TASKS)]
    job_id = new_id("ftjob-")
    model = new_id(f"ft:LoRA/{BASE}:{job.owner}:{task}:")
    columns = {
        "id": job_id,
        "status": "validating_files",
        "requested_state": "pause" if job.state == "paused" else "run",
        "created_at": job.created_at,
        "base": BASE,
        "model": model,
        "training_file": _add_file(store, job.owner, job_id),
        "validation_split": 0.1,
        "suffix": task,
        "seed": 1,
        "hyperparameters": _hyperparameters(),
        "owner": job.owner,
    }
    is_over = job.state in ("succeeded", "failed", "cancelled")
    has_begun = is_over or job.state in ("running", "paused")
    # One transaction for all of a job: each would wait for the disk.
    with store._database.write() as db:
        insert(db, "jobs", columns)
        log_event(db, job_id, "Created fine-tuning job")
        if job.state != "validating_files":
            advance_job(db, job_id, "queued", tr("文件检查通过", "The files passed validation"))
        if has_begun:
            advance_job(db, job_id, "running", tr("训练开始", "Training started"))
            for step in range(1, _steps(job) + 1):
                _add_step(db, job_id, step, job.place)
        if job.state == "failed":
            text = failure(_steps(job))
            error = {"code": "diverged", "message": text, "param": "learning_rate"}
            advance_job(db, job_id, "failed", text, error=error)
        elif is_over:
            advance_job(db, job_id, job.state, tr("任务结束", "The job has ended"))
        if is_over:
            ended = (job.created_at + 240, job_id)
            db.execute("UPDATE jobs SET finished_at = ? WHERE id = ?", ended)
        if job.state == "succeeded":
            _add_model(db, job, job_id, model)


def add_failed(store: Store, name: str, task: str, error: str) -> str:
    """Add somebody whose only job has failed with this sentence; return the job's id.

    The name may be any text, as in a database that comes from elsewhere.
    """
    columns = {"name": name, "key_hash": name, "created_at": int(time.time())}
    with store._database.write() as db:
        insert(db, "people", columns)
    store.note_seen([(name, int(time.time()), NOTEBOOKS[0], "watch")])
    job = store.of(name).add_job(
        base=BASE,
        model=new_id("ft:"),
        training_file="file-x",
        validation_split=0.1,
        suffix=task,
        seed=1,
        hyperparameters={},
    )
    store.advance(job.id, "failed", error, error={"code": "x", "message": error})
    return job.id


def failure(step: int) -> str:
    """Return the sentence with which a job of this room failed."""
    return tr(
        f"第 {step} 步的损失已经不是数字：学习速率 0.05 太大。从 0.0001 试起",
        f"the loss of step {step} is not a number: learning rate 0.05 is too high. Try 0.0001",
    )


def _add_file(store: Store, owner: str, name: str) -> str:
    content = f"{owner} {name}\n".encode() * 4000
    file_id = new_id("file-")
    columns = {
        "id": file_id,
        "filename": "train.jsonl",
        "purpose": "fine-tune",
        "bytes": len(content),
        "created_at": int(time.time()),
        "content": content,
        "owner": owner,
        "digest": hashlib.sha256(content).hexdigest(),
    }
    with store._database.write() as db:
        insert(db, "files", columns)
    return file_id


def _add_step(db, job_id: str, step: int, place: int) -> None:
    # Falls fast, then slowly, with the noise of small batches.
    noise = math.sin(step * 1.7 + place) * 0.11 + math.sin(step * 4.1 + place * 2) * 0.07
    loss = 0.62 + 0.02 * (place % 7) + 2.1 * math.exp(-step / (9 + place % 5)) + noise
    data = {
        "step": step,
        "total_steps": STEPS,
        "epoch": step / 20,
        "train_loss": round(loss, 4),
        "valid_loss": None,
        "learning_rate": 1e-4,
        "tokens": 900 * step,
        "tokens_per_second": 2100.0,
        "seconds_left": (STEPS - step) * 1.6,
    }
    text = f"Step {step}/{STEPS}: train_loss {loss:.4f}"
    log_event(db, job_id, text, type="metrics", data=data, step=step)


def _add_model(db, job: _Job, job_id: str, model: str) -> None:
    columns = {
        "id": model,
        "job": job_id,
        "base": BASE,
        "created_at": job.created_at + 240,
        "step": STEPS,
        "folder": f"{job_id}-{STEPS}",
        "metrics": "{}",
        "owner": job.owner,
        "shared": int(job.place % 11 == 0),
    }
    insert(db, "models", columns)


def _hyperparameters() -> str:
    return json.dumps(Hyperparameters().to_dict())


def _steps(job: _Job) -> int:
    if job.state == "succeeded":
        return STEPS
    return {"running": 38, "paused": 22, "failed": 14}.get(job.state, 8) - job.place % 5

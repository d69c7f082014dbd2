"""What happens to a job when processes die, jobs are paused or cancelled, files are odd."""

import subprocess
import sys
import time
from pathlib import Path

import openai
import psutil
import pytest

from cookbook import connect, data, jobs
from cookbook.connection import running, stop
from cookbook.params import Hyperparameters
from cookbook.paths import DATA, Home, home
from cookbook.service.events import Checkpoint
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor


@pytest.fixture
def upload(client):
    lines = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)
    return client.files.create(file=("small.jsonl", b"".join(lines[:48])), purpose="fine-tune")


def launch(client, model, upload, **hyperparameters):
    method = {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 3} | hyperparameters},
    }
    return client.fine_tuning.jobs.create(
        model=model, training_file=upload.id, suffix="recover", method=method
    )


def wait_for_step(client, job, step):
    for _ in range(600):
        steps = jobs.view(client, job.id).steps
        if len(steps) >= step:
            return
        time.sleep(0.1)
    pytest.fail(f"step {step} never came")


def processes():
    """The training processes of this data folder, the one that waits for a job included."""
    named = {"cookbook.service.worker", str(home())}
    return [p for p in psutil.process_iter(["cmdline"]) if named <= set(p.info["cmdline"] or [])]


def workers(job):
    return [p for p in processes() if f"{job.id}.lock" in locks(p)]


def locks(process):
    try:
        return [
            Path(file.path).name for file in process.open_files() if file.path.endswith(".lock")
        ]
    except psutil.Error:  # it has just ended
        return []


def steps_of(client, job):
    return [(s["step"], s["train_loss"]) for s in jobs.view(client, job.id).steps]


def test_a_killed_worker_goes_on_and_ends_like_an_unbroken_one(client, service, upload):
    whole = jobs.watch(client, launch(client, service.base_model, upload).id, every=0.3)
    broken = launch(client, service.base_model, upload)
    wait_for_step(client, broken, 8)
    for process in workers(broken):
        process.kill()
    broken = jobs.watch(client, broken.id, every=0.3)
    assert broken.status == "succeeded"
    assert steps_of(client, broken) == steps_of(client, whole)
    ends = [jobs.view(client, j.id).events[-1].data["update_norm"] for j in (whole, broken)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)
    assert any("意外结束" in e.message for e in jobs.view(client, broken.id).events)


def test_the_process_that_waits_for_a_job_takes_it_and_another_gets_ready(client, service, upload):
    waiting = wait_for_prewarmed()
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 1)
    assert workers(job) == [waiting] and wait_for_prewarmed() != waiting
    client.fine_tuning.jobs.cancel(job.id)


def test_a_job_trains_though_the_process_that_waited_for_it_is_dead(client, service, upload):
    dead = wait_for_prewarmed()
    dead.kill()
    dead.wait()
    job = jobs.watch(client, launch(client, service.base_model, upload, n_epochs=1).id, every=0.3)
    assert job.status == "succeeded" and not [
        e for e in jobs.view(client, job.id).events if "意外结束" in e.message
    ]


def wait_for_prewarmed():
    for _ in range(300):
        waiting = [p for p in processes() if not locks(p)]
        if len(waiting) == 1:  # another may have just ended its job
            return waiting[0]
        time.sleep(0.1)
    pytest.fail("no process got ready")


def test_a_paused_job_stands_still_and_goes_on_from_there(client, service, upload):
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 2)
    assert client.fine_tuning.jobs.pause(job.id).paused
    psutil.wait_procs(workers(job), timeout=20)
    still = steps_of(client, job)
    time.sleep(1)
    assert steps_of(client, job) == still
    client.fine_tuning.jobs.resume(job.id)
    done = jobs.watch(client, job.id, every=0.3)
    assert done.status == "succeeded"
    assert [s for s, _ in steps_of(client, job)] == list(range(1, len(steps_of(client, job)) + 1))


def test_a_cancelled_job_stops_and_leaves_no_model(client, service, upload):
    before = {m.id for m in client.models.list()}
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 1)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    psutil.wait_procs(workers(job), timeout=20)
    assert workers(job) == [] and client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model is None
    assert {m.id for m in client.models.list()} == before


def ended(job):
    """What is left of a job in the data folder once the service has tidied up."""
    psutil.wait_procs(workers(job), timeout=20)
    assert workers(job) == []
    for _ in range(50):
        left = [*home().glob(f"jobs/{job.id}"), *home().glob(f"models/{job.id}*")]
        if not left:
            break
        time.sleep(0.1)
    return left


def test_a_job_can_be_cancelled_at_once_while_it_waits_while_it_is_paused_and_while_it_pauses(
    client, service, upload
):
    cancel, pause = client.fine_tuning.jobs.cancel, client.fine_tuning.jobs.pause
    pausing = launch(client, service.base_model, upload)
    validating = launch(client, service.base_model, upload)
    assert cancel(validating.id).status == "cancelled"
    waiting, paused = (launch(client, service.base_model, upload) for _ in range(2))
    assert pause(paused.id).paused
    wait_for_step(client, pausing, 2)
    assert pause(pausing.id).paused
    for job in (waiting, paused, pausing):
        assert cancel(job.id).status == "cancelled"
    for job in (pausing, validating, waiting, paused):
        assert ended(job) == [] and client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
        with pytest.raises(openai.BadRequestError, match="cancelled"):
            client.fine_tuning.jobs.resume(job.id)


def test_a_job_cancelled_long_after_its_process_paused_leaves_no_folder(client, service, upload):
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 2)
    client.fine_tuning.jobs.pause(job.id)
    psutil.wait_procs(workers(job), timeout=20)
    assert (home() / "jobs" / job.id).is_dir()  # its state: resume would go on from there
    client.fine_tuning.jobs.cancel(job.id)
    assert ended(job) == []


def test_a_file_in_use_stays_and_the_job_is_named(client, service, upload):
    job = launch(client, service.base_model, upload)
    with pytest.raises(openai.ConflictError, match=job.id):
        client.files.delete(upload.id)
    client.fine_tuning.jobs.cancel(job.id)
    assert client.files.delete(upload.id).deleted


def test_a_model_that_is_deleted_while_it_answers_finishes_its_answer(client, service, upload):
    job = jobs.watch(client, launch(client, service.base_model, upload, n_epochs=1).id, every=0.3)
    question = {
        "model": job.fine_tuned_model,
        "messages": [{"role": "user", "content": "地铁"}],
        "stream": True,
        "max_tokens": 60,
    }
    stream = client.chat.completions.create(**question)
    next(stream)
    assert client.models.delete(job.fine_tuned_model).deleted
    assert list(stream)[-1].choices[0].finish_reason
    assert ended(job) == []
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**question)


def test_an_idle_service_ends_by_itself_but_never_before_its_jobs(tmp_path, row):
    serve = [sys.executable, "-m", "cookbook", "serve", "--idle", "0.5", "--home", str(tmp_path)]
    store = Store(tmp_path / "service.db")
    file = store.add_file(
        "a.jsonl", "fine-tune", data.to_jsonl([row(user=f"第{i}个问题") for i in range(16)])
    )
    fields = dict(
        base="cookbook/tiny-zh",
        training_file=file.id,
        validation_file=None,
        validation_split=0.1,
        suffix=None,
    )
    hyperparameters = Hyperparameters(n_epochs=1).to_dict()
    done, paused = (
        store.add_job(
            **fields, model=f"ft:{i}", seed=1, metadata=None, hyperparameters=hyperparameters
        )
        for i in "ab"
    )
    store.request_state(paused.id, "pause", "Paused")
    served = subprocess.run(serve, capture_output=True, text=True, timeout=170)
    assert served.returncode == 0 and "0.5 秒没有请求" in served.stderr
    assert store.job(done.id).status == "succeeded" and store.job(paused.id).status == "queued"


@pytest.mark.parametrize("max_running, started", [(1, [[1], [2]]), (2, [[1, 2], [0]])])
def test_jobs_start_in_order_as_many_as_are_allowed_and_interrupted_ones_first(
    tmp_path, monkeypatch, max_running, started
):
    store = Store(tmp_path / "service.db")
    fields = dict(
        base="b", training_file="f", validation_file=None, validation_split=0.1, suffix=None, seed=1
    )
    queued = [
        store.add_job(**fields, model=f"ft:{i}", metadata=None, hyperparameters={}).id
        for i in range(4)
    ]
    for job_id, status in zip(queued, ["queued", "running", "running", "queued"], strict=True):
        store.advance(job_id, status, status)
    store.request_state(queued[3], "pause", "Paused")
    supervisor = Supervisor(store, Home(tmp_path), max_running)
    monkeypatch.setattr(
        supervisor, "_launch", lambda job: supervisor._processes.update({job.id: None})
    )
    for expected in started:
        supervisor._start_next()
        assert list(supervisor._processes) == [queued[i] for i in expected]
        for job_id in list(supervisor._processes):
            store.advance(job_id, "cancelled", "over")
        supervisor._processes.clear()


def test_what_a_killed_process_left_of_ended_jobs_is_swept_and_nothing_else(tmp_path):
    store = Store(tmp_path / "service.db")
    fields = dict(
        base="b", training_file="f", validation_file=None, validation_split=0.1, suffix=None, seed=1
    )
    over, alive = (
        store.add_job(**fields, model=f"ft:{i}", metadata=None, hyperparameters={}) for i in "ab"
    )
    store.advance(over.id, "running", "go")
    store.record(over, Checkpoint(1, 1, tmp_path / f"{over.id}-step_1", 1.0, None))
    store.advance(over.id, "cancelled", "stop")
    kept = [f"models/{over.id}-step_1", f"models/{alive.id}-step_1", f"jobs/{alive.id}"]
    swept = [f"models/{over.id}-step_2.part", f"jobs/{over.id}", "models/ftjob-unknown-step_3"]
    for name in kept + swept:
        (tmp_path / name).mkdir(parents=True)
    Supervisor(store, Home(tmp_path))._sweep()
    assert [(tmp_path / name).exists() for name in kept + swept] == [True] * 3 + [False] * 3


def test_a_job_whose_rows_are_cut_before_the_answer_fails_with_the_reason(client, service, upload):
    job = jobs.watch(client, launch(client, service.base_model, upload, max_tokens=8).id, every=0.3)
    assert (
        job.status == "failed"
        and "max_tokens" in job.error.message
        and job.error.code == "invalid_training_file"
    )


def test_jobs_wait_in_line_and_say_so(client, service, upload):
    first, second = (launch(client, service.base_model, upload, n_epochs=1) for _ in range(2))
    wait_for_step(client, first, 1)
    assert "前面还有 1 个任务" in [e.message for e in jobs.view(client, second.id).events][1]
    assert jobs.view(client, second.id).steps == []
    for job in (first, second):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_job_outlives_its_service(tmp_path, row):
    from openai import OpenAI

    service = connect(home=tmp_path)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        content = data.to_jsonl([row(user=f"第{i}个问题") for i in range(48)])
        upload = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
        job = launch(client, service.base_model, upload)
        wait_for_step(client, job, 1)
    psutil.Process(running(tmp_path)["pid"]).kill()
    again = connect(home=tmp_path)
    with OpenAI(base_url=again.base_url, api_key=again.api_key) as client:
        assert jobs.watch(client, job.id, every=0.3).status == "succeeded"
    assert stop(tmp_path) and not stop(tmp_path)

"""What happens to a job when processes die, jobs are paused or cancelled, files are odd."""

import time

import psutil
import pytest

from cookbook import connect, data, jobs
from cookbook.connection import running, stop
from cookbook.paths import DATA


@pytest.fixture
def upload(client):
    lines = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)
    return client.files.create(file=("small.jsonl", b"".join(lines[:48])), purpose="fine-tune")


def launch(client, model, upload, **hyperparameters):
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3} | hyperparameters}}
    return client.fine_tuning.jobs.create(model=model, training_file=upload.id, suffix="recover", method=method)


def wait_for_step(client, job, step):
    for _ in range(600):
        steps = jobs.view(client, job.id).steps
        if len(steps) >= step:
            return
        time.sleep(0.1)
    pytest.fail(f"step {step} never came")


def workers(job):
    return [p for p in psutil.process_iter(["cmdline"]) if job.id in (p.info["cmdline"] or [])]


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


def test_a_job_whose_rows_are_cut_before_the_answer_fails_with_the_reason(client, service, upload):
    job = jobs.watch(client, launch(client, service.base_model, upload, max_tokens=8).id, every=0.3)
    assert job.status == "failed" and "max_tokens" in job.error.message and job.error.code == "invalid_training_file"


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

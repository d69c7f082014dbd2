"""What happens to a job when processes die, jobs are paused or cancelled, files are odd."""

import subprocess
import sys
import time
from pathlib import Path

import openai
import psutil
import pytest
from openai import OpenAI
from support import CORPUS, add_job, training_processes

from cookbook import connect, data, jobs
from cookbook.connection import running, stop
from cookbook.params import Hyperparameters
from cookbook.paths import Home, home
from cookbook.service.events import Checkpoint
from cookbook.service.store import Store
from cookbook.service.supervisor import CRASHES, Supervisor


@pytest.fixture
def upload(client):
    lines = CORPUS.read_bytes().splitlines(keepends=True)
    return client.files.create(file=("small.jsonl", b"".join(lines[:48])), purpose="fine-tune")


def launch(client, model, upload, **hyperparameters):
    hyperparameters = {"n_epochs": 3} | hyperparameters
    return client.fine_tuning.jobs.create(
        model=model,
        training_file=upload.id,
        suffix="recover",
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
    )


def train(client, model, upload, **hyperparameters):
    """Launch a job and wait for its end."""
    job = launch(client, model, upload, **hyperparameters)
    return jobs.watch(client, job.id, every=0.3)


def messages(client, job):
    return [event.message for event in jobs.view(client, job.id).events]


def wait_for_step(client, job, step):
    for _ in range(600):
        if len(jobs.view(client, job.id).steps) >= step:
            return
        time.sleep(0.1)
    pytest.fail(f"step {step} never came")


def workers(job):
    """Return the processes that train a job: those that hold its lock."""
    lock = Home(home()).job_lock(job.id).name
    return [process for process in training_processes(home()) if lock in locks(process)]


def locks(process):
    """Return the names of the lock files that a process holds."""
    try:
        names = [Path(file.path).name for file in process.open_files()]
    except psutil.Error:  # it has just ended
        return []
    return [name for name in names if name.endswith(".lock")]


def wait_for_prewarmed():
    """Return the one process that has loaded everything and waits for a job."""
    for _ in range(300):
        waiting = [process for process in training_processes(home()) if not locks(process)]
        if len(waiting) == 1:  # another may have just ended its job
            return waiting[0]
        time.sleep(0.1)
    pytest.fail("no process got ready")


def wait_until_workers_end(job):
    psutil.wait_procs(workers(job), timeout=20)
    assert workers(job) == []


def losses(client, job):
    return [(step["step"], step["train_loss"]) for step in jobs.view(client, job.id).steps]


def test_a_killed_worker_goes_on_and_ends_like_an_unbroken_one(client, service, upload):
    unbroken = train(client, service.base_model, upload)
    killed = launch(client, service.base_model, upload)
    wait_for_step(client, killed, 8)
    for process in workers(killed):
        process.kill()
    killed = jobs.watch(client, killed.id, every=0.3)
    assert killed.status == "succeeded"
    assert losses(client, killed) == losses(client, unbroken)
    last, expected = (jobs.view(client, job.id).events[-1].data for job in (killed, unbroken))
    assert last["update_norm"] == pytest.approx(expected["update_norm"], rel=1e-6)
    assert any("意外结束" in message for message in messages(client, killed))


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
    job = train(client, service.base_model, upload, n_epochs=1)
    assert job.status == "succeeded"
    # The job did not notice: it never had that process.
    assert not any("意外结束" in message for message in messages(client, job))


def test_a_job_that_is_stopped_with_its_service_again_and_again_goes_on(tmp_path):
    """More often than a job may crash."""
    job_id = None
    for seen in range(1, CRASHES + 2):
        service = connect(home=tmp_path)
        with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
            if job_id is None:
                lines = CORPUS.read_bytes().splitlines(keepends=True)[:48]
                file = client.files.create(file=("a.jsonl", b"".join(lines)), purpose="fine-tune")
                job_id = launch(client, service.base_model, file).id
            wait_for_step(client, client.fine_tuning.jobs.retrieve(job_id), seen)
        assert stop(tmp_path)
        assert training_processes(tmp_path) == []
    service = connect(home=tmp_path)
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        assert jobs.watch(client, job_id, every=0.3).status == "succeeded"
        view = jobs.view(client, job_id)
    assert [step["step"] for step in view.steps] == list(range(1, 19))
    assert not any("意外结束" in event.message for event in view.events)
    stop(tmp_path)


def test_a_paused_job_stands_still_and_goes_on_from_there(client, service, upload):
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 2)
    assert client.fine_tuning.jobs.pause(job.id).paused
    wait_until_workers_end(job)
    paused = losses(client, job)
    time.sleep(1)
    assert losses(client, job) == paused
    client.fine_tuning.jobs.resume(job.id)
    done = jobs.watch(client, job.id, every=0.3)
    assert done.status == "succeeded"
    # No step is lost or repeated.
    steps = [step for step, _ in losses(client, job)]
    assert steps == list(range(1, len(steps) + 1))


def test_a_cancelled_job_stops_and_leaves_no_model(client, service, upload):
    before = {model.id for model in client.models.list()}
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 1)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    wait_until_workers_end(job)
    assert client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model is None
    assert {model.id for model in client.models.list()} == before


def leftovers(job):
    """Return what is left of a job in the data folder once the service has tidied up."""
    wait_until_workers_end(job)
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
        assert leftovers(job) == []
        assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
        with pytest.raises(openai.BadRequestError, match="cancelled"):
            client.fine_tuning.jobs.resume(job.id)


def test_a_job_cancelled_long_after_its_process_paused_leaves_no_folder(client, service, upload):
    job = launch(client, service.base_model, upload)
    wait_for_step(client, job, 2)
    client.fine_tuning.jobs.pause(job.id)
    wait_until_workers_end(job)
    # Its state, from which it would go on if it were resumed.
    assert Home(home()).job_folder(job.id).is_dir()
    client.fine_tuning.jobs.cancel(job.id)
    assert leftovers(job) == []


def test_a_file_in_use_stays_and_the_job_is_named(client, service, upload):
    job = launch(client, service.base_model, upload)
    with pytest.raises(openai.ConflictError, match=job.id):
        client.files.delete(upload.id)
    client.fine_tuning.jobs.cancel(job.id)
    assert client.files.delete(upload.id).deleted


def test_a_model_that_is_deleted_while_it_answers_finishes_its_answer(client, service, upload):
    job = train(client, service.base_model, upload, n_epochs=1)
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
    assert leftovers(job) == []
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**question)


def test_an_idle_service_ends_by_itself_but_never_before_its_jobs(tmp_path, row):
    serve = [sys.executable, "-m", "cookbook", "serve", "--idle", "0.5", "--home", str(tmp_path)]
    store = Store(Home(tmp_path).database)
    content = data.to_jsonl([row(user=f"第{i}个问题") for i in range(16)])
    file = store.add_file("a.jsonl", "fine-tune", content)
    fields = {
        "base": "cookbook/tiny-zh",
        "training_file": file.id,
        "hyperparameters": Hyperparameters(n_epochs=1).to_dict(),
    }
    done = add_job(store, **fields, model="ft:a")
    paused = add_job(store, **fields, model="ft:b")
    store.request_state(paused.id, "pause", "Paused")
    served = subprocess.run(serve, capture_output=True, text=True, timeout=170)
    assert served.returncode == 0
    assert "0.5 秒没有请求" in served.stderr
    assert store.job(done.id).status == "succeeded"
    # A paused job does not keep the service awake.
    assert store.job(paused.id).status == "queued"


@pytest.mark.parametrize("max_running, started", [(1, [[1], [2]]), (2, [[1, 2], [0]])])
def test_jobs_start_in_order_as_many_as_are_allowed_and_interrupted_ones_first(
    tmp_path, monkeypatch, max_running, started
):
    store = Store(Home(tmp_path).database)
    job_ids = [add_job(store, model=f"ft:{i}").id for i in range(4)]
    # One has waited from the start, two were interrupted, and the last will be paused.
    for job_id, status in zip(job_ids, ["queued", "running", "running", "queued"], strict=True):
        store.advance(job_id, status, status)
    store.request_state(job_ids[3], "pause", "Paused")
    supervisor = Supervisor(store, Home(tmp_path), max_running)

    def launch(job):
        supervisor._processes[job.id] = None

    monkeypatch.setattr(supervisor, "_launch", launch)
    for expected in started:
        supervisor._start_next()
        assert list(supervisor._processes) == [job_ids[i] for i in expected]
        for job_id in list(supervisor._processes):
            store.advance(job_id, "cancelled", "over")
        supervisor._processes.clear()


def test_what_a_killed_process_left_of_ended_jobs_is_swept_and_nothing_else(tmp_path):
    store = Store(Home(tmp_path).database)
    over = add_job(store, model="ft:a")
    alive = add_job(store, model="ft:b")
    store.advance(over.id, "running", "go")
    store.record(over, Checkpoint(1, 1, tmp_path / f"{over.id}-step_1", 1.0, None))
    store.advance(over.id, "cancelled", "stop")
    staying = [f"models/{over.id}-step_1", f"models/{alive.id}-step_1", f"jobs/{alive.id}"]
    # What the store does not know may be somebody's work; a whole adapter is found again.
    staying += [
        f"models/{over.id}-step_2",
        "models/ftjob-unknown-step_3",
        f"models/{over.id}-step_1 (copy)",
        "models/mine",
    ]
    swept = [f"models/{over.id}-step_2.part", f"jobs/{over.id}"]
    for name in staying + swept:
        (tmp_path / name).mkdir(parents=True)
    Supervisor(store, Home(tmp_path))._sweep()
    assert all((tmp_path / name).exists() for name in staying)
    assert not any((tmp_path / name).exists() for name in swept)


def test_a_job_whose_rows_are_cut_before_the_answer_fails_with_the_reason(client, service, upload):
    job = train(client, service.base_model, upload, max_tokens=8)
    assert job.status == "failed"
    assert job.error.code == "invalid_training_file"
    assert "max_tokens" in job.error.message


def test_jobs_wait_in_line_and_say_so(client, service, upload):
    first = launch(client, service.base_model, upload, n_epochs=1)
    second = launch(client, service.base_model, upload, n_epochs=1)
    wait_for_step(client, first, 1)
    assert "前面还有 1 个任务" in messages(client, second)[1]
    assert jobs.view(client, second.id).steps == []
    for job in (first, second):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_job_outlives_its_service(tmp_path, row):
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

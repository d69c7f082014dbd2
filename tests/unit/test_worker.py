"""The worker with a short stand-in for the training loop: no torch, no process."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import support

from cookbook import data
from cookbook.errors import BaseAway, DiskFull, Diverged, MemoryShort, ModelError
from cookbook.i18n import Text, in_language
from cookbook.memory import MemoryPlan, Remedies
from cookbook.paths import Home
from cookbook.service import worker, worker_log
from cookbook.service.events import Checkpoint, Finished, Planned, Started, Step
from cookbook.service.exit_codes import Exit
from cookbook.service.worker import RECORD, Stopping, run_job

TOTAL = 2


@pytest.fixture
def job(store, row):
    rows = [row(user=f"第{i}个问题") for i in range(12)]
    file = store.add_file("a.jsonl", "fine-tune", b"\xef\xbb\xbf" + data.to_jsonl(rows) + b"\n")
    return support.add_job(store, training_file=file.id, validation_split=0.25)


class Training:
    """Two steps and a checkpoint; `before` a kind of event something else happens."""

    def __init__(self, before=None, then=lambda: None):
        self.before, self.then, self.ended_by = before, then, None

    def __call__(self, base, train_rows, valid_rows, hyperparameters, *, folder, seed, level):
        self.level = level
        self.rows = (len(train_rows), len(valid_rows))
        try:
            for event in self.events(folder):
                if isinstance(event, self.before or ()):
                    self.then()
                yield event
        except BaseException as error:
            self.ended_by = type(error)
            raise

    def events(self, folder):
        for step in range(1, TOTAL + 1):
            (folder / f"step_{step}").mkdir(parents=True, exist_ok=True)
        yield Started(TOTAL, *self.rows, 0.5, 1, 1, 0.001, None)
        yield Step(1, TOTAL, 0.5, 2.0, None, 1e-4, 10, 1.0, 1.0)
        yield Checkpoint(1, 1, folder / "step_1", 2.0, None)
        yield Step(2, TOTAL, 1.0, 1.0, None, 1e-4, 20, 1.0, 0.0)
        yield Finished(2, folder / "step_2", 1.0, None, 7, 0.5, 0.5)


def adapters(home):
    return sorted(folder.name.split("-")[-1] for folder in home.models.glob("*"))


def test_a_job_runs_to_its_models_and_leaves_no_working_folder(store, home, job):
    training = Training()
    run_job(store, home, job, training)
    assert training.rows == (9, 3)
    assert store.job(job.id).status == "succeeded" and adapters(home) == ["step_1", "step_2"]
    assert not home.job_folder(job.id).exists()
    started = next(event for event in store.events(job.id) if event.step == 0)
    assert started.data["learning_rate_scale"] == 17


def test_an_adapter_of_a_job_that_is_cancelled_before_it_is_recorded_is_removed(store, home, job):
    cancel = Training(Finished, lambda: store.advance(job.id, "cancelled", "stop"))
    run_job(store, home, job, cancel)
    assert store.job(job.id).status == "cancelled" and adapters(home) == ["step_1"]


def test_a_paused_job_keeps_its_working_folder_and_the_step_under_way(store, home, job):
    pause = Training(Step, lambda: store.request_state(job.id, "pause", "Paused"))
    run_job(store, home, job, pause)
    assert pause.ended_by is GeneratorExit
    assert store.job(job.id).status == "running" and home.job_folder(job.id).exists()
    assert [e.step for e in store.events(job.id) if e.type == "metrics"] == [1]


def test_training_saves_no_state_beyond_an_event_that_could_not_be_recorded(
    store, home, job, monkeypatch
):
    def full(*_):
        raise DiskFull(zh="磁盘满了", en="the disk is full")

    training = Training(Step, lambda: monkeypatch.setattr(store, "record", full))
    with pytest.raises(DiskFull):
        run_job(store, home, job, training)
    assert training.ended_by is DiskFull and store.job(job.id).status == "running"


def test_an_adapter_that_was_moved_before_a_kill_is_recorded_the_next_time(store, home, job):
    moved = home.model_folder(f"{job.id}-step_1")
    moved.mkdir(parents=True)
    (moved / "whole").touch()
    run_job(store, home, job, Training())
    assert (moved / "whole").exists() and len(store.models(job.id)) == 2


@pytest.mark.parametrize("place", ["job_folder", "model_folder"])
def test_a_job_never_writes_through_a_link(store, home, job, place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    name = job.id if place == "job_folder" else f"{job.id}-step_2"
    link = getattr(home, place)(name)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    run_job(store, home, job, Training())
    job = store.job(job.id)
    assert job.status == "failed" and link.name in job.error["message"]
    assert not list(elsewhere.iterdir())


def test_a_training_that_diverges_fails_with_its_code(store, home, job):
    def diverge():
        raise Diverged(zh="发散了", en="diverged")

    run_job(store, home, job, Training(Step, diverge))
    assert store.job(job.id).error == {
        "code": "diverged",
        "message": "发散了",
        "message_en": "diverged",
        "param": "learning_rate",
    }
    assert not home.job_folder(job.id).exists()


def test_the_log_of_a_job_is_in_both_languages_whatever_the_process_speaks(store, home, job):
    def diverge():
        raise Diverged(zh="发散了", en="diverged")

    with in_language("en"):
        run_job(store, home, job, Training(Step, diverge))
    texts = [event.text for event in store.events(job.id)]
    assert texts[0] == Text("发散了", "diverged")
    assert Text("训练开始", "Fine-tuning job started") in texts


def test_each_training_process_has_a_log_of_its_own_and_the_newest_stay(tmp_path):
    home = Home(tmp_path)
    paths = []
    for number in range(worker_log.KEPT + 5):
        with worker_log.create(home) as log:
            log.write(f"ValueError: {number}\n".encode())
        # Names begin with the second in which they were made.
        older = Path(log.name).with_name(f"worker-{number:03}{worker_log.ENDING}")
        paths.append(Path(log.name).rename(older))
    assert sorted(home.worker_logs.iterdir()) == paths[-worker_log.KEPT :]
    assert "ValueError: 24" in str(worker_log.cause_of_end(paths[-1], 1))


def test_one_log_names_what_ran_and_keeps_no_process_from_starting(tmp_path):
    home = Home(tmp_path)
    worker_log.note(home, "ftjob-a starts")
    worker_log.note(home, "ftjob-a succeeded")
    first, second = home.worker_log.read_text(encoding="utf-8").splitlines()
    assert first.endswith(" ftjob-a starts") and second.endswith(" ftjob-a succeeded")
    home.worker_log.unlink()
    home.worker_log.mkdir()
    worker_log.note(home, "lost")


def test_a_log_that_cannot_be_made_keeps_no_process_from_starting(tmp_path):
    home = Home(tmp_path)
    home.worker_logs.write_text("a file in the place of the folder")
    with worker_log.create(home) as log:
        log.write(b"lost")
    worker_log.forget_empty(Path(log.name))
    assert (
        Path(os.devnull).exists() and worker_log.cause_of_end(Path(log.name), -9).kind == "memory"
    )


def test_an_empty_log_is_removed(tmp_path):
    home = Home(tmp_path)
    with worker_log.create(home) as log:
        pass
    worker_log.forget_empty(Path(log.name))
    assert not list(home.worker_logs.iterdir())


def raising(error):
    def fail():
        raise error(zh="现在不行", en="not now")

    return fail


@pytest.mark.parametrize("error, reason", [(BaseAway, Exit.NO_BASE), (MemoryShort, Exit.NO_MEMORY)])
def test_a_job_waits_for_what_may_pass_says_so_once_and_goes_on(store, home, job, error, reason):
    for _ in range(2):
        assert run_job(store, home, job, Training(Started, raising(error))) == reason
    assert store.job(job.id).status == "validating_files"
    assert [e.message for e in store.events(job.id)].count("现在不行。任务等待，之后自动继续") == 1
    assert run_job(store, home, job, Training()) == Exit.DONE
    assert store.job(job.id).status == "succeeded"


@pytest.mark.parametrize("error", [MemoryError, RuntimeError("CUDA out of memory. Tried")])
def test_a_training_that_cannot_get_more_memory_says_so_by_its_exit_code(store, home, job, error):
    def run_out():
        raise error

    assert run_job(store, home, job, Training(Checkpoint, run_out)) == Exit.OUT_OF_MEMORY
    assert store.job(job.id).status == "running" and home.job_folder(job.id).exists()


def test_a_training_process_offers_itself_to_the_kernel_where_there_is_one_to_ask(tmp_path):
    offer = tmp_path / "oom_score_adj"
    worker._offer_to_the_kernel(offer)
    assert offer.read_text() == "1000"
    worker._offer_to_the_kernel(tmp_path / "not" / "here")


def planned(needed, level=0):
    plan = MemoryPlan(needed, 10**9, "cpu", "float32", 512, 1, 0, 2, 128, level, 3 * 10**9)
    remedy = Remedies(False, 512, "Qwen/Qwen2.5-0.5B-Instruct", 2**30, 2**32)
    return Planned(dataclasses.replace(plan, remedy=remedy), longest=930)


class PlannedTraining(Training):
    """One that says first how much memory it needs."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan

    def events(self, folder):
        yield self.plan
        yield from super().events(folder)


@pytest.mark.parametrize("needed, status", [(2 * 10**9, "running"), (10**18, "failed")])
def test_what_does_not_fit_is_refused_before_the_base_is_read(store, home, job, needed, status):
    training = PlannedTraining(planned(needed))
    code = run_job(store, home, job, training)
    job = store.job(job.id)
    assert job.status == status and store.started_event(job.id) is None
    if status == "failed":
        assert (
            job.error["code"] == "out_of_memory" and "max_tokens 改成 512" in job.error["message"]
        )
    else:
        assert code == Exit.NO_MEMORY


def test_a_smaller_plan_is_asked_for_kept_and_told(store, home, job):
    store.plan_smaller(job.id, "too little", {})
    training = PlannedTraining(planned(1000, level=1))
    run_job(store, home, store.job(job.id), training)
    job = store.job(job.id)
    assert training.level == 1 and job.memory_plan["needed"] == 1000
    [event] = [e for e in store.events(job.id, limit=99) if "longest" in (e.data or {})]
    assert "更小的内存方案" in event.message and event.data["memory"]["level"] == 1


def test_a_job_whose_base_is_not_installed_keeps_waiting_in_the_queue(store, home, job):
    with store._database.write() as db:
        db.execute("UPDATE jobs SET base = 'my-base', status = 'queued'")
    training = Training()
    assert run_job(store, home, store.job(job.id), training) == Exit.NO_BASE
    assert store.job(job.id).status == "queued" and not hasattr(training, "rows")


def test_a_base_that_can_never_be_used_fails_a_new_job_but_not_one_that_has_trained(
    store, home, job
):
    never = Training(Started, raising(ModelError))
    state = home.job_folder(job.id) / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.touch()
    assert run_job(store, home, job, never) == Exit.NO_BASE
    assert store.job(job.id).finished_at is None and state.exists()
    shutil.rmtree(state.parent)

    def train(*_, **__):
        raise ModelError(zh="没有对话模板", en="no chat template")
        yield

    assert run_job(store, home, job, train) == Exit.DONE
    assert store.job(job.id).error["code"] == "model_unavailable"


def test_that_there_are_too_few_rows_is_said_once_however_often_the_job_starts(
    store, home, job, monkeypatch
):
    monkeypatch.setattr(data, "split", lambda rows, *_, **__: (rows, []))
    run_job(store, home, job, Training(Started, raising(MemoryShort)))
    run_job(store, home, job, Training())
    assert [e.message for e in store.events(job.id)].count(data.too_few(12)) == 1


def test_each_adapter_carries_the_record_it_can_be_found_again_by(store, home, job):
    run_job(store, home, job, Training())
    for model in store.models(job.id):
        path = home.model_folder(model.folder) / RECORD
        record = json.loads(path.read_text())
        assert (record["model"], record["job"], record["base"]) == (model.id, job.id, job.base)
        assert (record["step"], record["metrics"]) == (model.step, model.metrics)
        # It travels with the adapter: nothing of this machine is in it.
        assert str(home.folder) not in path.read_text()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_ends_the_training_after_its_step_with_a_state(store, home, job):
    before = signal.getsignal(signal.SIGTERM)
    stopping = Stopping()
    stopping.listen()
    try:
        training = Training(Checkpoint, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert run_job(store, home, job, training, stopping) == Exit.STOPPED
        assert training.ended_by is GeneratorExit and len(store.models(job.id)) == 1
        assert store.job(job.id).status == "running" and home.job_folder(job.id).exists()
        # Before the first event there is nothing to save.
        stopping = Stopping()
        stopping.listen()
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), signal.SIGTERM)
            stopping.listen()
        assert ended.value.code == Exit.STOPPED
    finally:
        signal.signal(signal.SIGTERM, before)

"""Find, watch and start jobs: the official client against the service's own routes, by socket."""

import _thread
import contextlib
import dataclasses
import importlib
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn
from openai import OpenAI

from cookbook import data, jobs
from cookbook.bases import Base
from cookbook.errors import JobNotFound, ServiceError
from cookbook.jobs import plot
from cookbook.jobs.fast.picture import RedrawnPicture
from cookbook.jobs.plot import Picture
from cookbook.jobs.view import JobView, StateLines, refresh
from cookbook.machine import GB
from cookbook.memory import MemoryPlan
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.events import Finished, Step
from cookbook.service.store import Store

# The package's attribute of this name is the function.
watching = importlib.import_module("cookbook.jobs.watch")


class Served:
    """The service's routes on a fixed port, without a trainer: the test writes the events."""

    def __init__(self, folder):
        self.path = folder / "service.db"
        self.store = Store(self.path)
        self.app = make_app(
            self.store,
            home=Home(folder),
            bases=[Base("tiny", "nowhere")],
            submit=None,
            api_key="test",
        )
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        settings = {"log_level": "critical", "timeout_graceful_shutdown": 1}
        self.server = uvicorn.Server(
            uvicorn.Config(self.app, host="127.0.0.1", port=self.port, **settings)
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = True
        self.thread.join()

    def step(self, job, *numbers, total=10):
        for n in numbers:
            metrics = {
                "step": n,
                "total_steps": total,
                "epoch": n / 5,
                "train_loss": 3 / n,
                "valid_loss": 3 / n if n % 5 == 0 else None,
                "learning_rate": 1e-4,
                "tokens_per_second": 1000.0,
                "seconds_left": total - n,
            }
            self.store.record(self.store.job(job.id), Step(**metrics, tokens=100 * n))

    def finish(self, job):
        job = self.store.job(job.id)
        self.store.advance(job.id, "running", "训练开始")
        self.store.record(job, Finished(10, Path("folder"), 1.0, None, 7, 1.0, 1.0))


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    if served.thread.is_alive():
        served.stop()


@pytest.fixture
def client(served):
    with OpenAI(
        base_url=f"http://127.0.0.1:{served.port}/v1", api_key="test", max_retries=0
    ) as client:
        yield client


@pytest.fixture
def upload(client, row):
    def upload(name="a.jsonl", word="问题"):
        content = data.to_jsonl([row(user=f"{word}{i}") for i in range(10)])
        return client.files.create(file=(name, content), purpose="fine-tune").id

    return upload


@pytest.fixture
def running(served, client, upload):
    def running(**options):
        job = client.fine_tuning.jobs.create(model="tiny", training_file=upload(), **options)
        served.store.advance(job.id, "running", "训练开始")
        return job

    return running


@contextlib.contextmanager
def meanwhile(*actions, after=0.4):
    """Each action in its turn, `after` seconds apart, while the block runs."""

    def act():
        for action in actions:
            time.sleep(after)
            action()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def until(condition):
    """Wait for what the other thread is about to do."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show: the outputs of the cell, each a list of its frames."""
    outputs = []

    def display(output, display_id=None):
        frames = []
        outputs.append(frames)

        def add(new):
            picture = isinstance(new, Picture)
            frames.append(new._repr_png_() if picture else (repr(new), new._repr_html_()))

        add(output)
        return SimpleNamespace(update=add)

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(watching, "_screen", watching._Notebook)
    return outputs


def request(training_file, **options):
    return {"model": "tiny", "training_file": training_file} | options


def values(**hp):
    return {"type": "supervised", "supervised": {"hyperparameters": hp}}


# Finding


def test_the_same_rows_uploaded_again_find_the_same_job(served, client, upload):
    job = client.fine_tuning.jobs.create(**request(upload()), suffix="one")
    assert jobs.find(client, **request(upload("other.jsonl"), suffix="two")).id == job.id
    assert jobs.find(client, **request(upload(word="别的"))) is None


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"method": values(n_epochs=4)},
        {"extra_body": {"validation_split": 0.2}},
        {"model": "other"},
    ],
)
def test_any_other_choice_is_another_job(client, upload, other):
    client.fine_tuning.jobs.create(**request(upload()))
    assert jobs.find(client, **request(upload()) | other) is None


def test_what_is_left_out_counts_as_the_default(client, upload):
    job = client.fine_tuning.jobs.create(**request(upload()))
    spelled = {
        "seed": 42,
        "method": values(n_epochs=3, lora_rank="auto"),
        "extra_body": {"validation_split": 0.1},
    }
    assert jobs.find(client, **request(upload()) | spelled).id == job.id


def test_a_validation_file_counts_by_its_content(client, upload):
    job = client.fine_tuning.jobs.create(**request(upload(), validation_file=upload(word="验证")))
    again = request(upload(), validation_file=upload("v.jsonl", word="验证"))
    assert jobs.find(client, **again).id == job.id
    assert jobs.find(client, **request(upload())) is None
    assert jobs.find(client, **request(upload(), validation_file=upload(word="其他"))) is None


def test_failed_and_cancelled_jobs_and_deleted_models_never_count(served, client, running):
    failed, cancelled, deleted = running(), running(), running()
    served.store.advance(
        failed.id, "failed", "坏了", error={"code": "x", "message": "坏了", "param": None}
    )
    client.fine_tuning.jobs.cancel(cancelled.id)
    served.finish(deleted)
    same = request(failed.training_file)
    assert jobs.find(client, **same).id == deleted.id
    client.models.delete(client.fine_tuning.jobs.retrieve(deleted.id).fine_tuned_model)
    assert jobs.find(client, **same) is None


def test_a_finished_job_comes_before_one_that_runs(served, client, running):
    done, going = running(), running()
    assert jobs.find(client, **request(done.training_file)).id == going.id
    served.finish(done)
    assert jobs.find(client, **request(done.training_file)).id == done.id


def test_every_page_of_the_jobs_is_looked_at(served, client, upload):
    first = client.fine_tuning.jobs.create(**request(upload()))
    for seed in range(120):
        if seed % 50 == 0:  # so many may not wait at once
            for job in served.store.unfinished():
                served.finish(job)
        client.fine_tuning.jobs.create(**request(first.training_file, seed=seed))
    assert jobs.find(client, **request(first.training_file, seed=42)) is not None
    assert jobs.find(client, **request(first.training_file)).seed == 42


def test_a_job_whose_file_was_deleted_is_not_taken_for_the_same(served, client, running, upload):
    job = running()
    served.finish(job)
    client.files.delete(job.training_file)
    assert jobs.find(client, **request(upload())) is None


# Watching


def test_an_unknown_job_is_explained(client):
    for look in (jobs.view, jobs.watch):
        with pytest.raises(JobNotFound, match="jobs.list"):
            look(client, "ftjob-nobody")


def test_a_service_that_never_answers_is_an_error_with_a_remedy():
    nowhere = OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x")
    with nowhere as client, pytest.raises(ServiceError, match="connect"):
        jobs.watch(client, "ftjob-x")


def test_a_running_job_is_followed_to_its_end(served, client, running, shown):
    job = running()
    served.step(job, 1, 2)
    with meanwhile(lambda: served.step(job, 3), lambda: served.finish(job)):
        assert jobs.watch(client, job.id, every=0.1).status == "succeeded"
    states, curves = shown
    first, last = states[0][1], states[-1][1]
    assert "step 2/10" in first and "还需约 8 秒" in first and "succeeded" in last
    assert curves[-1].startswith(b"\x89PNG")
    # Nothing is shown again where nothing changed.
    assert len(states) <= 4


def test_only_new_events_are_fetched(served, client, running):
    job = running()
    served.step(job, *range(1, 30), total=100)
    first = jobs.view(client, job.id)
    served.step(job, 30, total=100)
    asked = []
    counting = client.with_options()
    counting._client.event_hooks["request"].append(lambda r: asked.append(str(r.url)))
    again = refresh(counting, job.id, first)
    assert [s["step"] for s in again.steps] == list(range(1, 31)) and again.new == 1
    assert len(asked) == 2 and len(first.events) + 1 == len(again.events)


def test_several_jobs_share_one_picture_and_have_a_line_each(served, client, running, shown):
    one, two, never = running(suffix="one"), running(suffix="two"), running(suffix="never")
    served.step(one, 1, 2, 5)
    served.step(two, 1)
    served.finish(one)
    served.store.advance(
        two.id, "failed", "坏了", error={"code": "x", "message": "<坏了>", "param": None}
    )
    client.fine_tuning.jobs.cancel(never.id)
    ended = jobs.watch(client, [one.id, two.id, never.id])
    assert [job.status for job in ended] == ["succeeded", "failed", "cancelled"]
    states, curves = shown
    html = states[-1][1]
    assert html.count("█") and all(name in html for name in ("one", "two", "never", "&lt;坏了&gt;"))
    assert len(curves) == 1


def test_a_paused_job_says_so(served, client, running):
    job = running()
    served.step(job, 1)
    client.fine_tuning.jobs.pause(job.id)
    view = jobs.view(client, job.id)
    assert "(paused)" in view.headline and not view.time_left


@pytest.fixture
def interruptible():
    """A test run in the background may have been started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_detaches_and_never_cancels(served, client, running, shown, interruptible):
    job = running()
    served.step(job, 1)
    with meanwhile(lambda: until(lambda: shown), _thread.interrupt_main):
        assert jobs.watch(client, job.id, every=0.1).status == "running"
    assert "任务仍在进行" in shown[0][-1][1]
    assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
    served.finish(job)
    assert jobs.watch(client, job.id).status == "succeeded"


def test_a_service_that_comes_back_is_waited_for(served, client, running, shown):
    job = running()
    served.step(job, 1)

    def waiting():
        return shown and "没有应答" in shown[0][-1][1]

    with meanwhile(served.stop, lambda: until(waiting), served.start, lambda: served.finish(job)):
        assert jobs.watch(client, job.id, every=0.1).status == "succeeded"
    assert not waiting() and any("没有应答" in html for _, html in shown[0])


def test_a_service_that_stays_away_ends_in_a_sentence(served, client, running, shown):
    job = running()
    served.step(job, 1)
    with meanwhile(served.stop):
        assert jobs.watch(client, job.id, every=0.1, patience=0.5).status == "running"
    assert "再运行 connect() 那一格" in shown[0][-1][1] and len(shown[1]) >= 1


def test_a_job_that_vanishes_keeps_its_last_picture_and_the_others_go_on(
    served, client, running, shown
):
    job, other = running(), running()
    served.step(job, 1)

    def delete():
        with contextlib.closing(sqlite3.connect(served.path)) as db, db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

    with meanwhile(delete, lambda: served.finish(other)):
        ended = jobs.watch(client, [job.id, other.id], every=0.1)
    assert [one.status for one in ended] == ["running", "succeeded"]
    assert f"任务 {job.id} 不在服务里了" in shown[0][-1][1]


def test_a_clock_that_runs_backwards_disturbs_nothing(served, client, running, shown, monkeypatch):
    job, now = running(), iter(range(2_000_000_000, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(now))
    with meanwhile(lambda: served.step(job, 1, 2), lambda: served.finish(job)):
        assert jobs.watch(client, job.id, every=0.1).status == "succeeded"
    assert [s["step"] for s in jobs.view(client, job.id).steps] == [1, 2]


def test_in_a_terminal_new_events_are_lines(served, client, running, capsys):
    job = running()
    served.step(job, 1)
    with meanwhile(lambda: served.step(job, 2), lambda: served.finish(job)):
        jobs.watch(client, job.id, every=0.1)
    told = capsys.readouterr().out
    assert told.count("Step 2/10:") == 1 and told.count("训练完成") == 1 and "succeeded" in told


def test_in_a_terminal_a_wait_is_told_once(served, client, running, capsys):
    job = running()
    served.step(job, 1)
    with meanwhile(served.stop):
        jobs.watch(client, job.id, every=0.1, patience=1)
    told = capsys.readouterr().out
    assert told.count("没有应答") == 1 and told.count("Step 1/10:") == 1 and "connect()" in told


def test_one_job_asked_for_twice_is_drawn_once_and_given_twice(served, client, running, shown):
    job = running()
    served.finish(job)
    assert [one.id for one in jobs.watch(client, [job.id, job.id])] == [job.id, job.id]
    assert shown[0][-1][1].count(job.id) == 1


def event(kind="metrics", **facts):
    return SimpleNamespace(id=str(time.monotonic_ns()), type=kind, message="", data=facts)


def test_events_that_jump_repeat_or_lack_figures_are_drawn_all_the_same():
    events = [
        event("message", adapter_parameters=1, valid_loss=None),
        event(step=7, total_steps=9, train_loss=1.0),
        event(step=2, total_steps=9, train_loss=float("nan"), valid_loss=2.0, epoch=0.0),
        event(step=2, total_steps=9, train_loss=2.5, valid_loss=2.0, epoch=0.2),
        event(step=7, total_steps=9, train_loss=float("inf"), seconds_left=float("inf")),
        event(text="no step at all"),
    ]
    view = JobView(SimpleNamespace(id="j", status="running", user_provided_suffix=None), events)
    assert list(view.to_frame().index) == [2, 7] and view.to_frame().train_loss[2] == 2.5
    assert view.progress == (7, 9) and Picture([view.curve])._repr_png_() and view.figure().axes


def test_the_scales_hold_every_curve_and_no_negative_loss():
    view = JobView(SimpleNamespace(id="j", status="running", user_provided_suffix=None))
    for step, loss in ((1, 2.0), (2, 0.01), (3, 90.0)):
        view.events.append(event(step=step, total_steps=9, train_loss=loss, epoch=step / 3))
        axes = view.figure().axes[0]
        assert axes.get_xlim() == (0, 9)
        assert 0 <= axes.get_ylim()[0] <= loss < axes.get_ylim()[1]


def test_a_curve_knows_its_start_its_checkpoints_and_the_finished_model():
    events = [
        event("message", adapter_parameters=1, valid_loss=3.5),
        event(step=5, total_steps=10, train_loss=2.0),
        event("message", step=5),
        event(step=10, total_steps=10, train_loss=1.0),
        event("message", step=10, update_norm=1.0),
    ]
    job = SimpleNamespace(id="j", status="succeeded", user_provided_suffix=None)
    curve = JobView(job, events).curve
    assert (curve.start, curve.checkpoints, curve.finished) == (3.5, [5], 10)


@pytest.mark.parametrize(("name", "label"), [("任务", "任务"), ("b\n", "j"), ("🙂", "j")])
def test_the_id_takes_the_place_of_a_name_that_cannot_be_drawn(chinese_font, name, label):
    job = SimpleNamespace(id="j", status="succeeded", user_provided_suffix=name)
    assert repr(Picture([JobView(job).curve])) == f"<Figure of {label}>"


def test_the_id_takes_the_place_of_a_chinese_name_where_no_font_draws_it(no_chinese_font):
    job = SimpleNamespace(id="j", status="succeeded", user_provided_suffix="任务")
    assert repr(Picture([JobView(job).curve])) == "<Figure of j>"


def curve_of(name, steps, *, total=60, scale=1.0, start=None):
    """A job after some steps: its loss falls, checkpoints are kept, the last step finishes it."""
    events = [event("message", adapter_parameters=1, valid_loss=start)]
    for n in range(1, steps + 1):
        loss = scale * (3 * np.exp(-n / 9) + 1 + 0.1 * np.sin(3 * n))
        measured = {
            "train_loss": loss,
            "valid_loss": loss if n % 15 == 0 else None,
            "learning_rate": 1e-4 * min(1, n / 20),
            "tokens_per_second": 900 + 9.0 * n,
        }
        events.append(event(step=n, total_steps=total, epoch=n / 15, **measured))
        if n % 15 == 0:
            kept = {"update_norm": 1.0} if n == total else {}
            events.append(event("message", step=n, **kept))
    job = SimpleNamespace(id=name, status="running", user_provided_suffix=None)
    return JobView(job, events).curve


def test_a_redrawn_picture_equals_one_drawn_whole_while_curves_grow():
    redrawn = RedrawnPicture()
    kept = []
    # One job, then several; the losses of the last leave the axes on the legend's side.
    rounds = [[curve_of("a", n, start=4.2)] for n in (0, 1, 2, 25, 26, 27, 28, 40, 60)]
    rounds += [[curve_of("a", 60), curve_of("b", n, scale=1.2)] for n in (0, 40, 41, 60)]
    rounds += [[curve_of("a", 60), curve_of("b", 60), curve_of("c", 60, total=90, scale=3.0)]]
    before = None
    for curves in rounds:
        redrawn.curves = curves
        pixels = np.asarray(redrawn.image())
        # No tolerance: the same renderer draws the same artists in the same order on the same
        # pixels, so not even an anti-aliased dot may differ.
        assert np.array_equal(pixels, np.asarray(Picture(curves).image()))
        kept.append(redrawn._axes is before)
        before = redrawn._axes
    # Both cases were met: limits that change, and limits that stay.
    assert 5 <= sum(kept) <= len(kept) - 5


def test_a_redrawn_picture_that_was_interrupted_is_whole_the_next_time(monkeypatch):
    redrawn = RedrawnPicture([curve_of("a", 30)])
    whole = redrawn._repr_png_()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("matplotlib.lines.Line2D.draw", interrupt)
        redrawn._repr_png_()
    assert redrawn._repr_png_() == whole


def test_the_layout_of_a_growing_curve_seldom_changes():
    layouts = {plot.layout([curve_of("a", n)]) for n in range(1, 61)}
    assert len(layouts) < 30


@pytest.mark.parametrize(("switch", "kind"), [("1", RedrawnPicture), ("0", Picture)])
def test_watching_draws_quickly_unless_that_is_switched_off(monkeypatch, switch, kind):
    monkeypatch.setenv("COOKBOOK_FAST", switch)
    assert type(watching._Notebook()._picture) is kind


def test_what_the_reader_typed_is_text_in_the_lines():
    job = SimpleNamespace(id="j", status="running", user_provided_suffix="<b>")
    assert "<b><b>" not in StateLines([JobView(job)], note="<i>")._repr_html_()
    assert "&lt;i&gt;" in StateLines([JobView(job)], note="<i>")._repr_html_()


# Buttons


def test_the_start_button_starts_once_however_often_it_is_pressed(client, upload):
    start = jobs.StartButton(client, **request(upload()))
    assert start.job is None and "cookbook-start" in start.button._dom_classes
    assert start._repr_mimebundle_()["text/plain"] == "[ 开始微调 ]"
    for _ in range(3):
        start.button.click()
    assert [job.id for job in client.fine_tuning.jobs.list()] == [start.job.id]
    assert start.job.id in start.message.value and start.button.disabled
    assert jobs.find(client, **request(upload())).id == start.job.id


def test_the_start_button_offers_the_job_that_is_there(client, upload):
    job = client.fine_tuning.jobs.create(**request(upload()))
    start = jobs.StartButton(client, **request(upload()))
    start.button.click()
    assert start.job.id == job.id and "不再训练一遍" in start.message.value


def test_a_refused_start_is_explained_and_can_be_tried_again(client, upload):
    start = jobs.StartButton(client, **request("file-nobody"))
    start.button.click()
    assert "没有文件" in start.message.value and start.job is None and not start.button.disabled


def test_the_cancel_button_cancels_and_leaves_ended_jobs_alone(client, running):
    job = running()
    cancel, again = jobs.CancelButton(client, job.id), jobs.CancelButton(client, job.id)
    cancel.button.click()
    again.button.click()
    assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
    assert "已取消" in cancel.message.value and "已经结束" in again.message.value


def test_a_running_job_shows_its_newest_memory_plan_and_one_that_has_ended_does_not():
    first = MemoryPlan(3 * GB, 6 * GB, "cpu", "bfloat16", 512, 2, 0, 24, 128)
    smaller = dataclasses.replace(first, needed=2 * GB, level=1)
    events = [event("message", memory=dataclasses.asdict(plan)) for plan in (first, smaller)]
    events.append(event("message", memory={"of": "another service"}))
    job = SimpleNamespace(id="j", status="running", user_provided_suffix=None)
    view = JobView(job, [*events, event(step=1, total_steps=2)])
    assert view.memory == str(smaller) and view.memory in StateLines([view])._repr_html_()
    job.status = "succeeded"
    assert view.memory == ""

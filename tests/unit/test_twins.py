"""Equal trainings are one: who takes over what, with a short stand-in for the training loop."""

import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
import support

from cookbook import data, disk
from cookbook.bases import Base, find
from cookbook.errors import DiskFull, Diverged
from cookbook.i18n import in_language
from cookbook.service import fingerprint as equality
from cookbook.service import twins
from cookbook.service.app import make_app
from cookbook.service.events import Checkpoint, Finished, Started, Step
from cookbook.service.fingerprint import fingerprint, fingerprint_of
from cookbook.service.recovery import find_models, unexplained
from cookbook.service.supervisor import DISK, Supervisor
from cookbook.service.turns import Places
from cookbook.service.worker import RECORD, run_job

TINY = "cookbook/tiny-zh"
HP = {"n_epochs": 2, "learning_rate": 1e-4}


def train(base, train_rows, valid_rows, hyperparameters, *, folder, seed, level):
    """Two steps and a checkpoint."""
    for step in (1, 2):
        support.write_adapter(folder / f"step_{step}", step)
    yield Started(2, len(train_rows), len(valid_rows), 0.5, 1, 1, 0.001, None)
    yield Step(1, 2, 0.5, 2.0, None, 1e-4, 10, 1.0, 1.0)
    yield Checkpoint(1, 1, folder / "step_1", 2.0, None)
    yield Step(2, 2, 1.0, 1.0, 1.5, 1e-4, 20, 1.0, 0.0)
    yield Finished(2, folder / "step_2", 1.0, 1.5, 7, 0.5, 0.5)


def train_too_fast(base, train_rows, valid_rows, hyperparameters, **_):
    yield Started(2, len(train_rows), len(valid_rows), 0.5, 1, 1, 0.001, None)
    yield Step(1, 2, 0.5, 16.0, None, 0.1, 10, 1.0, 1.0)
    raise Diverged(zh="第 2 步的梯度已经不是数字", en="the gradients of step 2 are no numbers")


class Queue(Supervisor):
    """A supervisor whose jobs train when the test says so."""

    def __init__(self, store, home, **options):
        super().__init__(store, home, **options)
        self.launched = []

    def _launch(self, job):
        self.launched.append(job.id)
        self._processes[job.id] = SimpleNamespace(
            poll=lambda: None, memory=SimpleNamespace(look=lambda: None)
        )
        self._store.advance(job.id, "running", "go")

    def tick(self):
        self._tick()
        return self.launched

    def finish(self, job):
        """Train the job that was started, to its end."""
        run_job(self._store, self._home, self._store.job(job.id), train)
        self._processes.pop(job.id)

    def diverge(self, job):
        """Train the job until its loss is no number any more."""
        run_job(self._store, self._home, self._store.job(job.id), train_too_fast)
        self._processes.pop(job.id)

    def end(self, job, status):
        self._store.advance(job.id, status, status)
        self._processes.pop(job.id)


@pytest.fixture
def queue(store, home):
    return Queue(store, home, reuse=True)


@pytest.fixture
def content(row):
    return data.to_jsonl([row(user=f"第{i}个问题") for i in range(8)])


@pytest.fixture
def add(store, content):
    """Add a job as the route does, by default the same as every other."""

    def add(owner="Ann", *, rows=content, **fields):
        mine = store.of(owner)
        file = mine.add_file(f"{owner}.jsonl", "fine-tune", rows)
        usual = {"seed": 1, "validation_split": 0.25, "hyperparameters": HP}
        asked = usual | {"training_file": file.id, "validation_file": None} | fields
        equal = {name: asked[name] for name in asked if name not in ("suffix", "metadata", "base")}
        found = fingerprint(store, find(asked.get("base", TINY)), **equal)
        # Random letters keep the names of two models apart.
        model = f"ft:LoRA/{TINY}:{owner}:task:{file.id[5:]}"
        return support.add_job(mine, **asked, model=model, fingerprint=found)

    return add


def told(store, job):
    """Return the events of a job that its reader sees, the oldest first."""
    return list(reversed(store.events(job.id, limit=100)))


def files_of(home, model):
    return {path.name: path.read_bytes() for path in home.model_folder(model.folder).iterdir()}


# Which jobs are equal


def test_equal_is_what_learns_the_same_whatever_it_is_called(store, add, content):
    first = add()
    same = add("Bob", suffix="other", metadata={"a": "b"})
    assert first.fingerprint and first.fingerprint == same.fingerprint
    assert fingerprint_of(store, first) == first.fingerprint
    others = [
        add(rows=content + b"\n"),
        add(seed=2),
        add(validation_split=0.5),
        add(hyperparameters=HP | {"n_epochs": 3}),
        add(validation_file=store.add_file("v", "fine-tune", content).id),
    ]
    assert len({job.fingerprint for job in [first, *others]}) == 6


def test_a_share_held_back_does_not_count_beside_a_file_for_it(store, add, content):
    valid = store.add_file("v", "fine-tune", content).id
    jobs = [add(validation_file=valid, validation_split=share) for share in (0.1, 0.2)]
    assert jobs[0].fingerprint == jobs[1].fingerprint


def test_files_of_older_releases_have_their_digest_from_their_content(store, add):
    before = add().fingerprint
    with store._database.write() as db:
        db.execute("UPDATE files SET digest = NULL")
    assert fingerprint_of(store, store.unfinished()[0]) == before


def test_another_way_of_computing_or_another_release_is_not_equal(add, monkeypatch):
    found = {add().fingerprint}
    with monkeypatch.context() as patch:
        patch.setenv("COOKBOOK_FAST", "0")
        found.add(add().fingerprint)
    with monkeypatch.context() as patch:
        patch.setenv("COOKBOOK_DEVICE", "cuda")
        found.add(add().fingerprint)
    monkeypatch.setattr(equality, "__version__", "0.0.0")
    assert len(found | {add().fingerprint}) == 4


def test_a_base_whose_files_changed_is_another_one(store, add, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"1234")
    job = add()

    def now():
        fields = ("training_file", "validation_file", "validation_split", "seed", "hyperparameters")
        asked = {name: getattr(job, name) for name in fields}
        return fingerprint(store, Base("mine", str(folder)), **asked)

    before = now()
    assert before == now() != job.fingerprint
    os.utime(folder / "model.safetensors", ns=(1, 1))
    changed = now()
    (folder / "model.safetensors").write_bytes(b"12345")
    assert len({before, changed, now()}) == 3
    shutil.rmtree(folder)
    assert now() is None


def test_a_deleted_file_or_a_base_that_is_not_there_yet_equals_nothing(store, add):
    job = add()
    asked = {"validation_split": 0.1, "seed": 1, "hyperparameters": HP}
    for base, file in ((find(TINY), "file-x"), (Base("a/b", "a/b"), job.training_file)):
        given = {"training_file": file, "validation_file": None}
        assert fingerprint(store, base, **given, **asked) is None


# Taking over


def test_an_equal_job_has_all_that_a_training_of_its_own_would_have_left(store, home, queue, add):
    first, second = add("Ann"), add("Bob", suffix="task")
    assert queue.tick() == [first.id]
    queue.finish(first)
    assert queue.tick() == [first.id]
    done, twin = store.job(second.id), store.job(first.id)
    assert done.status == "succeeded" and done.trained_tokens == twin.trained_tokens == 7
    assert store.is_taken_over(done.id) and not store.is_taken_over(twin.id)

    # The same figures of each step.
    steps = [[(e.step, e.data) for e in told(store, job) if e.step] for job in (first, second)]
    assert steps[0] == steps[1] and len(steps[0]) == 3
    assert told(store, second)[-1].data == told(store, first)[-1].data

    # Models with names of its own, in folders of its own, of the same bytes.
    own, theirs = store.of("Bob").models(done.id), store.of("Ann").models(twin.id)
    assert [model.id for model in own] == [done.model, f"{done.model}-ckpt_step_1"]
    for mine, other in zip(own, theirs, strict=True):
        assert (mine.folder, mine.owner) == (f"{done.id}-step_{mine.step}", "Bob")
        assert (mine.metrics, mine.step, mine.base) == (other.metrics, other.step, other.base)
        my_files, their_files = files_of(home, mine), files_of(home, other)
        record = json.loads(my_files.pop(RECORD))
        assert (record["job"], record["model"], record["step"]) == (done.id, mine.id, mine.step)
        assert json.loads(their_files.pop(RECORD))["job"] == twin.id
        card, other_card = my_files.pop("README.md"), their_files.pop("README.md")
        # It tells of the reader's own file and task; the figures are the same.
        assert b"Bob.jsonl" in card and b"# `task`" in card
        figures = [line for line in card.splitlines() if b"token" in line or b"loss" in line]
        assert figures and set(figures) < set(other_card.splitlines())
        assert my_files == their_files
    # Nothing is left to tidy up or to find again.
    assert not list(home.models.glob("*.part")) and not unexplained(store, home)


def test_it_is_said_openly_once_and_names_nobody(store, home, queue, add):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)
    queue.tick()
    events = told(store, second)
    [said] = [event for event in events if (event.data or {}).get("taken_over")]
    assert "没有重新训练" in said.message and "seed" in said.message
    texts = [event.message + json.dumps(event.data) for event in events]
    for folder in home.models.glob(f"{second.id}*"):
        texts += [(folder / name).read_text() for name in ("README.md", RECORD)]
    for other in ("Ann", first.id, store.job(first.id).model, first.training_file):
        assert not any(other in text for text in texts)


def test_either_can_be_deleted_and_leaves_the_other_whole(store, home, queue, add):
    jobs = [add("Ann"), add("Bob"), add("Eve")]
    queue.tick()
    queue.finish(jobs[0])
    queue.tick()
    left = files_of(home, store.models(jobs[1].id)[0])
    for job in (jobs[0], jobs[2]):
        for model in store.models(job.id):
            shutil.rmtree(home.model_folder(model.folder))
            store.delete_model(model.id)
    assert files_of(home, store.models(jobs[1].id)[0]) == left
    # The result goes on from the one that is left.
    last = add("Zoe")
    queue.tick()
    assert store.job(last.id).status == "succeeded" and queue.launched == [jobs[0].id]


def test_where_a_disk_has_no_hard_links_files_are_copied(store, home, queue, add, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)
    queue.tick()
    weights = [
        home.model_folder(store.models(job.id)[0].folder) / "adapter_model.safetensors"
        for job in (first, second)
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes() and not weights[0].samefile(
        weights[1]
    )


def test_too_few_rows_to_hold_any_back_are_told_as_ever(store, queue, add, row):
    rows = data.to_jsonl([row()])
    first, second = (add(name, rows=rows, validation_split=0.1) for name in ("Ann", "Bob"))
    queue.tick()
    queue.finish(first)
    queue.tick()
    for job in (first, second):
        assert data.too_few(1) in [event.message for event in told(store, job)]


# Waiting for one another


def test_an_equal_job_waits_for_the_one_that_trains_and_says_so_once(store, queue, add):
    first, second, other = add("Ann"), add("Bob"), add("Eve", seed=2)
    for _ in range(3):
        queue.tick()
    waits = [e for e in told(store, second) if (e.data or {}).get("waiting_for") == "twin"]
    assert len(waits) == 1 and queue.launched == [first.id]
    places = Places(store.of("Bob"))
    # It needs one training to end, as the next one does.
    assert [places.ahead(store.job(job.id)) for job in (second, other)] == [1, 1]
    queue.finish(first)
    assert queue.tick() == [first.id, other.id]
    assert store.job(second.id).status == "succeeded"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_when_the_one_that_trains_ends_badly_the_next_trains_itself(store, queue, add, end):
    first, second, third = (add(name) for name in ("Ann", "Bob", "Eve"))
    queue.tick()
    queue.end(first, end)
    assert queue.tick() == [first.id, second.id]
    queue.finish(second)
    queue.tick()
    assert not store.is_taken_over(second.id) and store.is_taken_over(third.id)


def test_a_paused_one_keeps_nobody_waiting_and_takes_over_when_it_goes_on(store, home, queue, add):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    store.request_state(first.id, "pause", "wait")
    home.job_folder(first.id).mkdir(parents=True)
    store.record(store.job(first.id), Started(2, 6, 2, 0.5, 1, 1, 0.001, None))
    del queue._processes[first.id]
    assert queue.tick() == [first.id, second.id]
    queue.finish(second)
    queue.tick()
    assert store.job(first.id).status == "running"
    store.request_state(first.id, "run", "go on")
    assert queue.tick() == [first.id, second.id]
    assert store.job(first.id).status == "succeeded" and store.is_taken_over(first.id)
    assert len([e for e in told(store, first) if e.type == "metrics"]) == 2
    assert not home.job_folder(first.id).exists()


def test_a_paused_or_cancelled_job_takes_nothing_over(store, home, queue, add):
    first, paused, cancelled = (add(name) for name in ("Ann", "Bob", "Eve"))
    queue.tick()
    queue.finish(first)
    store.request_state(paused.id, "pause", "wait")
    store.advance(cancelled.id, "cancelled", "no")
    # Also where that happens in the very moment.
    assert not queue._twins.take_over(paused) and not queue._twins.take_over(cancelled)
    queue.tick()
    assert [store.job(job.id).status for job in (paused, cancelled)] == ["queued", "cancelled"]
    assert len(list(home.models.iterdir())) == 2


def test_the_one_whose_turn_comes_first_trains_for_the_others(store, queue, add):
    flood = [add("Ann", seed=seed) for seed in range(5)]
    bob = add("Bob", seed=4)
    for expected in (flood[0], bob, flood[1]):
        assert queue.tick()[-1] == expected.id
        queue.finish(expected)
    queue.tick()
    assert store.is_taken_over(flood[4].id)


# What is not used


def gone(folder):
    shutil.rmtree(folder)


def cut_off(folder):
    path = folder / "adapter_model.safetensors"
    content = path.read_bytes()[:-1]
    path.unlink()
    path.write_bytes(content)


def linked(folder):
    path = folder / "adapter_config.json"
    target = folder.parent / "elsewhere"
    path.replace(target)
    path.symlink_to(target)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("damage", [gone, cut_off, linked])
def test_a_result_that_is_not_whole_is_not_used(store, home, queue, add, damage, step):
    first = add("Ann")
    queue.tick()
    queue.finish(first)
    damage(home.model_folder(f"{first.id}-step_{step}"))
    second, third = add("Bob"), add("Eve")
    assert queue.tick() == [first.id, second.id]
    queue.finish(second)
    queue.tick()
    assert store.is_taken_over(third.id)


def test_a_result_without_one_of_its_checkpoints_is_not_used(store, queue, add):
    first = add("Ann")
    queue.tick()
    queue.finish(first)
    store.delete_model(f"{first.model}-ckpt_step_1")
    second = add("Bob")
    assert queue.tick() == [first.id, second.id]


def test_a_base_that_changed_since_the_job_was_created_is_trained_on(
    store, queue, add, monkeypatch
):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)
    monkeypatch.setattr(equality, "_identity", lambda base: "other files")
    assert queue.tick() == [first.id, second.id]
    # Its fingerprint tells the truth from now on.
    assert store.job(second.id).fingerprint not in (None, first.fingerprint)


def test_what_cannot_be_copied_is_trained(store, home, queue, add, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "not allowed")

    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)
    monkeypatch.setattr(twins, "link", refuse)
    assert queue.tick() == [first.id, second.id]
    assert len(list(home.models.iterdir())) == 2


@pytest.mark.parametrize("where", ["link", "store"])
def test_on_a_full_disk_it_waits_like_any_job_and_leaves_nothing_half(
    store, home, queue, add, monkeypatch, where
):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)

    def full(*_):
        if where == "store":
            raise DiskFull(zh="磁盘满了", en="the disk is full")
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(*((twins, "link") if where == "link" else (store, "take_over")), full)
        for _ in range(3):
            queue.tick()
        assert queue.launched == [first.id] and not queue._waits.are_over(DISK)
    waits = [e for e in told(store, second) if (e.data or {}).get("waiting_for") == "no_room"]
    assert len(waits) == 1 and len(list(home.models.iterdir())) == 2
    queue._waits.end(DISK)
    queue.tick()
    assert store.job(second.id).status == "succeeded"


def test_a_kill_before_it_was_written_down_loses_and_doubles_nothing(
    store, home, queue, add, monkeypatch
):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)

    def kill(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        # A process that is killed tidies nothing up.
        patch.setattr(store, "take_over", kill)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(SystemExit):
            queue.tick()
    assert len(list(home.models.iterdir())) == 4
    # The next service finds the folders first, for their owner, and then takes over.
    find_models(store, home)
    again = Queue(store, home, reuse=True)
    again.tick()
    assert store.job(second.id).status == "succeeded" and not again.launched
    assert [model.step for model in store.of("Bob").models(second.id)] == [2, 1]
    assert not list(home.models.glob("*.part")) and not unexplained(store, home)


# The switch


def test_reuse_is_off_unless_it_is_asked_for_and_the_environment_can_always_forbid_it(
    store, home, add, monkeypatch
):
    first, second = add("Ann"), add("Bob")
    plain = Queue(store, home, max_running=2)
    assert plain.tick() == [first.id, second.id]
    assert twins.enabled(True) and not twins.enabled(False) and not twins.enabled(None)
    for value in ("0", ' "0" '):
        monkeypatch.setenv("COOKBOOK_REUSE", value)
        assert not twins.enabled(True) and not twins.enabled(None)
    monkeypatch.setenv("COOKBOOK_REUSE", "1")
    assert twins.enabled(True) and twins.enabled(None) and not twins.enabled(False)


def test_the_route_keeps_the_fingerprint_of_a_new_job(store, home, content):
    from fastapi.testclient import TestClient

    app = make_app(store, home=home, bases=[find(TINY)], submit=None, api_key="key")
    file = store.add_file("a.jsonl", "fine-tune", content)
    with TestClient(app, headers={"authorization": "Bearer key"}) as http:
        body = {"model": TINY, "training_file": file.id}
        answers = [
            http.post("/v1/fine_tuning/jobs", json=body | {"suffix": name}).json()
            for name in ("one", "two")
        ]
        assert [answer["jobs_ahead"] for answer in answers] == [0, 1]
        store.advance(answers[0]["id"], "running", "go")
        shown = http.get("/v1/fine_tuning/jobs").json()["data"]
    assert [job["jobs_ahead"] for job in shown] == [1, None]
    jobs = store.unfinished()
    assert jobs[0].fingerprint == jobs[1].fingerprint == fingerprint_of(store, jobs[0])


def test_a_disk_that_is_full_while_a_folder_is_copied_is_known_as_full(tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    support.write_adapter(tmp_path / "adapter", 1)
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "adapter", tmp_path / "copy", copy_function=full)
    assert disk.is_full(caught.value) and not disk.is_full(shutil.Error([("a", "b", "no")]))


def test_what_is_taken_over_is_said_in_both_languages(store, home, queue, add):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.finish(first)
    queue.tick()
    with in_language("en"):
        assert all(event.message.isascii() for event in told(store, store.job(second.id)))
    texts = [event.text.zh for event in told(store, store.job(second.id))]
    assert any(text.startswith("与这里已经训练过") for text in texts)


def test_what_has_diverged_once_is_not_trained_again(store, home, queue, add):
    first, second = add("Ann"), add("Bob")
    queue.tick()
    queue.diverge(first)
    assert queue.tick() == [first.id]
    failed, alike = store.job(first.id), store.job(second.id)
    assert alike.status == "failed" and alike.error == failed.error
    assert alike.error["code"] == "diverged" and store.is_taken_over(second.id)
    steps = [
        [event.data for event in told(store, job) if event.type == "metrics"]
        for job in (first, second)
    ]
    assert steps[0] == steps[1] != []
    assert "Ann" not in str(told(store, second)) and first.id not in str(told(store, second))
    assert not home.job_folder(second.id).exists()

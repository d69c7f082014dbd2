"""Something happens after each single write of a training process: the result is the same.

Likewise after each write of a service that gives a job the result of an equal one.

A process is forked for each moment. Its training is a stand-in that keeps its state on the disk as
`engine/train.py` does, with a figure that shows whether each step was done exactly once.
"""

import io
import json
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import support

from cookbook import data, disk
from cookbook.job_states import TERMINAL
from cookbook.paths import Home
from cookbook.service import worker
from cookbook.service.database import Database
from cookbook.service.events import Checkpoint, Finished, Started, Step
from cookbook.service.fingerprint import fingerprint_of
from cookbook.service.recovery import find_models, unexplained
from cookbook.service.store import Store
from cookbook.service.supervisor import Supervisor

EPOCHS, STEPS = 2, 2  # steps of an epoch
TOTAL = EPOCHS * STEPS
KILLED = 137
NO_LIMIT = 1 << 30

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def train(base, train_rows, valid_rows, hyperparameters, *, folder, seed, level):
    """Train as the engine does, on one number."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "state"
    state = {"step": 0, "weight": 1, "epoch_ended": False}
    if path.exists():
        state = json.loads(path.read_text())
    if state["step"] == 0:
        yield Started(TOTAL, len(train_rows), len(valid_rows), 0.5, 1, 1, 0.001, None)
    try:
        while True:
            if state["epoch_ended"]:
                adapter = save_adapter(folder, state)
                if state["step"] == TOTAL:
                    break
                state["epoch_ended"] = False
                epoch = state["step"] // STEPS
                yield Checkpoint(state["step"], epoch, adapter, state["weight"], None)
                disk.write(path, json.dumps(state).encode())
            state["step"] += 1
            state["weight"] = state["weight"] * 31 % 1009
            state["epoch_ended"] = state["step"] % STEPS == 0
            epoch = state["step"] / STEPS
            yield Step(state["step"], TOTAL, epoch, state["weight"], None, 1e-4, 10, 1.0, 1.0)
    except GeneratorExit:
        disk.write(path, json.dumps(state).encode())
        raise
    yield Finished(TOTAL, adapter, state["weight"], None, 7, 0.5, 0.5)


def save_adapter(folder, state):
    target = folder / f"step_{state['step']}"
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    (part / "weights").write_text(str(state["weight"]))
    support.write_adapter(part, state["weight"])
    disk.settle(part, target)
    return target


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cookbook.service.engine.train", SimpleNamespace(train=train))
    return tmp_path


def new_job(folder, row):
    """Make a data folder with one job of four steps."""
    store = Store(Home(folder).database)
    content = data.to_jsonl([row(user=f"第{i}个问题") for i in range(8)])
    file = store.add_file("a.jsonl", "fine-tune", content)
    job = support.add_job(store, training_file=file.id, validation_split=0.0)
    store.advance(job.id, "queued", "queued")
    return store, job


def watch_writes(after_write):
    """Call `after_write` after each commit, each move and each removal of this process."""
    database_write, replace, rmtree = Database.write, os.replace, shutil.rmtree

    @contextmanager
    def write(self):
        with database_write(self) as db:
            yield db
        after_write()

    def moved(*args):
        replace(*args)
        after_write()

    def removed(*args, **kwargs):
        rmtree(*args, **kwargs)
        after_write()

    Database.write, os.replace, shutil.rmtree = write, moved, removed


def train_in_a_process(home, job_id, happen=None, moments=()):
    """Run the training process to its end; return its exit code and how many writes it did.

    `happen` is called after the writes with the numbers in `moments`, counted from 1.
    """

    def train_it():
        sys.stdin = io.StringIO(job_id)
        return worker.main(home)

    return act_in_a_process(train_it, happen, moments)


def act_in_a_process(act, happen=None, moments=()):
    """Call `act`, which returns an exit code, in a process of its own; see above."""
    read, wrote = os.pipe()
    pid = os.fork()
    if pid == 0:
        count = 0

        def after_write():
            nonlocal count
            count += 1
            os.write(wrote, b".")
            if happen and count in moments:
                happen()

        code = 1
        try:
            watch_writes(after_write)
            code = act()
        except SystemExit as error:
            code = error.code
        finally:
            os._exit(code)
    os.close(wrote)
    with os.fdopen(read, "rb") as pipe:
        writes = len(pipe.read())
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), writes


def finish(store, home, job):
    """Start the process again until the job has ended, as the supervisor does, and tidy up."""
    for _ in range(3):
        if store.job(job.id).status in TERMINAL:
            break
        store.request_state(job.id, "run", "resumed")
        assert train_in_a_process(home, job.id)[0] == worker.Exit.DONE
    Supervisor(store, home)._sweep()


def result(store, home, job):
    """Return all that is left of a job: status, events, models, files, what no record explains."""
    told = [
        (event.type, event.message, event.step)
        for event in reversed(store.events(job.id, limit=100))
        if event.message not in ("paused", "resumed")
    ]
    adapters = {
        folder.name.removeprefix(job.id): (folder / "weights").read_text()
        for folder in home.models.glob("*")
    }
    models = [(model.id, model.step, model.metrics) for model in store.models()]
    working = sorted(path.name for path in home.jobs.iterdir() if path.is_dir())
    return store.job(job.id).status, told, adapters, models, working, unexplained(store, home)


@pytest.fixture
def unbroken(folder, row):
    """Return the result of a job that nothing disturbs, and the number of its writes."""
    store, job = new_job(folder / "unbroken", row)
    home = Home(folder / "unbroken")
    code, writes = train_in_a_process(home, job.id)
    assert code == worker.Exit.DONE and writes > 15
    found = result(store, home, job)
    assert found[0] == "succeeded" and len(found[1]) == 3 + 1 + TOTAL + EPOCHS
    return found, writes


def kill():
    os._exit(KILLED)


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("happen", [kill, stop])
def test_a_process_that_ends_after_any_write_changes_nothing(folder, row, unbroken, happen):
    expected, writes = unbroken
    for moment in range(1, writes + 1):
        home = Home(folder / str(moment))
        store, job = new_job(home.folder, row)
        code, _ = train_in_a_process(home, job.id, happen, [moment])
        assert code in (KILLED, worker.Exit.STOPPED, worker.Exit.DONE)
        finish(store, home, job)
        assert result(store, home, job) == expected, moment


def test_a_process_that_is_killed_again_and_again_still_ends(folder, row, unbroken):
    expected, writes = unbroken
    home = Home(folder / "again")
    store, job = new_job(home.folder, row)
    for moment in range(1, writes + 1):
        train_in_a_process(home, job.id, kill, [moment])
    finish(store, home, job)
    assert result(store, home, job) == expected


def test_a_pause_after_any_write_changes_nothing(folder, row, unbroken):
    expected, writes = unbroken
    for moment in range(1, writes + 1):
        home = Home(folder / str(moment))
        store, job = new_job(home.folder, row)

        def pause(home=home, job=job):
            # By another process, hence another connection.
            os.waitpid(
                fork_to(lambda: Store(home.database).request_state(job.id, "pause", "paused")), 0
            )

        train_in_a_process(home, job.id, pause, [moment])
        finish(store, home, job)
        assert result(store, home, job) == expected, moment


def test_a_job_that_is_cancelled_after_any_write_leaves_nothing_unrecorded(folder, row, unbroken):
    _, writes = unbroken
    for moment in range(1, writes + 1):
        home = Home(folder / str(moment))
        store, job = new_job(home.folder, row)

        def cancel(home=home, job=job):
            os.waitpid(fork_to(lambda: Store(home.database).advance(job.id, "cancelled", "no")), 0)

        assert train_in_a_process(home, job.id, cancel, [moment])[0] in (
            0,
            worker.Exit.NOTHING_TO_DO,
        )
        Supervisor(store, home)._sweep()
        status, _, adapters, models, working, left = result(store, home, job)
        assert status in ("cancelled", "succeeded") and working == left == []
        assert len(adapters) == len(models), moment


def fork_to(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return pid


# A result that is taken over


def new_twins(folder, row):
    """Make a data folder with a finished job, and one that waits and is equal to it."""
    store, first = new_job(folder, row)
    home = Home(folder)
    fields = {"training_file": first.training_file, "validation_split": 0.0}
    second = support.add_job(store.of("Bob"), **fields, model="ft:y", suffix="task")
    store.advance(second.id, "queued", "queued")
    for job in (first, second):
        store.keep_fingerprint(job.id, fingerprint_of(store, job))
    assert train_in_a_process(home, first.id)[0] == worker.Exit.DONE
    return store, home, second


def start_service(home):
    """Do what a service does at its start, and look at the queue once, training nothing."""
    store = Store(home.database)
    find_models(store, home)
    supervisor = Supervisor(store, home, max_running=0, reuse=True)
    supervisor._sweep()
    supervisor._tick()
    return 0


def result_of(store, home, job):
    """Return all that a job has taken over."""
    told = [(e.type, e.message, e.step, e.data) for e in store.events(job.id, limit=100)]
    models = []
    for model in store.of(job.owner).models(job.id):
        folder = home.model_folder(model.folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert json.loads(files.pop(worker.RECORD))["model"] == model.id
        assert model.folder == f"{job.id}-step_{model.step}"
        models.append((model.id, model.step, model.metrics, model.owner, files))
    job = store.job(job.id)
    folders = len(list(home.models.iterdir()))
    return job.status, job.trained_tokens, told, models, folders, unexplained(store, home)


def test_a_service_that_is_killed_while_a_job_takes_over_loses_and_doubles_nothing(folder, row):
    store, home, job = new_twins(folder / "unbroken", row)
    code, writes = act_in_a_process(lambda: start_service(home))
    expected = result_of(store, home, job)
    assert code == 0 and writes > 2 * EPOCHS
    assert expected[0] == "succeeded" and len(expected[3]) == EPOCHS and expected[4] == 2 * EPOCHS
    for moment in range(1, writes + 1):
        store, home, job = new_twins(folder / str(moment), row)
        killed, _ = act_in_a_process(lambda home=home: start_service(home), kill, [moment])
        assert killed == KILLED
        assert act_in_a_process(lambda home=home: start_service(home))[0] == 0
        assert result_of(store, home, job) == expected, moment

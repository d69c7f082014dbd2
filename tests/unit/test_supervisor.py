"""The queue without processes of its own: which job starts, which waits, and what is said of it."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import support

from cookbook import causes
from cookbook.errors import ClusterAway
from cookbook.machine import GB
from cookbook.memory import MemoryPlan
from cookbook.paths import Home
from cookbook.service import prewarmed
from cookbook.service import supervisor as module
from cookbook.service.events import Placed, Planned
from cookbook.service.exit_codes import Exit
from cookbook.service.neighbours import Trainings
from cookbook.service.out_of_memory import MemoryWatch
from cookbook.service.prewarmed import Prewarmed
from cookbook.service.store import Store
from cookbook.service.supervisor import CRASHES, DISK, Supervisor
from cookbook.service.trainers.here import Here
from cookbook.service.waits import LONGEST_WAIT_SECONDS
from cookbook.service.worker import job_lock

TINY, AWAY = "cookbook/tiny-zh", "my-base"


class Process:
    """A training process that ends with `code` when it is told to, having said `output`."""

    def __init__(self):
        self.code, self.output = None, b""
        self.memory = MemoryWatch(os.getpid())
        self.memory.look()

    def poll(self):
        return self.code

    def cause_of_end(self, code):
        return causes.cause_of_output(self.output, code)

    def forget_empty_log(self):
        pass


class Trainer(Here):
    """A trainer whose cluster is away where a test says so."""

    away = None

    def fault(self):
        return self.away


@pytest.fixture
def queue(store, tmp_path, monkeypatch):
    """A supervisor that is ticked by the test, with a clock that the test moves."""
    loaded = []  # idle bases of chat, which are given back when they are asked for

    def unload():
        given, loaded[:] = list(loaded), []
        return given

    trainer = Trainer()
    queue = Supervisor(
        store, Home(tmp_path), max_running=1, unload_idle_bases=unload, trainer=trainer
    )
    queue.loaded, queue.trainer = loaded, trainer
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def launch(job):
        queue._looked_for.discard(job.id)
        queue._processes[job.id] = Process()
        store.advance(job.id, "running", "go")

    def wait(seconds):
        clock[0] += seconds
        queue._tick()

    def end(job, code, output=b""):
        process = queue._processes[job.id]
        process.code, process.output = code, output
        queue._tick()

    monkeypatch.setattr(queue, "_launch", launch)
    queue.wait, queue.end = wait, end
    return queue


def add_job(store, base=TINY):
    file = store.add_file("a.jsonl", "fine-tune", b"{}")
    hp = {"max_tokens": 4096}
    return support.add_job(store, base=base, training_file=file.id, hyperparameters=hp)


def said(store, job, cause):
    """Return how often the job's log says that it waits for this."""
    events = store.events(job.id, limit=100)
    return sum((event.data or {}).get("waiting_for") == cause for event in events)


def test_a_job_whose_base_is_away_waits_says_so_once_and_lets_others_run(store, queue):
    away, later, tiny = add_job(store, AWAY), add_job(store, AWAY), add_job(store)
    for _ in range(20):
        queue.wait(30)
    assert list(queue._processes) == [tiny.id]
    for job in (away, later):
        assert said(store, job, "no_base") == 1 and store.job(job.id).status == "queued"
    assert "COOKBOOK_BASE_MODEL" in store.events(away.id, limit=1)[0].message


def test_it_goes_on_when_the_base_is_back(store, queue, tmp_path, monkeypatch):
    job = add_job(store, AWAY)
    queue.wait(1)
    (tmp_path / AWAY).mkdir()
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(tmp_path / AWAY))
    queue.wait(1)
    assert not queue._processes
    queue.wait(module.WAIT_SECONDS)
    assert list(queue._processes) == [job.id]
    queue.end(job, Exit.STOPPED)
    # Away a second time, said a second time.
    monkeypatch.delenv("COOKBOOK_BASE_MODEL")
    queue.wait(module.STOPPED_SECONDS)
    assert said(store, job, "no_base") == 2


def test_jobs_that_wait_for_a_base_do_not_keep_the_service_alive(store, queue):
    job = add_job(store, AWAY)
    assert queue.busy
    queue.wait(1)
    assert not queue.busy
    add_job(store)
    assert queue.busy
    assert store.job(job.id).status == "queued"


@pytest.mark.parametrize("code", [Exit.NO_MEMORY, Exit.NO_BASE])
def test_what_a_process_waits_for_is_tried_ever_more_seldom_while_others_run(
    store, queue, monkeypatch, code
):
    monkeypatch.setattr(module, "find", lambda base: None)
    big, same = add_job(store, "big"), add_job(store, "big")
    queue.wait(0)
    queue.end(big, code)
    assert not queue._processes
    assert queue.busy == (code == Exit.NO_MEMORY)
    queue.wait(module.WAIT_SECONDS)
    assert list(queue._processes) == [big.id]
    queue.end(big, code)
    tiny = add_job(store)
    queue.wait(module.WAIT_SECONDS)
    assert list(queue._processes) == [tiny.id]
    store.advance(tiny.id, "succeeded", "done")
    queue.end(tiny, Exit.DONE)
    queue.wait(module.WAIT_SECONDS)
    assert list(queue._processes) == [big.id]
    store.advance(big.id, "succeeded", "done")
    queue.end(big, Exit.DONE)
    assert list(queue._processes) == [same.id] and store.job(same.id).crashes == 0


@pytest.mark.parametrize("code", [Exit.STOPPED, -signal.SIGTERM, -signal.SIGINT])
def test_being_stopped_is_no_crash(store, queue, code):
    job = add_job(store)
    for _ in range(2 * CRASHES):
        queue.wait(module.STOPPED_SECONDS)
        queue.end(job, code)
    assert (store.job(job.id).status, store.job(job.id).crashes) == ("running", 0)
    assert not any("意外" in event.message for event in store.events(job.id))


def test_deaths_without_progress_are_counted_and_end_the_job(store, queue):
    job = add_job(store)
    for _ in range(CRASHES):
        queue.wait(1)
        queue.end(job, -9)
    assert store.job(job.id).error["code"] == "worker_died"


def plan(needed, free=6 * GB):
    return MemoryPlan(needed, free, "cpu", "float32", 512, 1, 0, 2, 128)


def run_out(queue, store, job, code=-9, needed=4 * GB, output=b""):
    """Let the job's process plan so much memory, and end."""
    queue.wait(1)
    store.record(job, Planned(plan(needed), 930))
    queue.end(job, code, output)
    return store.job(job.id)


@pytest.mark.parametrize(
    "code, needed, output",
    [
        (Exit.OUT_OF_MEMORY, GB, b""),
        (-9, 4 * GB, b""),
        (137, 4 * GB, b""),
        (0xC0000017, GB, b""),
        (-6, GB, b"terminate called after throwing an instance of 'std::bad_alloc'"),
    ],
)
def test_a_job_that_ran_out_of_memory_is_planned_smaller_once_and_then_fails_with_remedies(
    store, queue, code, needed, output
):
    job = add_job(store)
    job = run_out(queue, store, job, code, needed, output)
    assert (job.status, job.memory_level, job.crashes) == ("running", 1, 0)
    event = store.events(job.id, limit=1)[0]
    assert event.level == "warn" and "更小的内存方案" in event.message
    assert f"约需 {needed / GB:.1f} GB，开始时空闲 6.0 GB" in event.message
    assert event.data["needed"] == needed and event.data["used"] > 0
    job = run_out(queue, store, job, code, needed, output)
    assert job.status == "failed" and job.error["code"] == "out_of_memory"
    for remedy in ("例如 465（最长的一条", f"比 {TINY} 小", "多于 6.0 GB", "4 bit"):
        assert remedy in job.error["message"]


def test_the_smaller_plan_survives_a_restart_of_the_service(store, queue, tmp_path):
    job = run_out(queue, store, add_job(store))
    again = Store(Home(tmp_path).database).job(job.id)
    assert (again.memory_level, again.memory_plan["needed"]) == (1, 4 * GB)


def test_a_kill_of_a_small_training_stays_a_crash_that_names_memory_as_its_likely_cause(
    store, queue
):
    job = run_out(queue, store, add_job(store), needed=GB)
    assert (job.memory_level, job.crashes) == (0, 1)
    assert "多半是内存不够" in store.events(job.id, limit=1)[0].message


def test_a_small_training_that_the_kernel_killed_for_memory_has_run_out(store, queue, monkeypatch):
    monkeypatch.setattr(MemoryWatch, "kernel_killed", True)
    assert run_out(queue, store, add_job(store), needed=GB).memory_level == 1


def test_chat_is_told_what_trains_and_what_that_will_still_take(store, queue):
    assert queue.trainings() == Trainings()
    job = add_job(store)
    queue.wait(1)
    assert queue.trainings() == Trainings((job.id,), 0)
    store.record(job, Planned(plan(4 * GB), 930))
    has = queue._processes[job.id].memory.now
    assert queue.trainings() == Trainings((job.id,), 4 * GB - has)


def test_the_prewarmed_process_is_given_back_to_whoever_asks(tmp_path, monkeypatch):
    ended = []
    process = SimpleNamespace(poll=lambda: None, give_back=lambda: ended.append(1))
    monkeypatch.setattr(prewarmed, "TrainingProcess", lambda home: process)
    waiting = Prewarmed(Home(tmp_path))
    assert not waiting.ask_back(seconds=0)
    waiting.request()
    waiting.keep(is_training=True)
    asking = threading.Thread(target=waiting.ask_back, args=(10,))
    asking.start()
    while asking.is_alive():
        waiting.keep(is_training=True)
    assert ended == [1] and not waiting.give_back()


@pytest.mark.parametrize("code", [-9, Exit.NO_MEMORY])
def test_chat_gives_up_its_idle_bases_before_a_job_waits_for_memory(store, queue, code):
    job = add_job(store)
    queue.loaded.append("my-base")
    run_out(queue, store, job, code)
    assert not queue.loaded and "my-base" in store.events(job.id, limit=1)[0].message
    queue.wait(1)
    assert list(queue._processes) == [job.id]
    # Nothing is left to give back: now it waits as for other programs.
    queue.end(job, Exit.NO_MEMORY)
    queue.wait(1)
    assert not queue._processes


def test_a_full_disk_is_said_once_and_tried_again(store, queue):
    job = add_job(store)
    for _ in range(3):
        queue.wait(module.WAIT_SECONDS)
        assert list(queue._processes) == [job.id]
        queue.end(job, Exit.NO_ROOM)
        assert not queue._waits.are_over(DISK)
    assert said(store, job, "no_room") == 1 and store.job(job.id).crashes == 0


def test_a_process_that_found_nothing_to_do_is_not_started_again_at_once(store, queue):
    job = add_job(store)
    queue.wait(1)
    queue.end(job, Exit.NOTHING_TO_DO)
    assert not queue._processes
    queue.wait(module.RETRY_SECONDS)
    assert list(queue._processes) == [job.id]


def test_no_job_starts_once_the_service_ends(store, queue):
    add_job(store)
    queue.stop()
    queue.wait(1)
    assert not queue._processes


def test_no_error_ends_the_queue(store, tmp_path, monkeypatch):
    queue, seen = Supervisor(store, Home(tmp_path)), []

    def tick():
        seen.append(1)
        if len(seen) == 3:
            queue.stop()
        raise KeyError("unexpected")

    monkeypatch.setattr(queue, "_tick", tick)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0)
    queue._run()
    assert len(seen) == 3


# A cluster

LARGE_PLAN = MemoryPlan(100 * GB, 200 * GB, "cpu", "float32", 1024, 8, 0, 2, 64)
GONE = ClusterAway(zh="Ray 集群没有回应", en="the Ray cluster does not answer")


def test_while_the_cluster_is_away_jobs_wait_say_so_once_and_start_when_it_is_back(store, queue):
    queue.trainer.away = GONE
    one, two = add_job(store), add_job(store)
    for _ in range(20):
        queue.wait(30)
    assert not queue._processes
    assert said(store, one, "no_cluster") == said(store, two, "no_cluster") == 1
    assert "Ray 集群没有回应" in store.events(one.id, limit=1)[0].message
    queue.trainer.away = None
    queue.wait(0)
    assert list(queue._processes) == [one.id]


@pytest.mark.parametrize("code", [1, -signal.SIGABRT, -signal.SIGKILL])
def test_a_process_that_ends_without_its_cluster_has_not_crashed(store, queue, code):
    job = add_job(store)
    queue.wait(0)
    queue.trainer.away = GONE
    queue.end(job, code, b"Failed to connect to GCS")
    assert store.job(job.id).crashes == 0 and said(store, job, "no_cluster") == 1
    queue.trainer.away = None
    queue.wait(module.WAIT_SECONDS)
    assert list(queue._processes) == [job.id]


def test_after_an_outage_however_long_jobs_start_at_once(store, queue):
    job = add_job(store)
    queue.wait(0)
    for _ in range(5):
        queue.end(job, Exit.NO_CLUSTER)
        queue.wait(LONGEST_WAIT_SECONDS)
    queue.end(job, Exit.NO_CLUSTER)
    queue.trainer.away = GONE
    queue.wait(1)
    assert not queue._processes
    queue.trainer.away = None
    queue.wait(1)
    assert list(queue._processes) == [job.id]


def test_a_job_that_lost_its_worker_starts_again_soon(store, queue):
    job = add_job(store)
    queue.wait(0)
    queue.end(job, Exit.WORKER_LOST)
    assert not queue._processes
    queue.wait(module.RETRY_SECONDS)
    assert list(queue._processes) == [job.id]


def test_no_more_jobs_seek_a_place_at_once_than_the_trainer_allows(store, queue):
    queue._max_running, queue.trainer.most_seeking = 10, 2
    first, second, third = [add_job(store) for _ in range(3)]
    queue.wait(0)
    assert list(queue._processes) == [first.id, second.id]
    store.record(second, Placed(("node-1",)))
    queue.wait(0)
    assert list(queue._processes) == [first.id, second.id, third.id]


def test_a_job_on_a_cluster_reserves_no_memory_here(store, queue):
    job = add_job(store)
    queue.wait(0)
    store.record(job, Planned(LARGE_PLAN, 10))
    assert queue.trainings().reserved > 0
    store.record(job, Placed(("node-1",)))
    assert queue.trainings().reserved == 0
    # Nor does its next process, which has no place yet: the plan was that of a node.
    store.forget_place(job.id)
    assert store.job(job.id).place is None and queue.trainings().reserved == 0


def placed(store, queue):
    """Return a job that trains on a node, by a plan that takes much of it."""
    job = add_job(store)
    queue.wait(0)
    store.record(job, Placed(("node-1",)))
    store.record(job, Planned(LARGE_PLAN, 10))
    return job


def test_a_driver_that_the_kernel_killed_for_memory_is_not_the_plans_fault(
    store, queue, monkeypatch
):
    monkeypatch.setattr(MemoryWatch, "kernel_killed", True)
    job = placed(store, queue)
    queue.end(job, -signal.SIGKILL)
    assert store.job(job.id).memory_level == 0 and store.job(job.id).crashes == 1


@pytest.mark.parametrize("code, level", [(Exit.OUT_OF_MEMORY, 1), (Exit.NO_MEMORY, 0)])
def test_chat_keeps_its_bases_where_a_node_lacks_memory_and_other_jobs_start(
    store, queue, code, level
):
    queue.loaded.append("idle")
    job, other = placed(store, queue), add_job(store)
    queue.end(job, code)
    assert queue.loaded == ["idle"] and store.job(job.id).memory_level == level
    if code == Exit.NO_MEMORY:
        assert list(queue._processes) == [other.id]


def test_a_job_that_an_earlier_services_process_seeks_a_place_for_is_not_started(
    store, queue, tmp_path
):
    queue._max_running = 2
    seeking, other = add_job(store), add_job(store)
    with job_lock(Home(tmp_path), seeking.id):
        for _ in range(3):
            queue.wait(1)
        assert list(queue._processes) == [other.id]
    queue.wait(1)
    assert list(queue._processes) == [other.id, seeking.id]

"""Jobs on a Ray cluster: two nodes on this machine, real processes, a store, no service.

What is compared is the same job trained here: same rows, same seed, same number of threads.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray_cluster import RayCluster
from support import ROWS, add_job, write_base

from cookbook import __version__
from cookbook.bases import Base, find
from cookbook.errors import BaseAway
from cookbook.paths import Home
from cookbook.service.engine.working_folder import DAMAGED, STATE
from cookbook.service.events import Placed, StateUnreadable, Step, Waiting
from cookbook.service.exit_codes import Exit
from cookbook.service.store import Store
from cookbook.service.trainers import TrainerSettings, chosen
from cookbook.service.trainers.here import Here
from cookbook.service.worker import run_job

pytest.importorskip("ray")

STEPS = 12
HP = {
    "learning_rate": 1e-4,
    "n_epochs": 3,
    "batch_size": 8,
    "max_tokens": 512,
    "lora_rank": 8,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
}


@pytest.fixture(scope="module")
def whole_cluster(tmp_path_factory):
    cluster = RayCluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(whole_cluster):
    """Return a cluster with two nodes of one processor, also after a test that has lost one."""
    whole_cluster.keep("alpha", "beta")
    return whole_cluster


@pytest.fixture
def trainer(cluster):
    return on_ray(cluster)


def on_ray(cluster, **settings):
    trainer = chosen(TrainerSettings("ray", cluster.address, **settings))
    trainer.prepare()
    return trainer


@pytest.fixture
def folders(tmp_path):
    home = Home(tmp_path / "home")
    return SimpleNamespace(home=home, store=Store(home.database))


@pytest.fixture
def job(folders):
    return new_job(folders.store)


def new_job(store, **fields):
    file = store.add_file("a.jsonl", "fine-tune", b"".join(ROWS))
    usual = {"training_file": file.id, "hyperparameters": HP}
    job = add_job(store, **usual | fields)
    store.advance(job.id, "queued", "Queued")
    return store.job(job.id)


def run(folders, job, train):
    """Go through a process's part of a job; return its exit code."""
    return run_job(folders.store, folders.home, folders.store.job(job.id), train)


def disturbed(trainer, step, then):
    """Return the trainer's `train`, in which something happens after a step was taken."""

    def train(*arguments, **settings):
        with contextlib.closing(trainer.train(*arguments, **settings)) as training:
            for event in training:
                if isinstance(event, Step) and event.step == step:
                    then()
                yield event

    return train


def outcome(folders, job):
    """Return what is compared: status, losses of each step in order, adapters."""
    events = reversed(folders.store.events(job.id, limit=1000))
    steps = [event.data for event in events if event.type == "metrics"]
    adapters = {}
    for folder in sorted(folders.home.models.glob("*")):
        content = (folder / "adapter_model.safetensors").read_bytes()
        adapters[folder.name.removeprefix(job.id)] = hashlib.sha256(content).hexdigest()
    return SimpleNamespace(
        status=folders.store.job(job.id).status,
        losses=[(step["step"], step["train_loss"], step["valid_loss"]) for step in steps],
        adapters=adapters,
    )


def messages(folders, job):
    return [event.message for event in reversed(folders.store.events(job.id, limit=1000))]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return the outcome of the job on this machine, with one thread as on the nodes."""
    import torch

    home = Home(tmp_path_factory.mktemp("here"))
    folders = SimpleNamespace(home=home, store=Store(home.database))
    job = new_job(folders.store)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run(folders, job, Here().train)
    torch.set_num_threads(threads)
    return outcome(folders, job)


def start_worker(cluster, folders, job):
    """Start a training process as the service does, and give it the job."""
    settings = TrainerSettings("ray", cluster.address).to_environment()
    command = [sys.executable, "-m", "cookbook.service.worker", str(folders.home.folder)]
    process = subprocess.Popen(
        [*command, __version__], stdin=subprocess.PIPE, env=os.environ | settings, text=True
    )
    process.stdin.write(job.id + "\n")
    process.stdin.close()
    return process


def wait_until(true, seconds=60):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_job_has_the_losses_and_adapters_that_it_has_here(trainer, folders, job, here):
    assert run(folders, job, trainer.train) == Exit.DONE
    found = outcome(folders, job)
    assert found.status == "succeeded" and len(found.losses) == STEPS
    assert found == here
    (place,) = folders.store.job(job.id).place
    assert place in ("alpha", "beta") and f"在节点 {place} 上训练" in messages(folders, job)
    assert not folders.home.job_folder(job.id).exists()


def test_an_event_is_in_the_store_within_two_seconds_of_its_step(trainer, folders, job):
    asked, delays = [], []

    def train(*arguments, **settings):
        training = trainer.train(*arguments, **settings)
        while True:
            # A step is taken after it was asked for: no event can be older than that.
            asked.append(time.monotonic())
            event = next(training, None)
            if event is None:
                return
            yield event
            # The one before is in the store when the next is asked for.
            if isinstance(event, Step):
                assert len(steps_of(folders, job)) == event.step
                delays.append(time.monotonic() - asked[-1])

    assert run(folders, job, train) == Exit.DONE
    assert len(delays) == STEPS and max(delays) < 2


def test_a_paused_job_goes_on_where_it_was(cluster, trainer, folders, job, here):
    store = folders.store
    pause = disturbed(trainer, 6, lambda: store.request_state(job.id, "pause", "Paused"))
    assert run(folders, job, pause) == Exit.DONE
    # An adapter and the state have come before the process ended.
    assert {path.name for path in folders.home.job_folder(job.id).iterdir()} == {"step_4", STATE}
    store.request_state(job.id, "run", "Resumed")
    steps = []
    watched = disturbed(trainer, 7, lambda: steps.append(7))
    run(folders, job, watched)
    assert steps and outcome(folders, job) == here
    wait_until(lambda: not cluster.workers())


def test_a_job_that_is_cancelled_ends_with_its_worker(cluster, trainer, folders, job):
    store = folders.store
    cancel = disturbed(trainer, 2, lambda: store.advance(job.id, "cancelled", "Cancelled"))
    assert run(folders, job, cancel) == Exit.DONE
    assert not folders.home.job_folder(job.id).exists() and not outcome(folders, job).adapters
    wait_until(lambda: not cluster.workers())


def test_a_job_waits_for_a_place_says_so_once_and_can_be_cancelled(trainer, folders, job):
    from ray.util.placement_group import placement_group, remove_placement_group

    seen = []

    def train(*arguments, **settings):
        for event in trainer.train(*arguments, **settings):
            seen.append(event)
            if len(seen) == 3:
                folders.store.advance(job.id, "cancelled", "Cancelled")
            yield event

    with contextlib.closing(trainer.train(find(job.base), [], [], HP, folder=folders.home.folder)):
        pass  # nothing has happened yet, and nothing is left of it
    from cookbook.service.trainers.on_ray.connection import connect

    connect(trainer._settings.ray_address)
    others = placement_group([{"CPU": 1}, {"CPU": 1}])
    assert others.wait(60)
    try:
        assert run(folders, job, train) == Exit.DONE
    finally:
        remove_placement_group(others)
    assert [type(event) for event in seen] == [Waiting] * 3
    said = [text for text in messages(folders, job) if "没有空位" in text]
    assert len(said) == 1 and "1 个 CPU 核" in said[0]
    assert folders.store.job(job.id).place is None


def test_a_killed_worker_costs_a_job_no_step(cluster, trainer, folders, job, here):
    def kill():
        (worker,) = cluster.workers()
        worker.kill()

    assert run(folders, job, disturbed(trainer, 6, kill)) == Exit.WORKER_LOST
    assert any("从上一个检查点继续" in text for text in messages(folders, job))
    assert run(folders, job, trainer.train) == Exit.DONE
    assert outcome(folders, job) == here


@pytest.mark.parametrize("politely", [False, True], ids=["power cut", "ray stop"])
def test_a_job_goes_on_on_another_node_when_its_own_is_lost(cluster, folders, job, here, politely):
    trainer = on_ray(cluster)

    def kill():
        cluster.kill(folders.store.job(job.id).place[0], politely)

    assert run(folders, job, disturbed(trainer, 6, kill)) == Exit.WORKER_LOST
    lost = folders.store.job(job.id).place[0]
    assert any(f"节点 {lost} 上的训练中断了" in text for text in messages(folders, job))
    assert run(folders, job, trainer.train) == Exit.DONE
    assert folders.store.job(job.id).place[0] in {"alpha", "beta"} - {lost}
    assert outcome(folders, job) == here


def test_a_killed_driver_leaves_no_worker_and_its_job_goes_on(cluster, folders, job, here):
    driver = start_worker(cluster, folders, job)
    wait_until(lambda: len(steps_of(folders, job)) >= 5)
    driver.kill()
    driver.wait()
    wait_until(lambda: not cluster.workers())
    assert len(steps_of(folders, job)) < STEPS
    assert start_worker(cluster, folders, job).wait() == Exit.DONE
    assert outcome(folders, job) == here


def steps_of(folders, job):
    return [e for e in folders.store.events(job.id, limit=1000) if e.type == "metrics"]


def test_a_driver_that_is_asked_to_end_saves_the_state(cluster, folders, job, here):
    process = start_worker(cluster, folders, job)
    wait_until(lambda: len(steps_of(folders, job)) >= 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == Exit.STOPPED
    taken = len(steps_of(folders, job))
    first = []
    trainer = on_ray(cluster)
    assert run(folders, job, disturbed(trainer, taken + 1, lambda: first.append(1))) == Exit.DONE
    assert first and outcome(folders, job) == here


def test_a_damaged_state_is_set_aside_where_the_service_keeps_it(trainer, folders):
    folder = folders.home.folder / "job"
    folder.mkdir(parents=True)
    (folder / STATE).write_bytes(b"damaged")
    events = []
    for event in trainer.train(find("cookbook/tiny-zh"), rows(), [], HP, folder=folder):
        events.append(event)
        if isinstance(event, Step):
            break
    assert isinstance(events[2], StateUnreadable)
    assert (folder / DAMAGED).read_bytes() == b"damaged"


def rows():
    return [json.loads(line) for line in ROWS]


def test_a_training_that_diverges_on_a_node_fails_with_its_code(trainer, folders):
    job = new_job(folders.store, hyperparameters=HP | {"learning_rate": 1e30})
    assert run(folders, job, trainer.train) == Exit.DONE
    assert folders.store.job(job.id).error["code"] == "diverged"


def test_two_workers_share_each_step_and_have_the_losses_of_one(cluster, folders, job, here):
    trainer = on_ray(cluster, workers=2)
    assert run(folders, job, trainer.train) == Exit.DONE
    found = outcome(folders, job)
    for (step, *losses), (same_step, *expected) in zip(found.losses, here.losses, strict=True):
        assert step == same_step
        assert losses == [one and pytest.approx(one, abs=1e-4) for one in expected]
    assert sorted(folders.store.job(job.id).place) == ["alpha", "beta"]
    assert folders.store.started_event(job.id).data["n_workers"] == 2


def test_a_job_that_fits_no_node_waits_and_names_the_largest(cluster, folders, job):
    trainer = on_ray(cluster, worker_cpus=64)
    assert run(folders, job, trainer.train) == Exit.NO_CLUSTER
    (said,) = [text for text in messages(folders, job) if "没有节点放得下" in text]
    assert "64 个 CPU 核" in said and ("alpha" in said or "beta" in said)
    assert folders.store.job(job.id).status == job.status


def test_a_wrong_address_is_said_in_a_sentence(folders, job):
    trainer = chosen(TrainerSettings("ray", "127.0.0.1:9"))
    assert run(folders, job, trainer.train) == Exit.NO_CLUSTER
    assert any("127.0.0.1:9 连不上" in text for text in messages(folders, job))


def test_a_node_with_another_version_is_named_and_others_are_taken(cluster, folders, job, tmp_path):
    installed = tmp_path / "site" / "peft-0.0.1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.0.1\n")
    path = os.pathsep.join([str(installed.parent), os.environ.get("PYTHONPATH", "")])
    cluster.add("old", cpus=2, PYTHONPATH=path)
    training = on_ray(cluster, worker_cpus=2)
    # No other node has two processors.
    assert run(folders, job, training.train) == Exit.NO_CLUSTER
    (said,) = [text for text in messages(folders, job) if "版本和服务不同" in text]
    assert "节点 old" in said and "peft 0.0.1（这里是 " in said and "pip install 'peft==" in said
    # A node is chosen for its free memory, too: another is taken whichever came first.
    cluster.kill("alpha")
    cluster.kill("beta")
    cluster.add("new", cpus=2)
    events = training.train(find(job.base), rows(), [], HP, folder=folders.home.folder / "job")
    placed = next(event for event in events if isinstance(event, Placed))
    events.close()
    assert placed.nodes == ("new",)


def not_on_nodes(folder, monkeypatch):
    """Return a path to a folder that leads somewhere else on the nodes that are there."""
    monkeypatch.chdir(folder)
    return Path("/proc/self/cwd")


def test_a_base_that_only_the_service_has_is_sent_once(cluster, folders, tmp_path, monkeypatch):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(find("cookbook/tiny-zh").source)
    write_base(tmp_path / "mine", tokenizer)
    cluster.add("large", cpus=2)
    base = Base("mine", source=str(not_on_nodes(tmp_path, monkeypatch) / "mine"))
    trainer = on_ray(cluster, worker_cpus=2)
    sent = []
    for number in (1, 2):
        training = trainer.train(base, rows(), [], HP, folder=folders.home.folder / f"job-{number}")
        events = []
        for event in training:
            events.append(event)
            if isinstance(event, Step):
                training.close()
        assert isinstance(events[-1], Step)
        notes = [event.zh for event in events if isinstance(event, Waiting)]
        sent.append(any("节点 large 上没有基础模型 mine" in note for note in notes))
    assert sent == [True, False]
    (there,) = (cluster.cache("large") / "bases").glob("*/")
    assert (there / "model.safetensors").read_bytes() == (
        tmp_path / "mine" / "model.safetensors"
    ).read_bytes()
    # Nothing is left of the jobs.
    wait_until(lambda: not list((cluster.cache("large") / "jobs").glob("*/*/")))


def test_a_base_that_changes_while_it_is_sent_is_waited_for(
    cluster, folders, tmp_path, monkeypatch
):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(find("cookbook/tiny-zh").source)
    # Not the one that the node was sent before.
    write_base(tmp_path / "changing", tokenizer, intermediate_size=96)
    cluster.add("large", cpus=2)
    source = not_on_nodes(tmp_path, monkeypatch) / "changing"
    trainer = on_ray(cluster, worker_cpus=2)
    base = Base("changing", source=str(source))
    training = trainer.train(base, rows(), [], HP, folder=folders.home.folder / "job")
    with pytest.raises(BaseAway, match="在发送时变了"):
        for event in training:
            if isinstance(event, Waiting) and "正在发过去" in event.zh:
                weights = source / "model.safetensors"
                weights.write_bytes(weights.read_bytes()[:-100])


def test_in_a_shared_folder_nothing_is_carried(cluster, folders, job, here, tmp_path, monkeypatch):
    from cookbook.service.trainers.on_ray.crew import Crew

    def fetch(*_):
        raise AssertionError("a file was carried")

    monkeypatch.setattr(Crew, "fetch", fetch)
    storage = tmp_path / "shared"
    storage.mkdir()
    folders.home = Home(folders.home.folder, storage)
    trainer = on_ray(cluster, storage=storage)
    seen = []
    looking = disturbed(trainer, 6, lambda: seen.extend(storage.rglob("*")))
    assert run(folders, job, looking) == Exit.DONE
    # The node has written the state there; its mark had gone, and at the end all has.
    assert {path.name for path in seen if path.parent == storage} == {job.id}
    assert storage / job.id / STATE in seen and not list(storage.iterdir())
    assert outcome(folders, job) == here


def test_a_node_that_does_not_see_the_shared_folder_is_named(
    cluster, folders, job, tmp_path, monkeypatch
):
    storage = not_on_nodes(tmp_path, monkeypatch)
    folders.home = Home(folders.home.folder, storage)
    trainer = on_ray(cluster, storage=storage)
    assert run(folders, job, trainer.train) == Exit.NO_CLUSTER
    (said,) = [text for text in messages(folders, job) if "看不到共享文件夹" in text]
    assert "节点 alpha" in said or "节点 beta" in said


def test_a_stop_while_the_cluster_is_joined_is_no_crash(monkeypatch):
    from cookbook.service.trainers.on_ray import connection

    monkeypatch.setattr(connection.cluster, "fault_at", lambda head: None)
    monkeypatch.setattr(connection.ray, "is_initialized", lambda: False)
    # As Ray's own reaction to the signal does.
    monkeypatch.setattr(connection.ray, "init", lambda **_: sys.exit(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        connection.connect("10.0.0.1:6379")
    assert ended.value.code == Exit.STOPPED


# What Ray says where this machine may not join


@pytest.mark.parametrize(
    "raised, behind, part",
    [
        (ConnectionError("Failed"), RuntimeError("No node info found matching x"), "--num-cpus=0"),
        (ConnectionError("Failed"), None, "RAY_AUTH_TOKEN"),
        (
            RuntimeError("Version mismatch: the cluster has\n    Ray: 2.55.0\n    Python: 3.11.1"),
            None,
            "Ray 2.55.0",
        ),
    ],
)
def test_what_keeps_this_machine_out_is_said_with_its_remedy(raised, behind, part):
    from cookbook.service.trainers.on_ray import connection  # which loads Ray

    raised.__cause__ = behind
    assert part in connection._explained("10.0.0.1:6379", raised).zh

"""The whole service on real Ray nodes: many jobs at once, and a cluster that goes and comes back.

What happens to a single job on its node is in test_cluster.py.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from openai import OpenAI
from ray_cluster import STORE_BYTES, RayCluster
from support import assert_same, launch, result

from cookbook import connect, jobs
from cookbook.connection import running, stop
from cookbook.service.trainers import TrainerSettings

pytest.importorskip("ray")

ADDRESS = re.compile(r"在节点 (\S+) 上训练")
LONGEST = 200.0


@pytest.fixture
def ray_home(tmp_path, monkeypatch):
    """Return the data folder of a service whose trainer a test sets in the environment."""
    for name in TrainerSettings().to_environment():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COOKBOOK_TRAINER", "ray")
    yield tmp_path
    stop(tmp_path)


def client_of(home):
    service = connect(home=home)
    return OpenAI(base_url=service.base_url, api_key=service.api_key), service.base_model


def messages(client, job):
    return [event.message for event in jobs.view(client, job.id).events]


def wait_for(condition, seconds=LONGEST):
    """Wait until something is true, and return it."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.2)
    return found


def ended(client, job):
    return client.fine_tuning.jobs.retrieve(job.id).finished_at


# Several jobs


def test_jobs_run_side_by_side_on_all_nodes_and_give_what_one_machine_gives(
    tmp_path_factory, ray_home, unbroken, monkeypatch
):
    cluster = RayCluster(tmp_path_factory.mktemp("nodes"))
    try:
        # As many threads for a job as it has here.
        cores = os.cpu_count() or 1
        cluster.add("one", cpus=cores)
        cluster.add("two", cpus=cores)
        monkeypatch.setenv("COOKBOOK_RAY_ADDRESS", cluster.address)
        monkeypatch.setenv("COOKBOOK_WORKER_CPUS", str(cores))
        client, base = client_of(ray_home)
        several = [launch(client, base) for _ in range(4)]
        paused, cancelled = several[2], several[3]
        client.fine_tuning.jobs.pause(paused.id)
        client.fine_tuning.jobs.cancel(cancelled.id)
        # The two that are left need both nodes.
        for job in several[:2]:
            wait_for(lambda job=job: ended(client, job))
        client.fine_tuning.jobs.resume(paused.id)
        wait_for(lambda: ended(client, paused))
        nodes = set()
        for job in several[:3]:
            view = jobs.view(client, job.id)
            placed = [ADDRESS.search(event.message) for event in view.events]
            nodes |= {found[1] for found in placed if found}
            assert result(ray_home, view).losses == unbroken.losses
            # Its log says, too, that it was paused.
            if job is not paused:
                assert_same(result(ray_home, view), unbroken)
        assert nodes == {"one", "two"}
        assert client.fine_tuning.jobs.retrieve(cancelled.id).status == "cancelled"
    finally:
        stop(ray_home)
        cluster.stop()


# The whole cluster


class Head:
    """A cluster of one node at a port of its own, started and killed as a machine is."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._process = None

    def revive(self):
        """Start it again where it has ended: a busy machine may be too slow for Ray's patience."""
        if self._process.poll() is not None:
            self.start()

    def start(self):
        command = f"start --head --port={self.port} --num-cpus={os.cpu_count()} --block"
        command += f" --include-dashboard=false --object-store-memory={STORE_BYTES}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *command.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self):
        """End all of it at once, as a power cut does."""
        if self._process is None:
            return
        everything = [*psutil.Process(self._process.pid).children(recursive=True)]
        for process in [psutil.Process(self._process.pid), *everything]:
            process.kill()
        psutil.wait_procs(everything, timeout=10)
        self._process.wait()
        self._process = None


@pytest.fixture
def head():
    head = Head()
    yield head
    head.kill()


def test_jobs_wait_for_a_cluster_that_is_away_and_go_on_when_it_is_back(
    ray_home, head, unbroken, monkeypatch
):
    monkeypatch.setenv("COOKBOOK_RAY_ADDRESS", head.address)
    monkeypatch.setenv("COOKBOOK_WORKER_CPUS", str(os.cpu_count()))
    client, base = client_of(ray_home)
    job = launch(client, base)
    wait_for(lambda: any(head.address in text for text in messages(client, job)))
    assert client.fine_tuning.jobs.retrieve(job.id).status == "queued"
    head.start()
    wait_for(lambda: head.revive() or len(jobs.view(client, job.id).steps) > 2)
    head.kill()
    # The training is over with the node, and the service knows why.
    wait_for(lambda: sum(head.address in text for text in messages(client, job)) > 1)
    head.start()
    wait_for(lambda: head.revive() or ended(client, job))
    view = jobs.view(client, job.id)
    assert_same(result(ray_home, view), unbroken)
    assert not any("意外结束" in text for text in messages(client, job))


def test_a_cluster_of_the_services_own_trains_and_ends_with_it(ray_home, unbroken, monkeypatch):
    monkeypatch.setenv("COOKBOOK_RAY_ADDRESS", "local")
    monkeypatch.setenv("COOKBOOK_WORKER_CPUS", str(os.cpu_count()))
    client, base = client_of(ray_home)
    service = psutil.Process(running(ray_home)["pid"])
    job = launch(client, base)
    wait_for(lambda: ended(client, job))
    ray = [one for one in service.children(recursive=True) if "raylet" in one.name()]
    assert ray
    assert_same(result(ray_home, jobs.view(client, job.id)), unbroken)
    service.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs([service, *ray], timeout=60)
    assert not left

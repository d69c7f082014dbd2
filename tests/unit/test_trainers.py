"""Where jobs are trained, as the service sees it: settings, and whether a cluster is there."""

import dataclasses
import json
import logging
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from cookbook.errors import ArgumentError, ServiceError
from cookbook.machine import GB, Machine
from cookbook.paths import Home
from cookbook.service import server, trainers, trial
from cookbook.service.__main__ import parse
from cookbook.service.server import Settings
from cookbook.service.trainers import TrainerSettings
from cookbook.service.trainers.here import Here
from cookbook.service.trainers.on_ray import cluster
from cookbook.service.trainers.on_ray import trainer as module
from cookbook.service.trainers.on_ray.nodes import Nodes
from cookbook.service.trainers.on_ray.trainer import OnRay


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in [*TrainerSettings().to_environment(), "RAY_ADDRESS", "COOKBOOK_JOBS"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def head():
    """Something that accepts connections, as the head of a cluster does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def ray(address, **settings):
    return OnRay(TrainerSettings("ray", address, **settings))


def test_jobs_are_trained_here_unless_somebody_says_otherwise():
    assert TrainerSettings.of_environment({}) == TrainerSettings()
    assert isinstance(trainers.chosen(), Here) and Here().fault() is None


def test_what_was_typed_goes_before_the_environment_and_reaches_the_training_process(monkeypatch):
    monkeypatch.setenv("COOKBOOK_TRAINER", "ray")
    monkeypatch.setenv("COOKBOOK_WORKERS", "2")
    monkeypatch.setenv("COOKBOOK_RAY_ADDRESS", "head:6379")
    typed = ["--ray-address", "10.0.0.1:6379", "--storage", "/tmp", "--worker-cpus", "3"]
    settings = parse(typed)
    expected = TrainerSettings("ray", "10.0.0.1:6379", 2, 3, Path("/tmp").resolve())
    assert settings.trainer == expected and settings.home.storage == expected.storage
    assert TrainerSettings.of_environment(expected.to_environment()) == expected


@pytest.mark.parametrize(
    "name, value, part",
    [
        ("COOKBOOK_TRAINER", "spark", "'spark'"),
        ("COOKBOOK_RAY_ADDRESS", "head", "HOST:6379"),
        ("COOKBOOK_RAY_ADDRESS", "ray://head:10001", "HOST:6379"),
        ("COOKBOOK_RAY_ADDRESS", "head:99999", "HOST:6379"),
        ("COOKBOOK_WORKERS", "0", "1 到 64"),
        ("COOKBOOK_WORKERS", "many", "1 到 64"),
        ("COOKBOOK_WORKER_CPUS", "-1", "0 到 256"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(name, value, part):
    with pytest.raises(ArgumentError, match=part) as error:
        TrainerSettings.of_environment({name: value})
    assert repr(value) in str(error.value)


def test_what_was_typed_wrong_is_named_as_it_was_typed(capsys):
    with pytest.raises(ArgumentError, match=r"--workers '0'：写 1 到 64"):
        parse(["--workers", "0"])
    with pytest.raises(ArgumentError, match=r"--worker-cpus 'x'"):
        parse(["--worker-cpus", "x"])
    with pytest.raises(SystemExit):
        parse(["--jobs", "300"])
    assert "'300'：写 1 到 256 之间的整数" in capsys.readouterr().err


def test_more_jobs_at_once_than_this_machine_trains_are_for_a_cluster():
    with pytest.raises(ArgumentError, match="16"):
        parse(["--jobs", "17"])
    assert parse(["--jobs", "17", "--trainer", "ray"]).max_running == 17
    assert parse([]).max_running is None


def test_a_cluster_whose_head_does_not_answer_is_named_and_seen_again_when_it_is_back(
    monkeypatch, head
):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    there = ray(head)
    assert there.fault() is None
    port = int(head.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as other:
        gone = ray(f"127.0.0.1:{other.getsockname()[1]}")
    fault = gone.fault()
    assert "没有回应" in fault.zh and "--ray-address" in fault.en
    monkeypatch.setattr(gone, "_settings", TrainerSettings("ray", f"127.0.0.1:{port}"))
    # What was seen a moment ago is believed.
    assert gone.fault() is fault
    clock[0] += module.LOOK_SECONDS + 1
    assert gone.fault() is None


def test_auto_is_the_cluster_that_this_machine_has_joined(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert "ray start --address" in ray("auto").fault().en
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.1.2.3:6379\n")
    assert cluster.head_of("auto") == "10.1.2.3:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.9.9.9:6379")
    assert cluster.head_of("auto") == "10.9.9.9:6379"
    assert cluster.head_of("10.0.0.1:1") == "10.0.0.1:1"


def test_a_cluster_is_ended_where_its_start_is_interrupted(monkeypatch, tmp_path):
    ended = []

    class Starting:
        address, has_ended = "127.0.0.1:1", True

        def start(self):
            raise KeyboardInterrupt

        def stop(self):
            ended.append(self)

    monkeypatch.setattr(module.cluster, "LocalCluster", Starting)
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    monkeypatch.setattr(module.os, "environ", {**module.os.environ})
    settings = Settings(Home(tmp_path), trainer=TrainerSettings("ray", "local"))
    with pytest.raises(KeyboardInterrupt), server._trainer(settings):
        pass
    assert len(ended) == 1


def test_a_cluster_that_was_ended_is_not_started_again(monkeypatch):
    started = []
    there = ray("local")
    there._local = SimpleNamespace(
        address="127.0.0.1:1", has_ended=True, start=lambda: started.append(1), stop=lambda: None
    )
    monkeypatch.setattr(module.cluster, "answers", lambda address: False)
    there.stop()
    assert there.fault() is not None and not started


def test_a_request_for_the_machine_does_not_knock_at_the_head(monkeypatch):
    there = ray("127.0.0.1:1")
    monkeypatch.setattr(module.cluster, "answers", lambda address: pytest.fail("knocked"))
    monkeypatch.setattr(there._nodes, "look", lambda address: None)
    assert there.machine() is None


def test_without_ray_the_service_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ServiceError, match=r"pip install .*\[local,cluster\]"):
        ray("auto").start()


def test_a_shared_folder_that_is_not_there_stops_the_service(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    with pytest.raises(ServiceError, match="nowhere"):
        ray("auto", storage=tmp_path / "nowhere").start()


def test_the_token_of_a_cluster_reaches_the_training_processes_of_one_alone(monkeypatch):
    from cookbook import environment

    monkeypatch.setenv("RAY_AUTH_TOKEN", "planted")
    assert "planted" not in environment.of_worker().values()
    monkeypatch.setenv("COOKBOOK_TRAINER", "ray")
    assert environment.of_worker()["RAY_AUTH_TOKEN"] == "planted"


# The nodes

SMALL = Machine("cpu", 4 * GB, 8 * GB, bfloat16=False)
LARGE = Machine("cpu", 9 * GB, 16 * GB, bfloat16=True)
CARD = Machine("cuda", 2 * GB, 24 * GB, bfloat16=True, name="RTX")
OTHER = {"zh": "节点 c 装的版本不同", "en": "node c has other versions"}


def asked(monkeypatch, machines, faults=(), code=0, stderr=b""):
    """Return the nodes of a cluster whose survey ends so."""
    told = []
    for name, one in machines.items():
        told.append({"name": name, "machine": one.to_dict(), "devices": 2})
    said = json.dumps({"nodes": told, "faults": list(faults)}).encode()
    done = subprocess.CompletedProcess([], code, b"" if code else b"a line\n" + said, stderr)
    monkeypatch.setattr(trial, "run", lambda *arguments, seconds: done)
    nodes = Nodes()
    nodes._ask("10.0.0.1:6379")
    return nodes


def test_a_plan_is_made_for_the_best_node_and_as_many_as_are_alike(monkeypatch):
    nodes = asked(monkeypatch, {"a": SMALL, "b": LARGE})
    assert nodes.best(1) == dataclasses.replace(LARGE, workers=1, devices=4)
    assert nodes.best(9).workers == 4
    assert asked(monkeypatch, {"a": SMALL, "b": LARGE, "g": CARD}).best(1).name == "RTX"
    assert asked(monkeypatch, {}).best(4) is None


def test_the_log_says_who_is_there_and_who_cannot_train(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, logger="cookbook"):
        asked(monkeypatch, {"a": SMALL, "g": CARD}, [OTHER])
    assert OTHER["zh"] in caplog.text and "a (CPU, 4.0 GB)、g (RTX, 2.0 GB)" in caplog.text


def test_a_survey_that_fails_says_why_and_leaves_the_nodes_unknown(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, logger="cookbook"):
        nodes = asked(monkeypatch, {}, code=1, stderr=b"ModuleNotFoundError: No module named 'ray'")
    assert nodes.best(1) is None and "ray" in caplog.text

"""Where jobs are trained, as the service sees it: settings, and whether a cluster is there."""

import socket
from pathlib import Path

import pytest

from cookbook.errors import ArgumentError, ServiceError
from cookbook.service import trainers
from cookbook.service.__main__ import parse
from cookbook.service.trainers import TrainerSettings
from cookbook.service.trainers.here import Here
from cookbook.service.trainers.on_ray import cluster
from cookbook.service.trainers.on_ray import trainer as module
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

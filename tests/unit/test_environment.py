"""Processes of the service are told what they need of the environment, and no secret."""

import ast
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest
from support import SECRETS

import cookbook
from cookbook import address, environment, fast, i18n, paths

NEEDED = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "SystemRoot": r"C:\Windows",
    "TMPDIR": "/tmp",
    "LC_ALL": "zh_CN.UTF-8",
    "PYTHONPATH": "/src",
    "CONDA_PREFIX": "/conda",
    "LD_LIBRARY_PATH": "/lib",
    "OMP_NUM_THREADS": "2",
    "MALLOC_TRIM_THRESHOLD_": "1",
    "CUDA_VISIBLE_DEVICES": "0",
    "PYTORCH_CUDA_ALLOC_CONF": "x",
    "HF_HOME": "/cache",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "COOKBOOK_LANG": "en",
    "COOKBOOK_BASE_MODEL": "/",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
}


def test_what_is_needed_is_passed_on_and_nothing_else():
    assert environment.needed(SECRETS | NEEDED) == NEEDED


@pytest.mark.parametrize("name", ["HF_TOKEN", "https_proxy", "HTTPS_PROXY"])
def test_a_base_from_a_hub_needs_the_hubs_token_and_the_proxy(name):
    given = {name: "x", "COOKBOOK_BASE_MODEL": "Qwen/Qwen2.5-0.5B-Instruct"}
    assert environment.needed(given) == given
    # A folder needs none of them.
    assert name not in environment.needed(given | {"COOKBOOK_BASE_MODEL": "/"})
    assert "FAKE_TOKEN" not in environment.needed(given | {"FAKE_TOKEN": "x"})


def test_the_service_alone_keeps_the_key_that_was_chosen_for_it(monkeypatch):
    monkeypatch.setenv("COOKBOOK_API_KEY", "chosen")
    assert environment.of_service()["COOKBOOK_API_KEY"] == "chosen"
    assert "COOKBOOK_API_KEY" not in environment.of_worker()


def test_the_service_alone_is_told_its_engines_with_key_and_password(monkeypatch):
    given = {
        "COOKBOOK_ENGINE": "http://me:planted@gpu:8000",
        "COOKBOOK_ENGINE_KEY": "planted",
        "COOKBOOK_ENGINE_MODELS": "/shared",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert given.items() <= environment.of_service().items()
    assert "planted" not in str(environment.of_worker())
    monkeypatch.delenv("COOKBOOK_ENGINE")
    assert "planted" not in str(environment.of_service())


def test_no_process_is_started_with_the_whole_environment():
    started = []
    for path in Path(cookbook.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            if name not in ("subprocess.Popen", "subprocess.run"):
                assert not name.startswith(("subprocess.", "os.exec", "os.spawn")), path
                continue
            # `None` is the name of `**options`.
            assert {"env", None} & {keyword.arg for keyword in call.keywords}, (path, call.lineno)
            started.append(path.name)
    assert {"training_process.py", "file_check.py", "trial.py"} <= set(started)


def test_optimized_python_takes_no_docstrings_from_the_libraries():
    assert environment.needed({"PYTHONOPTIMIZE": "2"}) == {}


@pytest.mark.parametrize("process", [environment.of_service, environment.of_worker])
def test_a_file_beside_the_notebook_hides_no_library(process, tmp_path, monkeypatch):
    for name in ("random", "psutil", "cookbook"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} of the reader')")
    # An empty entry means the current folder, too.
    monkeypatch.setenv("PYTHONPATH", os.pathsep + str(tmp_path / "other"))
    command = [sys.executable, "-c", "import cookbook.connection, random, psutil"]
    done = subprocess.run(command, cwd=tmp_path, env=process(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_package_that_only_this_process_was_told_of_is_found(monkeypatch):
    folder = str(environment._PACKAGE.parent)
    monkeypatch.setenv("PYTHONPATH", "src")
    entries = environment.of_service()["PYTHONPATH"].split(os.pathsep)
    assert entries == [os.path.abspath("src"), folder]
    # But an installed one is: in front, its neighbours would hide the standard library.
    monkeypatch.setattr(site, "getsitepackages", lambda: [folder])
    monkeypatch.delenv("PYTHONPATH")
    assert "PYTHONPATH" not in environment.of_service()


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_gpu_memory_grows_unless_the_reader_chose_otherwise(monkeypatch, name):
    monkeypatch.setattr(sys, "platform", "linux")
    assert environment.of_worker()["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    monkeypatch.setenv(name, "max_split_size_mb:64")
    assert environment.of_worker()[name] == "max_split_size_mb:64"
    assert environment.of_worker().get("PYTORCH_ALLOC_CONF") != "expandable_segments:True"


def test_the_choice_of_a_device_reaches_training_and_chat(monkeypatch):
    monkeypatch.setenv("COOKBOOK_DEVICE", "cpu")
    for process in (environment.of_service, environment.of_worker):
        assert process()["COOKBOOK_DEVICE"] == "cpu"


@pytest.mark.parametrize("around", ["{}", '"{}"', "'{}'", ' "{} " '])
def test_every_setting_counts_without_what_surrounds_it(around, monkeypatch, tmp_path):
    chosen = {
        "COOKBOOK_LANG": "EN",
        "COOKBOOK_FAST": "0",
        "COOKBOOK_HOME": str(tmp_path),
        "COOKBOOK_JOBS": "2",
        "COOKBOOK_MEMORY": "6GB",
        "COOKBOOK_DEVICE": "cpu",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, around.format(value))
    found = address.settings()
    assert i18n.language() == "en" and not fast.enabled() and paths.home() == tmp_path
    assert (found["jobs"], found["fast"], found["memory"]) == ("2", "0", "6GB")
    # The service is told the same.
    told = chosen | {"COOKBOOK_LANG": "en"}
    assert told.items() <= environment.of_service().items()


@pytest.mark.parametrize("nothing", ["", " ", '""'])
def test_a_setting_that_is_empty_is_not_set(nothing, monkeypatch):
    for name in ("LANG", "FAST", "HOME", "JOBS", "MEMORY", "DEVICE"):
        monkeypatch.setenv(f"COOKBOOK_{name}", nothing)
    monkeypatch.setenv("LC_ALL", "C")
    found = address.settings()
    assert i18n.language() == "zh" and fast.enabled() and paths.home().name == ".cookbook"
    assert (found["jobs"], found["fast"], found["memory"]) == ("1", "1", None)
    told = {name for name in environment.of_service() if name.startswith("COOKBOOK_")}
    assert told == {"COOKBOOK_LANG"}

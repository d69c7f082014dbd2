"""Causes: what a process leaves behind and what is raised, turned into a sentence that helps."""

import errno
import shutil
import sqlite3
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from cookbook import causes, connection, disk, paths
from cookbook.errors import DiskFull, ModelError, ServiceError
from cookbook.paths import Home

# Last lines as they were seen, what a process ended with, the cause, and a part of the remedy.
ENDS = {
    "no torch": (
        "ModuleNotFoundError: No module named 'torch'",
        1,
        "missing_package",
        "pip install",
    ),
    "no torch, from a shell": (
        "/usr/bin/python: No module named torch",
        1,
        "missing_package",
        "torch",
    ),
    "python-multipart": (
        'RuntimeError: Form data requires "python-multipart" to be installed.',
        1,
        "missing_package",
        "python-multipart",
    ),
    "half of transformers": (
        "ModuleNotFoundError: No module named 'transformers.models.qwen2'",
        1,
        "missing_package",
        "--force-reinstall transformers",
    ),
    "Python without SQLite": (
        "ModuleNotFoundError: No module named '_sqlite3'",
        1,
        "python",
        "python.org",
    ),
    "no libcudart": (
        "OSError: libcudart.so.12: cannot open shared object file: No such file or directory",
        1,
        "broken_package",
        "download.pytorch.org/whl/cpu",
    ),
    "no libtorch": (
        "ImportError: libtorch_cpu.so: cannot open shared object file: No such file or directory",
        1,
        "broken_package",
        "libtorch_cpu.so",
    ),
    "no libgomp": (
        "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
        1,
        "system_library",
        "libgomp.so.1",
    ),
    "old glibc": (
        "ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.28' not found "
        "(required by /env/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so)",
        1,
        "old_system",
        "GLIBC_2.28",
    ),
    "old libstdc++": (
        "ImportError: libstdc++.so.6: version `GLIBCXX_3.4.29' not found (required by x.so)",
        1,
        "old_system",
        "GLIBCXX_3.4.29",
    ),
    "undefined symbol": (
        "ImportError: libtorch_cuda.so: undefined symbol: ncclCommRegister",
        1,
        "broken_package",
        "--force-reinstall torch",
    ),
    "DLL on Windows": (
        'OSError: [WinError 126] 找不到指定的模块。 Error loading "C:\\x\\torch\\lib\\c10.dll" '
        "or one of its dependencies.",
        1,
        "visual_c",
        "vc_redist",
    ),
    "DLL load failed": (
        "ImportError: DLL load failed while importing _C: 找不到指定的模块。",
        1,
        "visual_c",
        "vc_redist",
    ),
    "numpy's ABI": (
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. "
        "Expected 96 from C header, got 88 from PyObject",
        1,
        "numpy",
        "--upgrade numpy",
    ),
    "GPU driver": (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        1,
        "gpu",
        "CUDA_VISIBLE_DEVICES",
    ),
    "a file that hides torch": (
        "AttributeError: partially initialized module 'torch' has no attribute 'nn' (most likely "
        "due to a circular import)",
        1,
        "hidden_module",
        "torch",
    ),
    "memory of Python": ("MemoryError", 1, "memory", "batch_size"),
    "memory of torch": (
        "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't "
        "allocate memory: you tried to allocate 17179869184 bytes. Error code 12 (Cannot "
        "allocate memory)",
        1,
        "memory",
        "batch_size",
    ),
    "memory of C++": (
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  "
        "std::bad_alloc",
        -6,
        "memory",
        "batch_size",
    ),
    "killed": ("a warning", -9, "memory", "batch_size"),
    "killed, from a shell": ("", 137, "memory", "batch_size"),
    "no AVX": ("", -4, "old_processor", "AVX"),
    "no AVX on Windows": ("", 0xC000001D, "old_processor", "AVX"),
    "segmentation fault": (
        "Fatal Python error: Segmentation fault",
        -11,
        "crashed",
        "--force-reinstall torch",
    ),
    "ended": ("", -15, "ended", ""),
    "threads": (
        "libgomp: Thread creation failed: Resource temporarily unavailable",
        1,
        "threads",
        "OMP_NUM_THREADS",
    ),
    "full disk": (
        "OSError: [Errno 28] No space left on device: '/x/state.pt'",
        1,
        "disk_full",
        "",
    ),
    "full disk of safetensors": (
        "safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on "
        "device (os error 28)",
        1,
        "disk_full",
        "",
    ),
    "quota": ("OSError: [Errno 122] Disk quota exceeded: '/x'", 1, "disk_quota", "COOKBOOK_HOME"),
    "read-only": (
        "OSError: [Errno 30] Read-only file system: '/x/a'",
        1,
        "read_only",
        "COOKBOOK_HOME",
    ),
    "read-only database": (
        "sqlite3.OperationalError: attempt to write a readonly database",
        1,
        "read_only",
        "COOKBOOK_HOME",
    ),
    "permission": (
        "PermissionError: [Errno 13] Permission denied: '/x/models'",
        1,
        "permission",
        "/x/models",
    ),
    "locks of SQLite": (
        "sqlite3.OperationalError: locking protocol",
        1,
        "locks",
        "COOKBOOK_HOME",
    ),
    "locks of a network folder": (
        "OSError: [Errno 37] No locks available",
        1,
        "locks",
        "COOKBOOK_HOME",
    ),
    "database of somebody": (
        "sqlite3.OperationalError: database is locked",
        1,
        "database_busy",
        "service.db",
    ),
    "disk error": ("sqlite3.OperationalError: disk I/O error", 1, "disk_error", "COOKBOOK_HOME"),
    "open files": ("OSError: [Errno 24] Too many open files", 1, "open_files", "ulimit -n"),
    "port": ("OSError: [Errno 98] Address already in use", 1, "port", "--port"),
    "no base": (
        "OSError: my-model is not a local folder and is not a valid model identifier listed on "
        "'https://huggingface.co/models'",
        1,
        "no_base",
        "COOKBOOK_BASE_MODEL",
    ),
    "broken base": (
        "safetensors_rust.SafetensorError: Error while deserializing header: header too large",
        1,
        "broken_base",
        "",
    ),
    "hub away": (
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
        1,
        "hub",
        "HF_ENDPOINT",
    ),
}


def test_a_limit_of_memory_is_not_blamed_on_the_package():
    line = "ImportError: libtorch_cpu.so: failed to map segment from shared object"
    found = causes.cause_of_output(line, 1)
    assert found.kind == "memory_limit" and "pip" not in found.en


def test_a_disk_too_full_for_a_word_about_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "SMALL_BYTES", 2**63)
    assert "the disk is full" in connection._did_not_start(Home(tmp_path), 1, 0).en
    monkeypatch.undo()
    assert "service.log" in connection._did_not_start(Home(tmp_path), 1, 0).en


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_a_process_is_recognized_in_both_languages(name, monkeypatch):
    output, code, kind, remedy = ENDS[name]
    found = causes.cause_of_output(f"some warning\n{output}\n".encode(), code)
    for language in ("zh", "en"):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        assert found.kind == kind and remedy in str(found)


def test_only_a_missing_or_broken_package_is_answered_with_pip():
    packages = {
        "missing_package",
        "broken_package",
        "old_package",
        "numpy",
        "crashed",
    }
    for output, code, kind, _ in ENDS.values():
        found = causes.cause_of_output(output, code)
        assert ("pip install" in found.zh) == (kind in packages), found
        assert ("pip install" in found.en) == (kind in packages), found


def test_what_is_not_recognized_keeps_its_line_and_names_the_log(tmp_path):
    log = tmp_path / "worker.log"
    found = causes.cause_of_output("Traceback …\nValueError: strange", 1, log=log)
    assert found.kind == causes.UNKNOWN and found.passes
    assert "ValueError: strange" in str(found) and str(log) in str(found)
    assert "pip" not in str(found)


def test_a_warning_before_the_end_is_no_cause():
    output = "UserWarning: CUDA initialization: no driver\nTraceback …\nValueError: strange"
    assert causes.cause_of_output(output, 1).kind == causes.UNKNOWN


def test_a_process_without_a_word_is_told_by_its_code():
    assert "3" in str(causes.cause_of_output(b"", 3))


def test_code_that_a_traceback_quotes_is_no_cause():
    output = 'Traceback …\n  File "a.py", line 1\n    raise MemoryError\nValueError: strange'
    assert causes.cause_of_output(output, 1).kind == causes.UNKNOWN


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_line_of_chinese_windows_stays_readable(encoding):
    output = "OSError: 找不到指定的模块。".encode(encoding)
    assert "找不到指定的模块" in str(causes.cause_of_output(output, 1))


def test_colours_and_control_characters_are_left_out():
    found = causes.cause_of_output(b"\x1b[31mValueError: \x07odd\x00\x1b[0m", 1)
    assert str(found) == "ValueError: odd"


def test_an_exception_is_looked_through_to_its_cause():
    try:
        try:
            raise OSError("libcudart.so.12: cannot open shared object file")
        except OSError as error:
            raise RuntimeError("could not import the engine") from error
    except RuntimeError as error:
        assert causes.cause(error).kind == "broken_package"


def test_an_error_number_is_understood_in_every_language_of_the_system():
    assert causes.cause(OSError(errno.ENOSPC, "磁盘空间不足")).kind == "disk_full"
    assert causes.cause(OSError(errno.ENOLCK, "?")).kind == "locks"
    assert causes.cause(sqlite3.OperationalError("locking protocol")).kind == "locks"


def test_an_error_of_our_own_keeps_its_sentence():
    own = ModelError(zh="没有模型", en="no model")
    assert causes.cause(own).zh == "没有模型" and causes.cause(own).passes
    assert not causes.cause(ServiceError(zh="不", en="no")).passes
    assert causes.cause(DiskFull(zh="满", en="full")).kind == "disk_full"
    assert causes.cause_of_output("cookbook.errors.ModelError: 没有模型", 1).zh == "没有模型"


def test_a_cause_for_other_machines_names_no_folder():
    error = PermissionError(errno.EACCES, "Permission denied", "/home/somebody/models")
    assert "/home/somebody" in str(causes.cause(error))
    assert "/home/somebody" not in str(causes.known(error))
    assert causes.known(ValueError("/home/somebody")) is None


def test_a_checkout_is_installed_with_dash_e_and_a_wheel_without(monkeypatch):
    monkeypatch.setattr(paths, "in_checkout", lambda: True)
    assert "-e " in causes.install() and "[local]" in causes.install()
    monkeypatch.setattr(paths, "in_checkout", lambda: False)
    assert "-e " not in causes.install() and "[local]" in causes.install()


@pytest.mark.parametrize(
    "origin, named",
    [
        (
            '{"url": "file:///tmp/a%2Bb-0.3.0-py3-none-any.whl", "archive_info": {}}',
            "a+b-0.3.0-py3",
        ),
        (None, "siliconcloud-cookbook[local]"),
    ],
)
def test_a_wheel_is_named_as_it_was_installed(monkeypatch, origin, named):
    distribution = SimpleNamespace(read_text=lambda name: origin)
    monkeypatch.setattr(metadata, "distribution", lambda name: distribution)
    monkeypatch.setattr(paths, "in_checkout", lambda: False)
    assert named in causes.install() and "[local]" in causes.install()


def test_of_a_whole_log_the_line_that_ends_the_traceback_is_kept():
    output = (
        "starting\nTraceback (most recent call last):\n  File 'a', line 1\n    boom()\n"
        "ValueError: strange\nwith more lines\n2026 cookbook the service ends"
    )
    assert str(causes.cause_of_output(output, 1)) == "ValueError: strange"


def test_the_end_of_a_log_is_read_from_where_a_process_began(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"MemoryError\n")
    start = log.stat().st_size
    assert causes.cause_of_output(causes.tail(log, start), 1).kind == causes.UNKNOWN
    with log.open("ab") as file:
        file.write(b"x" * causes.TAIL_BYTES + b"\nMemoryError\n")
    assert len(causes.tail(log)) == causes.TAIL_BYTES
    assert causes.cause_of_output(causes.tail(log, start), 1).kind == "memory"
    assert causes.tail(tmp_path / "none") == b""


def test_a_real_missing_module_is_named():
    with pytest.raises(ModuleNotFoundError) as caught:
        __import__("nonesuch_package")
    assert "nonesuch_package" in str(causes.cause(caught.value))
    assert "nonesuch_package" not in sys.modules


def test_a_service_without_room_for_its_last_line_is_told_from_others(tmp_path, monkeypatch):
    home = Home(tmp_path)
    home.service_log.touch()
    assert "磁盘满" not in str(connection._did_not_start(home, 1, 0))
    full = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    assert "磁盘满" in str(connection._did_not_start(home, 1, 0))

"""Uploads are checked in processes of their own: real processes, no torch."""

import contextlib
import json
import threading
import time

import psutil
import pytest

from cookbook.i18n import in_language
from cookbook.service import file_check
from cookbook.service.api_error import ApiError
from cookbook.service.file_check import FileChecks


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def checking_processes():
    """Return the processes of this one that check files."""
    found = []
    for child in psutil.Process().children():
        # Another file's test may have left one that has ended.
        with contextlib.suppress(psutil.ZombieProcess):
            if file_check.MODULE in child.cmdline():
                found.append(child)
    return found


@pytest.mark.parametrize("given", [{}, {"user": ""}, {"assistant": None}])
def test_a_process_says_of_a_file_what_the_check_says(row, given):
    content = lines(*[row(**given)] * 3)
    with FileChecks() as checks:
        assert checks.check("train.jsonl", content) == file_check.check("train.jsonl", content)


def test_a_process_speaks_to_each_in_their_language():
    with FileChecks() as checks:
        with in_language("en"):
            english = checks.check("a.jsonl", b"{}\n").text
        chinese = checks.check("a.jsonl", b"{}\n").text
        assert len(checking_processes()) == 1
    assert "no messages array" in english and "no messages array" not in chinese


def test_one_process_checks_one_file_after_the_other_and_ends_with_the_service(row):
    with FileChecks() as checks:
        checks.check("a.jsonl", lines(row()))
        (process,) = checking_processes()
        checks.check("b.txt", b"\xff\n")
        assert checking_processes() == [process]
    assert not process.is_running()


def test_a_process_that_has_ended_while_it_was_idle_is_replaced(row):
    with FileChecks() as checks:
        checks.check("a.jsonl", lines(row()))
        (process,) = checking_processes()
        process.kill()
        process.wait()
        assert checks.check("a.jsonl", lines(row())).error is None


def test_several_processes_that_have_ended_while_they_were_idle_refuse_no_file(row):
    with FileChecks() as checks:
        checks.check("a.jsonl", lines(row()))
        (first,) = checking_processes()
        # While it is busy, another file has a process of its own.
        first.suspend()
        busy = threading.Thread(target=checks.check, args=("b.jsonl", lines(row())))
        busy.start()
        while checks._idle:
            time.sleep(0.01)
        checks.check("c.jsonl", lines(row()))
        first.resume()
        busy.join()
        processes = checking_processes()
        assert len(processes) == 2
        for process in processes:
            process.kill()
            process.wait()
        assert checks.check("d.jsonl", lines(row())).error is None


def test_a_check_that_takes_too_long_is_ended_and_the_file_refused(row):
    # No process can read, start and reply in so short a time.
    with FileChecks(seconds=0.001) as checks:
        with pytest.raises(ApiError, match="0.001") as refused:
            checks.check("a.jsonl", lines(row()))
        assert refused.value.status_code == 400
        assert not checking_processes()


def test_a_slow_file_holds_up_no_other(row):
    """A process that is stopped stands for a check that never ends."""
    with FileChecks(seconds=30) as checks:
        checks.check("a.jsonl", lines(row()))
        (stopped,) = checking_processes()
        stopped.suspend()
        refused = []

        def upload_slow():
            try:
                checks.check("slow.jsonl", lines(row()))
            except ApiError as error:
                refused.append(error)

        thread = threading.Thread(target=upload_slow)
        thread.start()
        while checks._idle:
            time.sleep(0.01)
        assert checks.check("quick.jsonl", lines(row())).error is None
        assert not refused and thread.is_alive()
        stopped.kill()
        thread.join()


def test_a_service_that_ends_waits_for_no_check(row):
    refused = []

    def upload():
        with pytest.raises(ApiError) as error:
            checks.check("slow.jsonl", lines(row()))
        refused.append(error)

    with FileChecks(seconds=1000) as checks:
        checks.check("a.jsonl", lines(row()))
        checking_processes()[0].suspend()
        thread = threading.Thread(target=upload)
        thread.start()
        while checks._idle:
            time.sleep(0.01)
    thread.join()
    assert refused and not checking_processes()


def test_a_checking_process_is_told_no_secret(row, monkeypatch):
    monkeypatch.setenv("FAKE_TOKEN", "planted")
    with FileChecks() as checks:
        checks.check("a.jsonl", lines(row()))
        (process,) = checking_processes()
        assert "FAKE_TOKEN" not in process.environ()

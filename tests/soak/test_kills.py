"""Processes killed or suspended at random moments, services started at once: nothing is lost.

SOAK_KILLS=3 SOAK_RACES=3 pytest tests/soak/test_kills.py      fewer of them
"""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from support import assert_same, train_disturbed

from cookbook.connection import running, stop

KILLS, RACES, SLEEPS = (
    int(os.environ.get("SOAK_KILLS", 20)),
    int(os.environ.get("SOAK_RACES", 50)),
    2,
)


def processes(home) -> tuple[psutil.Process, list[psutil.Process]]:
    """The service and its training processes."""
    service = psutil.Process(running(home)["pid"])
    named = [p for p in psutil.process_iter(["cmdline"]) if str(home) in (p.info["cmdline"] or [])]
    return service, [p for p in named if "cookbook.service.worker" in p.info["cmdline"]]


@pytest.mark.parametrize("number", range(KILLS))
def test_a_job_survives_a_kill_at_a_random_moment(home, unbroken, number):
    begin, end = unbroken.view.events[0].created_at, unbroken.view.events[-1].created_at
    delay = random.uniform(0, end - begin + 2)
    print(f"kill {number} after {delay:.2f} s")

    def kill():
        time.sleep(delay)
        service, workers = processes(home)
        victims = [[service], workers, [service, *workers]][number % 3]
        for process in victims:
            process.kill()
        psutil.wait_procs(victims, timeout=1)

    assert_same(train_disturbed(home, kill), unbroken)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
@pytest.mark.parametrize("number", range(SLEEPS))
def test_a_job_survives_the_sleep_of_the_machine(home, unbroken, number):
    def sleep():
        time.sleep(random.uniform(0, 8))
        service, workers = processes(home)
        for process in [service, *workers]:
            process.suspend()
        time.sleep(10)
        for process in [service, *workers]:
            process.resume()

    assert_same(train_disturbed(home, sleep), unbroken)


@pytest.mark.parametrize("number", range(RACES))
def test_two_kernels_that_start_at_once_share_one_service(tmp_path, number):
    code = (
        "from pathlib import Path; from cookbook import connect; "
        f"print(connect(home=Path({str(tmp_path)!r})).base_url)"
    )
    kernels = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    urls = {kernel.communicate(timeout=120)[0] for kernel in kernels}
    assert len(urls) == 1 and urls != {""}
    stop(tmp_path)

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
from support import assert_same, train_disturbed, training_processes

from cookbook.connection import running, stop

KILLS = int(os.environ.get("SOAK_KILLS", 20))
RACES = int(os.environ.get("SOAK_RACES", 50))
SLEEPS = 2
START = """
import sys
from pathlib import Path
from cookbook import connect
print(connect(home=Path(sys.argv[1])).base_url)
"""


def processes(home) -> tuple[psutil.Process, list[psutil.Process]]:
    """Return the service and its training processes."""
    service = psutil.Process(running(home)["pid"])
    return service, training_processes(home)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_job_survives_a_kill_at_a_random_moment(home, unbroken, number):
    events = unbroken.view.events
    lasted = events[-1].created_at - events[0].created_at
    # Up to two seconds after its end, as the service tidies up.
    delay = random.uniform(0, lasted + 2)
    print(f"kill {number} after {delay:.2f} s")

    def kill():
        time.sleep(delay)
        service, workers = processes(home)
        # In turns the service, the training processes, and all of them.
        choices = [[service], workers, [service, *workers]]
        victims = choices[number % len(choices)]
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
    command = [sys.executable, "-c", START, str(tmp_path)]
    kernels = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    urls = {kernel.communicate(timeout=120)[0] for kernel in kernels}
    assert len(urls) == 1 and urls != {""}
    stop(tmp_path)

"""What a training process gives back to the system."""

import os
import subprocess
import sys

import pytest

# glibc reads these at the start of a process; the service sets them for its own.
ENVIRONMENT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30)}
CODE = """
import psutil, torch
from cookbook.service.engine.heap import Heap
held = lambda: psutil.Process().memory_info().rss
heap = Heap(0)
blocks = [torch.ones(2**18) for _ in range(400)]
# Every other one is freed: the process keeps the gaps between the others.
kept = blocks[::2]
del blocks
before = held()
heap.trim()
after = held()
# What is in use sets a new limit, so that not every step tries in vain.
print(before - after, heap._limit > after)
"""


AT_ONCE = """
import psutil, torch
from cookbook.service.engine.heap import give_back_at_once
held = lambda: psutil.Process().memory_info().rss
if {at_once}:
    give_back_at_once()
blocks = [torch.ones(2**18) for _ in range(400)]
before = held()
# Gaps between those that are kept, and nothing is trimmed.
del blocks[::2]
print(before - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take freed memory by themselves")
def test_a_process_that_holds_more_than_its_plan_gives_back_what_was_freed():
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    given_back, is_new_limit = done.stdout.split()
    assert int(given_back) > 100 * 2**20 and is_new_limit == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take freed memory by themselves")
@pytest.mark.parametrize("at_once", [True, False])
def test_large_tensors_are_given_back_as_they_are_freed_where_that_was_chosen(at_once):
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE.format(at_once=at_once)],
        env=os.environ | ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert (int(done.stdout) > 100 * 2**20) == at_once

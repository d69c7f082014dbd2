import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cookbook import processes

AUTOGROUP = Path("/proc/self/autogroup")
PROGRAM = """
import os
from pathlib import Path
from cookbook.processes import lower_priority
lower_priority(5)
print(os.nice(0), Path("/proc/self/autogroup").read_text())
"""


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system does not share by session")
def test_a_process_with_a_session_of_its_own_comes_after_other_sessions_too():
    command = [sys.executable, "-c", PROGRAM]
    shown = subprocess.check_output(command, text=True, start_new_session=True).split()
    assert shown[0] == str(os.nice(0) + 5)
    assert shown[-2:] == ["nice", "5"]


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system does not share by session")
def test_the_session_of_somebody_else_keeps_its_place():
    before = AUTOGROUP.read_text()
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.DEVNULL)
    assert AUTOGROUP.read_text() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no process that has ended")
def test_a_process_that_its_parent_forgets_has_ended_all_the_same():
    code = "import subprocess as s, time; print(s.Popen(['sleep', '60']).pid, flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        began = time.monotonic()
        processes.end([child], 20)
        assert time.monotonic() - began < 10
        assert child.status() == psutil.STATUS_ZOMBIE
        parent.kill()

import os
import subprocess
import sys
from pathlib import Path

import pytest

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

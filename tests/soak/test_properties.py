"""The claims of unit tests about any text, with more examples than `make check` has time for."""

import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[1] / "unit"


def test_what_holds_for_a_few_examples_holds_for_many():
    # The plugin of hypothesis marks its tests.
    options = ["-q", "-n", "2", "-m", "hypothesis", "--hypothesis-profile", "many"]
    command = [sys.executable, "-m", "pytest", *options, str(UNIT)]
    done = subprocess.run(command, cwd=UNIT.parents[1], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-5000:]

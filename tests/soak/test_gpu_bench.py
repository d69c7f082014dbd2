"""The bench that needs a GPU runs, so that it works on the day that there is one."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench" / "gpu.py"


def test_every_side_of_the_gpu_bench_runs_on_a_cpu():
    pytest.importorskip("trl")
    command = [sys.executable, BENCH, "--cpu-dry-run"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("|")][2:]
    assert [row[2].strip() for row in rows] == ["TRL", "ours", "transformers", "ours"]
    for row in rows:
        assert float(row[3].replace(",", "")) > 0 and "GB" in row[4], done.stdout

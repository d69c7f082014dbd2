"""What a plan predicts for a real base's shape is what its training takes at the peak."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from memory import TOLERANCE, Combination, measure  # tests/bench/memory.py
from random_bases import made  # tests/bench/random_bases.py

from cookbook.machine import GB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BASE = "Qwen2.5-0.5B"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(BASE, tmp_path_factory.mktemp("bases"))


@pytest.mark.parametrize(
    "tokens, batch, level, most",
    [(50, 8, 0, 4), (1000, 8, 0, 4), (1000, 2, 1, 4), (4096, 2, 0, 6)],
)
def test_the_peak_is_as_predicted_and_a_laptop_has_it(folder, tokens, batch, level, most):
    plan, peak = measure(folder, Combination(BASE, tokens, batch, level))
    assert plan["needed"] == pytest.approx(peak, rel=TOLERANCE)
    assert peak <= most * GB

"""A reader chooses the device; a card counts where the installed torch has code for it."""

import pytest

from cookbook import device, gpu
from cookbook.errors import ModelError

# What torch 2.13 for CUDA 13 was built for.
TARGETS = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.mark.parametrize("given", ["", " ", "cpu", "CUDA "])
def test_the_device_is_the_machines_choice_or_the_readers(monkeypatch, given):
    monkeypatch.setenv("COOKBOOK_DEVICE", given)
    assert device.chosen() == (given.strip().lower() or None)


def test_another_device_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("COOKBOOK_DEVICE", "gpu0")
    with pytest.raises(ModelError, match="COOKBOOK_DEVICE=gpu0.*cpu.*cuda"):
        device.chosen()
    with pytest.raises(ModelError, match="gpu0"):
        gpu.first()


def test_a_reader_who_chose_the_processor_has_no_card(monkeypatch):
    monkeypatch.setenv("COOKBOOK_DEVICE", "cpu")
    monkeypatch.setattr(gpu, "listed", lambda: pytest.fail("nobody needs to be asked"))
    assert gpu.first() is None


@pytest.mark.parametrize(
    "capability, usable",
    [(52, False), (70, False), (75, True), (86, True), (89, True), (90, True), (121, True)],
)
def test_a_card_needs_code_of_its_generation(capability, usable):
    assert gpu.has_code(capability, TARGETS) == usable


def test_code_for_one_card_alone_runs_on_no_other():
    assert gpu.has_code(90, ["sm_90a"]) and not gpu.has_code(92, ["sm_90a"])
    # A later generation than all of them, which the driver compiles for.
    assert gpu.has_code(130, TARGETS) and not gpu.has_code(130, TARGETS[:-1])

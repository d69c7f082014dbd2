"""A GPU that cannot be used is explained in one sentence; tried with a GPU that is made up."""

import logging
import re

import pytest
import torch

from cookbook.bases import Base
from cookbook.errors import MemoryShort, ModelError
from cookbook.machine import gpu
from cookbook.memory import NF4
from cookbook.service.engine import device, four_bit
from cookbook.service.engine.load import load

GB = 2**30
CARD = gpu.Listed("0", "GPU-1", "NVIDIA GeForce RTX 3060", 11 * GB, 12 * GB, 8.6)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Forget what was found out, before and after."""
    monkeypatch.delenv("COOKBOOK_DEVICE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    caches = (device.why_not_cuda, device._available, device._say_once)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def have_card(
    monkeypatch,
    *,
    available=True,
    capability=(8, 6),
    free=11 * GB,
    cuda="13.0",
    targets=("sm_75", "sm_80", "sm_86"),
):
    """Let torch and the driver report a GPU."""

    def memory():
        if isinstance(free, Exception):
            raise free
        return free, 12 * GB

    monkeypatch.setattr(gpu, "listed", lambda: [CARD])
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(targets))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: CARD.name)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: capability >= (8, 0)
    )


def test_a_gpu_that_can_be_used_is_used_unless_the_reader_chose_the_cpu(monkeypatch):
    have_card(monkeypatch)
    assert device.why_not_cuda() is None and device.choose() == "cuda"
    monkeypatch.setenv("COOKBOOK_DEVICE", "cpu")
    assert device.choose() == "cpu" and device.here().device == "cpu"


@pytest.mark.parametrize(
    "card, reason",
    [
        ({"available": False}, r"RTX 3060.*驱动.*CUDA 13\.0"),
        ({"available": False, "cuda": None}, r"不带 CUDA.*RTX 3060.*pytorch\.org"),
        ({"capability": (6, 1)}, r"计算能力 6\.1.*太旧.*cu126"),
        ({"capability": (12, 0)}, r"计算能力 12\.0.*太新.*--upgrade torch"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_said_once_and_the_cpu_taken(
    monkeypatch, caplog, card, reason
):
    have_card(monkeypatch, **card)
    with caplog.at_level(logging.WARNING):
        assert [device.choose(), device.choose()] == ["cpu", "cpu"]
    [record] = caplog.records
    assert re.search(reason, record.message)
    assert device.here().device == "cpu"
    # Asked for by name, it is an error, before anything is loaded.
    monkeypatch.setenv("COOKBOOK_DEVICE", "cuda")
    with pytest.raises(ModelError, match=reason):
        device.choose()


def test_where_no_gpu_is_there_or_shown_nothing_is_said(monkeypatch, caplog):
    monkeypatch.setattr(gpu, "listed", list)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose() == "cpu"
    have_card(monkeypatch, available=False)
    device.why_not_cuda.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert device.choose() == "cpu" and not caplog.records


def test_bfloat16_that_a_gpu_only_imitates_does_not_count(monkeypatch):
    have_card(monkeypatch, capability=(7, 5))
    assert device.choose() == "cuda" and not device.here().bfloat16


def test_a_gpu_that_others_fill_is_refused_with_what_is_free(monkeypatch, small_base):
    have_card(monkeypatch, free=GB // 10)
    with pytest.raises(MemoryShort, match=r"RTX 3060.*空闲 0\.1 GB.*12\.0.*CUDA_VISIBLE_DEVICES"):
        load(small_base)


@pytest.mark.parametrize("text", ["busy or unavailable", "out of memory"])
def test_a_gpu_that_cannot_even_be_asked_is_taken(monkeypatch, small_base, text):
    have_card(monkeypatch, free=RuntimeError(f"CUDA error: all devices are {text}"))
    with pytest.raises(MemoryShort, match="COOKBOOK_DEVICE=cpu"):
        load(small_base)


def test_four_bit_without_bitsandbytes_names_the_command(monkeypatch, small_base):
    monkeypatch.setattr(four_bit, "is_installed", lambda: False)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        load(small_base, NF4)


def test_bitsandbytes_without_a_library_for_this_cuda_is_named(monkeypatch, small_base):
    have_card(monkeypatch)
    monkeypatch.setattr(four_bit, "is_installed", lambda: True)
    monkeypatch.setattr(four_bit, "library", lambda: object())
    with pytest.raises(ModelError, match=r"CUDA 13\.0.*--upgrade bitsandbytes"):
        load(small_base, NF4)


def test_a_broken_bitsandbytes_is_explained(monkeypatch, small_base):
    def broken():
        raise OSError("libcudart.so.13: cannot open shared object file: No such file")

    monkeypatch.setattr(four_bit, "is_installed", lambda: True)
    monkeypatch.setattr(four_bit, "library", broken)
    with pytest.raises(ModelError, match=r"bitsandbytes.*libcudart"):
        load(small_base, NF4)


def test_a_wrong_choice_of_device_is_refused_before_the_weights_are_read(monkeypatch, small_base):
    monkeypatch.setenv("COOKBOOK_DEVICE", "tpu")
    with pytest.raises(ModelError, match="COOKBOOK_DEVICE=tpu"):
        load(Base("x", small_base.source))

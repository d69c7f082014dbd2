"""Out of memory: the signs of it, and what a job is told that does not fit."""

import json
from dataclasses import replace

import pytest
import support

from cookbook import causes
from cookbook.errors import MemoryShort, OutOfMemory
from cookbook.machine import GB, kernel_kills
from cookbook.memory import MemoryPlan, Remedies
from cookbook.paths import Home
from cookbook.service import out_of_memory
from cookbook.service.store import Store
from cookbook.shapes import published

STANDARD = {"max_tokens": 4096, "batch_size": 4, "lora_rank": 8}
VERSION_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VERSION_2 = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"


@pytest.fixture
def job(tmp_path):
    return support.add_job(Store(Home(tmp_path).database), hyperparameters={"max_tokens": 4096})


def kernel(folder, groups, files):
    """Write what a kernel shows of itself; return the arguments for `kernel_kills.counts`."""
    folder.joinpath("cgroup").write_text(groups)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "vmstat", folder / "cgroup", folder / "fs"


@pytest.mark.parametrize(
    "groups, file, text",
    [
        ("0::/user/app\n", "fs/user/app/memory.events", VERSION_2),
        ("0::/user/app\n", "fs/user/memory.events", VERSION_2),
        # Inside a container, where the path is the host's.
        ("0::/docker/abc\n", "fs/memory.events", VERSION_2),
        ("5:cpu:/\n4:memory:/box\n0::/\n", "fs/memory/box/memory.oom_control", VERSION_1),
        ("", "vmstat", "nr_free_pages 12\noom_kill {}\n"),
    ],
)
def test_the_kernels_own_count_tells_whether_it_has_killed(tmp_path, groups, file, text):
    places = kernel(tmp_path, groups, {file: text.format(2)})
    before = kernel_kills.counts(*places)
    assert list(before.values()) == [2] and not kernel_kills.rose(before)
    (tmp_path / file).write_text(text.format(3))
    assert kernel_kills.rose(before)


def test_where_the_kernel_counts_nothing_nothing_is_concluded(tmp_path):
    places = kernel(tmp_path, "nonsense\n", {"vmstat": "nr_free_pages 12\n"})
    assert kernel_kills.counts(*places) == {} and not kernel_kills.rose({})


def plan(needed):
    remedy = Remedies(needed <= 8 * GB, 512, "Qwen/Qwen2.5-0.5B-Instruct", GB, 10 * GB)
    plan = MemoryPlan(needed, 2 * GB, "cpu", "float32", 512, 1, 0, 2, 128, total=8 * GB)
    return replace(plan, remedy=remedy)


def test_what_fits_only_later_waits_and_what_never_fits_is_refused_with_remedies(job):
    out_of_memory.check_fits(job, plan(2 * GB))
    with pytest.raises(MemoryShort, match=r"约需 4\.0 GB，只空闲 2\.0 GB，放.*关掉别的程序"):
        out_of_memory.check_fits(job, plan(4 * GB))
    with pytest.raises(
        OutOfMemory, match=r"约需 9\.0 GB，只空闲 2\.0 GB（一共 8\.0 GB）"
    ) as caught:
        out_of_memory.check_fits(job, plan(9 * GB))
    for remedy in ("max_tokens 改成 512", "Qwen2.5-0.5B", "4 bit", "10.0 GB 以上的机器"):
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "base, needed, smaller",
    [
        ("Qwen/Qwen2.5-7B-Instruct", 20, "例如 Qwen/Qwen2.5-3B"),
        # The 3B would need more than the machine gave.
        ("Qwen/Qwen2.5-7B-Instruct", 6, "例如 Qwen/Qwen2.5-1.5B"),
        ("Qwen/Qwen2.5-7B-Instruct", 1, "比 Qwen/Qwen2.5-7B-Instruct 小"),
        ("mine", 20, "比 mine 小"),
    ],
)
def test_a_smaller_base_is_named_only_where_it_would_fit(job, base, needed, smaller):
    plan = {"needed": needed * GB, "free": 24 * GB, "device": "cpu", "weights": "bfloat16"}
    job = replace(job, base=base, memory_plan=plan | {"longest": 930}, hyperparameters=STANDARD)
    assert smaller in str(out_of_memory.failed(job, None))


def test_a_smaller_base_is_named_for_a_base_in_a_folder_by_its_sizes(job, tmp_path, monkeypatch):
    config = published("Qwen/Qwen2.5-7B-Instruct").to_config() | {"model_type": "qwen2"}
    tmp_path.joinpath("config.json").write_text(json.dumps(config))
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(tmp_path))
    plan = {"needed": 20 * GB, "free": 24 * GB, "device": "cpu", "weights": "bfloat16"}
    job = replace(job, base=tmp_path.name, memory_plan=plan, hyperparameters=STANDARD)
    assert "例如 Qwen/Qwen2.5-3B-Instruct" in str(out_of_memory.failed(job, None))


def test_a_job_that_ran_out_twice_is_told_what_to_do_with_its_own_figures(job):
    kept = {"needed": GB, "free": 2 * GB, "device": "cpu", "longest": 930}
    failed = str(out_of_memory.failed(replace(job, memory_plan=kept), None))
    for words in (
        "约需 1.0 GB，开始时空闲 2.0 GB",
        "例如 465",
        "930 个 token",
        "多于 2.0",
    ):
        assert words in failed
    on_gpu = replace(job, memory_plan=kept | {"device": "cuda"})
    assert str(out_of_memory.failed(on_gpu, None)).startswith("显存不够")
    assert not out_of_memory.takes_much(on_gpu.memory_plan)


@pytest.mark.parametrize(
    "error, lack",
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryShort("不够", "not enough memory"), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, lack):
    assert causes.is_lack_of_memory(error) == lack

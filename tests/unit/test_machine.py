"""What memory there is: of the system, of a container, of a GPU, and a reader's own limit."""

import sys

import pytest

from cookbook import machine
from cookbook.errors import ArgumentError
from cookbook.machine import GB, Machine, cgroups, chosen_limit, gpu, in_gb
from cookbook.machine.cgroups import UNLIMITED, Room

SMI = """\
0, GPU-aaaa, NVIDIA GeForce GTX 1080, 7000, 8192, 6.1
1, GPU-bbbb, NVIDIA GeForce RTX 4060 Ti, 15000, 16380, 8.9
2, GPU-cccc, Broken, [N/A], [N/A], 8.9
"""


def write(folder, **files):
    """Write a group's files; `memory_max` is "memory.max". Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n", encoding="utf-8")
    return folder


def listed_in(tmp_path, line):
    process = tmp_path / "cgroup"
    process.write_text(f"9:name=systemd:/\n{line}\n", encoding="utf-8")
    return process


def test_a_container_has_what_its_limit_leaves_and_file_caches_count_as_free(tmp_path):
    stat = f"anon {3 * GB}\ninactive_file {GB}\nactive_file 0"
    group = {"memory_max": 8 * GB, "memory_high": "max", "memory_current": 4 * GB}
    write(tmp_path / "tree", memory_stat=stat, **group)
    process = listed_in(tmp_path, "0::/")
    assert cgroups.room(process, tmp_path / "tree") == Room(free=5 * GB, limit=8 * GB)


def test_the_limit_of_every_ancestor_counts(tmp_path):
    tree = tmp_path / "tree"
    write(tree / "a" / "b", memory_max="max", memory_high="max", memory_current=GB)
    write(tree / "a", memory_max=6 * GB, memory_high=5 * GB, memory_current=2 * GB)
    process = listed_in(tmp_path, "0::/a/b")
    assert cgroups.room(process, tree) == Room(free=3 * GB, limit=5 * GB)


def test_a_path_of_the_host_is_looked_up_at_the_containers_root(tmp_path):
    write(tmp_path / "tree", memory_max=2 * GB, memory_current=GB)
    process = listed_in(tmp_path, "0::/docker/of-the-host")
    assert cgroups.room(process, tmp_path / "tree").free == GB


def test_version_1_of_control_groups_is_read_too(tmp_path):
    group = tmp_path / "tree" / "memory" / "job"
    used = {"memory_usage_in_bytes": 3 * GB, "memory_limit_in_bytes": 4 * GB}
    write(group, memory_stat=f"total_inactive_file {GB}", **used)
    # What "no limit" looks like there.
    write(group.parent, memory_limit_in_bytes=2**63 - 4096, memory_usage_in_bytes=GB)
    process = listed_in(tmp_path, "4:cpu,memory:/job")
    assert cgroups.room(process, tmp_path / "tree") == Room(free=2 * GB, limit=4 * GB)


def test_no_group_limits_nothing(tmp_path):
    assert cgroups.room(tmp_path / "none", tmp_path) == Room(UNLIMITED, UNLIMITED)
    process = listed_in(tmp_path, "0::/")
    assert cgroups.room(process, tmp_path) == Room(UNLIMITED, UNLIMITED)


@pytest.mark.parametrize(
    "given, expected",
    [
        ("6GB", 6 * GB),
        ("6000MB", 6000 * 2**20),
        (" 1.5 gib ", 3 * GB // 2),
        ("8G", 8 * GB),
        ('"1TB"', 1024 * GB),
    ],
)
def test_a_reader_can_limit_the_memory(given, expected):
    assert chosen_limit({"COOKBOOK_MEMORY": given}) == expected


def test_a_figure_for_a_remedy_is_rounded_up():
    assert [machine.at_least(x * GB) for x in (0.71, 0.7, 3.01)] == ["0.8 GB", "0.7 GB", "3.1 GB"]
    assert machine.at_least(20.2 * GB) == "21 GB" and machine.in_gb(2**20) == "1 MB"


@pytest.mark.parametrize("given", ["6", "lots", "-6GB", "0GB", "6PB"])
def test_a_limit_that_is_no_amount_is_one_clear_error(given):
    with pytest.raises(ArgumentError, match="COOKBOOK_MEMORY.*6GB"):
        chosen_limit({"COOKBOOK_MEMORY": given})


def test_a_machine_is_what_is_left_of_system_container_and_own_limit(monkeypatch):
    monkeypatch.setattr(gpu, "first", lambda: None)
    monkeypatch.setattr(cgroups, "room", lambda: Room(2 * GB, 3 * GB))
    assert machine.here().free <= 2 * GB and machine.here().total == 3 * GB
    monkeypatch.setenv("COOKBOOK_MEMORY", "0.5GB")
    assert machine.here().total == GB // 2 and machine.here().device == "cpu"
    assert machine.here().free <= machine.here(for_this_process=True).free <= GB // 2


def test_a_processor_says_whether_it_computes_in_bfloat16(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.machine.platform, "machine", lambda: "x86_64")
    info = tmp_path / "cpuinfo"
    for flags, expected in (("fpu avx512_bf16 avx2", True), ("fpu avx512f avx2", False)):
        info.write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : amx_bf16\n", encoding="utf-8")
        assert machine.machine.computes_in_bfloat16(info) is expected
    assert machine.machine.computes_in_bfloat16(tmp_path / "none") is False


def test_the_cards_are_those_that_cuda_would_show():
    cards = gpu.parse(SMI)
    assert [card.index for card in cards] == ["0", "1"]
    # The fastest first, unless it is told to go by slots.
    assert [card.index for card in gpu.visible(cards, {})] == ["1", "0"]
    by_slot = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    for chosen, expected in [("1", "1"), ("GPU-a", "0"), ("0,-1,1", "0"), ("", ""), ("-1", "")]:
        shown = gpu.visible(cards, by_slot | {"CUDA_VISIBLE_DEVICES": chosen})
        assert "".join(card.index for card in shown) == expected


def test_a_card_counts_only_where_the_installed_torch_can_use_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "listed", lambda: gpu.parse(SMI))
    for oldest, name in ((7.5, "NVIDIA GeForce RTX 4060 Ti"), (9.0, None), (None, None)):
        monkeypatch.setattr(gpu, "_oldest_supported", lambda oldest=oldest: oldest)
        found = gpu.first()
        assert (found.name if found else None) == name
        assert found is None or found.bfloat16


@pytest.mark.parametrize("cuda, oldest", [("'13.0'", 7.5), ("'12.6'", 5.0), ("None", None)])
def test_the_build_of_torch_says_which_cards_it_has_code_for(tmp_path, cuda, oldest):
    version = tmp_path / "version.py"
    version.write_text(f"cuda: Optional[str] = {cuda}\n", encoding="utf-8")
    assert gpu.built_for(version) == oldest
    assert gpu.built_for(tmp_path / "none.py") is None


def test_a_machine_travels_as_json_and_nothing_else_is_taken_for_one():
    here = Machine("cuda", 15 * GB, 16 * GB, bfloat16=True, four_bit=True, name="RTX")
    assert Machine.of_dict(here.to_dict()) == here
    for wrong in (None, {}, here.to_dict() | {"free": "much"}, here.to_dict() | {"free": True}):
        assert Machine.of_dict(wrong) is None


def test_memory_is_shown_in_gb():
    assert [in_gb(size) for size in (3.14 * GB, 24 * GB, GB // 50)] == [
        "3.1 GB",
        "24 GB",
        "0.02 GB",
    ]

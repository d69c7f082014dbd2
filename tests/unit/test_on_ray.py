"""What passes between a service and the nodes of a Ray cluster, without Ray."""

import pickle
from dataclasses import replace

import pytest

from cookbook import causes
from cookbook.bases import Base
from cookbook.errors import ClusterAway, Diverged
from cookbook.service.trainers.on_ray import failure, node_base, parcel, versions
from cookbook.service.trainers.on_ray.node_base import Wanted
from cookbook.service.trainers.on_ray.node_folder import JobFolder
from cookbook.service.trainers.on_ray.parcel import Arrival


@pytest.fixture
def base(tmp_path):
    """Return a base in a folder, with a file that is longer than a sample."""
    folder = tmp_path / "service" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 20_000)
    (folder / "photo.png").write_bytes(b"not read")
    return Base("mine", source=str(folder))


@pytest.fixture(autouse=True)
def node(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))


def carry(source, target, files):
    arrival = Arrival(target)
    for name, start in parcel.parts(files):
        arrival.take(name, start, parcel.read(source, name, start))
    arrival.settle(files)


def test_a_folder_arrives_as_it_was_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(parcel, "PART_BYTES", 3)
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "inner").mkdir(parents=True)
    (source / "empty").touch()
    (source / "inner" / "long").write_bytes(b"0123456789")
    target.mkdir()
    (target / "old").touch()
    carry(source, target, parcel.contents(source))
    assert parcel.contents(target) == {"empty": 0, "inner/long": 10}
    assert (target / "inner" / "long").read_bytes() == b"0123456789"
    carry(source / "inner" / "long", tmp_path / "file", {"": 10})
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_what_has_not_arrived_whole_does_not_replace_what_was_there(tmp_path):
    target = tmp_path / "state"
    target.write_bytes(b"old")
    arrival = Arrival(target)
    arrival.take("", 0, b"ne")
    with pytest.raises(OSError, match="has not arrived whole"):
        arrival.settle({"": 3})
    assert target.read_bytes() == b"old"


def test_a_base_is_found_by_its_content_wherever_it_is(base):
    elsewhere = Wanted.of(base)
    assert "photo.png" not in elsewhere.files
    assert node_base.find(elsewhere) == base
    moved = replace(elsewhere, base=replace(base, source="/not/on/this/node"))
    assert node_base.find(moved) is None
    sent = node_base.sent_to(moved)
    carry(node_base.Path(base.source), sent, moved.files)
    assert node_base.find(moved) == replace(base, source=str(sent))


def test_a_base_of_the_same_name_and_sizes_with_other_weights_is_not_taken(base):
    wanted = Wanted.of(base)
    path = node_base.Path(base.source) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[2**20] ^= 1
    path.write_bytes(content)
    assert node_base.find(wanted) is None


def test_a_folder_that_cannot_be_read_there_is_as_none(base, monkeypatch):
    wanted = Wanted.of(base)

    def unreadable(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(node_base, "fingerprint", unreadable)
    assert node_base.find(wanted) is None


def test_folders_of_processes_that_died_are_removed_and_no_others(tmp_path):
    mine = JobFolder()
    left = mine.path.with_name("left")
    left.mkdir()
    other = JobFolder()
    assert mine.path.is_dir() and other.path.is_dir() and not left.exists()
    mine.remove()
    assert not mine.path.exists()


def failed(error):
    """Return what arrives of an exception that was raised on a node."""
    try:
        raise error
    except type(error) as caught:
        return pickle.loads(pickle.dumps(failure.of(caught))).error("alpha")


def test_an_error_of_ours_comes_back_as_it_is():
    found = failed(Diverged(zh="发散了", en="diverged"))
    assert type(found) is Diverged and found.en == "diverged"


def test_an_error_of_a_library_comes_back_as_its_meaning(caplog):
    assert causes.is_lack_of_memory(failed(RuntimeError("CUDA out of memory. Tried to allocate")))
    full = failed(OSError(28, "No space left on device"))
    assert isinstance(full, ClusterAway) and "alpha" in full.en
    assert type(failed(KeyError("x"))) is RuntimeError and "KeyError: 'x'" in caplog.text


def test_a_node_with_other_versions_is_told_what_to_install(monkeypatch):
    here = {"python": "3.11.7", "torch": "2.13.0", "peft": "0.21.2"}
    monkeypatch.setattr(versions, "of_service", lambda: here)
    assert versions.fault("alpha", here) is None
    # A GPU's build of the same version.
    assert versions.fault("alpha", here | {"torch": "2.13.0+cu126"}) is None
    fault = versions.fault("alpha", here | {"torch": "1.0", "peft": ""})
    assert "torch 1.0 (" in fault.en and "no peft (" in fault.en
    assert "pip install 'torch==2.13.0' 'peft==0.21.2'" in fault.en


def test_the_cookbook_of_a_node_is_not_to_come_from_an_index(monkeypatch):
    here = {"python": "3.11.7", versions.COOKBOOK: "0.3.0", "torch": "2.13.0"}
    monkeypatch.setattr(versions, "of_service", lambda: here)
    fault = versions.fault("alpha", here | {versions.COOKBOOK: "0.2.0"})
    assert "0.2.0 (0.3.0 here)" in fault.en and "pip install" not in fault.en
    both = versions.fault("alpha", here | {versions.COOKBOOK: "", "torch": "1.0"})
    assert "checkout or wheel" in both.en and "pip install 'torch==2.13.0' there" in both.en
